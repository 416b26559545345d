"""The webhook: alerts as JSON to a server, signed, and again where it did not take them."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..errors import ConfigError
from ..names import VERSION
from ..redaction import Redactor
from ..standing_redaction import redactor_by
from .alerts import Alert
from .channels import Postbox


if TYPE_CHECKING:
    from urllib3 import PoolManager

SIGNATURE_HEADER: Final = "X-Branchline-Signature"
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 30.0
# What a server says of the alert, and not of the moment.
_FOR_GOOD: Final = frozenset({400, 401, 403, 404, 405, 410, 413, 415, 422})


class NotTaken(Exception):
    """A server did not take an alert."""


class WebhookChannel(Postbox):
    """Posts each alert as JSON, within seconds; what is not taken is tried again."""

    def __init__(
        self,
        url: str,
        *,
        secret: str | bytes | None = None,
        severity: str = "CRITICAL",
        headers: Mapping[str, str] | None = None,
        timeout: float = 2.0,
        attempts: int = 6,
        redact: bool | Redactor = True,
    ) -> None:
        """Post to *url* alerts of *severity* and above.

        With a *secret*, the header ``X-Branchline-Signature`` is ``sha256=`` and the HMAC-SHA256 of the body in hex.
        *timeout* is how many seconds one of the *attempts* may take.

        Raises:
            ConfigError: for what is not accepted.
        """
        _check(url, timeout, attempts)
        self._url = url
        self._secret = secret.encode() if isinstance(secret, str) else secret
        self._headers = dict(headers or {})
        self._timeout = timeout
        self._attempts = attempts
        # What is refused is refused now; which one stands, is asked each time.
        redactor_by(redact)
        self._redact = redact
        self._pool: PoolManager | None = None
        super().__init__(severity=severity)

    def begin_anew(self) -> None:
        """In a forked child: with connections of its own."""
        self._pool = None
        super().begin_anew()

    def deliver(self, alert: Alert) -> None:
        """Post *alert*, again and again where the server did not take it.

        Raises:
            NotTaken: when it has been tried often enough, or the server does not want it.
        """
        body = self.body(alert)
        pause = _FIRST_PAUSE
        for attempt in range(1, self._attempts + 1):
            status, wait, why = self._posted(body)
            if 200 <= status < 300:
                return
            if attempt == self._attempts or status in _FOR_GOOD or 300 <= status < 400:
                raise NotTaken(why)
            if wait is None:
                # Not all processes at the same moment, when a server comes back.
                self.pause(min(pause, _LONGEST_PAUSE) * random.uniform(0.8, 1.0))  # noqa: S311
            else:
                # Who says when has a reason, whatever ends here meanwhile.
                time.sleep(min(wait, _LONGEST_PAUSE))
            pause *= 2

    def body(self, alert: Alert) -> bytes:
        """Return what is posted of *alert*; secrets do not leave."""
        document = alert.to_dict()
        redactor = redactor_by(self._redact)
        if redactor is not None:
            document = {key: redactor.value(key, value) for key, value in document.items()}
        return json.dumps(document, default=str, sort_keys=True).encode()

    def _posted(self, body: bytes) -> tuple[int, float | None, str]:
        """Post *body*; return the status, 0 for no answer, the seconds that we are to wait, and what went wrong."""
        # It takes some time to import, and only who has a webhook needs it.
        import urllib3

        if self._pool is None:
            self._pool = urllib3.PoolManager(maxsize=1, retries=False)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"branchline/{VERSION}",
            **self._headers,
            **({} if self._secret is None else {SIGNATURE_HEADER: signature(body, self._secret)}),
        }
        timeout = urllib3.Timeout(total=self._timeout)
        try:
            answer = self._pool.request("POST", self._url, body=body, headers=headers, timeout=timeout, redirect=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            # Its text may have the URL in it, and that a secret.
            return 0, None, type(error).__name__
        return answer.status, _seconds(answer.headers.get("Retry-After")), f"it answers {answer.status}"

    def __str__(self) -> str:
        place = urlsplit(self._url)
        # The path of a webhook is often its secret.
        return f"the webhook {place.scheme}://{place.netloc.rpartition('@')[2]}"

    def __repr__(self) -> str:
        return f"<{str(self).removeprefix('the ')}>"


def signature(body: bytes, secret: bytes) -> str:
    """Return how *body* is signed with *secret*."""
    return f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"


def _check(url: object, timeout: object, attempts: object) -> None:
    try:
        place = urlsplit(url if isinstance(url, str) else "")
        is_url = place.scheme in ("http", "https") and bool(place.hostname) and (place.port or 1) > 0
    except ValueError:
        is_url = False
    if not is_url:
        # Not the value: a webhook's URL is a secret.
        msg = "the url of a webhook; accepted: http://host/path or https://host/path"
        raise ConfigError(msg)
    if not isinstance(timeout, int | float) or isinstance(timeout, bool) or not 0 < timeout <= 60:
        msg = f"timeout={timeout!r}; accepted: seconds, at most 60"
        raise ConfigError(msg)
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        msg = f"attempts={attempts!r}; accepted: a whole number from 1 on"
        raise ConfigError(msg)


def _seconds(said: str | None) -> float | None:
    return float(said) if said is not None and said.isdecimal() else None
