"""The followers of a run: which there are, and what they say together."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._journal.layout import Signal
from .._journal.snapshots import Metric
from ..config import OTLP, Config, MLflow
from .accounts import Account, account_of, in_words, waiting
from .self_metrics import self_metrics


if TYPE_CHECKING:
    # Only a run that is delivered pays for what that takes.
    from .follower import Follower
    from .underway import Destination, Tell

Makers = Mapping[str, "Callable[[], Destination]"]
"""By the kind of follower: what makes its destination, in this process and again in a forked child."""


class Followers:
    """All followers of one run; with none of them there is nothing to wait for."""

    def __init__(self, followers: Sequence[Follower], directory: Path) -> None:
        """Hold *followers*; *directory* is where ``branchline ship`` finds what they leave."""
        self.each = tuple(followers)
        self._directory = directory

    def register(self) -> None:
        """Leave word of what is to be delivered, before it is."""
        for follower in self.each:
            follower.register()

    def flush(self, timeout: float) -> bool:
        """Return whether everything in the journal was answered by every destination within *timeout* seconds."""
        deadline = time.monotonic() + timeout
        # All of them are asked, also when one has taken all the time: they work side by side.
        answered = [follower.flush(max(deadline - time.monotonic(), 0)) for follower in self.each]
        return all(answered)

    def close(self, timeout: float) -> None:
        """Deliver what can be delivered within *timeout* seconds, and end."""
        deadline = time.monotonic() + timeout
        for follower in self.each:
            follower.close(max(deadline - time.monotonic(), 0))

    def accounts(self, process: str, counters: Mapping[str, Any]) -> dict[str, dict[Signal, Account]]:
        """Return, by follower, what became of what *process* journaled, which it counted in *counters*."""
        return {
            follower.kind: account_of(
                counters, follower.cursor, process, follower.signals, with_notes=follower.gets_notes
            )
            for follower in self.each
        }

    def metrics(self, process: str, counters: Mapping[str, Any], *, queue_bytes: int) -> tuple[Metric, ...]:
        """Return what *process* comes to itself; called by the thread whose time is the overhead."""
        return self_metrics(
            self.accounts(process, counters), counters, queue_bytes=queue_bytes, overhead_seconds=time.thread_time()
        )

    def parting_words(self) -> list[str]:
        """Return what a person must know of deliveries that are not done, one sentence for each follower."""
        said = []
        for follower in self.each:
            # Whoever else delivers this run will say it.
            left = (
                waiting(follower.run, follower.cursor, follower.signals, with_notes=follower.gets_notes)
                if follower.is_ours
                else {}
            )
            # Data points are totals, said again and again: beside records they are not worth a word.
            if len(left) > 1:
                left.pop("metrics", None)
            if left:
                verb = "waits" if sum(left.values()) == 1 else "wait"
                where = _shortest(self._directory)
                elsewhere = "" if where == ".branchline" else f" --directory {shlex.quote(where)}"
                said.append(f"{in_words(left)} {verb} in {where}; `branchline ship{elsewhere}` sends them")
        return said


def _shortest(path: Path) -> str:
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):  # the working directory is gone
        return str(path)
    return str(path) if relative.startswith("..") else relative


def makers_for(
    config: Config, environment: Mapping[str, str], *, is_guest: bool, say: Callable[[str], None]
) -> tuple[OTLP | None, Makers]:
    """Return the OTLP endpoint that *config* and *environment* name, if any, and what makes every destination.

    A guest's application delivers by itself: for a guest the environment alone means nothing.

    Raises:
        ConfigError: for a setting that is not accepted.
        MissingExtraError: where what a destination needs is not installed.
    """
    makers = _mlflow_maker(config, environment)
    options = config.otlp
    if options is None and not is_guest and any(name.startswith("OTEL_EXPORTER_OTLP_") for name in environment):
        # See above.
        from .otlp.endpoints import is_configured

        options = OTLP() if is_configured(environment) else None
    if not isinstance(options, OTLP):
        return None, makers
    # See above.
    from .otlp.destination import OtlpDestination

    chosen = options
    return chosen, {"otlp": lambda: OtlpDestination(chosen, environment, say=say), **makers}


def _mlflow_maker(config: Config, environment: Mapping[str, str]) -> Makers:
    options = config.mlflow
    if not isinstance(options, MLflow):
        return {}
    # See above.
    from .mlflow.destination import MlflowDestination

    return {"mlflow": lambda: MlflowDestination(options, environment)}


def followers_of(makers: Makers, *, directory: Path, run_id: str, tell: Tell, sync: bool) -> Followers:
    """Return the followers of a run below *directory*, one for each maker, none of them started."""
    made = [_follower(kind, make, directory, run_id, tell, sync) for kind, make in makers.items()]
    return Followers([follower for follower in made if follower.signals], directory)


def _follower(
    kind: str, make: Callable[[], Destination], directory: Path, run_id: str, tell: Tell, sync: bool
) -> Follower:
    # See above.
    from .follower import Follower, FollowerOptions

    return Follower(
        FollowerOptions(
            kind=kind,
            directory=directory,
            run_id=run_id,
            make_destination=make,
            tell=tell,
            sync=sync,
            # To load MLflow takes seconds, and one process of a run is enough for it.
            stays_home=kind == "mlflow",
        )
    )
