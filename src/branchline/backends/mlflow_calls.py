"""What is said to MLflow about one run, in a thread that may wait: patiently, and without one bad entry for all."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from .. import names
from .._mlflow.client import Client, RunStatus
from .._mlflow.failures import MLflowFailure
from .._mlflow.limits import LONGEST_PARAM, LONGEST_TAG, Batch, Point, batches, cut, fitted, fitted_key
from ..branches.config import branch_name
from ..logs.accounts import Account
from ..redaction import Redactor
from ..values import Value


Made = TypeVar("Made")

_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class RunWish:
    """A run to be created."""

    experiment: str
    """The name, or where *is_id* the id, of its experiment."""
    is_id: bool
    config: Mapping[str, object]
    identity: str
    start_ms: int
    tags: Mapping[str, str]
    parent_run_id: str | None
    token: str
    """What it is found by, should MLflow's answer be lost."""


class Calls:
    """Says things to MLflow and waits for the answers. What does not arrive is counted, and said once a minute."""

    def __init__(self, client: Client, *, account: Account, redactor: Redactor | None, patience: float) -> None:
        """Try what may pass by again for *patience* seconds."""
        self.client = client
        self._account = account
        self._redactor = redactor
        self._patience = patience

    def create(self, wish: RunWish) -> str:
        """Create a run and return its id.

        Raises:
            MLflowFailure: when it cannot be created.
        """
        texts = {key: self._text(key, text) for key, text in wish.tags.items()}
        tags = {**fitted(texts, longest=LONGEST_TAG).entries, names.MLFLOW_TOKEN: wish.token}
        place = wish.experiment if wish.is_id else self._patiently(lambda: self.client.experiment_id(wish.experiment))

        def made() -> str:
            title, parent = branch_name(wish.config, wish.identity), wish.parent_run_id
            return self.client.create_run(place, name=title, start_ms=wish.start_ms, tags=tags, parent_run_id=parent)

        def found_or_made() -> str:
            # It may have been the answer that was lost, and not the run.
            return self.client.find_run(place, names.MLFLOW_TOKEN, wish.token) or made()

        return self._patiently(made, again=found_or_made)

    def tell_params(self, run_id: str, params: Mapping[str, Value]) -> None:
        """Add parameters; where they do not fit as they are, an artifact has the whole of them."""
        texts = {key: self._text(key, value) for key, value in params.items()}
        fit = fitted(texts, longest=LONGEST_PARAM)
        self._tell(run_id, batches(params=fit.entries.items()))
        if not fit.is_whole:
            whole = json.dumps(texts, ensure_ascii=False, indent=2)
            self._keep(run_id, f"params-{uuid.uuid4().hex[:8]}.json", whole)

    def tell_points(self, run_id: str, values: Mapping[str, float], now_ms: int) -> None:
        """Add one value to each of some metrics."""
        self._tell(run_id, batches(points=_points(values, now_ms)))

    def tell_tags(self, run_id: str, tags: Mapping[str, str], *, whole_in: str | None = None) -> None:
        """Set tags; where they do not fit as they are, the artifact *whole_in* has the whole of them."""
        texts = {key: self._text(key, text) for key, text in tags.items()}
        fit = fitted(texts, longest=LONGEST_TAG)
        self._tell(run_id, batches(tags=fit.entries.items()))
        if whole_in is not None and not fit.is_whole:
            self._keep(run_id, whole_in, "\n\n".join(texts.values()))

    def tell_branch(self, run_id: str, fields: Mapping[str, Value]) -> None:
        """Keep all of a branch as an artifact, and how it ended as parameters."""
        prefix = f"branch_{fitted_key(str(fields['config_id']))}"
        clean = {key: self._cleaned(key, value) for key, value in fields.items()}
        self.tell_params(run_id, {f"{prefix}_{key}": fields[key] for key in ("status", "duration")})
        self._keep(run_id, f"{prefix.replace('/', '_')}.json", json.dumps(clean, default=str, indent=2))

    def tell_status(self, run_id: str, status: str) -> None:
        """Say how it stands."""
        self._tell(run_id, batches(tags=[self._status(status)]))

    def end(self, run_id: str, status: str, ended_as: RunStatus, values: Mapping[str, float], end_ms: int) -> None:
        """Say how the run ended, add one value to each of some metrics, and end it."""
        self._tell(run_id, batches(tags=[self._status(status)], points=_points(values, end_ms)))
        failure = self._tried(lambda: self.client.end_run(run_id, ended_as, end_ms))
        if failure is not None:
            self._lose(run_id, 1, failure)

    def _status(self, status: str) -> tuple[str, str]:
        return names.BRANCH_STATUS, cut(self._text(names.BRANCH_STATUS, status), LONGEST_TAG)

    def _tell(self, run_id: str, told: Iterable[Batch]) -> None:
        for batch in told:
            failure = self._tried(partial(self.client.log, run_id, batch))
            if failure is None:
                self._account.wrote(len(batch))
            elif failure.kind == "refused" and len(batch) > 1:
                # One entry spoils the request for all the others.
                self._tell(run_id, batch.singles())
            else:
                self._lose(run_id, len(batch), failure)

    def _keep(self, run_id: str, path: str, text: str) -> None:
        failure = self._tried(lambda: self.client.write_text(run_id, path, text))
        if failure is not None:
            self._lose(run_id, 1, failure)

    def _lose(self, run_id: str, count: int, failure: MLflowFailure) -> None:
        self._account.drop(failure.kind, count)
        self._account.say(failure.kind, f"{count} of what was logged to run {run_id} did not arrive: {failure}")

    def _tried(self, call: Callable[[], object]) -> MLflowFailure | None:
        try:
            self._patiently(call)
        except MLflowFailure as failure:
            return failure
        return None

    def _patiently(self, call: Callable[[], Made], *, again: Callable[[], Made] | None = None) -> Made:
        deadline = time.monotonic() + self._patience
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return call()
            except MLflowFailure as failure:
                # With a server, MLflow's client has tried for minutes by then; a locked database says so at once.
                if failure.kind != "retry" or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            call = again or call

    def _cleaned(self, key: str, value: Value) -> Value:
        return value if self._redactor is None else self._redactor.value(key, value)

    def _text(self, key: str, value: Value) -> str:
        clean = self._cleaned(key, value)
        if clean is None or isinstance(clean, (bool, int, float, str)):
            return str(clean)
        return f"<{len(clean):,} bytes>" if isinstance(clean, bytes) else json.dumps(clean, ensure_ascii=False)


def _points(values: Mapping[str, float], now_ms: int) -> list[Point]:
    fit = fitted({key: key for key in values}, longest=LONGEST_PARAM).entries
    return [Point(key=key, value=values[name], timestamp_ms=now_ms) for key, name in fit.items()]
