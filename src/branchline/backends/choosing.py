"""Which backend to log to, by its name."""

from __future__ import annotations

import difflib
import functools
from typing import Final

from ..errors import ConfigError, MissingExtraError
from ..logs.accounts import complain
from .memory import InMemoryLogger
from .mlflow import MLflowLogger
from .noop import NoOpLogger
from .otel import OTelLogger
from .protocol import LoggerBackend


KINDS: Final = ("mlflow", "memory", "noop", "otel")


def get_logger(kind: str, /, *, tracking_uri: str | None = None, experiment_name: str | None = None) -> LoggerBackend:
    """Return a backend: ``"mlflow"``, ``"memory"``, ``"noop"`` or ``"otel"``.

    Where MLflow is not installed or cannot be imported, it is one that does nothing, and one line on stderr says why
    and what to install.

    Args:
        kind: Which one.
        tracking_uri: Where MLflow is; else what MLflow itself takes (``MLFLOW_TRACKING_URI``).
        experiment_name: The experiment that the runs belong to, in MLflow or among OpenTelemetry's branches.

    Raises:
        ConfigError: for another kind, or an option that the kind does not have.
    """
    if kind not in KINDS:
        nearest = difflib.get_close_matches(str(kind), KINDS, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        msg = f"unknown backend {kind!r}; choose from {', '.join(KINDS)}{hint}"
        raise ConfigError(msg)
    if tracking_uri is not None and kind != "mlflow":
        msg = f"tracking_uri={tracking_uri!r} is for the backend 'mlflow'; {kind!r} has none"
        raise ConfigError(msg)
    if kind == "mlflow":
        return _mlflow_or_nothing(tracking_uri, experiment_name)
    if kind == "otel":
        return OTelLogger(experiment_name=experiment_name)
    if experiment_name is not None:
        msg = f"experiment_name={experiment_name!r} is for the backends 'mlflow' and 'otel'; {kind!r} has none"
        raise ConfigError(msg)
    return InMemoryLogger() if kind == "memory" else NoOpLogger()


def _mlflow_or_nothing(tracking_uri: str | None, experiment_name: str | None) -> LoggerBackend:
    try:
        return MLflowLogger(experiment_name, tracking_uri=tracking_uri)
    except MissingExtraError as error:
        _say_once(f"runs are not logged to MLflow: {error}")
        return NoOpLogger()


@functools.cache
def _say_once(text: str) -> None:
    complain(text)
