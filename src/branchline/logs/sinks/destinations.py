"""Destinations: other machines, said as URLs, and the wires that lead there."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from ...errors import ConfigError
from .requests import HttpWire
from .wires import DatagramWire, StreamWire, SyslogWire, Wire, without_secrets


A_URL: Final = (
    '"tcp://host:port", "tcp+tls://host:port", "udp://host:port", "syslog://host[:port]", "syslog+tcp://host[:port]", '
    '"syslog+tls://host[:port]", "syslog:///dev/log", "http://host/path" or "https://host/path"'
)

_SYSLOG_PORT: Final = 514
_SECURE_SYSLOG_PORT: Final = 6514


@dataclass(frozen=True, kw_only=True)
class WireOptions:
    """How lines are to go."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Of each HTTP request: who we are, for one."""
    verify: bool | str = True
    """Whether certificates are looked at, or the file of those that are trusted."""
    is_compressed: bool = False
    """Whether HTTP requests are."""


def wire_of(said: str, options: WireOptions = WireOptions()) -> Wire:
    """Return the way to the destination that is *said*.

    Raises:
        ConfigError: for what is no URL of ours, and for options that are not for it.
    """
    try:
        url = urlsplit(said)
        port = url.port
    except ValueError as error:
        raise _refused(said, str(error)) from None
    _check(said, url.scheme, options)
    if url.scheme in ("http", "https") and url.hostname:
        return HttpWire(url, headers=options.headers, verify=options.verify, is_compressed=options.is_compressed)
    if url.scheme in ("tcp+tls", "syslog+tls") and url.hostname and (port or url.scheme != "tcp+tls"):
        # TLS takes time to import.
        from .secure import SecureWire

        wire = SecureWire((url.hostname, port or _SECURE_SYSLOG_PORT), options.verify)
        return wire if url.scheme == "tcp+tls" else SyslogWire(wire)
    if url.scheme == "syslog" and not url.netloc and url.path:
        return SyslogWire(DatagramWire((socket.AF_UNIX, unquote(url.path))))
    if url.scheme in ("syslog", "syslog+tcp") and url.hostname:
        place = (url.hostname, port or _SYSLOG_PORT)
        return SyslogWire(StreamWire(place) if url.scheme == "syslog+tcp" else DatagramWire(place))
    if url.scheme in ("tcp", "udp") and url.hostname and port:
        return StreamWire((url.hostname, port)) if url.scheme == "tcp" else DatagramWire((url.hostname, port))
    raise _refused(said, "")


def _check(said: str, scheme: str, options: WireOptions) -> None:
    given = {
        "headers": (bool(options.headers), ("http", "https")),
        "compression": (options.is_compressed, ("http", "https")),
        "tls_verify": (options.verify is not True, ("https", "tcp+tls", "syslog+tls")),
    }
    for key, (is_given, schemes) in given.items():
        if is_given and scheme not in schemes:
            msg = f"{key} is for {', '.join(schemes)}, and {without_secrets(said)} is none of these"
            raise ConfigError(msg)


def _refused(said: str, why: str) -> ConfigError:
    msg = f"sink={without_secrets(said)!r} is not accepted{f' ({why})' if why else ''}; accepted: {A_URL}"
    return ConfigError(msg)
