"""Requests: how lines get to another machine by HTTP, and which of them have arrived."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import SplitResult, unquote

from ..records import Line
from .wires import ANSWER_SECONDS, CONNECT_SECONDS, NotArrived, in_one_line


# What a server says of the lines, and not of the moment.
_FOR_GOOD: Final = frozenset({400, 413, 415, 422})


class HttpWire:
    """POST requests of many lines each; what is answered with 2xx has arrived."""

    def __init__(
        self, url: SplitResult, *, headers: Mapping[str, str], verify: bool | str, is_compressed: bool
    ) -> None:
        """Send to *url*, with *headers*, and the user and the password in it as basic authentication.

        Raises:
            ConfigError: for certificates that cannot be read.
        """
        place = url.netloc.rpartition("@")[2]
        self._url = f"{url.scheme}://{place}{url.path or '/'}{f'?{url.query}' if url.query else ''}"
        self._user = None if url.username is None else f"{unquote(url.username)}:{unquote(url.password or '')}"
        self._headers = headers
        self._is_compressed = is_compressed
        self._trust: dict[str, Any] = (
            {} if verify is True or url.scheme != "https" else {"ssl_context": _context_of(verify)}
        )
        self._pool: Any = None

    def encoded(self, line: Line) -> bytes:
        """Return *line* in one line."""
        return in_one_line(line)

    def send(self, lines: Sequence[bytes]) -> None:
        """Post *lines*."""
        # It takes some time to import, and only who logs over HTTP needs it.
        import urllib3

        if self._pool is None:
            self._pool = urllib3.PoolManager(maxsize=1, retries=False, **self._trust)
        headers = {"Content-Type": "application/x-ndjson"}
        if self._user is not None:
            headers |= urllib3.make_headers(basic_auth=self._user)
        body = b"\n".join(lines) + b"\n"
        if self._is_compressed:
            body = gzip.compress(body, mtime=0)
            headers["Content-Encoding"] = "gzip"
        try:
            answer = self._pool.request(
                "POST",
                self._url,
                body=body,
                headers={**headers, **self._headers},
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise NotArrived(type(error).__name__) from error
        if not 200 <= answer.status < 300:
            msg = f"it answers {answer.status}"
            raise NotArrived(
                msg,
                is_final=answer.status in _FOR_GOOD,
                wait=_seconds(answer.headers.get("Retry-After")),
            )

    def close(self) -> None:
        """Close the connection."""
        pool, self._pool = self._pool, None
        if pool is not None:
            with contextlib.suppress(Exception):
                pool.clear()


def _context_of(verify: bool | str) -> object:
    # TLS takes time to import.
    from .secure import context_of

    return context_of(verify)


def _seconds(said: str | None) -> float | None:
    return min(float(said), 60.0) if said is not None and said.isdecimal() else None
