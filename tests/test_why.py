"""`branchline why`: what differs between two runs, beside what has moved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import branchline as bl
from branchline.cli import main
from branchline.metadata import MetadataRecorder
from branchline.read import open_runs
from branchline.read.differences import Difference, differences, undescribed
from branchline.read.movements import Movement, movements
from journals import journal, span


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    bl.shutdown()


def two(first, second):
    """Record a run with each of the functions *first* and *second*, and return both."""
    for name, work in (("one", first), ("two", second)):
        with bl.configure("test", run_id=name, console=False):
            work()
    runs = open_runs(".branchline")
    return runs["one"], runs["two"]


def described(run, **sections):
    """Write *sections* over those of the metadata of *run*, and return it anew."""
    path = run.directory / "run.json"
    known = json.loads(path.read_text())
    known["metadata"] |= sections
    path.write_text(json.dumps(known))
    return open_runs(".branchline")[run.id]


def nothing():
    pass


def differing(**sections):
    """What differs where of two runs each section is as the pair says."""
    one, two_ = two(nothing, nothing)
    before = described(one, **{name: pair[0] for name, pair in sections.items()})
    after = described(two_, **{name: pair[1] for name, pair in sections.items()})
    return differences(before, after)


# ── what differs ──────────────────────────────────────────────────────────────────────────────────
def test_nothing_differs():
    """
    Two runs of the same program differ in nothing.
    """
    assert differences(*two(nothing, nothing)) == ()


def test_the_code():
    """
    Of the code there is the commit, the branch and what was changed, each once.
    """
    before = {"commit": "a" * 40, "branch": "main", "is_dirty": False}
    after = {"commit": "b" * 40, "branch": "main", "is_dirty": True, "patch_checksum": "sha256:cc"}

    assert differing(code=(before, after)) == (
        Difference(section="code", name="commit", before="a" * 40, after="b" * 40),
        Difference(section="code", name="uncommitted changes", before="none", after="sha256:cc"),
    )


def test_packages():
    """
    Of packages the largest change comes first; then those that are new or gone.
    """
    before = {"versions": {"a": "1.2.3", "b": "1.0", "c": "1.0", "same": "1"}}
    after = {"versions": {"a": "1.2.4", "b": "2.0", "d": "1.0", "same": "1"}}

    assert differing(packages=(before, after)) == (
        Difference(section="packages", name="b", before="1.0", after="2.0"),
        Difference(section="packages", name="a", before="1.2.3", after="1.2.4"),
        Difference(section="packages", name="c", before="1.0", after=None),
        Difference(section="packages", name="d", before=None, after="1.0"),
    )


def test_arguments():
    """
    Arguments are compared by their flags, not by their places.
    """
    before = {"argv": ["train.py", "data", "--lr", "0.1", "--seed=1", "-v"]}
    after = {"argv": ["train.py", "--seed", "1", "--lr=-0.2", "other"]}

    assert differing(process=(before, after)) == (
        Difference(section="process", name="argument 1", before="data", after="other"),
        Difference(section="process", name="--lr", before="0.1", after="-0.2"),
        Difference(section="process", name="-v", before=True, after=None),
    )


def test_the_rest():
    """
    Environment, data, seeds, machine and runtime: each difference once, the important sections first.
    """
    source = {"path": "data.csv", "size_bytes": 5}
    found = differing(
        environment=(
            {"python_version": "3.11.7", "variables": {"TZ": "UTC"}},
            {"python_version": "3.12.1", "variables": {}},
        ),
        data_sources=({"sources": [source]}, {"sources": [{**source, "checksum": "sha256:aa"}]}),
        seeds=({"numpy": 1}, {"numpy": 2}),
        machine=({"cpu_count": 2}, {"cpu_count": 4}),
        runtime=({"facts": ["ci"]}, {"facts": ["slurm"]}),
        configuration=({"model": "m", "deep": {"k": 1}}, {"model": "m", "deep": {"k": 2}}),
    )

    assert found == (
        Difference(section="configuration", name="deep.k", before=1, after=2),
        Difference(section="data_sources", name="data.csv", before="5 bytes", after="sha256:aa"),
        Difference(section="seeds", name="numpy", before=1, after=2),
        Difference(section="packages", name="python", before="3.11.7", after="3.12.1"),
        Difference(section="environment", name="TZ", before="UTC", after=None),
        Difference(section="machine", name="cpu_count", before=2, after=4),
        Difference(section="runtime", name="ci", before=True, after=None),
        Difference(section="runtime", name="slurm", before=None, after=True),
    )


def sweep(*configs, names=None, metric=None):
    def work():
        with bl.experiment("sweep"):
            for place, config in enumerate(configs):
                with bl.branch(config, name=None if names is None else names[place]) as branch:
                    if metric is not None:
                        branch.metric("score", metric[place])

    return work


def test_settings_of_named_branches():
    """
    Branches of the same name are the same: a setting that changed in some of them says in which.
    """
    one, other = two(
        sweep({"k": 1, "m": 1}, {"k": 1, "m": 2}, names=["a", "b"]),
        sweep({"k": 2, "m": 1}, {"k": 2, "m": 3}, names=["a", "b"]),
    )

    assert differences(one, other) == (
        Difference(section="configuration", name="k", before=1, after=2),
        Difference(section="configuration", name="m", before=2, after=3, where=("b",)),
    )


def test_settings_of_renamed_branches():
    """
    A branch that is called by its configuration has another name when that changes: it is still the same.
    """
    one, other = two(sweep({"k": 1}, {"k": 2}), sweep({"k": 1}, {"k": 3}))

    assert differences(one, other) == (
        Difference(section="configuration", name="k", before=2, after=3, where=("k=2",)),
    )


def test_settings_of_any_shape():
    """
    Settings that are lists of mappings, or mappings with nothing in them, are compared as all others.
    """
    one, other = two(
        sweep({"layers": [{"n": 1}], "empty": {}}, names=["a"]),
        sweep({"layers": [{"n": 2}], "empty": [1]}, names=["a"]),
    )

    assert {difference.name for difference in differences(one, other)} == {"layers", "empty"}
    assert "layers" in why()


def test_more_branches():
    """
    Branches that only one of the runs has are named.
    """
    one, other = two(sweep({"k": 1}), sweep({"k": 1}, {"k": 2}, {"k": 3}))

    assert differences(one, other) == (
        Difference(section="configuration", name="branches", before=None, after="k=2, k=3"),
    )


def asking(model, cost="0.01", tokens=100, step="ask"):
    def work():
        with bl.step(step):
            bl.record_usage(model, input_tokens=tokens, cost=cost)

    return work


def test_models():
    """
    Another model is told of with the step that asks it.
    """
    one, other = two(asking("gpt-4o"), asking("gpt-4o-mini"))

    assert differences(one, other) == (
        Difference(section="models", name="model", before=("gpt-4o",), after=("gpt-4o-mini",), where=("ask",)),
    )


def test_a_run_without_metadata():
    """
    Where nobody has written down what a run ran in, what there is is compared, and it says of which.
    """
    one, other = two(sweep({"k": 1}), sweep({"k": 2}))
    (one.directory / "run.json").unlink()
    one = open_runs(".branchline")["one"]

    assert [difference.name for difference in differences(one, other)] == ["k"]
    assert undescribed(one, other) == (one,)


# ── what moved ────────────────────────────────────────────────────────────────────────────────────
def moves(before, after):
    """What has moved, but for time, of which real programs take whatever they take."""
    return [movement for movement in movements(before, after) if movement.kind != "time"]


def test_nothing_moved():
    """
    What is as it was has not moved.
    """
    assert moves(*two(sweep({"k": 1}), sweep({"k": 1}))) == []


def took(run, *lengths, whole=10.0, start=0.0):
    """A run that is written by hand: one step `work` for each of *lengths*, in seconds."""
    made = journal(Path(".branchline"), run=run, start=start, end=start + whole)
    made.spans(*(span(number, "work", start=start, end=start + each) for number, each in enumerate(lengths, start=1)))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([1.0], [1.05], []),
        ([1.0], [1.2], [("step", 1.0, 1.2, 1)]),
        ([1.2], [1.0], [("step", 1.2, 1.0, 1)]),
        ([0.001], [0.004], []),
        ([0.001] * 100, [0.004] * 100, [("step", 0.001, 0.004, 100)]),
        ([0.5, 1.0, 9.0], [0.5, 2.0, 9.0], [("step", 1.0, 2.0, 3)]),
    ],
)
def test_time(before, after, expected):
    """
    A step takes longer if its median does by a tenth, and that is not next to nothing of the run.
    """
    took("one", *before)
    took("two", *after)
    runs = open_runs(".branchline")

    found = movements(runs["one"], runs["two"])
    assert [(each.level, each.samples) for each in found] == [(level, samples) for level, _, _, samples in expected]
    assert [(each.before, each.after) for each in found] == [pytest.approx(each[1:3]) for each in expected]


@pytest.mark.parametrize(("whole", "count"), [(10.05, 0), (12.0, 1)])
def test_time_of_a_run(whole, count):
    """
    A run takes longer if it does by a tenth.
    """
    took("one", whole=10.0)
    took("two", whole=whole)
    runs = open_runs(".branchline")

    assert [each.level for each in movements(runs["one"], runs["two"])] == ["run"] * count


def test_cost_and_tokens():
    """
    What a run cost and took has moved, as a whole.
    """
    moved = moves(*two(asking("m", "0.01", 100), asking("m", "0.03", 150)))

    assert [(each.kind, each.name, each.before, each.after, each.level) for each in moved] == [
        ("cost", "cost", 0.01, 0.03, "run"),
        ("tokens", "input tokens", 100, 150, "run"),
    ]
    assert moved[0].ratio == pytest.approx(3.0)


def test_metrics():
    """
    Metrics of branches and of the run have moved, those that moved furthest first; what stayed is not told.
    """
    one, other = two(
        sweep({"k": 1}, {"k": 2}, {"k": 3}, metric=[1.0, 1.0, 1.0]),
        sweep({"k": 1}, {"k": 2}, {"k": 3}, metric=[0.9, 0.5, 1.0]),
    )

    assert [(each.name, each.of, each.before, each.after) for each in moves(one, other)] == [
        ("score", "k=2", 1.0, 0.5),
        ("score", "k=1", 1.0, 0.9),
    ]


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        (float("nan"), float("nan"), 0),
        (float("inf"), float("inf"), 0),
        (1.0, float("nan"), 1),
        (float("inf"), 1.0, 1),
        (0.0, 1.0, 1),
        (-1.0, 1.0, 1),
        (1.0, 1.0005, 0),
    ],
)
def test_odd_metrics(before, after, count):
    """
    What is not finite has moved when it is something else, and is told of.
    """
    one, other = two(sweep({"k": 1}, metric=[before]), sweep({"k": 1}, metric=[after]))

    assert len(moves(one, other)) == count
    assert why().count("score") == count
    assert len([each for each in json.loads(why("--json"))["moved"] if each["kind"] == "metric"]) == count


def failing(*configs):
    def work():
        with bl.experiment("sweep"):
            for config in configs:
                try:
                    with bl.branch({"k": 1}), bl.step("work"):
                        if config:
                            raise ValueError("boom")
                except ValueError:
                    pass

    return work


def test_outcomes():
    """
    What failed that had not, comes before everything else: the run, its branch, its step.
    """
    moved = moves(*two(failing(False), failing(True)))

    assert [(each.kind, each.level, each.of, each.name, each.before, each.after) for each in moved] == [
        ("outcome", "run", "", "errors", 0, 1),
        ("outcome", "branch", "k=1", "ended", "success", "failed"),
        ("outcome", "step", "work", "failed", 0, 1),
    ]


@pytest.mark.parametrize(
    ("before", "after", "ratio"), [(2, 3, 1.5), (0, 3, None), ("a", "b", None), (None, 1, None), (4, 0, 0.0)]
)
def test_ratio(before, after, ratio):
    """
    A ratio is there where both are numbers and the first is not zero.
    """
    assert Movement(kind="metric", name="x", before=before, after=after).ratio == ratio


# ── the command ───────────────────────────────────────────────────────────────────────────────────
def why(*arguments, code=0, width="100"):
    result = CliRunner().invoke(main, ["why", *arguments], env={"COLUMNS": width})
    assert result.exit_code == code, result.output
    # But for time: real programs take what they take.
    return "".join(line for line in result.output.splitlines(keepends=True) if not line.startswith("time "))


def trained(model, seed, data, score):
    def work():
        Path("data.csv").write_text(data)
        recorder = MetadataRecorder()
        recorder.set_config(model=model)
        recorder.add_data_source("data.csv")
        recorder.record_seed("numpy", seed)
        sweep({"k": 1}, {"k": 2}, metric=score)()

    return work


def test_command():
    """
    The command says what differs, then what moved, in columns, and nothing that is the same.
    """
    two(trained("small", 1, "one", [0.5, 1.0]), trained("large", 2, "two", [0.75, 1.0]))
    lines = [" ".join(line.split()) for line in why().splitlines()]

    assert lines[0].startswith("before ✓ test one")
    assert lines[1].startswith("after ✓ test two")
    assert lines[2:] == [
        "",
        "what differs",
        "configuration model small → large",
        "data data.csv 7692c3ad3540 → 3fc4ccfe7458",
        "seeds numpy 1 → 2",
        "",
        "what moved",
        "metric score branch k=1 0.5 → 0.75 +50 %",
    ]


@pytest.mark.parametrize("width", ["60", "80", "100", "200"])
def test_width(width):
    """
    No line is wider than the terminal, and what changed is not cut where there is room for it.
    """
    long = "a-model-with-a-rather-long-name-that-goes-on"
    two(trained(long, 1, "one", [0.5, 1.0]), trained(f"{long}-and-on", 2, "two", [0.75, 1.0]))
    printed = why(width=width)

    assert max(map(len, printed.splitlines())) <= max(int(width), 72)
    assert "0.5 → 0.75" in printed


def test_never_a_wall():
    """
    Of a section with many differences there are a few, and how many more there are; --all shows them.
    """
    one, other = two(nothing, nothing)
    described(one, packages={"versions": {f"p{number:02}": "1.0" for number in range(40)}})
    described(other, packages={"versions": {f"p{number:02}": "2.0" for number in range(40)}})

    assert why().count("1.0 → 2.0") == 6
    assert "… 34 more packages; --all" in why()
    assert why("--all").count("1.0 → 2.0") == 40


def test_all_branches_alike():
    """
    What is the same for several branches is one line.
    """
    two(sweep({"k": 1}, {"k": 2}, metric=[1.0, 1.0]), sweep({"k": 1}, {"k": 2}, metric=[0.5, 0.5]))

    assert " ".join(why().splitlines()[-1].split()) == "metric score 2 branches 1 → 0.5 -50 %"


def test_nothing_to_say():
    """
    Two runs that are the same are told of as that.
    """
    two(nothing, nothing)
    lines = why().splitlines()

    assert lines[3:5] == ["what differs", "  nothing that was recorded"]
    assert lines[6] == "what moved"


def test_which_runs():
    """
    Without saying which, it is the last run and the one before, of the same service.
    """
    for service, run_id in (("a", "a1"), ("b", "b1"), ("a", "a2")):
        with bl.configure(service, run_id=run_id, console=False):
            pass

    said = [json.loads(why("--json", *words)) for words in ((), ("b1",), ("a1", "b1"))]
    assert [(each["before"]["id"], each["after"]["id"]) for each in said] == [("a1", "a2"), ("b1", "a2"), ("a1", "b1")]


def test_json():
    """
    As JSON there is everything, with the values as they were recorded.
    """
    two(trained("small", 1, "one", [0.5, 1.0]), trained("large", 2, "two", [0.75, 1.0]))
    said = json.loads(why("--json"))

    assert said["differs"][0] == {
        "section": "configuration",
        "name": "model",
        "before": "small",
        "after": "large",
        "where": [],
    }
    moved = [(each["kind"], each["of"], each["before"], each["after"]) for each in said["moved"]]
    assert [each for each in moved if each[0] != "time"] == [("metric", "k=1", 0.5, 0.75)]
    assert said["moved"][0]["ratio"] == 1.5
    assert said["undescribed"] == []


@pytest.mark.parametrize(("arguments", "words"), [((), "no run before one"), (("nothing",), "no run 'nothing'")])
def test_runs_that_are_not_there(arguments, words):
    """
    What cannot be compared is said in one line.
    """
    with bl.configure("test", run_id="one", console=False):
        pass

    said = why(*arguments, code=1)
    assert (said.count("\n"), words in said) == (1, True)


def test_hostile_names():
    """
    Nothing that was recorded can steer a terminal.
    """
    two(sweep({"k": "\x1b[2J\n1"}, names=["a\x1b]0;x\x07"]), sweep({"k": "[bold]2"}, names=["a\x1b]0;x\x07"]))
    printed = why()

    assert "\x1b" not in printed
    assert "[bold]2" in printed
