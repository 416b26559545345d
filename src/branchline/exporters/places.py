"""Which destinations are meant: the one that is named, the configured ones, or those that runs were to go to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from .._journal import cursors
from ..config import OTLP, Config, MLflow
from ..errors import ConfigError
from .followers import makers_for
from .otlp.destination import OtlpDestination
from .underway import Destination


Say = Callable[[str], None]

MLFLOW: Final = "mlflow"


def destinations(
    directory: Path,
    *,
    url: str | None,
    config: Config,
    environment: Mapping[str, str],
    say: Say,
    mlflow: MLflow | None = None,
) -> list[Destination]:
    """Return where to deliver to: *url*; else the configured places; else where the runs in *directory* were to go.

    With the word ``mlflow`` for a *url* it is MLflow: where *mlflow* says, or by the same rules, or where MLflow's own
    variables say.

    Raises:
        ConfigError: for a setting that is not accepted.
        MissingExtraError: where what a destination needs is not installed.
    """
    if url == MLFLOW or (url is None and mlflow is not None):
        return _mlflows(directory, mlflow or MLflow(), config, environment, say)
    if url is not None:
        return [OtlpDestination(OTLP(url), environment, say=say)]
    _, makers = makers_for(config, environment, is_guest=False, say=say)
    known = known_destinations(directory, environment, say, but=set(makers))
    return [*(make() for make in makers.values()), *known]


def known_destinations(
    directory: Path, environment: Mapping[str, str], say: Say, *, but: frozenset[str] | set[str] = frozenset()
) -> Iterator[Destination]:
    """Yield the destinations that the followers of runs in *directory* have noted, *but* those of these kinds."""
    for folder in cursors.followers(directory):
        known = cursors.described(folder)
        if known is None or known[0] in but or known[0] not in {"otlp", MLFLOW}:
            continue
        try:
            yield _noted(known[0], known[1], environment, say)
        except TypeError:
            msg = f"{folder / cursors.DESTINATION_NAME} cannot be understood: name the endpoint"
            raise ConfigError(msg) from None


def _noted(kind: str, settings: cursors.Settings, environment: Mapping[str, str], say: Say) -> Destination:
    if kind == MLFLOW:
        return _mlflow(MLflow(**settings), environment)
    return OtlpDestination(OTLP(**settings), environment, say=say)


def _mlflows(
    directory: Path, said: MLflow, config: Config, environment: Mapping[str, str], say: Say
) -> list[Destination]:
    configured = config.mlflow if isinstance(config.mlflow, MLflow) else None
    if said.uri is None and configured is None:
        known = list(known_destinations(directory, environment, say, but={"otlp"}))
        if known and said.experiment is None:
            return known
    base = configured or MLflow()
    return [
        _mlflow(replace(base, uri=said.uri or base.uri, experiment=said.experiment or base.experiment), environment)
    ]


def _mlflow(options: MLflow, environment: Mapping[str, str]) -> Destination:
    # Only a run that goes there pays for what that takes.
    from .mlflow.destination import MlflowDestination

    return MlflowDestination(options, environment)
