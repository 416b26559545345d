"""Actions of nodes: the messages that people know, and everything else as fields (RT-30…35)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import branchline as bl
from branchline.events import RequestCreationAction, RequestFailureAction, RequestSuccessAction, RTAction
from branchline.logs import get_rt_logger
from branchline.logs.registry import LOGGERS
from branchline.testing import capture


@pytest.fixture(autouse=True)
def _afterwards() -> Iterator[None]:
    yield
    LOGGERS.close()


def test_messages() -> None:
    """
    The messages are those that people look for in their logs (RT-30…33).
    """
    actions: list[RTAction] = [
        RequestCreationAction("Root", "Child", (1,), {"k": 2}),
        RequestCreationAction(None, "Root", (), {}),
        RequestSuccessAction("Child", output=3),
        RequestFailureAction("Child", exception=ValueError("x")),
    ]

    assert [action.to_logging_msg() for action in actions] == [
        "Root CREATED Child",
        "START CREATED Root",
        "Child DONE",
        "Child FAILED",
    ]


def test_fields() -> None:
    """
    Names, arguments and output are fields of the event, which knows the step it happened in (RT-34, RT-35).
    """
    with capture() as captured, bl.step("node") as step:
        RequestCreationAction("Root", "Child", (1, "a"), {"k": [2]}).record()
        RequestSuccessAction("Child", {"answer": 3}).record()
    created, done = captured.logs

    assert (created.event_name, created.level, created.message) == (
        "branchline.action.created",
        "INFO",
        "Root CREATED Child",
    )
    assert dict(created.attributes) == {
        "parent_node_name": "Root",
        "child_node_name": "Child",
        "input_args": (1, "a"),
        "input_kwargs": {"k": (2,)},
    }
    assert (done.event_name, done.message, done.attributes["output"]) == (
        "branchline.action.done",
        "Child DONE",
        {"answer": 3},
    )
    assert {line.span_id for line in captured.logs} == {step.span_id}


@pytest.mark.parametrize(("is_fatal", "level"), [(False, "ERROR"), (True, "FATAL")])
def test_failures(is_fatal: bool, level: str) -> None:
    """
    A failure is an ERROR with its traceback; one that ends everything is FATAL (RT-34).
    """
    try:
        raise ValueError("no answer")
    except ValueError as error:
        action = RequestFailureAction("Child", error, is_fatal=is_fatal)
    with capture() as captured:
        action.record()
    [line] = captured.logs

    assert (line.event_name, line.level, line.message) == ("branchline.action.failed", level, "Child FAILED")
    assert line.exception is not None
    assert (line.exception.type, line.exception.message) == ("ValueError", "no answer")
    assert "test_failures" in line.exception.stacktrace
    assert dict(line.attributes) == {"node_name": "Child", "error.type": "ValueError"}


def test_a_logger_of_ones_own(tmp_path: Path) -> None:
    """
    Whoever names a logger has them there; as a message alone they go to any logger, as they always did.
    """
    with capture() as captured:
        log = bl.get_logger(
            "RT.Main", {"log_dir": tmp_path, "stdout": False, "json": False, "format": "{level} {message}"}
        )
        RequestSuccessAction("Child", 3).record(logger="RT.Main")
        get_rt_logger("Main").info(RequestSuccessAction("Other").to_logging_msg())
        log.close()

    assert (tmp_path / "RT.Main.log").read_text().splitlines() == [
        "INFO Child DONE [event_name=branchline.action.done, node_name=Child, output=3]",
        "INFO Other DONE",
    ]
    assert [line.message for line in captured.logs] == ["Child DONE", "Other DONE"]
