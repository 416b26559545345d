"""Secure wires: lines by TCP, inside of TLS; who the other side is, its certificate says."""

from __future__ import annotations

import os
import socket
import ssl

from ...errors import ConfigError
from .wires import StreamWire


class SecureWire(StreamWire):
    """A TCP connection inside of TLS."""

    def __init__(self, place: tuple[str, int], verify: bool | str) -> None:
        """Connect to *place*, when there is something to send; *verify* is as for ``context_of``.

        Raises:
            ConfigError: for certificates that cannot be read.
        """
        super().__init__(place)
        self._context = context_of(verify)

    def _opened(self) -> socket.socket:
        plain = super()._opened()
        try:
            return self._context.wrap_socket(plain, server_hostname=self._place[0])
        except BaseException:
            plain.close()
            raise

    def _received(self, connection: socket.socket) -> bytes | None:
        try:
            return super()._received(connection)
        except ssl.SSLWantReadError:
            # What came was for TLS alone.
            return None


def context_of(verify: bool | str) -> ssl.SSLContext:
    """Return what looks at certificates: False not at all, True as the system does, a path by those in that file.

    Raises:
        ConfigError: for a file that has none.
    """
    try:
        context = ssl.create_default_context(cafile=os.fspath(verify) if isinstance(verify, str) else None)
    except (OSError, ssl.SSLError) as error:
        msg = f"tls_verify={verify!r} is not accepted: {error}; accepted: True, False, a file of certificates"
        raise ConfigError(msg) from None
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
