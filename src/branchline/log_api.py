"""OpenTelemetry's logs API, which still changes from release to release: all that we ask of it, in one place."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry.context import Context


# The API of logs is imported where it is used: most programs that decorate functions never do.
_API: Final = "opentelemetry._logs._internal"
_SDK: Final = "opentelemetry.sdk._logs"

# What an exporter sets while it exports, lest it records its own doings; instrumentations know the second.
SUPPRESSION: Final[str] = getattr(otel_context, "_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation")
PLAIN_SUPPRESSION: Final = "suppress_instrumentation"


# The libraries that exporters are made of, and OpenTelemetry itself.
_EXPORTERS: Final = frozenset({"opentelemetry", "urllib3", "requests", "httpcore", "httpx", "grpc", "branchline"})


def is_of_exporters(name: str) -> bool:
    """Whether the logger called *name* may be speaking of an export."""
    return name.partition(".")[0] in _EXPORTERS


def is_suppressed(context: Context) -> bool:
    """Whether whoever made *context* wants nothing recorded of what happens in it."""
    return bool(context.get(SUPPRESSION) or context.get(PLAIN_SUPPRESSION))


class Said(NamedTuple):
    """What somebody said in a log record, as it came: nothing of it is checked."""

    timestamp: Any = None
    observed_timestamp: Any = None
    context: Any = None
    severity_number: Any = None
    severity_text: Any = None
    body: Any = None
    attributes: Any = None
    event_name: Any = None
    exception: Any = None
    trace_id: Any = None
    span_id: Any = None
    trace_flags: Any = None


def said_in(record: Any) -> Said:  # noqa: ANN401  # the API's record, or one of the SDK's, of any release
    """Return what a log *record* says."""
    # What a processor or an exporter gets holds the record; before 1.39 the SDK had a record class of its own.
    record = getattr(record, "log_record", record)
    return Said(*[getattr(record, name, None) for name in Said._fields])


# ── whose provider there is ───────────────────────────────────────────────────────────────────────


def provider() -> Any | None:  # noqa: ANN401  # a LoggerProvider of anybody's
    """Return the logger provider that somebody has set, or None where nobody has."""
    from opentelemetry._logs import NoOpLoggerProvider, get_logger_provider

    found = get_logger_provider()
    is_nobodys = isinstance(found, NoOpLoggerProvider) or type(found).__name__ == "ProxyLoggerProvider"
    return None if is_nobodys else found


def provider_if_loaded() -> Any | None:  # noqa: ANN401  # the same
    """Return the same, where somebody has imported the API of logs: else nobody can have set one."""
    return provider() if _API in sys.modules else None


def is_of_the_sdk(found: object) -> bool:
    """Whether *found* is the SDK's logger provider, or a child of its class."""
    sdk = sys.modules.get(_SDK)
    return sdk is not None and isinstance(found, sdk.LoggerProvider)


def set_provider(made: Any) -> None:  # noqa: ANN401  # a LoggerProvider
    """Let everybody have loggers of *made*, where nobody has set another provider."""
    from opentelemetry._logs import set_logger_provider

    if provider() is None:
        set_logger_provider(made)


def forget_provider(made: object) -> None:
    """Let OpenTelemetry be told of a provider again, where *made* is the one it was told of.

    The API has no word for this; where its private names have changed, the provider stays, and records nothing.
    """
    api: Any = sys.modules.get(_API)
    once: Any = getattr(api, "_LOGGER_PROVIDER_SET_ONCE", None)
    if getattr(api, "_LOGGER_PROVIDER", None) is made and hasattr(once, "_done"):
        api._LOGGER_PROVIDER = None  # noqa: SLF001
        once._done = False  # noqa: SLF001


# ── saying something to it ────────────────────────────────────────────────────────────────────────


def emit(
    logger: Any,  # noqa: ANN401  # of anybody's provider
    *,
    event_name: str,
    time_unix_nano: int,
    observed_unix_nano: int,
    severity_number: int,
    severity_text: str,
    body: object,
    attributes: Mapping[str, Any],
    context: Context | None = None,
) -> None:
    """Say a log record, or an event if it has a name, to *logger*."""
    from opentelemetry._logs import LogRecord, SeverityNumber

    fields: dict[str, Any] = {
        "timestamp": time_unix_nano,
        "observed_timestamp": observed_unix_nano,
        "context": context,
        "severity_number": SeverityNumber(severity_number),
        "severity_text": severity_text or None,
        "body": body,
        "attributes": attributes,
        "event_name": event_name or None,
    }
    # Before 1.37 a logger of the SDK's took no records but the SDK's own.
    own: Any = getattr(sys.modules.get(type(logger).__module__), "LogRecord", LogRecord)
    if own is not LogRecord and not hasattr(own, "_from_api_log_record"):
        logger.emit(own(**fields, resource=logger.resource))
    else:
        logger.emit(LogRecord(**fields))
