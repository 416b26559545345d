"""The catalogue of events, held against every name that is written, and against what is recorded (RT-77)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from branchline import events, monitor, names
from branchline.events import (
    CATALOGUE,
    ErrorEvent,
    EventType,
    ExperimentLogger,
    RequestCreationAction,
    RequestFailureAction,
    RequestSuccessAction,
    TradeEvent,
    record_trade,
)
from branchline.testing import capture


ROOT = Path(__file__).parent.parent
# Whatever these are called with first is the name of an event.
CALLED = {"event", "_event", "_say", "say", "record_event"}


def written_names() -> Iterator[str]:
    """
    The names of ``names`` that some code in the package gives to an event.
    """
    for path in (ROOT / "src" / "branchline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                first = node.args[:1] if called in CALLED else []
                named = [keyword.value for keyword in node.keywords if keyword.arg == "name" and called == "LogRecord"]
                yield from names_in(*first, *named)
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if {getattr(target, "id", "") for target in targets} & {"event_name", "_EVENTS"}:
                    yield from names_in(node.value)


def names_in(*nodes: ast.expr) -> Iterator[str]:
    for node in nodes:
        for inside in ast.walk(node):
            is_name = isinstance(inside, ast.Attribute) and getattr(inside.value, "id", "") == "names"
            if is_name and inside.attr.isupper() and isinstance(getattr(names, inside.attr), str):  # type: ignore[attr-defined]
                yield getattr(names, inside.attr)  # type: ignore[attr-defined]


def test_every_event_is_in_the_catalogue() -> None:
    """
    Every name that the package gives to an event is in the catalogue, and each of these is one of ``names``.
    """
    written = set(written_names()) - {names.EVENT_PREFIX}
    experiments = {names.EVENT_PREFIX + kind for kind in EventType}
    lifecycle = set(names.STARTED_EVENTS.values())

    assert len(written) >= 18
    assert written - set(CATALOGUE) == set()
    assert set(CATALOGUE) - written - experiments - lifecycle == set()
    assert set(CATALOGUE) >= names.NO_LOG_LINES
    assert experiments <= set(CATALOGUE)


def test_the_page_has_the_catalogue() -> None:
    """
    The page on events has every event that a person meets, and no other.
    """
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    section = page.partition("## The catalogue")[2]
    shown = set(re.findall(r"^\| `(branchline\.[\w.]+)` \|", section, re.MULTILINE))

    assert shown == set(CATALOGUE) - names.NO_LOG_LINES


def test_fields_are_those_of_the_catalogue() -> None:
    """
    What the classes record has the fields that the catalogue says, and no other.
    """
    order: dict[str, object] = {"price": 2, "order_id": "o", "execution_type": "limit", "strategy_id": "s"}
    with capture() as captured:
        RequestCreationAction("a", "b").record()
        RequestSuccessAction("b").record()
        RequestFailureAction("b", ValueError()).record()
        TradeEvent.placed("A", "BUY", 1, **order).record()
        TradeEvent.executed("A", "BUY", 1, filled_quantity=1, commission=1, commission_asset="A", **order).record()
        TradeEvent.cancelled("A", "BUY", 1, reason="r", **order).record()
        TradeEvent.position_changed("A", 1, previous_position=0).record()
        ErrorEvent.of(ValueError("x"), error_code=1, parameter="p", rule="r", value=0, component="c").record()
    undescribed = {
        line.event_name: set(line.attributes) - set(CATALOGUE[line.event_name or ""].fields) for line in captured.logs
    }

    assert {name: fields for name, fields in undescribed.items() if fields} == {}
    assert len(undescribed) == 8


def test_names_of_experiments() -> None:
    """
    Each type of event of an experiment is recorded under its name in the catalogue; so is a trade that cannot be.
    """
    with capture() as captured:
        experiment = ExperimentLogger()
        for kind in EventType:
            experiment.info(kind)
        record_trade("order_placed")

    assert {line.event_name for line in captured.logs} <= set(CATALOGUE)
    assert len(captured.logs) == 18


def test_every_name_is_there() -> None:
    """
    Whatever ``branchline.events`` offers is there, and what belongs to performance is what ``branchline.monitor`` has.
    """
    assert [name for name in events.__all__ if getattr(events, name, None) is None] == []
    assert events.PerformanceMetric is monitor.PerformanceMetric
