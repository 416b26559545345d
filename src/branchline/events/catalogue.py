"""The catalogue: every event that branchline itself can put into a run, and what each of them says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from .. import names
from .experiment_types import EventType


class Kind(NamedTuple):
    """One kind of event."""

    says: str
    fields: tuple[str, ...] = ()
    """Which ones it can have beside a message; those of ``branchline.`` are left out."""


_ORDER: Final = ("symbol", "side", "quantity", "price", "order_id", "execution_type", "strategy_id")
_EXECUTION: Final = ("commission", "commission_asset", "filled_quantity", "remaining_quantity")
_TRADE: Final = ("symbol", "side", "quantity", "what else was said")
_EXCEPTION: Final = (names.EXCEPTION_TYPE, names.EXCEPTION_MESSAGE, names.EXCEPTION_STACKTRACE)

_SAYS: Final[Mapping[EventType, str]] = {
    EventType.EXPERIMENT_STARTED: "an experiment has begun",
    EventType.EXPERIMENT_COMPLETED: "an experiment is done",
    EventType.EXPERIMENT_FAILED: "an experiment has failed",
    EventType.DATA_LOADED: "data was loaded",
    EventType.DATA_VALIDATED: "data was found valid",
    EventType.GENERATION_STARTED: "a generation has begun",
    EventType.GENERATION_COMPLETED: "a generation is done",
    EventType.GENERATION_FAILED: "a generation has failed",
    EventType.PERSONA_CREATED: "a persona was made",
    EventType.PERSONA_VALIDATED: "a persona was found valid",
    EventType.OUTPUT_WRITTEN: "a result was written",
    EventType.CONFIG_LOADED: "a configuration was loaded",
    EventType.PROVIDER_INITIALISED: "a provider of models is ready",
    EventType.LLM_CALL_STARTED: "a model was asked",
    EventType.LLM_CALL_COMPLETED: "a model has answered",
    EventType.LLM_CALL_FAILED: "a model has not answered",
    EventType.CUSTOM: "something else",
}

CATALOGUE: Final[Mapping[str, Kind]] = {
    # What an application records by the classes of ``branchline.events``.
    **{
        names.EVENT_PREFIX + kind: Kind(says, ("experiment_id", "run_id", "those of the payload"))
        for kind, says in _SAYS.items()
    },
    names.ACTION_CREATED: Kind(
        "a node has asked for another", ("parent_node_name", "child_node_name", "input_args", "input_kwargs")
    ),
    names.ACTION_DONE: Kind("a node is done", ("node_name", "output")),
    names.ACTION_FAILED: Kind("a node has failed", ("node_name", names.ERROR_TYPE, *_EXCEPTION)),
    names.TRADE_PLACED: Kind("an order was placed", _ORDER),
    names.TRADE_EXECUTED: Kind("an order was executed", (*_ORDER, *_EXECUTION)),
    names.TRADE_CANCELLED: Kind("an order was cancelled", (*_ORDER, *_EXECUTION, "reason")),
    names.TRADE_POSITION: Kind("another position is held", (*_ORDER, "position", "previous_position")),
    names.TRADE_INVALID: Kind("a trade was told of that cannot be", ("event_type", "problems", "what was said")),
    names.TRADE_STARTED: Kind("a trade has begun", _TRADE),
    names.TRADE_NOTE: Kind("something is said of a trade", _TRADE),
    names.TRADE_RESULT: Kind("something came of a trade", _TRADE),
    names.TRADE_COMPLETED: Kind("a trade is done", (*_TRADE, "duration_ms", "success")),
    names.TRADE_FAILED: Kind("a trade has failed", (*_TRADE, "duration_ms", "success", *_EXCEPTION)),
    names.ERROR_EVENT: Kind(
        "something went wrong",
        (
            *("severity", "fingerprint", "error_code", "component", "operation", "user_id", "session_id"),
            *("parameter", "rule", "value", "error_module", "error_location", "error_function", names.ERROR_TYPE),
            *("notes", "causes", "errors", "local_variables", *_EXCEPTION, "those of the context"),
        ),
    ),
    # What branchline records by itself for a person to read.
    names.BUDGET_WARNING: Kind("a budget is nearly used up, or will be"),
    names.BUDGET_EXCEEDED: Kind("a budget is used up"),
    names.STALL_EVENT: Kind("tracked work has stalled: what all threads are doing", (names.CODE_STACKTRACE,)),
    names.ALERT_EVENT: Kind(
        "a value has passed a limit",
        (
            *("alert.name", "alert.metric", "alert.value", "alert.limit", "alert.side", "alert.severity"),
            *("alert.statistic", "alert.unit", "alert.held_seconds", "those of the series"),
        ),
    ),
    names.ALERT_NOT_TAKEN: Kind("somebody who was to be told of an alert could not be", ("alert.name",)),
    names.TIMED_STARTED: Kind("an operation that is timed has begun", ("operation", "those that it was given")),
    names.TIMED_COMPLETED: Kind("it is done", ("operation", "duration_ms", "threshold_ms", "those that it was given")),
    names.TIMED_SLOW: Kind(
        "it is done, and took too long", ("operation", "duration_ms", "threshold_ms", "those that it was given")
    ),
    names.TIMED_FAILED: Kind(
        "it has failed",
        (
            *("operation", "duration_ms", "threshold_ms", names.ERROR_TYPE, "error", "outcome"),
            "those that it was given",
        ),
    ),
    names.STALL_EVENT: Kind("something that goes on takes far longer than usual for one item"),
    names.LOGGING_CHANGED: Kind("a sink was added to a logger, or taken away", ("set.…",)),
    names.CONFIGURATION_CHANGED: Kind("a run goes on in another one, with other options", ("before.…", "after.…")),
    # What is kept as an event, and shown as what it is: a stamp, a point, a call of a model.
    names.STAMP_EVENT: Kind("a stamp outside of all steps", ("those of the stamp",)),
    names.PROGRESS_EVENT: Kind("how far something is that goes on"),
    names.METRIC_EVENT: Kind("one value of a metric", ("those of the point",)),
    names.USAGE_EVENT: Kind("a call of a model", ("gen_ai.…",)),
    # What the journal keeps for readers.
    names.PROGRESS_EVENT: Kind("how far tracked work is"),
    names.RUN_STARTED: Kind("a process has begun to record", (names.SERVICE_NAME,)),
    names.RUN_ENDED: Kind("a process records no more", ("reason",)),
    names.EXPERIMENT_STARTED: Kind("an experiment has been opened"),
    names.BRANCH_STARTED: Kind("a branch has been opened"),
    names.STEP_STARTED: Kind("a step is open for more than a second"),
    names.STEP_CHECKPOINT: Kind("what an open step has got since the last one"),
    names.SPAN_EVENT: Kind("an event of a span that has too many for a line"),
}
