"""Whether MLflow answers at all: asked first, for its own client tries for minutes before it says that nobody does."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from ...destinations import shown_url


UNREACHABLE: Final = "UNREACHABLE"
"""The code of the failure of a place that was not even asked."""

_CONNECT_SECONDS: Final = 2.0
_BROKEN: Final = 500


class Health:
    """What was heard of one place lately: after a failure it is asked for its health first, and before all else."""

    def __init__(self, uri: str, ask: Callable[[str], str | None] | None = None) -> None:
        """Look after the place at *uri*; only a server can be asked."""
        self._url = uri.rstrip("/") if urlsplit(uri).scheme in {"http", "https"} else None
        self._ask = ask or asked
        self._is_proven = False

    def complaint(self) -> str | None:
        """Return why there is no use in asking for anything; None where there may be."""
        if self._is_proven or self._url is None:
            return None
        return self._ask(self._url)

    def succeeded(self) -> None:
        """Learn that it works."""
        self._is_proven = True

    def failed(self) -> None:
        """Learn that something has failed."""
        self._is_proven = False


def asked(url: str) -> str | None:
    """Return what is wrong with the server at *url*; None where it answers, whatever that is."""
    place = urlsplit(url)
    host = place.hostname or ""
    if place.scheme in getproxies() and not proxy_bypass(host):
        # Only MLflow's own client knows its way.
        return None
    try:
        if place.scheme == "https":
            # Whose certificates are trusted is not decided here: it is enough that somebody listens.
            socket.create_connection((host, place.port or 443), _CONNECT_SECONDS).close()
            return None
        status = _status(f"http://{place.netloc.rpartition('@')[2]}{place.path}/health")
    except (OSError, urllib3.exceptions.HTTPError) as error:
        return f"{shown_url(url)} does not answer: {error}"
    return f"{shown_url(url)} answers {status}" if status >= _BROKEN else None


def _status(url: str) -> int:
    with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=5.0)) as http:
        return int(http.request("GET", url).status)
