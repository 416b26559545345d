"""The clock of a server, told from the date of its answers."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable
from typing import Final

from .endpoints import Endpoint
from .over_http import HttpConnection


_NOTHING: Final = b'{"resourceSpans":[]}'


def seconds_ahead(endpoint: Endpoint, *, timeout_seconds: float, now: Callable[[], float] = time.time) -> float | None:
    """Return how far the server's clock is ahead of *now*, to the second; None where it does not say."""
    if endpoint.protocol == "grpc":
        return None
    connection = HttpConnection(endpoint.place)
    headers = {**endpoint.headers, "content-type": "application/json"}
    began = now()
    try:
        reply = connection._exchanged(endpoint, _NOTHING, headers, timeout_seconds)  # noqa: SLF001  # the same room
        said = email.utils.parsedate_to_datetime(reply.headers["date"]).timestamp()
    except Exception:  # whoever cannot be reached says no time, and that is told by others
        return None
    finally:
        connection.close()
    # The date has no fractions: it may be up to a second earlier than it was.
    return said + 0.5 - (began + now()) / 2
