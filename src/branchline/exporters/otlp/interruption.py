"""Interruption: ending what hangs in the network, from another thread."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, Final


# How soon an interruption is noticed where nothing can be woken: while a name is looked up, and while connecting.
_LOOK_SECONDS: Final = 0.05

_Address = tuple[Any, ...]  # as getaddrinfo has it


class Interrupted(OSError):
    """The send was interrupted."""


class Interruption:
    """Whether a send is to end, and the connection that it may hang in."""

    def __init__(self) -> None:
        """Start with nothing under way."""
        self._lock = threading.Lock()
        self.is_set = False
        self._owner: object = None
        self._socket: socket.socket | None = None

    def interrupt(self) -> None:
        """End the send that is under way, or the next one if there is none."""
        with self._lock:
            self.is_set = True
            if self._socket is not None:
                # The methods of a TLS socket would wait for each other.
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def after(self, seconds: float) -> Iterator[None]:
        """Interrupt when the block takes longer than *seconds*, whatever it hangs in."""
        # Sockets only know how long one call may take, and a server may send a byte before each time is over.
        timer = threading.Timer(seconds, self.interrupt)
        timer.daemon = True
        with suppress(RuntimeError):  # the interpreter is ending
            timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def take(self) -> bool:
        """Return whether somebody has interrupted, and forget it."""
        with self._lock:
            was_set, self.is_set = self.is_set, False
            return was_set

    def check(self) -> None:
        """Raise Interrupted if somebody has interrupted."""
        if self.is_set:
            raise Interrupted(errno.ECANCELED, "interrupted")

    def watch(self, owner: object, connected: socket.socket) -> None:
        """Let an interruption end *connected*, whatever is wrapped around it later, until *owner* is released."""
        # A descriptor of our own: TLS takes the original away, and a number that was closed may be somebody else's.
        duplicate = socket.socket(connected.family, connected.type, connected.proto, fileno=os.dup(connected.fileno()))
        with self._lock:
            before, self._socket, self._owner = self._socket, duplicate, owner
        if before is not None:
            before.close()
        self.check()

    def release(self, owner: object) -> None:
        """Forget the connection of *owner*: while we hold it, the server does not see that it was closed."""
        with self._lock:
            if self._owner is not owner:
                return
            before, self._socket, self._owner = self._socket, None, None
        if before is not None:
            before.close()


def connect(host: str, port: int, seconds: float, interruption: Interruption) -> socket.socket:
    """Return a connection to *host*, made within *seconds*.

    Raises:
        OSError: when there is none; Interrupted when somebody did not want to wait.
    """
    deadline = time.monotonic() + seconds
    addresses = _looked_up(host, port, deadline, interruption)
    failure: OSError | None = None
    for place, address in enumerate(addresses):
        # An address that does not answer must leave time for the next one.
        share = (deadline - time.monotonic()) / (len(addresses) - place)
        try:
            return _connected(address, time.monotonic() + share, interruption)
        except Interrupted:
            raise
        except OSError as error:
            failure = error
    raise failure or OSError(errno.EADDRNOTAVAIL, f"{host} has no address")


def _looked_up(host: str, port: int, deadline: float, interruption: Interruption) -> list[_Address]:
    with suppress(socket.gaierror):
        return _addresses(host, port, socket.AI_NUMERICHOST)
    found: SimpleQueue[list[_Address] | OSError | UnicodeError] = SimpleQueue()

    def look_up() -> None:
        try:
            found.put(_addresses(host, port, 0))
        except (OSError, UnicodeError) as error:
            found.put(error)

    try:
        # The system's resolver knows neither our time limit nor interruptions.
        threading.Thread(target=look_up, name="branchline-resolve", daemon=True).start()
    except RuntimeError:  # the interpreter is ending
        look_up()
    while True:
        interruption.check()
        with suppress(Empty):
            answer = found.get(timeout=_LOOK_SECONDS)
            if isinstance(answer, list):
                return answer
            raise OSError(errno.EADDRNOTAVAIL, f"cannot find {host}: {answer}")
        if time.monotonic() >= deadline:
            raise TimeoutError(errno.ETIMEDOUT, f"cannot find {host}: timed out")


def _addresses(host: str, port: int, flags: int) -> list[_Address]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags))


def _connected(address: _Address, deadline: float, interruption: Interruption) -> socket.socket:
    family, kind, protocol, _, place = address
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setblocking(False)
        code = made.connect_ex(place)
        if code in {errno.EINPROGRESS, errno.EWOULDBLOCK}:
            _wait_until_writable(made, deadline, interruption)
            code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        return made
    except BaseException:
        made.close()
        raise


def _wait_until_writable(made: socket.socket, deadline: float, interruption: Interruption) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(made, selectors.EVENT_WRITE)
        while not selector.select(min(_LOOK_SECONDS, max(deadline - time.monotonic(), 0))):
            interruption.check()
            if time.monotonic() >= deadline:
                raise TimeoutError(errno.ETIMEDOUT, "timed out while connecting")
