"""The command line: what a person sees of the runs on disk, and what a program gets."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from branchline.cli import main
from branchline.cli.paint import ago
from branchline.cli.show import run_picture
from branchline.cli.tree import tree_text
from branchline.read import Summary, open_runs, summaries
from journals import BEGIN, SECOND, TRACE, Journal, checkpoint, event, journal, log, opened, point, raised, span


NOW = BEGIN / SECOND + 200


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("COLUMNS", raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def called(*words: object) -> Result:
    """Run the command with *words* as its arguments."""
    return CliRunner().invoke(main, [str(word) for word in words])


def picture(directory: Path, *, width: int = 120, is_whole: bool = False) -> str:
    """Return what ``branchline show`` draws of the only run, without the blanks at the ends of lines."""
    [run] = open_runs(directory, recover=False)
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    for part in run_picture(console, run, now=NOW, is_whole=is_whole):
        console.print(part, soft_wrap=True)
    file = console.file
    assert isinstance(file, io.StringIO)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def tree_part(directory: Path, *, is_whole: bool = False) -> str:
    """Return the tree alone: what stands between the first and the second empty line."""
    return picture(directory, is_whole=is_whole).split("\n\n")[1]


def branch(number: int, title: str, status: str, /, *, start: float, end: float, **config: object) -> dict[str, object]:
    own = {"branchline.branch.id": title, "branchline.branch.name": title, "branchline.branch.status": status}
    settings = {f"branchline.config.{key}": value for key, value in config.items()}
    return span(
        number, title, kind="branch", parent=1, outcome=status, start=start, end=end, own=own | settings | {"note": 1}
    )


def search(directory: Path) -> Journal:
    """Write a run with an experiment of three branches."""
    return journal(directory, end=3.2).spans(
        span(1, "search", kind="experiment", end=3.1),
        branch(2, "baseline", "success", start=0.1, end=1.2, name="baseline", model="very small", lr=0.1, seed=1),
        span(3, "load", parent=2, start=0.2, end=0.23, events=[event("loaded", 0.21, rows=3)]),
        *[span(100 + number, "embed", parent=2, start=0.3, end=0.3 + number / 1000) for number in range(1, 14)],
        branch(4, "bold", "failed", start=1.2, end=2, name="bold", model="large", lr=0.5, seed=1),
        span(
            5,
            "train",
            parent=4,
            outcome="failed",
            code=2,
            start=1.3,
            end=1.9,
            events=[raised("ValueError", "too bold")],
        ),
        branch(6, "idle", "skipped", start=2, end=2, name="idle", model="large", seed=1),
    )


# ── show ──────────────────────────────────────────────────────────────────────────────────────────
def test_show(tmp_path: Path) -> None:
    """
    A run is its head, its tree with durations in one column and many of the same as one line, and its branches compared
    by what they did and by the settings in which they differ
    (a setting that is the branch's name says nothing more).
    """
    search(tmp_path)

    assert (
        picture(tmp_path)
        == """\
✓ demo  20260101-120000-000-abcdef
  ended · 2023-11-14 22:13:20 (3 min ago) · 3.20 s · 15 steps · 1 failed

✓ experiment search      3.10 s
├─ ✓ branch baseline     1.10 s
│  ├─ ✓ load              30 ms
│  │     · loaded rows=3
│  └─ ✓ embed ×13  p50 7.0 ms  max 13 ms
├─ ✗ branch bold         800 ms
│  └─ ✗ train            600 ms  ValueError: too bold
└─ ↷ branch idle           0 µs  skipped

branch    status     duration  steps  errors  stamps  model       lr
─────────────────────────────────────────────────────────────────────
baseline  ✓ success    1.10 s     14       0       1  very small  0.1
bold      ✗ failed     800 ms      1       1       0  large       0.5
idle      ↷ skipped      0 µs      0       0       0  large"""
    )


def test_show_metrics(tmp_path: Path) -> None:
    """
    A branch shows the last values of its metrics in the tree and in the table, as many as fit; what was measured
    outside of all branches has a table of its own.
    """
    search(tmp_path).logs(
        point("loss", 0.75, at=0.3, number=3, step=0),
        point("loss", 0.123456, at=0.4, number=3, step=1),
        point("tokens", 61_725, at=0.4, number=2),
        point("loss", "NaN", at=1.4, number=5),
        *[point(f"layer {number}", number / 7, at=1.5, number=4) for number in range(5)],
        point("rows", 10, at=3, unit="{row}"),
        point("rows", 4.5, at=3.1, unit="{row}"),
    )

    tree, table, loose = picture(tmp_path, width=100).split("\n\n")[1:]
    assert [line for line in tree.splitlines() if "branch" in line] == [
        "├─ ✓ branch baseline     1.10 s  loss 0.1235  tokens 61,725",
        "├─ ✗ branch bold         800 ms  loss nan  layer 0 0  layer 1 0.1429  layer 2 0.2857",
        "└─ ↷ branch idle           0 µs  skipped",
    ]
    assert table.splitlines() == [
        "branch    status     duration  steps  errors  stamps    loss  tokens  layer 0  layer 1  layer 2",
        "─" * 95,
        "baseline  ✓ success    1.10 s     14       0       1  0.1235  61,725",
        "bold      ✗ failed     800 ms      1       1       0     nan                0   0.1429   0.2857",
        "idle      ↷ skipped      0 µs      0       0       0",
        "… 2 more metrics, 2 more settings; --all shows them",
    ]
    assert loose.splitlines() == [
        "metric  points  last  least  most  unit",
        "─" * 40,
        "rows         2   4.5    4.5    10  {row}",
    ]


def many(directory: Path) -> None:
    """Write a run with steps and points of which there are many: a hundred, twenty, two, one."""
    journal(directory).spans(
        *[span(1000 + number, "load", end=number / 1000) for number in range(1, 101)],
        *[span(2000 + number, "twice", end=0.5) for number in range(2)],
        span(3000, "open", end=0.0, kind="branch"),
    ).logs(
        *[point("rows", 10 * number, at=number, unit="{row}") for number in range(20)],
        point("once", 1, at=1),
        point("rows", "NaN", at=30, unit="{row}"),
    )


def test_show_what_many_come_to(tmp_path: Path) -> None:
    """
    MX-63: steps and points of which there are twenty and more have a line with their mean and percentiles; --all has
    one for all of which there are two. What is no number does not count.
    """
    many(tmp_path)

    few, all_ = (
        next(part for part in picture(tmp_path, is_whole=is_whole).split("\n\n") if part.startswith("of many"))
        for is_whole in (False, True)
    )
    assert few.splitlines() == [
        "of many    count     min   mean    p50    p95    p99     max  unit",
        "─" * 67,
        "step load    100  1.0 ms  50 ms  50 ms  95 ms  99 ms  100 ms",
        "rows          20       0     95     95  180.5  188.1     190  {row}",
    ]
    assert all_.splitlines() == [
        "of many     count     min    mean     p50     p95     p99     max  unit",
        "─" * 72,
        "step load     100  1.0 ms   50 ms   50 ms   95 ms   99 ms  100 ms",
        "step twice      2  500 ms  500 ms  500 ms  500 ms  500 ms  500 ms",
        "rows           20       0      95      95   180.5   188.1     190  {row}",
    ]


def test_what_many_come_to_as_json(tmp_path: Path) -> None:
    """
    MX-63: a program gets the summary of every step and point, exactly, and so does who reads the run.
    """
    many(tmp_path)
    [run] = open_runs(tmp_path)

    found = json.loads(called("show", "--directory", tmp_path, "--json").stdout)["summaries"]
    assert found == [summary.to_dict() for summary in summaries(run)]
    assert [(each["metric"], each["attributes"], each["count"]) for each in found] == [
        ("branchline.step.duration", {"branchline.step.name": "load"}, 100),
        ("branchline.step.duration", {"branchline.step.name": "twice"}, 2),
        ("rows", {}, 20),
        ("once", {}, 1),
    ]
    assert summaries(run)[2] == Summary(
        metric="rows", unit="{row}", count=20, min=0, max=190, mean=95, p50=95, p95=180.5, p99=188.1
    )


def test_show_metrics_as_json(tmp_path: Path) -> None:
    """
    The whole of each point is in the JSON, and the last values with each branch; what is not finite is text.
    """
    search(tmp_path).logs(
        point("loss", "Infinity", at=0.3, number=3, step=2, unit="nat", own={"branchline.branch.name": "x", "a": 1})
    )

    document = json.loads(called("show", "--directory", tmp_path, "--json").stdout)
    assert document["points"] == [
        {
            "name": "loss",
            "value": "inf",
            "unit": "nat",
            "step": 2,
            "time": "2023-11-14T22:13:20.300000+00:00",
            "attributes": {"a": 1},
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "span_id": "0000000000000003",
            "step_name": "load",
            "branch_name": "x",
            "branch_id": "baseline",
            "experiment_name": None,
        }
    ]
    metrics = {span["name"]: span["metrics"] for span in document["spans"] if span["kind"] == "branch"}
    assert metrics == {"baseline": {"loss": "inf"}, "bold": {}, "idle": {}}
    assert document["logs"] == []


def test_tail_metrics(tmp_path: Path) -> None:
    """
    A point is a line with its value, unit, place in the series, attributes and the step it was recorded in.
    """
    search(tmp_path).logs(
        opened(3, "load", start=0.2),
        point("loss", 0.5, at=0.3, number=3, unit="1", step=2, own={"split": "dev"}),
        point("rows", 10_000, at=0.4, unit="{row}"),
    )

    lines = [line for line in called("tail", "-n", 100, "--directory", tmp_path).stdout.splitlines() if " · " in line]
    assert lines == [
        "22:13:20  · loaded rows=3  in load",
        "22:13:20  · loss 0.5 step=2 split=dev  in load",
        "22:13:20  · rows 10,000 row",
    ]


def test_colours(tmp_path: Path) -> None:
    """
    Only what matters has colour: signs, errors; guides and times are dim, and names are plain.
    """
    journal(tmp_path).spans(
        span(1, "job", events=[event("begun", 0, n=1)]),
        span(2, "load", parent=1, start=0.5, outcome="failed", code=2, message="gone"),
    )
    [run] = open_runs(tmp_path, recover=False)
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")

    console.print(tree_text(console, run.roots))

    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().replace("\x1b", "~").splitlines() == [
        "~[32m✓~[0m job    ~[2m     1.00 s~[0m",
        "~[2m│  ~[0m~[36m· ~[0mbegun~[2m n=1~[0m",
        "~[2m└─ ~[0m~[31m✗~[0m load~[2m     500 ms~[0m  ~[31mgone~[0m",
    ]


def test_show_a_killed_run(tmp_path: Path) -> None:
    """
    A killed run says in which step it was, since when, and what its last stamp was.
    """
    journal(tmp_path, state="running").logs(
        opened(1, "a", kind="branch"),
        opened(2, "train", parent=1, start=2),
        checkpoint(2, at=4, events=[("epoch", 2.5, {"n": 1}), ("epoch", 3.5, {"n": 2})]),
    )

    assert (
        picture(tmp_path)
        == """\
✗ demo  20260101-120000-000-abcdef
  killed · 2023-11-14 22:13:20 (3 min ago) · 3.50 s · 1 step · 1 interrupted
  killed: in step train since 22:13:22, last stamp epoch n=2 at 22:13:23

⚡ branch a  interrupted
└─ ⚡ train  interrupted
      · epoch n=1
      · epoch n=2

branch  status          duration  steps  errors  stamps
───────────────────────────────────────────────────────
a       ⚡ interrupted                1       0       2"""
    )


def test_show_what_is_missing(tmp_path: Path) -> None:
    """
    What was dropped or could not be read is said at the end.
    """
    counters = {"spans": {"dropped": {"queue_full": 1200}}}
    journal(tmp_path, counters=counters).spans(span(1, "a")).raw(b"{torn\n{torn\n")

    assert (
        picture(tmp_path).split("\n\n")[-1]
        == """\
! 1,200 records dropped before they reached the journal: queue_full
! host-1-a/traces-000000.jsonl, line 2 and later: damaged line (×2)"""
    )


def test_show_nothing(tmp_path: Path) -> None:
    """
    A run in which nothing was recorded says so.
    """
    journal(tmp_path)

    assert tree_part(tmp_path) == "nothing was recorded"


@pytest.mark.parametrize(("count", "lines"), [(12, 13), (13, 2)])
def test_folding(tmp_path: Path, count: int, lines: int) -> None:
    """
    Up to twelve steps of one name are shown one by one, more of them are one line; --all unfolds it.
    """
    steps = [span(10 + number, "embed", parent=1, start=number) for number in range(count)]
    journal(tmp_path).spans(span(1, "job"), *steps)

    assert len(tree_part(tmp_path).splitlines()) == lines
    assert len(tree_part(tmp_path, is_whole=True).splitlines()) == count + 1


def test_folded_endings(tmp_path: Path) -> None:
    """
    A folded line says how many did not end well, and looks like the worst of them.
    """
    endings = ["failed"] * 2 + ["cancelled"] + ["success"] * 1007
    steps = [
        span(10 + number, "embed", start=1, end=1.0031, outcome=ending, code=2 if ending == "failed" else 0)
        for number, ending in enumerate(endings)
    ]
    journal(tmp_path).spans(*steps)

    assert tree_part(tmp_path) == "✗ embed ×1,010  p50 3.1 ms  max 3.1 ms  2 failed  1 cancelled"


def test_many_names_and_stamps(tmp_path: Path) -> None:
    """
    Many siblings with names of their own, and many stamps, are cut with their number; the last stamp stays.
    """
    steps = [span(10 + number, f"step {number}", start=number, end=number + 1) for number in range(100)]
    steps[0]["events"] = [event(f"e{number}") for number in range(20)]
    journal(tmp_path).spans(*steps)

    lines = tree_part(tmp_path).splitlines()
    whole = tree_part(tmp_path, is_whole=True).splitlines()

    assert [line.strip() for line in lines[1:9]] == [
        *(f"· e{number}" for number in range(6)),
        "… 13 more stamps",
        "· e19",
    ]
    assert lines[-1] == "… 40 more"
    assert len(whole) == 120


def test_nothing_steers_the_terminal(tmp_path: Path) -> None:
    """
    Control characters and escapes from a journal are spelled out, wherever they stand.
    """
    evil = "\x1b[2J\x07\r\n\u202e[red]"
    own = {"branchline.branch.name": evil, "branchline.config." + evil: evil, "branchline.skip_reason": evil}
    run = journal(tmp_path, service=evil, run="one", counters={"spans": {"dropped": {evil: 1}}}).spans(
        span(
            1,
            evil,
            kind="experiment",
            outcome="failed",
            code=2,
            events=[event(evil, **{evil: evil}), raised(evil, evil)],
        ),
        span(2, evil, kind="branch", parent=1, own=own, outcome=evil),
        span(3, evil, kind="branch", parent=1, outcome="skipped", own={"branchline.branch.status": evil}),
        *[span(10 + number, evil, parent=1, outcome=evil) for number in range(20)],
    )
    own |= {evil: evil, "branchline.level": evil, "exception.type": evil, "exception.message": evil}
    run.logs(
        log(evil, name=evil, own=own, severity=(9, evil)),
        log(evil, name=evil, own=own, severity=(17, evil), number=1),
    )

    printed = "".join(
        called(*words, "--directory", tmp_path).output
        for words in (["runs"], ["show"], ["show", "--all"], ["tail"], ["logs"])
    )

    assert set(printed) & set("\x1b\x07\r\u202e") == set()
    assert r"\x1b[2J\x07\r\n\u202e[red]" in printed


def test_show_json(tmp_path: Path) -> None:
    """
    --json gives a program everything: spans flat with their parents' ids, values that JSON has no word for as text.
    """
    own = {"data": b"\xff", "n": 2**53 + 1, "nan": float("nan")}
    written = span(2, "load", parent=1, start=1, own=own, events=[event("loaded", 1, rows=3)])
    written["attributes"][-1]["value"] = {"doubleValue": "NaN"}
    journal(tmp_path, run="one").spans(written, span(1, "a", kind="branch", own={"branchline.config.lr": 0.1}))

    document = json.loads(called("show", "one", "--json", "-d", tmp_path).output)

    assert [(found["name"], found["parent_id"]) for found in document["spans"]] == [("a", None), ("load", f"{1:016x}")]
    assert document["spans"][0]["config"] == {"lr": 0.1}
    assert document["spans"][1]["attributes"] == {"data": "/w==", "n": 2**53 + 1, "nan": "nan"}
    assert document["spans"][1]["stamps"] == [
        {"name": "loaded", "time": "2023-11-14T22:13:21+00:00", "attributes": {"rows": 3}}
    ]
    assert {key: document[key] for key in ("id", "state", "created", "dropped", "skipped")} == {
        "id": "one",
        "state": "ended",
        "created": "2023-11-14T22:13:20+00:00",
        "dropped": {},
        "skipped": [],
    }


def test_impossible_times(tmp_path: Path) -> None:
    """
    Times that no calendar has do not stop anything.
    """
    journal(tmp_path).spans(span(1, "a", start=1e12, end=1e13), span(2, "b") | {"endTimeUnixNano": "1" + "0" * 400})

    for words in (["runs"], ["show"], ["show", "--json"], ["tail"], ["tail", "--json"], ["runs", "--json"]):
        result = called(*words, "-d", tmp_path)
        assert (result.exit_code, result.stderr) == (0, "")


# ── runs ──────────────────────────────────────────────────────────────────────────────────────────
def test_runs(tmp_path: Path) -> None:
    """
    The list says of each run when it was, how it went, and what is in it; the newest comes last.
    """
    search(tmp_path)
    journal(tmp_path, run="later", state="recovered", service="job", start=100, end=101).spans(span(9, "a"))

    lines = [line.split() for line in called("runs", "-d", tmp_path).output.splitlines()]

    assert lines[0] == ["run", "service", "started", "duration", "state", "branches", "steps", "errors"]
    assert [[*line[:2], *line[5:]] for line in lines[2:]] == [
        ["20260101-120000-000-abcdef", "demo", "3.20", "s", "ended", *["✓", "1", "✗", "1", "↷", "1"], "15", "1"],
        ["later", "job", "1.00", "s", "killed", "1", "0"],
    ]


def test_runs_are_limited(tmp_path: Path) -> None:
    """
    A long list shows the newest, and says how many there are more.
    """
    for number in range(5):
        journal(tmp_path, run=f"run-{number}", start=number)

    lines = called("runs", "-n", 2, "-d", tmp_path).output.splitlines()

    assert [line.split()[0] for line in lines[2:]] == ["run-3", "run-4", "3"]
    assert lines[-1] == "3 older runs; --all shows them"
    assert len(called("runs", "--all", "-d", tmp_path).output.splitlines()) == 7


def test_runs_json(tmp_path: Path) -> None:
    """
    --json gives the list to a program.
    """
    place = search(tmp_path).folder.parent

    assert json.loads(called("runs", "--json", "-d", tmp_path).output) == [
        {
            "id": "20260101-120000-000-abcdef",
            "directory": str(place),
            "service_name": "demo",
            "state": "ended",
            "created": "2023-11-14T22:13:20+00:00",
            "ended": "2023-11-14T22:13:23.200000+00:00",
            "steps": 15,
            "errors": 1,
            "branches": {"success": 1, "failed": 1, "skipped": 1},
        }
    ]


def test_what_was_stopped_is_no_error(tmp_path: Path) -> None:
    """
    Errors are what went wrong, as in the summary at the end: a step that was interrupted or cancelled did not.
    """
    journal(tmp_path).spans(
        span(1, "all"),
        span(2, "stopped", parent=1, outcome="interrupted", code=2),
        span(3, "left", parent=1, outcome="cancelled", code=2),
        span(4, "broken", parent=1, outcome="failed", code=2),
    )

    [told] = json.loads(called("runs", "--json", "-d", tmp_path).output)

    assert (told["steps"], told["errors"]) == (4, 1)


def test_a_large_run_is_not_parsed(tmp_path: Path) -> None:
    """
    Of a run that would take seconds to parse, the list says what its processes counted.
    """
    run = journal(tmp_path, counters={"spans": {"journaled": 1_000_000}})
    with (run.folder / "traces-000000.jsonl").open("wb") as file:
        file.truncate(33 << 20)

    [line] = json.loads(called("runs", "--json", "-d", tmp_path).output)

    assert (line["steps"], line["errors"], line["branches"]) == (1_000_000, None, None)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "just now"), (59, "59 s ago"), (200, "3 min ago"), (7200, "2 h ago"), (3e5, "3 d ago"), (1e8, "3 y ago")],
)
def test_ago(seconds: float, said: str) -> None:
    """
    How long ago something was is said in its largest unit.
    """
    assert ago(BEGIN, BEGIN / SECOND + seconds) == said


# ── logs ──────────────────────────────────────────────────────────────────────────────────────────
def logging_run(directory: Path) -> None:
    """Write a run that has logged a bit of everything."""
    run = journal(directory, run="one")
    small = {"branchline.branch.name": "small", "branchline.branch.id": "id-small"}
    run.spans(
        span(1, "small", kind="branch", own=small, start=0, end=9),
        span(2, "load", parent=1, own=small, start=1, end=2),
        span(3, "rank", start=3, end=4),
    )
    code = {"code.file.path": "x.py", "code.line.number": 3, "code.function.name": "main"}
    raised_here = {"exception.type": "ValueError", "exception.message": "boom\nbang"}
    run.logs(
        opened(1, "small", kind="branch"),
        log(name="branchline.stamp", own={"branchline.stamp.name": "between"}),
        log("starting", at=0.25, severity=(5, "DEBUG"), own=code),
        log("reading", at=1.5, number=2, own=small | code | {"rows": 3, "branchline.level": "INFO"}),
        log("slow disk", at=1.75, number=2, own=small | {"branchline.level": "WARNING"}, severity=(13, "WARN")),
        log("in the branch", at=2.5, number=1, own=small),
        log("cannot", at=3.5, number=3, own=raised_here, severity=(17, "ERROR")),
        log("", name="model.drift", at=3.75, number=3, own={"by": 0.5}, severity=(21, "FATAL")),
    )


def test_logs(tmp_path: Path) -> None:
    """
    Each log record is a line: when, how severe, in which branch and step, and what; no bookkeeping, no stamps.
    """
    logging_run(tmp_path)

    assert (
        called("logs", "-d", tmp_path).output
        == """\
22:13:20.250  DEBUG     branchline    starting
22:13:21.500  INFO      small › load  reading rows=3
22:13:21.750  WARNING   small › load  slow disk
22:13:22.500  INFO      small         in the branch
22:13:23.500  ERROR     rank          cannot  ValueError: boom …
22:13:23.750  FATAL     rank          model.drift  by=0.5
"""
    )


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--level", "info"], ["reading", "slow disk", "in the branch", "cannot", ""]),
        (["--level", "WARNING"], ["slow disk", "cannot", ""]),
        (["--level", "CRITICAL"], [""]),
        (["--step", "load"], ["reading", "slow disk"]),
        (["--branch", "small"], ["reading", "slow disk", "in the branch"]),
        (["--branch", "id-small", "--level", "WARN"], ["slow disk"]),
        (["--event", "model.drift"], [""]),
        (["--event", "model.*"], [""]),
        (["--event", "model"], []),
        (["--logger", "branchline"], ["starting", "reading", "slow disk", "in the branch", "cannot", ""]),
        (["--logger", "branch"], []),
        (["--grep", "rows=3|boom"], ["reading", "cannot"]),
        (["--grep", "^slow"], ["slow disk"]),
    ],
)
def test_which_logs(tmp_path: Path, words: list[str], found: list[str]) -> None:
    """
    Log records can be asked for by level, step, branch, event, logger and text; all conditions hold at once.
    """
    logging_run(tmp_path)
    printed = called("logs", "-d", tmp_path, "--json", *words).output.splitlines()

    assert [json.loads(line)["message"] for line in printed] == found


def test_logs_json(tmp_path: Path) -> None:
    """
    --json gives a program everything that is known of a log record.
    """
    logging_run(tmp_path)
    [line] = called("logs", "-d", tmp_path, "--json", "--grep", "reading").output.splitlines()
    document = json.loads(line)

    assert document.pop("uid").startswith("uid-")
    assert document == {
        "time": "2023-11-14T22:13:21.500000+00:00",
        "time_unix_nano": BEGIN + 3 * SECOND // 2,
        "level": "INFO",
        "level_name": "INFO",
        "severity_number": 9,
        "logger": "branchline",
        "message": "reading",
        "event_name": None,
        "attributes": {"rows": 3},
        "trace_id": TRACE,
        "span_id": f"{2:016x}",
        "step": "load",
        "experiment_name": None,
        "branch_name": "small",
        "branch_id": "id-small",
        "process": "host-1-a",
        "code": {"file": "x.py", "line": 3, "function": "main"},
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--step", "nowhere"], "none of 6 log records is like that\n"),
        (["--level", "LOUD"], "Invalid value for '--level'"),
        (["--grep", "("], "'(' is no regular expression"),
    ],
)
def test_logs_that_are_not_there(tmp_path: Path, words: list[str], said: str) -> None:
    """
    Where nothing is like what was asked for, that is said; and what cannot be asked for is refused.
    """
    logging_run(tmp_path)

    assert said in called("logs", "-d", tmp_path, *words).output


def test_nothing_was_logged(tmp_path: Path) -> None:
    """
    A run that has logged nothing says so, in the list and in the picture by saying nothing.
    """
    journal(tmp_path).spans(span(1, "load"))

    assert called("logs", "-d", tmp_path).output == "nothing was logged\n"
    assert "log record" not in called("show", "-d", tmp_path).output


def test_log_records_in_the_picture(tmp_path: Path) -> None:
    """
    A run's picture says how many log records of which level there are, and shows those that warn at their step.
    """
    logging_run(tmp_path)

    assert (
        picture(tmp_path)
        == """\
✓ demo  one
  ended · 2023-11-14 22:13:20 (3 min ago) · 10.00 s · 2 steps
  6 log records: 1 DEBUG, 2 INFO, 1 WARN, 1 ERROR, 1 FATAL

✓ branch small     9.00 s
└─ ✓ load          1.00 s
      ! WARNING  slow disk
· between
✓ rank             1.00 s
   ! ERROR  cannot  ValueError: boom …
   ! FATAL  model.drift  by=0.5

branch  status     duration  steps  errors  stamps
──────────────────────────────────────────────────
small   ✓ success    9.00 s      1       0       0"""
    )


def test_many_warnings_of_one_step(tmp_path: Path) -> None:
    """
    Of many warnings in one step the picture shows the first and the last, and with --all every one.
    """
    run = journal(tmp_path).spans(span(1, "load"))
    run.logs(*[log(f"w{n}", at=n / 10, number=1, severity=(13, "WARN")) for n in range(9)])

    assert [line.strip() for line in picture(tmp_path).splitlines() if "! " in line or "more" in line] == [
        "! WARN  w0",
        "! WARN  w1",
        "… 6 more warnings",
        "! WARN  w8",
    ]
    assert picture(tmp_path, is_whole=True).count("! WARN") == 9


def test_logs_follow(tmp_path: Path) -> None:
    """
    With --follow what is logged is printed while the run goes on, and the command ends when the run does.
    """
    run = journal(tmp_path, run="one", state="running", pid=os.getpid(), started_unix_nano=time.time_ns())
    run.logs(log("first", severity=(13, "WARN")))
    command = [sys.executable, "-m", "branchline", "logs", "-f", "-d", str(tmp_path), "--level", "WARN"]

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        run.logs(log("left out"), log("second", at=1, number=1, severity=(17, "ERROR"))).spans(span(1, "train", end=2))
        second = process.stdout.readline()
        journal_file = run.folder / "process.json"
        ended = json.loads(journal_file.read_text()) | {"state": "ended"}
        journal_file.with_suffix(".new").write_text(json.dumps(ended))
        journal_file.with_suffix(".new").replace(journal_file)
        rest = process.stdout.read()

    assert [line.split()[1:] for line in (first, second)] == [
        ["WARN", "branchline", "first"],
        ["ERROR", "train", "second"],
    ]
    assert (rest, process.returncode) == ("", 0)


# ── tail ──────────────────────────────────────────────────────────────────────────────────────────
def test_tail_of_an_ended_run(tmp_path: Path) -> None:
    """
    Of a run that is over, tail shows the last lines and ends.
    """
    run = journal(tmp_path, run="one")
    own = {"branchline.branch.name": "b"}
    run.spans(
        span(1, "load", end=1.5, own=own, events=[event("loaded", 1, rows=3)]),
        span(2, "train", end=2, outcome="failed", code=2, events=[raised("ValueError", "boom")]),
    )
    run.logs(log("hello", at=3, own={"n": 1}))

    assert (
        called("tail", "-n", 4, "-d", tmp_path).output
        == """\
22:13:21  · loaded rows=3  in load
22:13:21  ✓ load  b  1.50 s
22:13:22  ✗ train  2.00 s  ValueError: boom
22:13:23  INFO  hello n=1
run one ended
"""
    )
    assert [
        json.loads(line)["what"] for line in called("tail", "--json", "-n", 2, "-d", tmp_path).output.splitlines()
    ] == ["ended", "log"]


def test_tail_follows(tmp_path: Path) -> None:
    """
    Tail prints what is written while it looks, at once and in plain lines, and ends when the run does.
    """
    run = journal(tmp_path, run="one", state="running", pid=os.getpid(), started_unix_nano=time.time_ns())
    command = [sys.executable, "-m", "branchline", "tail", "-d", str(tmp_path), "--interval", "0.01"]
    run.logs(opened(1, "train"))

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        run.spans(span(1, "train"))
        second = process.stdout.readline()
        journal_file = run.folder / "process.json"
        ended = json.loads(journal_file.read_text()) | {"state": "ended"}
        journal_file.with_suffix(".new").write_text(json.dumps(ended))
        journal_file.with_suffix(".new").replace(journal_file)
        rest = process.stdout.read()

    assert [line[10:] for line in (first, second)] == ["▸ train\n", "✓ train  1.00 s\n"]
    assert (rest, process.returncode) == ("run one ended\n", 0)


# ── errors ────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("command", ["show", "tail"])
def test_unknown_run(tmp_path: Path, command: str) -> None:
    """
    An unknown run is one line on stderr that says which there are, and exit code 1.
    """
    journal(tmp_path, run="one")
    journal(tmp_path, run="two", start=1)

    result = called(command, "x", "-d", tmp_path)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"branchline: no run 'x' in {tmp_path}; there are two, one\n"


@pytest.mark.parametrize("words", [["runs"], ["show"], ["tail"]])
def test_no_directory(tmp_path: Path, words: list[str]) -> None:
    """
    Where nothing was ever recorded, one line says so.
    """
    place = tmp_path / "nowhere"

    result = called(*words, "-d", place)

    assert result.exit_code == 1
    assert result.stderr == (
        f"branchline: there is no {place}: nothing has been recorded here, or --directory points elsewhere\n"
    )


def test_no_runs(tmp_path: Path) -> None:
    """
    A list of no runs is no error; to show one of them is.
    """
    listed = called("runs", "-d", tmp_path)
    shown = called("show", "-d", tmp_path)

    assert (listed.exit_code, listed.output) == (0, f"no runs in {tmp_path}\n")
    assert (shown.exit_code, shown.stderr) == (1, f"branchline: no runs in {tmp_path}\n")


def test_no_traceback(tmp_path: Path) -> None:
    """
    Whatever goes wrong is one line on stderr.
    """
    result = called("show", "-d", tmp_path / ("x" * 300))

    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_directory_from_the_environment(tmp_path: Path) -> None:
    """
    BRANCHLINE_DIR says where the runs are when --directory does not.
    """
    journal(tmp_path / "from-environment", run="one")

    result = CliRunner().invoke(main, ["runs", "--json"], env={"BRANCHLINE_DIR": str(tmp_path / "from-environment")})

    assert [line["id"] for line in json.loads(result.output)] == ["one"]


def test_plain_characters(tmp_path: Path) -> None:
    """
    Where the output cannot carry our signs, there are others; nothing stops.
    """
    journal(tmp_path, run="one").spans(span(1, "größe"))
    command = [sys.executable, "-m", "branchline", "show", "-d", str(tmp_path)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}

    done = subprocess.run(command, capture_output=True, check=True, env=environment)

    assert b"+ gr??e" in done.stdout


def test_runs_in_a_narrow_terminal(tmp_path: Path) -> None:
    """
    An id that is cut names no run: where it is narrow, columns are left out.
    """
    journal(tmp_path).spans(span(1, "step"))

    listed = CliRunner().invoke(main, ["runs", "-d", str(tmp_path)], env={"COLUMNS": "60"})

    titles, _, row = (line.split() for line in listed.output.splitlines())
    assert titles == ["run", "service", "started", "state", "steps", "errors"]
    assert row[:2] == ["20260101-120000", "demo"]
    assert row[-3:] == ["ended", "1", "0"]


def as_a_user_without_privileges(program: str) -> subprocess.CompletedProcess[str]:
    """Run *program* for somebody who may open only what the mode says: of root's capabilities, two are taken away."""
    without = """
    import ctypes, os
    if os.getuid() == 0:
        libc, header, sets = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        assert libc.capget(header, sets) == 0
        sets[0], sets[1] = sets[0] & ~0b110, sets[1] & ~0b110
        assert libc.capset(header, sets) == 0
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(without) + program], capture_output=True, text=True, check=False
    )


def test_runs_of_somebody_else(tmp_path: Path) -> None:
    """
    Runs that this user may not read hide none of the others, and are named.
    """
    journal(tmp_path, run="mine").spans(span(1, "step"))
    theirs = journal(tmp_path, run="theirs").folder.parent
    theirs.chmod(0)
    call = f"from branchline.cli import main; main(['{{}}', '-d', {str(tmp_path)!r}])"

    listed = as_a_user_without_privileges(call.format("runs"))
    shown = as_a_user_without_privileges(call.format("show', 'theirs"))
    theirs.chmod(0o700)

    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.splitlines()[2].split()[0] == "mine"
    assert listed.stdout.splitlines()[-1] == "1 run may not be read by this user: theirs"
    assert shown.stderr == f"branchline: the run 'theirs' in {tmp_path} may not be read by this user\n"


def test_a_directory_of_somebody_else(tmp_path: Path) -> None:
    """
    Where the directory may not even be looked into, the application runs, and one line says what is missing.
    """
    tmp_path.chmod(0)
    program = (
        f"import branchline as bl\nwith bl.configure('x', directory={str(tmp_path)!r}, console=False):\n    print(1)"
    )

    done = as_a_user_without_privileges(program)
    tmp_path.chmod(0o700)

    assert (done.returncode, done.stdout) == (0, "1\n")
    assert "Permission denied" in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr


def test_show_in_a_narrow_terminal(tmp_path: Path) -> None:
    """
    Where there is little room, names are cut and not how long something took; figures that have none are left out.
    """
    title = "a step with a name that is as long as a sentence"
    journal(tmp_path).spans(
        branch(2, "temperature=0.7 model=a-large-one", "success", start=0, end=1),
        span(3, title, parent=2, start=0, end=0.03),
        branch(4, "temperature=0.9 model=a-small-one", "failed", start=1, end=2),
    )

    tree, table = picture(tmp_path, width=40).split("\n\n")[1:]

    assert tree.splitlines() == [
        "✓ branch temperature=0.7 m…     1.00 s",
        "└─ ✓ a step with a name th…      30 ms",
        "✗ branch temperature=0.9 m…     1.00 s",
    ]
    assert table.splitlines() == [
        "branch               status     duration",
        "─" * 40,
        "temperature=0.7 mo…  ✓ success    1.00 s",
        "temperature=0.9 mo…  ✗ failed     1.00 s",
    ]
    assert title in picture(tmp_path, width=40, is_whole=True)
