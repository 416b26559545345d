"""The one client of MLflow: explicit run ids alone, so that nothing depends on which thread or task is calling."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, TypeVar

from ..errors import MissingExtraError, missing_extra
from .failures import MLflowFailure, failure_of
from .limits import Batch, Data, Point
from .quiet import undisturbed


RunStatus = Literal["FINISHED", "FAILED", "KILLED"]
Found = TypeVar("Found")

_PARENT: Final = "mlflow.parentRunId"
_PAGE: Final = 1_000


class Client:
    """MLflow at *tracking_uri*, by default where MLflow itself would look.

    It sets nothing of the process: no tracking URI, no active run, no variable. Any thread may call it. Every call
    waits for MLflow's answer, and raises `MLflowFailure`, nothing else, where that is none.
    """

    def __init__(self, tracking_uri: str | None = None) -> None:
        """Load MLflow, and connect to nothing yet.

        Raises:
            MissingExtraError: where it is not installed or cannot be imported, with the real cause.
        """
        self._api = _imported()
        self._tracking_uri = tracking_uri
        self._lock = threading.Lock()
        self._made: Any = None
        self._experiments: dict[str, str] = {}

    @property
    def tracking_uri(self) -> str:
        """Where MLflow is, as MLflow resolves it."""
        return str(self._tracking_uri or self._api.get_tracking_uri())

    @property
    def is_remote(self) -> bool:
        """Whether a server does the work, rather than this process in a file of its own."""
        return not self.tracking_uri.startswith(("sqlite:", "file:", "/", "."))

    def _mlflow(self) -> Any:
        # The first connection to a database file lays out its tables, which must not happen twice at once.
        with self._lock:
            if self._made is None:
                try:
                    with undisturbed():
                        made = self._api.MlflowClient(tracking_uri=self._tracking_uri)
                except Exception as error:
                    failure = failure_of(error)
                    if failure.code == "INTERNAL_ERROR":
                        # Nobody was asked yet: it is MLflow itself that does not want this place.
                        failure = MLflowFailure("refused", str(failure), failure.code)
                    raise failure from error
                _keep_quiet(made)
                self._made = made
            return self._made

    def asked(self) -> str:
        """Return the name and version of MLflow here, once the place has answered."""
        _asked(lambda: self._mlflow().search_experiments(max_results=1))
        return f"MLflow (here {self._api.__version__})"

    def experiment_id(self, name: str) -> str:
        """Return the id of the experiment called *name*, which is made where there is none."""
        if name not in self._experiments:
            self._experiments[name] = _asked(lambda: self._found_or_made(name))
        return self._experiments[name]

    def _found_or_made(self, name: str) -> str:
        mlflow = self._mlflow()
        found = mlflow.get_experiment_by_name(name)
        if found is None:
            try:
                return str(mlflow.create_experiment(name))
            except Exception as error:
                if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
                    raise
                # Somebody else was quicker.
                found = mlflow.get_experiment_by_name(name)
        return str(found.experiment_id)

    def create_run(
        self,
        experiment_id: str,
        *,
        name: str,
        start_ms: int,
        tags: Mapping[str, str],
        parent_run_id: str | None = None,
    ) -> str:
        """Create a run and return its id.

        Asked twice, MLflow creates two: whoever repeats it, because the answer was lost, looks by `find_run` first.
        """
        below = {} if parent_run_id is None else {_PARENT: parent_run_id}
        created = _asked(
            lambda: self._mlflow().create_run(experiment_id, start_time=start_ms, tags={**tags, **below}, run_name=name)
        )
        return str(created.info.run_id)

    def find_run(self, experiment_id: str, tag: str, value: str) -> str | None:
        """Return the id of the run whose *tag* has that *value*, or None."""
        wanted = value.replace("'", "\\'")
        found = _asked(lambda: self._mlflow().search_runs([experiment_id], f"tags.`{tag}` = '{wanted}'", max_results=1))
        return next((str(run.info.run_id) for run in found), None)

    def find_runs(self, experiment_id: str, tag: str, value: str, *, by: str) -> dict[str, list[str]]:
        """Return the ids of runs whose *tag* has that *value*, by what each has under the tag *by*, oldest first."""
        wanted = value.replace("'", "\\'")
        found: dict[str, list[str]] = {}
        page: Any = None
        while True:
            page = _asked(partial(self._page, experiment_id, f"tags.`{tag}` = '{wanted}'", page))
            for run in page:
                found.setdefault(run.data.tags.get(by, ""), []).append(str(run.info.run_id))
            if not page.token:
                return found

    def _page(self, experiment_id: str, wanted: str, before: Any) -> Any:
        token = None if before is None else before.token
        order = ["attributes.start_time ASC"]
        return self._mlflow().search_runs([experiment_id], wanted, max_results=_PAGE, order_by=order, page_token=token)

    def delete_run(self, run_id: str) -> None:
        """Take a run out of sight; MLflow keeps it among the deleted ones."""
        _asked(lambda: self._mlflow().delete_run(run_id))

    def log(self, run_id: str, batch: Batch) -> None:
        """Add what *batch* has to a run: all of it or, where an entry is refused, nothing."""
        entities = self._api.entities
        metrics = [entities.Metric(*_fields(point)) for point in batch.points]
        params = [entities.Param(key, text) for key, text in batch.params]
        tags = [entities.RunTag(key, text) for key, text in batch.tags]
        _asked(lambda: self._mlflow().log_batch(run_id, metrics=metrics, params=params, tags=tags))

    def log_data(self, run_id: str, data: Sequence[Data]) -> None:
        """Say what a run has read; the same again changes nothing."""
        entities = self._api.entities
        inputs = [
            entities.DatasetInput(
                entities.Dataset(each.name, each.digest, each.source_type, each.source, profile=each.profile)
            )
            for each in data
        ]
        _asked(lambda: self._mlflow().log_inputs(run_id, inputs))

    def write_text(self, run_id: str, path: str, text: str) -> None:
        """Keep *text* as an artifact of a run."""
        _asked(lambda: self._mlflow().log_text(run_id, text, path))

    def end_run(self, run_id: str, status: RunStatus, end_ms: int) -> None:
        """End a run."""
        _asked(lambda: self._mlflow().set_terminated(run_id, status=status, end_time=end_ms))


def _fields(point: Point) -> tuple[str, float, int, int]:
    return point.key, point.value, point.timestamp_ms, point.step


def _asked(call: Callable[[], Found]) -> Found:
    try:
        return call()
    except MLflowFailure:
        raise
    except Exception as error:
        raise failure_of(error) from error


def _keep_quiet(made: Any) -> None:
    # It prints two lines on stdout for every run that ends, and asks the server twice for what is in them. There is a
    # variable against it, but that is the user's.
    tracking: Any = getattr(made, "_tracking_client", None)
    if hasattr(tracking, "_log_url"):
        tracking._log_url = lambda run_id: None  # noqa: SLF001  # this client's own; MLflow has no other way


def _imported() -> Any:
    feature = "logging runs to MLflow"
    try:
        import mlflow
        import mlflow.entities
        from mlflow import MlflowClient
    except ModuleNotFoundError as error:
        if error.name == "mlflow":
            raise missing_extra(feature, extra="mlflow", package="mlflow") from error
        raise _broken(feature, error) from error
    except Exception as error:  # importing it runs a great deal of others' code
        raise _broken(feature, error) from error
    assert MlflowClient is not None
    return mlflow


def _broken(feature: str, error: Exception) -> MissingExtraError:
    msg = (
        f"{feature} needs 'mlflow', which is installed but cannot be imported: {type(error).__name__}: {error}; "
        "try: pip install --upgrade 'branchline[mlflow]'"
    )
    return MissingExtraError(msg, name="mlflow")
