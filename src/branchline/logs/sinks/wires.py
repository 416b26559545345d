"""Wires: how lines get to another machine, by TCP, UDP and syslog, and which of them have arrived."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import struct
import sys
import termios
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from ..records import Line, hostname


CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 10.0
_USER_FACILITY: Final = 1
_SEVERITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO + 5, 5))


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


def without_secrets(said: str) -> str:
    """Return what a person may see of a URL: no user, no password, no query."""
    url = urlsplit(said)
    place = url.netloc.rpartition("@")[2]
    return f"{url.scheme}://{place}{url.path}"


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
            connection.settimeout(ANSWER_SECONDS)
            connection.sendall(b"".join(map(self.framed, lines)))
            _wait_for_acknowledgement(connection)
            # Whoever closes a connection without having read all of it, resets it.
            self._received(connection)
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
        if self._socket is not None and self._is_over(self._socket):
            self.close()
        if self._socket is None:
            self._socket = self._opened()
        return self._socket

    def _opened(self) -> socket.socket:
        return socket.create_connection(self._place, timeout=CONNECT_SECONDS)

    def _is_over(self, connection: socket.socket) -> bool:
        """Whether the other side has closed: what is sent then goes nowhere, and nothing says so."""
        try:
            return self._received(connection) == b""
        except (OSError, ValueError):
            return True

    def _received(self, connection: socket.socket) -> bytes | None:
        """Return what the other side says just now, nothing if it has closed, and None if it says nothing."""
        connection.setblocking(False)
        try:
            return connection.recv(65_536)
        except BlockingIOError:
            return None


def _wait_for_acknowledgement(connection: socket.socket) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    pause = 0.0005
    while _unacknowledged(connection):
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, "nothing was acknowledged in time")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


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
