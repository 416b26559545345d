"""Remote destinations as a whole set-up says them: URLs, or mappings with what else there is to be said."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final

from ..errors import ConfigError


# What is said in these words is what a sink has by the same name.
_SAME: Final = ("level", "filter", "backlog", "batch_size", "batch_timeout", "headers", "tls_verify")
_OWN: Final = ("url", "enabled", "format_name", "tls_enabled", "authentication", "compression_enabled")
_INSIDE_TLS: Final = {
    "tcp": "tcp+tls",
    "syslog+tcp": "syslog+tls",
    "http": "https",
    **{scheme: scheme for scheme in ("tcp+tls", "syslog+tls", "https")},
}
_FORMATS: Final = ("json", "text")


def destination_of(said: object) -> dict[str, object] | None:
    """Return the sink that somebody *said*; None for one that is not enabled.

    Raises:
        ConfigError: for what cannot be one; a message repeats nothing that may be secret.
    """
    if isinstance(said, str):
        return {"sink": said, "json": True}
    if not isinstance(said, Mapping) or not isinstance(said.get("url"), str):
        msg = 'a remote destination is a URL, or a mapping with one, such as {"url": "https://host/path"}'
        raise ConfigError(msg)
    for key in said:
        if key not in (*_OWN, *_SAME):
            near = difflib.get_close_matches(str(key), (*_OWN, *_SAME), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"accepted: {', '.join((*_OWN, *_SAME))}"
            msg = f"unknown key {key!r} of a remote destination; {hint}"
            raise ConfigError(msg)
    form = said.get("format_name", "json")
    if form not in _FORMATS:
        msg = f"format_name={form!r} is not accepted; accepted: {', '.join(_FORMATS)}"
        raise ConfigError(msg)
    sink: dict[str, object] = {"sink": _url(said), "json": form == "json"}
    sink |= {key: said[key] for key in _SAME if said.get(key) is not None}
    if _flag(said, "compression_enabled", default=False):
        sink["compression"] = "gz"
    if said.get("authentication") is not None:
        sink["headers"] = {**_headers(said), "Authorization": _authentication(said["authentication"])}
    return sink if _flag(said, "enabled", default=True) else None


def _url(said: Mapping[str, object]) -> str:
    url = str(said["url"])
    if not _flag(said, "tls_enabled", default=False):
        return url
    scheme, between, rest = url.partition("://")
    if scheme not in _INSIDE_TLS:
        msg = f"tls_enabled is for {', '.join(_INSIDE_TLS)}, and not for {scheme}"
        raise ConfigError(msg)
    return f"{_INSIDE_TLS[scheme]}{between}{rest}"


def _flag(said: Mapping[str, object], key: str, *, default: bool) -> bool:
    value = said.get(key, default)
    if isinstance(value, bool):
        return value
    msg = f"{key}={value!r} is not accepted; accepted: True, False"
    raise ConfigError(msg)


def _headers(said: Mapping[str, object]) -> Mapping[str, object]:
    headers = said.get("headers")
    return headers if isinstance(headers, Mapping) else {}


def _authentication(said: object) -> str:
    if isinstance(said, str) and said.isprintable() and said:
        # One word is a token; "Basic …" says for itself what it is.
        return said if " " in said else f"Bearer {said}"
    msg = 'authentication is not accepted; accepted: a token, or all of the header, such as "Basic dXNlcjpwYXNz"'
    raise ConfigError(msg)
