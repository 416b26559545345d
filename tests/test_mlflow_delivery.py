"""One run on its way to MLflow: who is told, in which order, and what becomes of it when something goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from branchline._journal import cursors
from branchline._journal.claims import claimed
from branchline._journal.cursors import Totals
from branchline._journal.dead_letters import files, letters_in
from branchline._mlflow.limits import Data
from branchline.exporters.mlflow import delivery as module
from branchline.exporters.mlflow.delivery import RunDelivery, Scope
from branchline.exporters.mlflow.health import Health
from branchline.exporters.mlflow.reporter import Place, Reporter
from branchline.exporters.mlflow.trace_parts import TracePart
from branchline.exporters.mlflow.trace_reporter import TraceReporter
from branchline.exporters.mlflow.traces import TraceRequests
from branchline.exporters.underway import DeliveryOptions, Step
from journals import BEGIN, Journal, attributes, journal, log, opened, point, raised, span
from mlflow_memory import Memory, Run, failure


RUN = "20260101-120000-000-abcdef"
BEGIN_MS = BEGIN // 1_000_000
OF_EXPERIMENT = {"branchline.experiment.name": "sweep"}


def of_branch(name: str) -> dict[str, object]:
    return {**OF_EXPERIMENT, "branchline.branch.id": name, "branchline.branch.name": name}


class Killed(BaseException):
    """The end of the process, at the very place where it is raised."""


class Told:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, kind: str, text: str) -> None:
        self.lines.append(text)


class Album:
    """Keeps the traces that it is given; asks *look* before."""

    def __init__(self, look: Callable[[TracePart], None] = lambda part: None) -> None:
        self.look = look
        self.reason = ""
        self.parts: list[TracePart] = []

    def deliver(self, part: TracePart) -> None:
        self.look(part)
        self.parts.append(part)

    def send(self, requests: TraceRequests) -> None:
        raise NotImplementedError

    def told(self) -> list[tuple[str, list[str], str, bool]]:
        """Return of each part its name, its spans, its run and whether it came late."""
        return [(part.name, sorted(span.name for span in part.spans), part.run_id, part.is_late) for part in self.parts]


def begun(
    directory: Path,
    memory: Memory,
    *,
    told: Told | None = None,
    place: Place | None = None,
    album: Album | None = None,
    again: set[str] | None = None,
) -> RunDelivery:
    folder = directory / "cursors" / "mlflow" / RUN
    claim = claimed(folder)
    assert claim is not None
    scope = Scope(run=directory / "runs" / RUN, folder=folder, signals=("traces", "logs", "metrics"))
    client: Any = memory
    traces = None if album is None else TraceReporter(RUN, lambda client: album)
    reporter = Reporter(folder, lambda: client, Health("sqlite:///x"), place or Place(), traces, again)
    return RunDelivery(scope, reporter, claim, tell=told or Told(), options=DeliveryOptions())


def steps(delivery: RunDelivery) -> Step:
    """
    Go on until there is nothing, or something to wait for; return the last step.
    """
    for _ in range(1_000):
        step = delivery.step()
        if step.kind != "moved":
            return step
    raise AssertionError


def delivered(directory: Path, memory: Memory, **options: Any) -> Totals:
    """
    Deliver what there is, and return what became of it.
    """
    delivery = begun(directory, memory, **options)
    assert steps(delivery).kind == "nothing"
    delivery.give_up()
    return delivery.cursor.totals()


def until_killed(directory: Path, memory: Memory) -> None:
    """
    Deliver until the process ends, which then saves nothing more.
    """
    delivery = begun(directory, memory)
    with pytest.raises(Killed):
        steps(delivery)
    delivery.claim.give_up()


def sweep(directory: Path, *names: str, state: str = "ended", process: str = "p") -> Journal:
    """Leave an experiment with these branches, each with a step in which a metric has two points."""
    made = journal(directory, run=RUN, process=process, state=state)
    made.logs(opened(1, "sweep", kind="experiment", identity=OF_EXPERIMENT))
    for number, name in enumerate(names, start=10):
        made.logs(
            opened(number, name, kind="branch", parent=1, own={"branchline.config.n": name}, identity=of_branch(name))
        )
        made.logs(
            point("loss", 0.5, number=number + 100, step=1, at=1.0),
            point("loss", 0.25, number=number + 100, step=2, at=2),
        )
        made.spans(
            span(number + 100, "train", parent=number, own=of_branch(name)),
            branch(number, name),
        )
    made.spans(span(1, "sweep", kind="experiment", end=9.0, own=OF_EXPERIMENT))
    return made


def branch(number: int, name: str, /, *, parent: int | None = 1, status: str = "success", **more: Any):
    own = {**of_branch(name), "branchline.config.n": name, "branchline.branch.status": status}
    return span(number, name, kind="branch", parent=parent, own=own, **more)


def whole(run: Run) -> tuple[object, ...]:
    return run.status, run.params, run.series("loss"), run.parent, sorted(run.files)


# ── all goes well ─────────────────────────────────────────────────────────────────────────────────


def test_a_run(tmp_path):
    """
    An experiment is a run, and each branch one below it, with its parameters, points, times and tags; whoever comes
    later asks for nothing.
    """
    sweep(tmp_path, "a", "b")
    memory = Memory()
    totals = delivered(tmp_path, memory)

    parent = memory.named("sweep")
    assert [run.name for run in memory.runs.values()] == ["sweep", "a", "b"]
    assert whole(parent) == ("FINISHED", {}, [], None, [])
    for name in ("a", "b"):
        run = memory.named(name)
        assert whole(run) == ("FINISHED", {"n": name}, [(1, 0.5), (2, 0.25)], parent.run_id, ["config.json"])
        assert (run.start_ms, run.end_ms, run.experiment) == (BEGIN_MS, BEGIN_MS + 1_000, "id of sweep")
        assert [at.timestamp_ms for at in run.points if at.key == "loss"] == [BEGIN_MS + 1_000, BEGIN_MS + 2_000]
        assert run.series("branchline/duration") == [(0, 1.0)]
        assert run.tags["branchline.branch.status"] == "success"
        assert run.tags["branchline.run.id"] == RUN
    assert totals == Totals(delivered=9, withheld=3)
    again = Memory()
    assert delivered(tmp_path, again) == totals
    assert again.calls == []


def test_few_calls(tmp_path):
    """
    A branch that has ended is told in four: its run, all that is in it at once, its configuration, its end.
    """
    sweep(tmp_path, "a", "b")
    memory = Memory()
    delivered(tmp_path, memory)

    assert memory.calls.count("log") == 3
    assert memory.calls[-4:] == ["create", "log", "write", "end"]


@pytest.mark.parametrize(
    ("status", "ended_as"),
    [
        *[("success", "FINISHED"), ("skipped", "FINISHED"), ("failed", "FAILED"), ("cancelled", "KILLED")],
        *[("interrupted", "KILLED"), ("lost", "KILLED")],
    ],
)
def test_statuses(tmp_path, status, ended_as):
    """
    A branch that failed is FAILED, one that was stopped is KILLED; the tag has the very word, a file the traceback.
    """
    made = journal(tmp_path, run=RUN, process="p")
    made.spans(branch(1, "a", parent=None, status=status, events=[raised("ValueError", "boom")]))
    memory = Memory()
    delivered(tmp_path, memory)
    run = memory.named("a")

    assert (run.status, run.tags["branchline.branch.status"]) == (ended_as, status)
    assert (run.tags["exception.type"], run.tags["exception.message"]) == ("ValueError", "boom")
    assert run.files["traceback.txt"] == "ValueError: boom\n"


def test_while_it_goes_on(tmp_path):
    """
    A branch that has begun is a run already; its points come as they are written, and nothing is told twice.
    """
    made = journal(tmp_path, run=RUN, process="p", state="running")
    made.logs(opened(1, "a", kind="branch", own={"branchline.config.n": 1}, identity=of_branch("a")))
    memory = Memory()
    delivery = begun(tmp_path, memory)
    seen = []
    for line in (
        point("loss", 0.5, number=1),
        point("loss", 0.25, number=1, at=1.0),
        point("other", 1, number=1),
    ):
        made.logs(line)
        steps(delivery)
        run = memory.named("a")
        seen.append((run.status, run.params, run.series("loss"), run.series("other")))
    made.spans(branch(1, "a", parent=None))
    steps(delivery)

    assert seen == [
        ("RUNNING", {"n": "1"}, [(0, 0.5)], []),
        ("RUNNING", {"n": "1"}, [(0, 0.5), (1, 0.25)], []),
        ("RUNNING", {"n": "1"}, [(0, 0.5), (1, 0.25)], [(0, 1.0)]),
    ]
    assert (memory.named("a").status, len(memory.named("a").points)) == ("FINISHED", 4)


def test_late_points_and_a_second_end(tmp_path):
    """
    What comes after the end is told too; where a recoverer closed a branch too early, its real end counts.
    """
    made = journal(tmp_path, run=RUN, process="p", state="running")
    made.spans(branch(1, "a", parent=None, status="interrupted", outcome="interrupted"))
    memory = Memory()
    delivery = begun(tmp_path, memory)
    steps(delivery)
    before = memory.named("a").status
    made.spans(branch(1, "a", parent=None))
    made.logs(point("loss", 0.5, number=1))
    steps(delivery)

    assert (before, memory.named("a").status) == ("KILLED", "FINISHED")
    assert memory.named("a").series("loss") == [(0, 0.5)]


# ── what belongs where ────────────────────────────────────────────────────────────────────────────


def test_points_of_equal_branches(tmp_path):
    """
    A configuration that runs twice at the same time is two runs, each with the points of its own steps.
    """
    made = journal(tmp_path, run=RUN, process="p")
    for number in (1, 2):
        made.logs(point("loss", number, number=number + 10))
        made.spans(span(number + 10, "train", parent=number), branch(number, "a", parent=None))
    memory = Memory()
    delivered(tmp_path, memory)

    assert sorted(run.series("loss") for run in memory.runs.values()) == [[(0, 1.0)], [(0, 2.0)]]


def test_points_outside_of_branches(tmp_path):
    """
    A point of the experiment is the experiment's; one of nothing is of a run that stands for the whole; none is lost.
    """
    made = journal(tmp_path, run=RUN, process="p")
    made.spans(span(1, "sweep", kind="experiment", own=OF_EXPERIMENT), span(2, "load", parent=1), span(3, "alone"))
    made.logs(point("in", 1, number=2), point("step", 2, number=3), point("none", 3), point("strange", 4, number=99))
    memory = Memory()
    totals = delivered(tmp_path, memory)

    assert memory.named("sweep").series("in") == [(0, 1.0)]
    assert {key: memory.named("demo").series(key) for key in ("step", "none", "strange")} == {
        "step": [(0, 2.0)],
        "none": [(0, 3.0)],
        "strange": [(0, 4.0)],
    }
    assert (memory.named("demo").status, totals) == ("FINISHED", Totals(delivered=7))


def test_points_wait_for_their_spans(tmp_path, monkeypatch):
    """
    A point of a step that is still open waits until the step says where it belongs; for one that never does, not long.
    """
    made = journal(tmp_path, run=RUN, process="p", state="running")
    made.logs(opened(1, "a", kind="branch", identity=of_branch("a")))
    made.logs(point("loss", 1, number=10), log("hello"))
    memory = Memory()
    delivery = begun(tmp_path, memory)
    steps(delivery)
    waiting = (memory.named("a").series("loss"), delivery.cursor.totals())
    made.spans(span(10, "train", parent=1))
    steps(delivery)
    known = (memory.named("a").series("loss"), delivery.cursor.totals())
    made.logs(point("loss", 2, number=20, own=of_branch("a"), at=1.0))
    steps(delivery)
    monkeypatch.setattr(module, "_GRACE_SECONDS", 0.0)
    steps(delivery)

    assert waiting == ([], Totals(withheld=1))
    assert known == ([(0, 1.0)], Totals(delivered=3, withheld=1))
    assert memory.named("a").series("loss") == [(0, 1.0), (1, 2.0)]


def test_a_branch_of_another_trace(tmp_path):
    """
    A branch in a trace of its own is shown below the experiment that it names.
    """
    made = journal(tmp_path, run=RUN, process="p")
    made.spans(branch(2, "a", parent=None, trace="f" * 32, start=1.0))
    made.spans(span(1, "sweep", kind="experiment", own=OF_EXPERIMENT))
    memory = Memory()
    delivered(tmp_path, memory)

    assert memory.named("a").parent == memory.named("sweep").run_id


def test_a_branch_in_a_branch(tmp_path):
    """
    A branch inside of another is shown below that one, also where it was read first.
    """
    made = journal(tmp_path, run=RUN, process="p")
    made.spans(branch(3, "inner", parent=2), span(2, "step", parent=1), branch(1, "outer", parent=None))
    memory = Memory()
    delivered(tmp_path, memory)

    assert memory.named("inner").parent == memory.named("outer").run_id


def test_what_a_dead_process_left_open(tmp_path):
    """
    Where nobody writes any more, a branch that has no end is KILLED, and so is what is above it.
    """
    made = journal(tmp_path, run=RUN, process="p", state="recovered")
    made.logs(opened(1, "sweep", kind="experiment", identity=OF_EXPERIMENT))
    made.logs(opened(2, "a", kind="branch", parent=1, identity=of_branch("a")))
    memory = Memory()
    delivered(tmp_path, memory)

    assert {run.name: run.status for run in memory.runs.values()} == {"sweep": "KILLED", "a": "KILLED"}


def test_a_machine_that_is_gone(tmp_path):
    """
    A process that has said nothing for long writes no more: what it left open is KILLED, until it says otherwise.
    """
    made = journal(tmp_path, run=RUN, process="p", state="running", heartbeat_unix_nano=BEGIN)
    made.logs(opened(2, "a", kind="branch", identity=of_branch("a")))
    memory = Memory()
    delivery = begun(tmp_path, memory)
    steps(delivery)
    before = memory.named("a").status
    made.spans(branch(2, "a", parent=None))
    steps(delivery)

    assert (before, memory.named("a").status) == ("KILLED", "FINISHED")


def test_where_runs_go(tmp_path):
    """
    All runs go to the experiment that is chosen, by name or id; below another only where MLflow shows it.
    """
    sweep(tmp_path, "a")
    named, numbered = Memory(), Memory()
    delivered(tmp_path, named, place=Place(experiment="chosen"))
    (tmp_path / "cursors" / "mlflow" / RUN / "cursor.json").unlink()
    delivered(tmp_path, numbered, place=Place(experiment_id="7"))

    assert {run.experiment for run in named.runs.values()} == {"id of chosen"}
    assert {run.experiment for run in numbered.runs.values()} == {"7"}


def test_steps_of_which_nobody_knows_yet(tmp_path):
    """
    While an experiment may still begin, steps outside of it wait with the cursor; who asks for an answer gets one.
    """
    made = journal(tmp_path, run=RUN, process="p", state="running")
    made.spans(span(1, "load"))
    memory = Memory()
    delivery = begun(tmp_path, memory)
    steps(delivery)
    before = (list(memory.calls), delivery.cursor.totals())
    delivery.look_again()
    steps(delivery)

    assert before == ([], Totals())
    assert (memory.named("demo").status, delivery.cursor.totals()) == ("RUNNING", Totals(delivered=1))


# ── the run as a whole ────────────────────────────────────────────────────────────────────────────


def test_metadata_and_data(tmp_path):
    """
    What is known of a run is a file of what is above all others, and the data that it has read are its inputs; what is
    known only later is told when the run is over.
    """
    sweep(tmp_path, "a", state="running")
    place = tmp_path / "runs" / RUN / "run.json"
    source = {"path": "data/a.csv", "kind": "file", "size_bytes": 3, "checksum": "sha256:" + "0123456789abcdef" * 4}
    place.write_text(json.dumps({"metadata": {"seeds": {}, "data_sources": {"sources": [source]}}}))
    memory = Memory()
    delivery = begun(tmp_path, memory)
    steps(delivery)
    early = json.loads(memory.named("sweep").files["metadata.json"])
    place.write_text(json.dumps({"metadata": {"seeds": {"numpy": 7}}}))
    steps(delivery)
    between = json.loads(memory.named("sweep").files["metadata.json"])
    state = tmp_path / "runs" / RUN / "p" / "process.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "state": "ended"}))
    steps(delivery)
    writes = memory.calls.count("write")
    delivery.give_up()
    delivered(tmp_path, memory)

    assert (early["data_sources"]["sources"], early["seeds"], between) == ([source], {}, early)
    assert json.loads(memory.named("sweep").files["metadata.json"])["seeds"] == {"numpy": 7}
    assert memory.named("sweep").data == [
        Data(
            name="a.csv",
            digest="0123456789abcdef0123456789abcdef0123",
            source_type="local",
            source='{"uri": "data/a.csv"}',
            profile=json.dumps({key: source[key] for key in ("kind", "size_bytes", "checksum")}),
        )
    ]
    assert (memory.named("a").data, "metadata.json" in memory.named("a").files) == ([], False)
    assert memory.calls.count("write") == writes


def test_what_a_process_took(tmp_path):
    """
    What a process and its machine took while an experiment was open is a metric of that experiment, told once.
    """
    made = sweep(tmp_path, "a", state="running")
    used = [(at, "process.cpu.utilization", {"gauge": [{"asDouble": at / 10}]}) for at in (1, 2, 20)]
    moved = (
        3,
        "system.network.io",
        {"sum": [{"asInt": "7", "attributes": attributes({"network.io.direction": "receive"})}]},
    )
    other = (4, "my.metric", {"gauge": [{"asDouble": 1.0}]})
    for line in (*used, moved, other):
        made.raw(metrics_line(*line), file="metrics-000000.jsonl")
    memory = Memory()
    totals = delivered(tmp_path, memory)
    delivered(tmp_path, memory)
    run = memory.named("sweep")

    assert run.series("system/process.cpu.utilization") == [(0, 0.1), (1, 0.2)]
    assert run.series("system/network.io.receive") == [(0, 7.0)]
    assert {point.key for point in run.points} == {
        *("branchline/duration", "system/process.cpu.utilization", "system/network.io.receive")
    }
    assert totals == Totals(delivered=5 + 5, withheld=2)


def metrics_line(at: float, name: str, data: Any) -> bytes:
    moment = {"timeUnixNano": str(BEGIN + int(at * 1e9))}
    metric = {
        "name": name,
        **{kind: {"dataPoints": [moment | point for point in points]} for kind, points in data.items()},
    }
    return orjson.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}) + b"\n"


# ── traces ────────────────────────────────────────────────────────────────────────────────────────


def test_traces(tmp_path):
    """
    A branch that has ended is a trace of its own, told once with its run; an experiment alone is none.
    """
    sweep(tmp_path, "a", "b")
    memory, album, again = Memory(), Album(), Album()
    delivered(tmp_path, memory, album=album)
    delivered(tmp_path, memory, album=again)

    assert album.told() == [
        ("a", ["a", "train"], memory.named("a").run_id, False),
        ("b", ["b", "train"], memory.named("b").run_id, False),
    ]
    assert [part.root[1] for part in album.parts] == [f"{10:016x}", f"{11:016x}"]
    assert again.parts == []


def test_spans_that_come_late(tmp_path):
    """
    What ends after its branch is told below the same root, with its parent, also by whoever begins anew.
    """
    made = journal(tmp_path, run=RUN, process="p", state="running")
    made.spans(branch(1, "a", parent=None))
    memory, album, again = Memory(), Album(), Album()
    delivery = begun(tmp_path, memory, album=album)
    steps(delivery)
    made.spans(span(2, "late", parent=1))
    steps(delivery)
    delivery.give_up()
    made.spans(span(3, "later", parent=2))
    delivered(tmp_path, memory, album=again)

    assert album.told() == [("a", ["a"], "r1", False), ("a", ["late"], "r1", True)]
    assert again.told() == [("a", ["later"], "r1", True)]
    assert again.parts[0].parents == {f"{3:016x}": f"{2:016x}"}


def test_half_a_branch_before_a_restart(tmp_path):
    """
    The spans of a branch that was still open when somebody else went on are told with the rest.
    """
    made = journal(tmp_path, run=RUN, process="p", state="running")
    made.logs(opened(1, "a", kind="branch", identity=of_branch("a"))).spans(span(2, "first", parent=1))
    memory, album = Memory(), Album()
    delivered(tmp_path, memory, album=album)
    before = album.told()
    made.spans(span(3, "second", parent=1), branch(1, "a", parent=None))
    delivered(tmp_path, memory, album=album)

    assert (before, album.told()) == ([], [("a", ["a", "first", "second"], "r1", False)])


@pytest.mark.parametrize(
    ("outcome", "status"), [("success", "FINISHED"), ("failed", "FAILED"), ("interrupted", "KILLED")]
)
def test_steps_alone(tmp_path, outcome, status):
    """
    A run of steps alone is one run, as good as the worst of them, and each step that is in no other is a trace.
    """
    made = journal(tmp_path, run=RUN, process="p")
    made.spans(span(2, "inner", parent=1), span(1, "load"), span(3, "train", outcome=outcome, end=5.0))
    memory, album = Memory(), Album()
    delivered(tmp_path, memory, album=album)
    run = memory.named("demo")

    assert (run.status, run.experiment, run.start_ms, run.end_ms) == (status, "id of demo", BEGIN_MS, BEGIN_MS + 5_000)
    assert album.told() == [("load", ["inner", "load"], "r1", False), ("train", ["train"], "r1", False)]


def test_steps_beside_an_experiment(tmp_path):
    """
    Steps outside of an experiment make no run of their own.
    """
    sweep(tmp_path, "a").spans(span(50, "load"))
    memory, album = Memory(), Album()
    delivered(tmp_path, memory, album=album)

    assert ([run.name for run in memory.runs.values()], len(album.parts)) == (["sweep", "a"], 1)


def test_a_step_in_a_trace_of_its_own(tmp_path):
    """
    A step that has begun a trace of its own inside of a branch is told with the branch.
    """
    made = journal(tmp_path, run=RUN, process="p")
    made.spans(span(5, "apart", trace="e" * 32, own=of_branch("a"), start=0.5), branch(1, "a", parent=None))
    album = Album()
    delivered(tmp_path, Memory(), album=album)

    assert album.told() == [("a", ["a", "apart"], "r1", False)]


def test_nobody_takes_traces(tmp_path):
    """
    Where MLflow is too old for traces, runs come without them.
    """
    sweep(tmp_path, "a")
    memory, album = Memory(), Album()
    album.reason = "too old"
    delivered(tmp_path, memory, album=album)

    assert (memory.named("a").status, album.parts) == ("FINISHED", [])


def test_a_trace_that_is_refused(tmp_path):
    """
    A trace that is refused is kept with its reason and costs its run nothing; one that comes another time, waits.
    """
    sweep(tmp_path, "a", "b")

    def look(part: TracePart) -> None:
        if part.name == "a":
            raise failure("refused", "poison")
        if part.name == "b" and not waited:
            waited.append(part)
            raise failure("retry", "busy")

    waited: list[TracePart] = []
    memory, album = Memory(), Album(look)
    delivery = begun(tmp_path, memory, album=album)
    first, second = steps(delivery), steps(delivery)
    letters = [letter for path in files(delivery.folder) for letter in letters_in(path)]

    assert (first.message, second.kind, [name for name, *_ in album.told()]) == ("busy", "nothing", ["b"])
    assert [(letter.message, letter.items) for letter in letters] == [("poison", 0)]
    assert [whole(memory.named(name))[0] for name in ("a", "b")] == ["FINISHED", "FINISHED"]
    assert memory.calls.count("end") == 3


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("call", ["create", "created", "log", "logged", "write", "end"])
def test_killed_at_any_call(tmp_path, call):
    """
    Killed before or after any call, and begun anew until all is told: every run is there once, and whole.
    """
    sweep(tmp_path, "a", "b")
    memory = Memory()
    for kill in range(9):
        left = kill

        def look(name: str, about: object) -> None:
            nonlocal left
            left -= name == call
            if name == call and left < 0:
                raise Killed

        memory.look = look
        delivery = begun(tmp_path, memory)
        try:
            if steps(delivery).kind == "nothing":
                break
        except Killed:
            pass
        finally:
            delivery.claim.give_up()
    memory.look = lambda name, about: None
    delivered(tmp_path, memory)

    assert sorted(run.name for run in memory.runs.values()) == ["a", "b", "sweep"]
    for name in ("a", "b"):
        run = memory.named(name)
        assert (run.status, run.params, set(run.series("loss"))) == (
            "FINISHED",
            {"n": name},
            {(1, 0.5), (2, 0.25)},
        )


def test_points_are_not_told_again(tmp_path):
    """
    Points that were acknowledged before a kill are not told again after it, though the cursor has not passed them.
    """
    sweep(tmp_path, "a", "b")
    memory = Memory()

    def look(name: str, about: object) -> None:
        if name == "create" and about == "b":
            raise Killed

    memory.look = look
    until_killed(tmp_path, memory)
    position = cursors.load(tmp_path / "cursors" / "mlflow" / RUN).places
    memory.look = lambda name, about: None
    delivered(tmp_path, memory)

    assert position == {}
    assert [memory.named(name).series("loss") for name in ("a", "b")] == [[(1, 0.5), (2, 0.25)]] * 2


def test_a_lost_answer(tmp_path):
    """
    Where the answer to a creation was lost, the run is found by its tag, and not created again.
    """
    sweep(tmp_path, "a")
    memory = Memory()

    def look(name: str, about: object) -> None:
        if name == "created" and about == "a":
            memory.look = lambda name, about: None
            raise failure("retry", "reset")

    memory.look = look
    delivery = begun(tmp_path, memory)
    first = steps(delivery)
    second = steps(delivery)

    assert (first.kind, first.message, second.kind) == ("wait", "reset", "nothing")
    assert sorted(run.name for run in memory.runs.values()) == ["a", "sweep"]
    assert memory.calls.count("create") == 2


def test_a_lost_answer_later_on(tmp_path):
    """
    So it is where nothing was open when the delivery began, and nobody had a reason to look.
    """
    made = sweep(tmp_path, "a", state="running")
    memory = Memory()
    delivered(tmp_path, memory)
    made.spans(branch(50, "late"))

    def look(name: str, about: object) -> None:
        if name == "created":
            memory.look = lambda name, about: None
            raise failure("retry", "reset")

    memory.look = look
    delivery = begun(tmp_path, memory)
    kinds = [steps(delivery).kind, steps(delivery).kind]

    assert kinds == ["wait", "nothing"]
    assert sorted(run.name for run in memory.runs.values()) == ["a", "late", "sweep"]


def test_a_lost_cursor(tmp_path):
    """
    Where what was noted is gone, runs are found by their tags.
    """
    sweep(tmp_path, "a", "b")
    memory = Memory()
    delivered(tmp_path, memory)
    (tmp_path / "cursors" / "mlflow" / RUN / "cursor.json").unlink()
    delivered(tmp_path, memory)

    assert sorted(run.name for run in memory.runs.values()) == ["a", "b", "sweep"]


def test_what_was_created_twice(tmp_path):
    """
    A server that was asked twice by MLflow's own client has two runs: the one that nobody knows of goes.
    """
    sweep(tmp_path, "a")
    memory = Memory(is_remote=True)

    def look(name: str, about: object) -> None:
        if name == "created" and about == "a":
            made = memory.named("a")
            memory.runs["twin"] = Run("twin", made.experiment, "a", made.start_ms, dict(made.tags), made.parent)

    memory.look = look
    delivered(tmp_path, memory)

    assert (memory.deleted, memory.named("a").status) == (["twin"], "FINISHED")


def test_a_server_that_is_down(tmp_path):
    """
    While nobody answers, nothing is lost and nothing moves; when somebody does, it goes on.
    """
    sweep(tmp_path, "a")
    memory = Memory()

    def look(name: str, about: object) -> None:
        raise failure("retry", "down")

    memory.look = look
    delivery = begun(tmp_path, memory)
    down = [steps(delivery) for _ in range(3)]
    totals = delivery.cursor.totals()
    memory.look = lambda name, about: None
    steps(delivery)

    assert [(step.kind, step.message) for step in down] == [("wait", "down")] * 3
    assert totals == Totals()
    assert memory.named("a").series("loss") == [(1, 0.5), (2, 0.25)]


def test_an_entry_that_is_refused(tmp_path):
    """
    What MLflow never takes is kept with its reason, counted and said; all others arrive.
    """
    made = journal(tmp_path, run=RUN, process="p")
    made.logs(*(point("loss", number, number=1, step=number) for number in range(50)))
    made.spans(branch(1, "a", parent=None))
    memory = Memory()

    def look(name: str, about: Any) -> None:
        if name == "log" and (13 in [at.step for at in about.points] or "n" in dict(about.params)):
            raise failure("refused", "poison")

    memory.look = look
    told = Told()
    totals = delivered(tmp_path, memory, told=told)
    folder = tmp_path / "cursors" / "mlflow" / RUN
    letters = [letter for path in files(folder) for letter in letters_in(path)]

    run = memory.named("a")
    assert [step for step, _ in run.series("loss")] == [step for step in range(50) if step != 13]
    assert (run.status, run.params) == ("FINISHED", {})
    assert totals == Totals(delivered=50, rejected=1)
    assert sorted(letter.line for letter in letters) == [
        b'{"run":"r1","params":[["n","a"]]}\n',
        b'{"run":"r1","points":[["loss",13.0,1700000000000,13]]}\n',
    ]
    assert {letter.message for letter in letters} == {"poison"}
    assert told.lines == [f"MLflow refused 2 entries: poison; kept with the reason in {folder}"]


@pytest.mark.parametrize(("kind", "message"), [("missing", "gone"), ("refused", "must be in the 'active' state")])
def test_a_run_that_was_deleted(tmp_path, kind, message):
    """
    A run that somebody has deleted in MLflow stays so; others go on.
    """
    sweep(tmp_path, "a", "b")
    memory = Memory()

    def look(name: str, about: Any) -> None:
        if name == "log" and ("n", "a") in about.params:
            raise failure(kind, message)

    memory.look = look
    totals = delivered(tmp_path, memory)
    again = Memory()
    delivered(tmp_path, again)

    assert (memory.named("a").status, memory.named("b").status) == ("RUNNING", "FINISHED")
    assert (totals, again.calls) == (Totals(delivered=7, rejected=2, withheld=3), [])


def test_one_that_fails_for_ever(tmp_path):
    """
    A server that fails on one branch only, again and again, does not hold up the others: in the end that one is kept
    with the reason, and given up.
    """
    sweep(tmp_path, "a", "b", "c")
    memory = Memory()

    def look(name: str, about: Any) -> None:
        if name == "log" and ("n", "a") in about.params:
            raise failure("retry", "500", "INTERNAL_ERROR")

    memory.look = look
    told = Told()
    delivery = begun(tmp_path, memory, told=told)
    kinds = [steps(delivery).kind]
    while kinds[-1] == "wait":
        kinds.append(steps(delivery).kind)

    assert kinds == ["wait"] * 6 + ["nothing"]
    assert {run.name: run.status for run in memory.runs.values()} == {
        "sweep": "FINISHED",
        "a": "RUNNING",
        "b": "FINISHED",
        "c": "FINISHED",
    }
    assert delivery.cursor.totals() == Totals(delivered=11, rejected=2, withheld=4)
    assert len(told.lines) == 1


def test_another_chance(tmp_path):
    """
    Once the cause is gone, one that was given up is told after all, with the points that the cursor has passed.
    """
    sweep(tmp_path, "a", "b")
    memory = Memory()

    def look(name: str, about: Any) -> None:
        if name == "create" and about == "a":
            raise failure("refused", "no")

    memory.look = look
    delivered(tmp_path, memory)
    before = sorted(run.name for run in memory.runs.values())
    memory.look = lambda name, about: None
    again: set[str] = set()
    delivery = begun(tmp_path, memory, again=again)
    again.add(f"{10:016x}")
    delivery.recounted({})
    steps(delivery)

    assert before == ["b", "sweep"]
    assert [whole(memory.named(name))[:3] for name in ("a", "b")] == [
        ("FINISHED", {"n": name}, [(1, 0.5), (2, 0.25)]) for name in ("a", "b")
    ]


def test_somebody_who_may_not(tmp_path):
    """
    Who may not write today may be allowed to tomorrow: nothing is given up for it.
    """
    sweep(tmp_path, "a")
    memory = Memory()

    def look(name: str, about: object) -> None:
        raise failure("refused", "not yours", "PERMISSION_DENIED")

    memory.look = look
    delivery = begun(tmp_path, memory)

    assert (steps(delivery), delivery.cursor.totals()) == (Step("wait", message="not yours"), Totals())
