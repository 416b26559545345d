"""The traces of one run on their way to MLflow: which spans are told when, and what becomes of them after a crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from branchline._journal import cursors
from branchline._journal.claims import claimed
from branchline._journal.dead_letters import files, letters_in
from branchline._journal.decode import DecodedSpan, decode_line
from branchline._mlflow.failures import MLflowFailure
from branchline.exporters.mlflow import delivery as delivery_module
from branchline.exporters.mlflow import picture
from branchline.exporters.mlflow.delivery import RunDelivery, Scope
from branchline.exporters.mlflow.health import Health
from branchline.exporters.mlflow.reporter import Place, Reporter
from branchline.exporters.mlflow.trace_parts import TracePart, trace_id_of
from branchline.exporters.mlflow.trace_reporter import TraceReporter
from branchline.exporters.mlflow.traces import TraceRequests, requests_in, requests_of
from branchline.exporters.underway import DeliveryOptions
from journals import TRACE, Journal, journal, opened, span
from mlflow_memory import Memory, failure


RUN = "20260101-120000-000-abcdef"


def of_branch(name: str) -> dict[str, object]:
    return {
        "branchline.experiment.name": "sweep",
        "branchline.branch.id": name,
        "branchline.branch.name": name,
    }


class Killed(BaseException):
    """The end of the process, at the very place where it is raised."""


class Traces:
    """Keeps what it gets; *look* hears of each before, by its branch's name, *heard* afterwards; both may raise."""

    def __init__(self, look: Callable[[str], None] = lambda name: None) -> None:
        self.reason = ""
        self.requests: list[TraceRequests] = []
        self.look = look
        self.heard: Callable[[str], None] = lambda name: None

    def deliver(self, part: TracePart) -> None:
        self.send(requests_of(part))

    def send(self, requests: TraceRequests) -> None:
        self.look(name_of(requests))
        self.requests.append(requests)
        self.heard(name_of(requests))

    def told(self) -> list[tuple[str, bool, list[str]]]:
        """Return of each its branch, whether it is to be shown with its run, and the names of its spans."""
        return [(name_of(each), each.is_linked, sorted(one.name for one in spans_of(each))) for each in self.requests]


def spans_of(requests: TraceRequests) -> list[DecodedSpan]:
    return [one for line in requests.lines for one in decode_line(line.encode(), pytest.fail).spans]


def name_of(requests: TraceRequests) -> str:
    [group] = json.loads(requests.lines[0])["resourceSpans"]
    about = {item["key"]: item["value"]["stringValue"] for item in group["resource"]["attributes"]}
    return str(about.get("branchline.branch.name") or about["branchline.experiment.name"])


def begun(directory: Path, traces: Traces, said: list[str] | None = None, memory: Any = None) -> RunDelivery:
    folder = directory / "cursors" / "mlflow" / RUN
    claim = claimed(folder)
    assert claim is not None
    client: Any = memory or Memory()
    reporter = Reporter(
        folder, lambda: client, Health("sqlite:///x"), Place(), TraceReporter(RUN, lambda client: traces)
    )
    scope = Scope(run=directory / "runs" / RUN, folder=folder, signals=("traces", "logs"))
    lines = [] if said is None else said
    return RunDelivery(scope, reporter, claim, tell=lambda kind, text: lines.append(text), options=DeliveryOptions())


def go_on(delivery: RunDelivery) -> str:
    """Go on until there is nothing, or something to wait for; return the kind of the last step."""
    for _ in range(1_000):
        step = delivery.step()
        if step.kind != "moved":
            return step.kind
    raise AssertionError


def delivered(directory: Path, traces: Traces, said: list[str] | None = None, memory: Any = None) -> None:
    """Deliver what there is, from where the last one got."""
    delivery = begun(directory, traces, said, memory)
    assert go_on(delivery) == "nothing"
    delivery.give_up()


def branch(number: int, name: str, parent: int | None = None) -> dict[str, Any]:
    own = {**of_branch(name), "branchline.config.n": name, "branchline.branch.status": "success"}
    return span(number, name, kind="branch", parent=parent, own=own)


def start(number: int, name: str, parent: int | None = None) -> dict[str, Any]:
    return opened(number, name, kind="branch", parent=parent, identity=of_branch(name))


def step(number: int, name: str, parent: int, owner: str = "a") -> dict[str, Any]:
    return span(number, name, parent=parent, own=of_branch(owner))


def sweep(directory: Path, *, state: str = "ended") -> Journal:
    """Leave an experiment of two branches, each with a step in a step."""
    made = journal(directory, run=RUN, process="p", state=state)
    made.logs(opened(1, "sweep", kind="experiment", identity={"branchline.experiment.name": "sweep"}))
    for number, name in ((10, "a"), (20, "b")):
        made.logs(start(number, name, parent=1))
        made.spans(step(number + 2, "inner", number + 1, name), step(number + 1, "outer", number, name))
        made.spans(branch(number, name, parent=1))
    return made.spans(span(1, "sweep", kind="experiment", own={"branchline.experiment.name": "sweep"}))


WHOLE = [("a", True, ["a", "inner", "outer"]), ("b", True, ["b", "inner", "outer"])]


def test_each_branch_once(tmp_path):
    """
    Each branch is told with all its spans and its run; an experiment with nothing of its own is none; nobody who comes
    later tells it again.
    """
    sweep(tmp_path)
    traces, memory = Traces(), Memory()
    delivered(tmp_path, traces, memory=memory)
    delivered(tmp_path, traces, memory=memory)

    assert traces.told() == WHOLE
    assert [(memory.runs[each.run_id].name, each.experiment_id, each.trace_id) for each in traces.requests] == [
        (name, "id of sweep", trace_id_of((TRACE, f"{number:016x}"))) for name, number in (("a", 10), ("b", 20))
    ]


def test_an_experiment_with_steps(tmp_path):
    """
    What happens in an experiment beside its branches is a trace of its own; a branch in it is another.
    """
    made = sweep(tmp_path, state="running")
    made.spans(step(3, "load", 1, ""))
    (made.folder / "process.json").write_text((made.folder / "process.json").read_text().replace("running", "ended"))
    traces = Traces()
    delivered(tmp_path, traces)

    assert sorted(traces.told()) == [*WHOLE, ("sweep", True, ["load", "sweep"])]


@pytest.mark.parametrize("is_answered", [False, True])
def test_killed(tmp_path, is_answered):
    """
    A kill before or after MLflow's answer loses no span: the same is told again, under the same ids, and no other.
    """
    sweep(tmp_path)
    memory, traces = Memory(), Traces()

    def killed(name: str) -> None:
        if name == "b":
            raise Killed

    traces.look, traces.heard = (lambda name: None, killed) if is_answered else (killed, traces.heard)
    delivery = begun(tmp_path, traces, memory=memory)
    with pytest.raises(Killed):
        go_on(delivery)
    delivery.claim.give_up()
    traces.look = traces.heard = lambda name: None
    delivered(tmp_path, traces, memory=memory)

    told = [(name, spans) for name, _, spans in traces.told()]
    assert sorted({str(each) for each in told}) == [str((name, spans)) for name, _, spans in WHOLE]
    assert [name for name, _ in told].count("b") == 1 + is_answered
    assert {name: len(runs) for name, runs in _by_name(memory).items()} == {"sweep": 1, "a": 1, "b": 1}


def _by_name(memory: Memory) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for run_id, run in memory.runs.items():
        found.setdefault(run.name, []).append(run_id)
    return found


def test_a_branch_that_was_open_when_it_was_killed(tmp_path):
    """
    What a branch had done before anybody was killed is told with the rest, though the journal was read beyond it.
    """
    made = journal(tmp_path, run=RUN, process="p", state="running", pid=1)
    made.logs(start(10, "a")).spans(step(11, "early", 10))
    traces, memory = Traces(), Memory()
    delivered(tmp_path, traces, memory=memory)
    assert (traces.requests, cursors.load(tmp_path / "cursors" / "mlflow" / RUN).place("p", "traces").offset > 0) == (
        [],
        True,
    )
    made.spans(step(12, "later", 10), branch(10, "a"))
    delivered(tmp_path, traces, memory=memory)

    assert traces.told() == [("a", True, ["a", "early", "later"])]


def test_stragglers(tmp_path):
    """
    What ends after its branch is told once, as late, with its parent of before; also after a restart.
    """
    made = journal(tmp_path, run=RUN, process="p", state="running", pid=1)
    made.logs(start(10, "a")).spans(step(11, "outer", 10), branch(10, "a"))
    traces, memory = Traces(), Memory()
    delivered(tmp_path, traces, memory=memory)
    made.spans(step(12, "late", 11))
    for _ in range(2):
        delivered(tmp_path, traces, memory=memory)

    assert traces.told() == [("a", True, ["a", "outer"]), ("a", False, ["late"])]
    assert [one.parent_id for one in spans_of(traces.requests[-1])] == [f"{11:016x}"]


def test_a_span_of_which_nobody_knows_where_it_belongs(tmp_path, monkeypatch):
    """
    What ended late, in a step that is still open, waits for that, and the cursor with it: no restart forgets it.
    Where nothing more comes, it belongs to the branch that it names.
    """
    made = journal(tmp_path, run=RUN, process="p", state="running", pid=1)
    made.logs(start(10, "a")).spans(branch(10, "a"))
    traces, memory = Traces(), Memory()
    delivered(tmp_path, traces, memory=memory)
    told = cursors.load(tmp_path / "cursors" / "mlflow" / RUN).place("p", "traces").offset
    made.spans(step(12, "inner", 11))
    delivered(tmp_path, traces, memory=memory)
    waited = cursors.load(tmp_path / "cursors" / "mlflow" / RUN).place("p", "traces").offset
    made.spans(step(11, "outer", 10), step(14, "lost", 13))
    monkeypatch.setattr(delivery_module, "_GRACE_SECONDS", 0.0)
    delivered(tmp_path, traces, memory=memory)

    assert (told, traces.told()[:2]) == (waited, [("a", True, ["a"]), ("a", False, ["inner", "outer"])])
    assert traces.told()[2:] == [("a", False, ["lost"])]


def test_a_branch_that_never_ended(tmp_path):
    """
    Of a branch that was killed, what is known is told when nobody writes any more, with how it ended.
    """
    made = journal(tmp_path, run=RUN, process="p", state="recovered")
    made.logs(start(10, "a")).spans(step(11, "done", 10))
    traces = Traces()
    delivered(tmp_path, traces)

    [requests] = traces.requests

    assert {one.name: (one.parent_id, one.status, one.status_message) for one in spans_of(requests)} == {
        "done": (f"{10:016x}", 0, ""),
        "a": (None, 2, "interrupted"),
    }


def test_a_branch_with_very_many_steps(tmp_path, monkeypatch):
    """
    Not all spans of a long branch are held in memory until its end: they are told before, the root at last.
    """
    monkeypatch.setattr(picture, "MOST_WAITING", 10)
    made = journal(tmp_path, run=RUN, process="p", state="running", pid=1)
    made.logs(start(10, "a"))
    traces, memory = Traces(), Memory()
    delivery = begun(tmp_path, traces, memory=memory)
    for first in range(100, 140, 8):
        made.spans(*(step(number, f"s{number}", 10) for number in range(first, first + 8)))
        go_on(delivery)
    made.spans(branch(10, "a"))
    go_on(delivery)

    told = traces.told()
    assert [(is_linked, len(names)) for _, is_linked, names in told] == [(False, 16), (False, 16), (True, 9)]
    assert sorted(name for _, _, names in told for name in names) == ["a", *(f"s{n}" for n in range(100, 140))]


def test_calls_around_calls_of_before(tmp_path, monkeypatch):
    """
    Where a part of a long branch was told, a step of a later one that is around calls in it has its own calls apart.
    """
    monkeypatch.setattr(picture, "MOST_WAITING", 2)
    tokens = {"gen_ai.usage.input_tokens": 1, "gen_ai.usage.output_tokens": 1, **of_branch("a")}
    made = journal(tmp_path, run=RUN, process="p", state="running", pid=1)
    made.logs(start(10, "a"), opened(11, "outer", parent=10), opened(12, "between", parent=11))
    traces, memory = Traces(), Memory()
    delivery = begun(tmp_path, traces, memory=memory)
    made.spans(span(13, "inner", parent=12, own=tokens), span(12, "between", parent=11, own=of_branch("a")))
    go_on(delivery)
    made.spans(span(11, "outer", parent=10, own=tokens), branch(10, "a"))
    go_on(delivery)

    assert traces.told() == [("a", False, ["between", "inner"]), ("a", True, ["a", "calls", "outer"])]
    telling = [
        one.name for each in traces.requests for one in spans_of(each) if "mlflow.chat.tokenUsage" in one.attributes
    ]
    assert telling == ["inner", "calls"]


def test_what_is_refused(tmp_path):
    """
    A trace that MLflow never takes is buried with its reason, and said; its run and other traces are told.
    """
    sweep(tmp_path)

    def refuse(name: str) -> None:
        if name == "a":
            raise failure("refused", "too odd")

    said: list[str] = []
    traces, memory = Traces(refuse), Memory()
    delivered(tmp_path, traces, said, memory)
    [file] = files(tmp_path / "cursors" / "mlflow" / RUN)

    assert (traces.told(), memory.named("a").status) == (WHOLE[1:], "FINISHED")
    [letter] = letters_in(file)
    kept = requests_in(json.loads(letter.line))
    assert (letter.message, name_of(kept), memory.runs[kept.run_id].name) == ("too odd", "a", "a")
    assert [line.partition(":")[0] for line in said] == ["MLflow refused 1 entry"]


def test_what_has_to_wait(tmp_path):
    """
    While nobody takes traces, runs are told, and the traces later, without the runs being told again.
    """
    sweep(tmp_path)
    is_down = True

    def look(name: str) -> None:
        if is_down:
            raise MLflowFailure("retry", "down", "TEMPORARILY_UNAVAILABLE")

    traces, memory = Traces(look), Memory()
    delivery = begun(tmp_path, traces, memory=memory)
    assert go_on(delivery) == "wait"
    is_down = False
    assert go_on(delivery) == "nothing"

    assert sorted(traces.told()) == WHOLE
    assert memory.calls.count("end") == 3


def test_an_mlflow_without_traces(tmp_path):
    """
    Where no traces are kept, that is said once, and all else is told.
    """
    sweep(tmp_path)
    said: list[str] = []
    traces, memory = Traces(), Memory()

    def old(name: str) -> None:
        traces.reason = "MLflow 2.9 keeps no traces"

    traces.look = old
    delivered(tmp_path, traces, said, memory)

    assert said == ["MLflow 2.9 keeps no traces; runs are told all the same, and MLflow(traces=False) says nothing"]
    assert {run.status for run in memory.runs.values()} == {"FINISHED"}
