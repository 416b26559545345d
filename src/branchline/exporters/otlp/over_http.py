"""OTLP over HTTP: one kept connection to one place."""

from __future__ import annotations

import logging
import socket
import ssl
import time
import zlib
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ... import names
from ...errors import ConfigError
from .answers import INTERRUPTED, Answer
from .endpoints import DEFAULT_SECONDS, Endpoint, Place, hidden_in, is_address
from .interruption import Interrupted, Interruption, connect
from .replies import REPLY_BYTES, Reply, answer_of, bounded


# More costs twice the time for a tenth less; JSON lines shrink to a tenth either way.
_GZIP_LEVEL: Final = 1
_USER_AGENT: Final = f"branchline/{names.VERSION}"


# urllib3 logs every request with its query, in which there may be a key; and a log that is delivered would never end.
_LOGGERS: Final = ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")
_SENDING: Final[ContextVar[bool]] = ContextVar("branchline_otlp_sending", default=False)


def _is_of_others(_: logging.LogRecord) -> bool:
    return not _SENDING.get()


class HttpConnection:
    """The one connection to *place*: kept as long as the server keeps it, made again when it is gone."""

    def __init__(self, place: Place) -> None:
        """Connect only when something is sent.

        Raises:
            ConfigError: for a certificate or key that cannot be read.
        """
        self.place = place
        self._interruption = Interruption()
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_is_of_others)
        self._connections = _connections(place, self._interruption)

    def post(self, endpoint: Endpoint, body: bytes, content_type: str, *, timeout_seconds: float) -> Answer:
        """Send *body* and return what the server says to it."""
        if self._interruption.take():
            return INTERRUPTED
        headers = {"user-agent": _USER_AGENT, **endpoint.headers, "content-type": content_type}
        if endpoint.compression == "gzip":
            body, headers["content-encoding"] = _compressed(body), "gzip"
        deadline = time.monotonic() + timeout_seconds
        token = _SENDING.set(True)
        try:
            with self._interruption.after(timeout_seconds):
                reply = self._exchanged(endpoint, body, headers, timeout_seconds)
        except Exception as error:  # what urllib3 raises has many bases
            was_interrupted, is_late = self._interruption.take(), time.monotonic() >= deadline
            if was_interrupted and not is_late:
                return INTERRUPTED
            sentence = f"no answer in {round(timeout_seconds, 1):g} s" if is_late else _sentence(error)
            return Answer(kind="retry", message=bounded(f"{self.place}: {sentence}", hidden_in(endpoint)))
        finally:
            _SENDING.reset(token)
        self._interruption.take()
        return answer_of(reply, now=time.time(), hidden=hidden_in(endpoint))

    def interrupt(self) -> None:
        """End what is under way, or the next that is sent."""
        self._interruption.interrupt()

    def close(self) -> None:
        """Close the connection."""
        self._connections.clear()

    def _exchanged(self, endpoint: Endpoint, body: bytes, headers: Mapping[str, str], seconds: float) -> Reply:
        response = self._connections.urlopen(
            "POST",
            f"{self.place}{endpoint.path}",
            body=body,
            headers=dict(headers),
            redirect=False,
            retries=False,
            timeout=urllib3.Timeout(total=seconds),
            preload_content=False,
        )
        content = response.read(REPLY_BYTES + 1, decode_content=False)
        if len(content) <= REPLY_BYTES:
            response.release_conn()
        else:
            response.close()
        found = {name.lower(): value for name, value in response.headers.items()}
        if self._interruption.is_set and found.get("content-length") != str(len(content)):
            # The end of a connection looks like the end of an answer that does not say how long it is.
            raise Interrupted
        return Reply(status=response.status, headers=found, body=content[:REPLY_BYTES])


def _compressed(body: bytes) -> bytes:
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 31)
    return compressor.compress(body) + compressor.flush()


def _sentence(error: BaseException) -> str:
    """Return what went wrong, in the words of who knows best: the innermost of the errors."""
    chain: list[BaseException] = []
    inner: BaseException | None = error
    while inner is not None and inner not in chain:
        chain.append(inner)
        nested = next((item for item in reversed(inner.args) if isinstance(item, BaseException)), None)
        inner = nested or inner.__cause__ or inner.__context__
    for known in reversed(chain):
        if isinstance(known, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {known.verify_message}"
        if isinstance(known, ssl.SSLError):
            return f"TLS: {known.reason or known}"
        if isinstance(known, OSError) and known.strerror:
            return known.strerror
    return f"{type(chain[-1]).__name__}: {chain[-1]}"


# ── connections that can be interrupted ───────────────────────────────────────────────────────────


def _connections(place: Place, interruption: Interruption) -> urllib3.PoolManager:
    options: dict[str, Any] = {"num_pools": 1, "maxsize": 1, "block": False}
    if place.is_secure:
        options["ssl_context"] = _tls(place)
        if is_address(place.host):
            # urllib3 1.26 has an address checked by nobody but itself.
            options["ssl_context"].check_hostname = False
            options["assert_hostname"] = place.host
    if place.proxy is None:
        made = urllib3.PoolManager(**options)
    else:
        proxy = urlsplit(place.proxy)
        if proxy.username is not None:
            pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
            options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=pair)
        bare = proxy._replace(netloc=proxy.netloc.rpartition("@")[2], path="", query="", fragment="")
        made = urllib3.ProxyManager(bare.geturl(), **options)
    made.pool_classes_by_scheme = {
        "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": _watched(HTTPConnection, interruption)}),
        "https": type("Pool", (HTTPSConnectionPool,), {"ConnectionCls": _watched(HTTPSConnection, interruption)}),
    }
    return made


def _watched(kind: type[HTTPConnection], interruption: Interruption) -> type[HTTPConnection]:
    """Return a *kind* of connection that *interruption* can end, in whatever it hangs."""

    class Watched(kind):  # type: ignore[misc,valid-type]  # one of two classes
        def _new_conn(self) -> socket.socket:
            seconds = self.timeout if isinstance(self.timeout, int | float) else DEFAULT_SECONDS
            made = connect(self._dns_host, self.port, seconds, interruption)
            made.settimeout(seconds)
            interruption.watch(self, made)
            return made

        def close(self) -> None:
            interruption.release(self)
            super().close()

    return Watched


def _tls(place: Place) -> ssl.SSLContext:
    paths = (place.certificate, place.client_certificate, place.client_key)
    try:
        context = ssl.create_default_context(cafile=place.certificate)
        if place.client_certificate is not None:
            # Without a password, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(place.client_certificate, place.client_key, password="")
    except (OSError, ValueError) as error:
        named = ", ".join(str(path) for path in paths if path is not None)
        accepted = "PEM files that belong together, the key not encrypted"
        msg = f"cannot use the TLS files {named}: {error}; accepted: {accepted}"
        raise ConfigError(msg) from error
    return context
