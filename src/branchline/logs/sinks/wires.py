"""Wires: how lines get to another machine, by TCP, UDP, syslog and HTTP, and which of them have arrived."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import select
import socket
import struct
import sys
import termios
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from ...errors import ConfigError
from ..records import Line, hostname


SCHEMES: Final = ("tcp", "udp", "syslog", "syslog+tcp", "http", "https")
A_URL: Final = (
    '"tcp://host:port", "udp://host:port", "syslog://host[:port]", "syslog+tcp://host[:port]", '
    '"syslog:///dev/log", "http://host/path" or "https://host/path"'
)

_CONNECT_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 10.0
_SYSLOG_PORT: Final = 514
_USER_FACILITY: Final = 1
_SEVERITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO + 5, 5))
# What a server says of the lines, and not of the moment.
_FOR_GOOD: Final = frozenset({400, 413, 415, 422})


class NotArrived(Exception):
    """Lines did not arrive; the first *arrived* of them did, and where *is_final* the rest never will."""

    def __init__(self, why: str, *, arrived: int = 0, is_final: bool = False, wait: float | None = None) -> None:
        """Say *why*, and for how many seconds to *wait*, if the other side has said so."""
        super().__init__(why)
        self.arrived = arrived
        self.is_final = is_final
        self.wait = wait


class Wire(Protocol):
    """A way to one destination."""

    def encoded(self, line: Line) -> bytes:
        """Return what to send for *line*, in one line."""

    def send(self, lines: Sequence[bytes]) -> None:
        """Send *lines*; raises NotArrived or OSError."""

    def close(self) -> None:
        """Give the connection up."""


def wire_of(said: str) -> Wire:
    """Return the way to the destination that is *said*.

    Raises:
        ConfigError: for what is no URL of ours.
    """
    try:
        url = urlsplit(said)
        port = url.port
    except ValueError as error:
        raise _refused(said, str(error)) from None
    if url.scheme in ("http", "https") and url.hostname:
        return HttpWire(url)
    if url.scheme == "syslog" and not url.netloc and url.path:
        return SyslogWire(DatagramWire((socket.AF_UNIX, unquote(url.path))))
    if url.scheme in ("syslog", "syslog+tcp") and url.hostname:
        place = (url.hostname, port or _SYSLOG_PORT)
        return SyslogWire(StreamWire(place) if url.scheme == "syslog+tcp" else DatagramWire(place))
    if url.scheme in ("tcp", "udp") and url.hostname and port:
        return StreamWire((url.hostname, port)) if url.scheme == "tcp" else DatagramWire((url.hostname, port))
    raise _refused(said, "")


def without_secrets(said: str) -> str:
    """Return what a person may see of a URL: no user, no password, no query."""
    url = urlsplit(said)
    place = url.netloc.rpartition("@")[2]
    return f"{url.scheme}://{place}{url.path}"


def _refused(said: str, why: str) -> ConfigError:
    msg = f"sink={without_secrets(said)!r} is not accepted{f' ({why})' if why else ''}; accepted: {A_URL}"
    return ConfigError(msg)


def in_one_line(line: str) -> bytes:
    """Return *line* without its end, and with the newlines in it escaped: the other side goes by lines."""
    text = line.removesuffix("\n").replace("\r", "\\r").replace("\n", "\\n")
    return text.encode("utf-8", "backslashreplace")


# ── TCP ───────────────────────────────────────────────────────────────────────────────────────────


class StreamWire:
    """A TCP connection that gets lines. What the other side's machine has acknowledged, has arrived."""

    def __init__(self, place: tuple[str, int]) -> None:
        """Connect to *place*, when there is something to send."""
        self._place = place
        self._socket: socket.socket | None = None

    def encoded(self, line: Line) -> bytes:
        """Return *line* in one line."""
        return in_one_line(line)

    def framed(self, line: bytes) -> bytes:
        """Return what marks the end of *line*."""
        return line + b"\n"

    def send(self, lines: Sequence[bytes]) -> None:
        """Send *lines*, and wait until they are acknowledged."""
        connection = self._connected()
        try:
            connection.settimeout(_ANSWER_SECONDS)
            connection.sendall(b"".join(map(self.framed, lines)))
            _wait_for_acknowledgement(connection)
        except OSError:
            # Nobody knows what of it was read: better twice than not at all.
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

    def _connected(self) -> socket.socket:
        if self._socket is not None and _is_over(self._socket):
            self.close()
        if self._socket is None:
            self._socket = socket.create_connection(self._place, timeout=_CONNECT_SECONDS)
        return self._socket


def _is_over(connection: socket.socket) -> bool:
    """Whether the other side has closed: what is sent then goes nowhere, and nothing says so."""
    try:
        readable, _, _ = select.select([connection], [], [], 0)
        return bool(readable) and connection.recv(65_536) == b""
    except (OSError, ValueError):
        return True


def _wait_for_acknowledgement(connection: socket.socket) -> None:
    deadline = time.monotonic() + _ANSWER_SECONDS
    pause = 0.0005
    while _unacknowledged(connection):
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, "nothing was acknowledged in time")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        # Whoever closes a connection without having read all of it, resets it.
        connection.recv(65_536)


def _unacknowledged(connection: socket.socket) -> int:
    """Return how many bytes the other side's machine has not acknowledged; 0 where nobody knows."""
    if sys.platform != "linux":
        return 0
    found = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", found)[0])


# ── datagrams ─────────────────────────────────────────────────────────────────────────────────────


class DatagramWire:
    """A datagram for each line. Whether one arrived, nobody says."""

    def __init__(self, place: tuple[Any, Any]) -> None:
        """Send to *place*: a host and a port, or the path of a socket of this machine."""
        self._place = place
        self._socket: socket.socket | None = None

    def encoded(self, line: Line) -> bytes:
        """Return *line* in one line."""
        return in_one_line(line)

    def send(self, lines: Sequence[bytes]) -> None:
        """Send each of *lines*."""
        if self._socket is None:
            self._socket = self._connected()
        for n, line in enumerate(lines):
            try:
                self._socket.send(line)
                # That nobody listens is said of what was sent before, and on this machine at once.
                refused = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if refused:
                    raise OSError(refused, os.strerror(refused))
            except OSError as error:
                is_final = error.errno == errno.EMSGSIZE
                if not is_final:
                    self.close()
                raise NotArrived(str(error), arrived=n, is_final=is_final) from error

    def close(self) -> None:
        """Close the socket."""
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

    def _connected(self) -> socket.socket:
        if self._place[0] == socket.AF_UNIX:
            family, address = self._place
        else:
            family, _, _, _, address = socket.getaddrinfo(*self._place, type=socket.SOCK_DGRAM)[0]
        connection = socket.socket(family, socket.SOCK_DGRAM)
        try:
            connection.connect(address)
        except OSError:
            connection.close()
            raise
        return connection


class SyslogWire:
    """The syslog protocol (RFC 5424) on another wire; over TCP each message says how long it is (RFC 6587)."""

    def __init__(self, wire: StreamWire | DatagramWire) -> None:
        """Send on *wire*."""
        self._wire = wire
        self._process = _name(os.path.basename(sys.argv[0] if sys.argv else "") or "python")  # noqa: PTH119
        if isinstance(wire, StreamWire):
            wire.framed = lambda line: b"%d %s" % (len(line), line)  # type: ignore[method-assign]

    def encoded(self, line: Line) -> bytes:
        """Return *line* behind its priority, its time, and where it comes from."""
        record = line.record
        severity = next((number for level, number in _SEVERITIES if record.levelno >= level), None)
        if severity is None:
            severity = 6 if record.levelno >= logging.INFO else 7
        moment = record.timestamp.isoformat(timespec="microseconds").replace("+00:00", "Z")
        head = f"<{8 * _USER_FACILITY + severity}>1 {moment} {_name(hostname())} {self._process} {record.process} - - "
        return head.encode() + in_one_line(line)

    def send(self, lines: Sequence[bytes]) -> None:
        """Send *lines*."""
        self._wire.send(lines)

    def close(self) -> None:
        """Give the connection up."""
        self._wire.close()


def _name(text: str) -> str:
    return "".join(character for character in text if "!" <= character <= "~")[:48] or "-"


# ── HTTP ──────────────────────────────────────────────────────────────────────────────────────────


class HttpWire:
    """POST requests of many lines each; what is answered with 2xx has arrived."""

    def __init__(self, url: SplitResult) -> None:
        """Send to *url*, with the user and the password in it as basic authentication."""
        place = url.netloc.rpartition("@")[2]
        self._url = f"{url.scheme}://{place}{url.path or '/'}{f'?{url.query}' if url.query else ''}"
        self._user = None if url.username is None else f"{unquote(url.username)}:{unquote(url.password or '')}"
        self._pool: Any = None

    def encoded(self, line: Line) -> bytes:
        """Return *line* in one line."""
        return in_one_line(line)

    def send(self, lines: Sequence[bytes]) -> None:
        """Post *lines*."""
        # It takes some time to import, and only who logs over HTTP needs it.
        import urllib3

        if self._pool is None:
            self._pool = urllib3.PoolManager(maxsize=1, retries=False)
        headers = {"Content-Type": "application/x-ndjson"}
        if self._user is not None:
            headers |= urllib3.make_headers(basic_auth=self._user)
        try:
            answer = self._pool.request(
                "POST",
                self._url,
                body=b"\n".join(lines) + b"\n",
                headers=headers,
                timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_ANSWER_SECONDS),
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


def _seconds(said: str | None) -> float | None:
    return min(float(said), 60.0) if said is not None and said.isdecimal() else None
