"""An MLflow in memory, for the tests of what is told to it: it keeps what it takes, and fails as it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from branchline._mlflow.client import RunStatus
from branchline._mlflow.failures import Kind, MLflowFailure
from branchline._mlflow.limits import Batch, Data, Point


Look = Callable[[str, object], None]
"""Is shown each call before it is made, by its name and what it is about; may raise."""


@dataclass
class Run:
    """One run as MLflow has it."""

    run_id: str
    experiment: str
    name: str
    start_ms: int
    tags: dict[str, str]
    parent: str | None
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    data: list[Data] = field(default_factory=list)
    status: str = "RUNNING"
    end_ms: int | None = None

    def series(self, key: str) -> list[tuple[int, float]]:
        """Return the steps and values of one metric, in the order in which they came."""
        return [(point.step, point.value) for point in self.points if point.key == key]


def failure(kind: Kind, message: str = "no", code: str = "SOME_CODE") -> MLflowFailure:
    return MLflowFailure(kind, message, code)


class Memory:
    """Has the methods of the real client, and does nothing by itself; a point is kept as often as it is told."""

    def __init__(self, look: Look = lambda name, about: None, *, is_remote: bool = False) -> None:
        self.look = look
        self.is_remote = is_remote
        self.runs: dict[str, Run] = {}
        self.deleted: list[str] = []
        self.calls: list[str] = []
        self._count = 0

    def named(self, name: str) -> Run:
        """Return the only run of that name."""
        [run] = [run for run in self.runs.values() if run.name == name]
        return run

    def _called(self, name: str, about: object) -> None:
        self.calls.append(name)
        self.look(name, about)

    def experiment_id(self, name: str) -> str:
        self._called("experiment", name)
        return f"id of {name}"

    def create_run(
        self, experiment_id: str, *, name: str, start_ms: int, tags: Mapping[str, str], parent_run_id: str | None = None
    ) -> str:
        self._called("create", name)
        self._count += 1
        run_id = f"r{self._count}"
        self.runs[run_id] = Run(run_id, experiment_id, name, start_ms, dict(tags), parent_run_id)
        self.look("created", name)
        return run_id

    def find_runs(self, experiment_id: str, tag: str, value: str, *, by: str) -> dict[str, list[str]]:
        self._called("find", value)
        found: dict[str, list[str]] = {}
        for run in self.runs.values():
            if run.experiment == experiment_id and run.tags.get(tag) == value:
                found.setdefault(run.tags.get(by, ""), []).append(run.run_id)
        return found

    def delete_run(self, run_id: str) -> None:
        self._called("delete", run_id)
        self.deleted.append(run_id)
        del self.runs[run_id]

    def log(self, run_id: str, batch: Batch) -> None:
        self._called("log", batch)
        run = self._run(run_id)
        for key, text in batch.params:
            if run.params.setdefault(key, text) != text:
                raise failure("refused", f"{key} has another value")
        run.tags.update(batch.tags)
        run.points += batch.points
        self.look("logged", batch)

    def log_data(self, run_id: str, data: Sequence[Data]) -> None:
        self._called("data", data)
        self._run(run_id).data = list(data)

    def write_text(self, run_id: str, path: str, text: str) -> None:
        self._called("write", path)
        self._run(run_id).files[path] = text

    def end_run(self, run_id: str, status: RunStatus, end_ms: int) -> None:
        self._called("end", status)
        run = self._run(run_id)
        run.status, run.end_ms = status, end_ms

    def _run(self, run_id: str) -> Run:
        if run_id not in self.runs:
            raise failure("missing", f"no run {run_id}")
        return self.runs[run_id]
