"""Hosting: what begins in every Python process that ``branchline run`` starts, before the application does."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import opentelemetry._logs
import opentelemetry.metrics
import opentelemetry.trace
from opentelemetry.trace import ProxyTracer, ProxyTracerProvider, Tracer
from opentelemetry.util.types import Attributes

from .. import telemetry
from .._pipeline.notices import say
from ..scripts import script_of
from ..telemetry import Telemetry


_SETTERS: Final = (
    (opentelemetry.trace, "set_tracer_provider"),
    (opentelemetry.metrics, "set_meter_provider"),
    (opentelemetry._logs, "set_logger_provider"),  # noqa: SLF001  # what the package is called
)

# Whoever says one of these wants what ``opentelemetry-instrument`` does.
_EXPORTED_TO: Final = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_LOGS_EXPORTER",
    "OTEL_CONFIG_FILE",
    "OTEL_PYTHON_CONFIGURATOR",
)


def begin() -> None:
    """Join the run, and whatever providers the application sets later; what cannot be is said, and nothing else."""
    try:
        arguments = {} if os.environ.get("BRANCHLINE_CONSOLE", "").strip() else {"console": False}
        run = telemetry.host(arguments, script=script_of(sys.orig_argv))
    except Exception as error:  # the application is not ours to stop
        say(f"nothing is recorded: {error}")
        return
    if run is None:
        return
    for module, name in _SETTERS:
        setattr(module, name, joined_by(run, getattr(module, name)))
    if hasattr(opentelemetry.trace, "_PROXY_TRACER_PROVIDER"):
        opentelemetry.trace._PROXY_TRACER_PROVIDER = Meanwhile()  # noqa: SLF001  # the API has no word for this
    instrument(os.environ)


def joined_by(run: Telemetry, set_provider: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return *set_provider* as it is, after which *run* joins."""

    @functools.wraps(set_provider)
    def set_and_join(provider: Any) -> None:  # noqa: ANN401  # of any signal
        set_provider(provider)
        (telemetry.current() or run).join()

    return set_and_join


class Meanwhile(ProxyTracerProvider):
    """What there is until the application sets a tracer provider, if it ever does: its spans go to the run."""

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        """Return a tracer of ours, which becomes the application's own as soon as there is one."""
        wanted = (instrumenting_module_name, instrumenting_library_version, schema_url, attributes)
        tracer = super().get_tracer(*wanted)
        if isinstance(tracer, ProxyTracer):
            tracer._noop_tracer = telemetry.own_tracer_provider().get_tracer(*wanted)  # type: ignore[assignment]  # noqa: SLF001  # what it uses so long
        return tracer


def instrument(environment: Mapping[str, str]) -> None:
    """Let OpenTelemetry instrument the application, where that is installed.

    It sets up its SDK only where the *environment* says what to export to: an application that sets providers of its
    own would find the place taken.
    """
    try:
        from opentelemetry.instrumentation import auto_instrumentation
        from opentelemetry.instrumentation.auto_instrumentation import _load
    except ImportError:
        return
    if any(environment.get(name, "").strip() not in {"", "branchline"} for name in _EXPORTED_TO):
        auto_instrumentation.initialize()
        return
    try:
        half: Any = _load  # of initialize(): there is no public word for it
        half._load_instrumentors(half._load_distro())  # noqa: SLF001  # the same
    except Exception as error:  # the application is not ours to stop
        say(f"cannot instrument with OpenTelemetry: {type(error).__name__}: {error}")
