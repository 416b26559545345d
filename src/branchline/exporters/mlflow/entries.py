"""Entries: what one entity becomes in MLflow, as plain values: parameters, tags, points and small files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

from ... import names
from ..._journal.anyvalue import Value
from ..._journal.nested import unflattened
from ..._mlflow.client import RunStatus
from ..._mlflow.limits import LONGEST_PARAM, LONGEST_TAG, Point, fitted
from .picture import Entity


# Charts of MLflow are grouped by what is before a slash: what branchline measures itself is apart from the user's own.
OWN_PREFIX: Final = "branchline/"
_ENDED_AS: Final[Mapping[str, RunStatus]] = {
    names.FAILED: "FAILED",
    names.CANCELLED: "KILLED",
    names.INTERRUPTED: "KILLED",
    names.LOST: "KILLED",
}
_BORN_WITH: Final = (names.EXPERIMENT_NAME, names.BRANCH_ID, names.BRANCH_NAME, names.KIND)
_NUMBERS: Final[Mapping[str, str]] = {
    names.TOTAL_INPUT_TOKENS: "input_tokens",
    names.TOTAL_OUTPUT_TOKENS: "output_tokens",
    names.TOTAL_COST_USD: "cost_usd",
    names.BRANCH_RETRIES: "retries",
    names.BRANCH_OUTPUT: "output",
}
_AT_THE_END: Final = (names.SKIP_REASON, names.BRANCH_OUTPUT, names.BRANCH_REPEAT, names.BRANCH_ORDER)
_LONGEST_NAME: Final = 250

Texts = Mapping[str, str]


def title(entity: Entity) -> str:
    """Return what to call the run of *entity*."""
    chosen = entity.text(names.BRANCH_NAME) or entity.name or str(entity.resource.get(names.SERVICE_NAME) or entity.key)
    return chosen[:_LONGEST_NAME]


def place_of(entity: Entity) -> str:
    """Return the name of MLflow's experiment that *entity* goes to where nobody has chosen one."""
    service = str(entity.resource.get(names.SERVICE_NAME) or "")
    own = entity.name if entity.kind == names.KIND_EXPERIMENT else ""
    return entity.text(names.EXPERIMENT_NAME) or own or service or "branchline"


def token_of(run_id: str, key: str) -> str:
    """Return what the run of an entity is found by, whoever has created it."""
    return f"{run_id}/{key}"


def birth_tags(entity: Entity, run_id: str) -> Texts:
    """Return the tags that the run of *entity* is created with."""
    said = {key: text for key in _BORN_WITH if (text := entity.text(key))}
    source = str(entity.resource.get(names.SERVICE_NAME) or "")
    tags = {
        names.RUN_ID: run_id,
        names.KIND: entity.kind,
        **said,
        **({names.BRANCH_STATUS: names.PENDING} if entity.kind == names.KIND_BRANCH else {}),
        **({"mlflow.source.name": source, "mlflow.source.type": "LOCAL"} if source else {}),
    }
    return {**fitted(tags, longest=LONGEST_TAG).entries, names.MLFLOW_TOKEN: token_of(run_id, entity.key)}


def params_of(entity: Entity) -> Texts:
    """Return the parameters of *entity*: the configuration of a branch, what was said of an experiment."""
    return fitted(_texts(_said(entity)), longest=LONGEST_PARAM).entries


def _said(entity: Entity) -> Mapping[str, Value]:
    if entity.kind == names.KIND_EXPERIMENT:
        return entity.attributes
    prefix = names.BRANCH_CONFIG_PREFIX
    return {key[len(prefix) :]: value for key, value in entity.ours.items() if key.startswith(prefix)}


# ── the end ───────────────────────────────────────────────────────────────────────────────────────


def outcome_of(entity: Entity) -> str | None:
    """Return how *entity* has ended, in branchline's words; None where it has not."""
    if entity.ended is None:
        return None if entity.closed is None else entity.closed.outcome
    said = entity.text(names.BRANCH_STATUS) or entity.text(names.OUTCOME)
    return said or (names.FAILED if entity.ended.status == 2 else names.SUCCESS)


def end_of(entity: Entity) -> int:
    """Return when *entity* has ended, in nanoseconds since 1970; when it began, where nobody knows."""
    if entity.ended is not None:
        return entity.ended.end_unix_nano
    return entity.start_unix_nano if entity.closed is None else entity.closed.end_unix_nano


def status_of(outcome: str) -> RunStatus:
    """Return how MLflow says *outcome*."""
    return _ENDED_AS.get(outcome, "FINISHED")


def end_tags(entity: Entity, outcome: str) -> Texts:
    """Return the tags that say how *entity* has ended, and what was noted on it besides."""
    key = names.BRANCH_STATUS if entity.kind == names.KIND_BRANCH else names.OUTCOME
    raised = _raised(entity)
    said: dict[str, Value] = {
        **({} if entity.kind == names.KIND_EXPERIMENT else entity.attributes),
        **{name: entity.ours[name] for name in _AT_THE_END if name in entity.ours},
        **{name: raised[name] for name in (names.EXCEPTION_TYPE, names.EXCEPTION_MESSAGE) if name in raised},
        key: outcome,
    }
    # MLflow means something by names of its own, which nobody has said here.
    mine = {name: value for name, value in said.items() if not name.startswith("mlflow.")}
    return fitted(_texts(mine), longest=LONGEST_TAG).entries


def end_points(entity: Entity) -> Iterator[Point]:
    """Return what branchline itself has measured of an *entity* that has ended."""
    end = end_of(entity)
    found = {"duration": max(end - entity.start_unix_nano, 0) / 1e9}
    for key, name in _NUMBERS.items():
        value = entity.ours.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found[name] = float(value)
    for name, value in found.items():
        yield Point(key=OWN_PREFIX + name, value=value, timestamp_ms=end // 1_000_000)


def _raised(entity: Entity) -> Mapping[str, Value]:
    events = [] if entity.ended is None else entity.ended.events
    # The last one was raised furthest out: it is what the branch has ended with.
    return next((event.attributes for event in reversed(events) if event.name == names.EXCEPTION), {})


# ── files ─────────────────────────────────────────────────────────────────────────────────────────


def first_files(entity: Entity) -> Texts:
    """Return what is kept as files as soon as *entity* has begun, by their names."""
    said = _said(entity)
    return {"config.json": _json(unflattened(said))} if said else {}


def last_files(entity: Entity) -> Texts:
    """Return what is kept as files once *entity* has ended, by their names."""
    files = {}
    trace = _raised(entity).get(names.EXCEPTION_STACKTRACE)
    if isinstance(trace, str) and trace:
        files["traceback.txt"] = trace
    output = entity.ours.get(names.BRANCH_OUTPUT)
    if isinstance(output, (dict, tuple)) or (isinstance(output, str) and len(output) > LONGEST_TAG):
        files["output.json"] = _json(output)
    return files


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def _texts(values: Mapping[str, Value]) -> dict[str, str]:
    return {key: _text(value) for key, value in values.items()}


def _text(value: Value) -> str:
    if value is None or isinstance(value, (bool, int, float, str)):
        return str(value)
    return f"<{len(value):,} bytes>" if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False, default=str)
