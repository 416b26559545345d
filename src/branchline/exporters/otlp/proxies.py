"""Proxies, as the environment names them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from ...destinations import shown_url
from ...errors import ConfigError


def proxy_for(host: str, port: int, is_secure: bool, environment: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy on the way to *host*, if there is one.

    Raises:
        ConfigError: for a proxy that is not an HTTP proxy.
    """
    names = ("https_proxy" if is_secure else "http_proxy", "all_proxy")
    found = next(((name, text) for name in names if (text := _value(name, environment))), None)
    if found is None or _is_exempt(host, port, _value("no_proxy", environment)):
        return None
    name, text = found
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        is_proxy = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_proxy = False
    if not is_proxy:
        msg = (
            f"the proxy {shown_url(url)!r} of the environment ({name.upper()}) is not accepted; accepted: "
            f"http://host:port or https://host:port; or name {host} in NO_PROXY"
        )
        raise ConfigError(msg)
    return url


def _value(name: str, environment: Mapping[str, str]) -> str:
    # Where a web server runs us, a request's header `Proxy:` becomes HTTP_PROXY.
    upper = "" if name == "http_proxy" and "REQUEST_METHOD" in environment else environment.get(name.upper(), "")
    return environment.get(name, "").strip() or upper.strip()


def _is_exempt(host: str, port: int, exempt: str) -> bool:
    for item in exempt.lower().split(","):
        name = item.strip().removeprefix("*").lstrip(".")
        if item.strip() == "*" or (name and _is_within(host.lower(), port, name)):
            return True
    return False


def _is_within(host: str, port: int, name: str) -> bool:
    place, colon, number = name.rpartition(":")
    if colon and number.isdigit() and ":" not in place.strip("[]"):
        return str(port) == number and _is_within(host, port, place)
    return host == name.strip("[]") or host.endswith(f".{name}")
