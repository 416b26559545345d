"""Progress as a person sees it: bars on a terminal, in the live tree, as lines, in `tail` and in `show`."""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

import branchline as bl
from branchline._journal.seen import Seen
from branchline.cli import main
from branchline.cli.tasks import GoingOn
from branchline.context import CURRENT
from branchline.exporters.console.bars import bar_rows, figures, pace, summed
from branchline.exporters.console.frame import Frame
from branchline.exporters.console.lines import PlainLines
from branchline.exporters.console.picture import Picture
from branchline.exporters.console.text import ASCII, UNICODE, plain
from branchline.exporters.console.told import Told
from branchline.progress.displays import Bars, Lines
from branchline.progress.notebook import NotebookBars
from branchline.progress_values import Progress, clock, counted
from branchline.read import Happening, Task, open_runs
from terminals import Terminal


SECOND = 1_000_000_000


def work(name="embed", done=0, total=None, after=1.0, **more):
    return Progress(
        **{
            "task_id": name,
            "description": name,
            "done": done,
            "total": total,
            "elapsed_seconds": after,
            "time_unix_nano": int(after * SECOND),
            **more,
        }
    )


def drawn(works, glyphs=UNICODE):
    return [plain(row) for row in bar_rows(works, glyphs, 0)]


@pytest.fixture
def directory(tmp_path):
    yield tmp_path / "journal"
    bl.shutdown()


@pytest.fixture
def terminal(monkeypatch):
    # Work that another test has left undone would be shown, too: it is on another board.
    monkeypatch.setattr(CURRENT, "board", None)
    terminal = Terminal(columns=100)
    yield terminal
    terminal.close()


# ── one row ───────────────────────────────────────────────────────────────────────────────────────


def test_rows():
    """
    A row for each piece of work, what is part of it below it; bars stand below each other.
    """
    assert drawn(
        [
            work("embed", 412, 1000, 12, rate=34.0, eta_seconds=17.2),
            work("日本語", 1, 4, 2, parent_id="embed"),
            work("read", 1234, None, 61, rate=0.5),
            work("load", 3, 10, 4, outcome="failed", message="disk\nfull"),
            work("left", 3, 10, 4, outcome="closed"),
            work("done", 10, 10, 4, outcome="success", stalls=2),
            work("stuck", 1, 2, 9, stalled_seconds=7.0),
        ]
    ) == [
        "⠋ embed     ━━━━━━━━━━━╸────────────────  412/1,000  41 %  00:12 < 00:17  34/s",
        "  ⠋ 日本語  ━━━━━━━─────────────────────  1/4  25 %  00:02 < --:--",
        "⠋ read      1,234  01:01  30/min",
        "✗ load      ━━━━━━━━────────────────────  3/10  30 %  in 00:04  failed  disk\\nfull",
        "↷ left      ━━━━━━━━────────────────────  3/10  30 %  in 00:04  left early",
        "✓ done      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━  10/10  in 00:04  2 stalls",
        "⠋ stuck     ━━━━━━━━━━━━━━──────────────  1/2  50 %  00:09 < --:--  stalled for 00:07",
    ]


def test_rows_in_ascii():
    """
    A stream that carries no more than ASCII gets bars of it.
    """
    [row] = drawn([work("embed", 1, 2)], ASCII)

    assert row == "| embed  ##############--------------  1/2  50 %  00:01 < --:--"


def test_nearly_done_is_not_done():
    """
    100 % means that nothing is left; more than all is all.
    """
    assert [work(done=done, total=1000).percent for done in (999, 1000, 1500)] == [99, 100, 100]
    assert [plain(row).count("━") for row in bar_rows([work(done=99_999, total=100_000)], UNICODE, 0)] == [27]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "--:--"),
        (0, "00:00"),
        (65.9, "01:05"),
        (7265, "2:01:05"),
        (1e6, "11 d 13:46"),
        (-1, "--:--"),
        (1e30, "--:--"),
    ],
)
def test_clock(seconds, text):
    """
    Lengths of time as a clock shows them; what is none, or endless, is not known.
    """
    assert clock(seconds) == text


@pytest.mark.parametrize(("rate", "text"), [(12345.6, "12,346/s"), (3.14, "3.1/s"), (0.2, "12/min"), (0.001, "3.6/h")])
def test_pace(rate, text):
    """
    How fast, in the unit in which there is something to count.
    """
    assert pace(rate) == text


def test_counts():
    """
    Counts as a person reads them, halves included.
    """
    assert [counted(1234, 10_000), counted(7), counted(1.5, 3)] == ["1,234/10,000", "7", "1.5/3"]


def test_work_of_one_name():
    """
    Work of one name side by side adds up: counts and paces, and the last of it says when it is over.
    """
    works = [
        work("a", 5, 10, 3, rate=2.0, eta_seconds=2.5),
        work("b", 2, 10, 4, rate=1.0, eta_seconds=8.0, stalls=1),
        work("c", 10, 10, 5, outcome="failed", message="no"),
    ]

    found = summed(works)

    assert (found.done, found.total, found.rate, found.eta_seconds, found.outcome) == (17, 30, 3.0, 8.0, None)
    assert (found.elapsed_seconds, found.stalls, found.message) == (5, 1, "no")
    assert summed([*works[:1], work("d", 3)]).total is None


def test_what_is_news():
    """
    A change in per cent is news, and an end; a loop in a loop only when it takes long, and no end is told twice.
    """
    told = Told()

    assert [told.is_news(work(done=done, total=1000)) for done in (0, 5, 6, 10, 19, 20)] == [0, 1, 0, 1, 0, 1]
    assert [told.is_news(work(done=1000, total=1000, outcome="success")) for _ in range(2)] == [True, False]
    assert [told.is_news(work("in", 1, 2, after=after, is_inner=True)) for after in (1, 6)] == [False, True]
    unknown = [work("un", done, after=after) for done, after in ((1, 1), (2, 1), (3, 2), (3, 20), (4, 20), (5, 40))]
    assert list(map(told.is_news, unknown)) == [True, True, False, True, False, True]


# ── in the live tree, and in its lines ────────────────────────────────────────────────────────────


def seen(number, name, parent=None, kind="step"):
    return Seen(name, kind, "0af7", number, parent, number, None, None, None, (), None, None, None, {})


def tree_of(open_, works, levels=2, height=20):
    picture = Picture(levels=levels)
    picture.take((), open_)
    picture.work(works)
    rows = Frame(picture, UNICODE).rows(now_unix_nano=2 * SECOND, width=100, height=height)
    return [plain(row) for row in rows]


def test_bars_in_the_tree():
    """
    A bar stands below the step that it belongs to, or nearest above where that is not shown; what ended stays.
    """
    open_ = [seen(1, "train"), seen(2, "epoch", 1), seen(3, "batch", 2), seen(4, "other")]
    works = [
        work("epochs", 1, 4, 2, span_id=1, rate=0.5, eta_seconds=6, start_unix_nano=5),
        work("samples", 10, 40, 1, span_id=3, parent_id="epochs"),
        work("files", 3, None, 1, span_id=4, start_unix_nano=6),
        work("warm up", 5, 5, 1, span_id=4, outcome="success"),
        work("gone", 5, 5, 1, span_id=9, outcome="success"),
        work("loose", 1, 2, 1, start_unix_nano=9),
    ]

    assert tree_of(open_, works) == [
        "⠋ train                             2.0 s",
        "├─ ⠋ epoch                          2.0 s",
        "│  └─ ⠋ samples                     1.0 s  ━━━━━───────────────  10/40  25 %",
        "└─ ⠋ epochs                         2.0 s  ━━━━━───────────────  1/4  25 %  00:06 left  30/min",
        "⠋ other                             2.0 s",
        "├─ ✓ warm up                        1.0 s  ━━━━━━━━━━━━━━━━━━━━  5/5",
        "└─ ⠋ files                          1.0 s  3",
        "⠋ loose                             1.0 s  ━━━━━━━━━━──────────  1/2  50 %",
    ]


def test_many_bars_in_the_tree():
    """
    Much work of one name in one place is one bar.
    """
    works = [work(f"{number}", number, 10, span_id=1, description="download") for number in range(10)]

    assert tree_of([seen(1, "fetch")], works) == [
        "⠋ fetch                             2.0 s",
        "└─ ⠋ download ×10                   1.0 s  ━━━━━━━━━───────────  45/100  45 %",
    ]


def test_what_ended_goes_with_its_step():
    """
    What has ended is remembered while its step is open, and not longer; parts of other work not at all.
    """
    picture = Picture(levels=2)
    picture.take((), [seen(1, "a")])
    picture.work(
        [work("x", 1, 1, span_id=1, outcome="success"), work("y", 1, 1, span_id=1, outcome="success", parent_id="x")]
    )
    picture.work([])
    during = {place: [each.task_id for each in works] for place, works in picture.works.items()}
    picture.take((), [])
    picture.work([])

    assert (during, picture.works) == ({1: ["x"]}, {})


def test_plain_lines(monkeypatch):
    """
    In plain lines each change in per cent is a line, between those of steps; told to be quiet, there is none.
    """
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    works: list[Progress] = []
    loud, quiet = io.StringIO(), io.StringIO()
    consoles = [
        PlainLines(loud, levels=2, works=lambda: works),
        PlainLines(quiet, levels=2, works=lambda: works, only_errors=True),
    ]
    for now in (
        work("embed", 412, 1000, 12, rate=34.0, eta_seconds=17),
        work("embed", 413, 1000, 12),
        work("embed", 1000, 1000, 30, outcome="success", rate=33.0),
    ):
        works[:] = [now]
        for console in consoles:
            console.listen((), ())

    assert (loud.getvalue().splitlines(), quiet.getvalue()) == (
        [
            "00:00:12  ▸ embed  412/1,000  41 %  00:12 < 00:17  34/s",
            "00:00:30  ✓ embed  1,000/1,000  in 00:30  33/s",
        ],
        "",
    )


# ── bars of our own, where no run shows any ───────────────────────────────────────────────────────


def test_bars_on_a_terminal(terminal, monkeypatch):
    """
    Bars are redrawn below what the program prints; what has ended stays, one line each, parts of it do not.
    """
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    bars = Bars(terminal.stream)
    outer, inner = work("outer", 1, 2, 3), work("inner", 1, 4, 1, parent_id="outer")
    bars.show([outer, inner])
    print("the program says this", file=sys.stderr)
    bars.show([outer, inner])
    during = terminal.screen()
    bars.end(inner._replace(done=4, outcome="success"), [outer])
    bars.end(outer._replace(done=2, outcome="success", elapsed_seconds=4), [])
    print("and this", file=sys.stderr)

    assert during == [
        "the program says this",
        "",
        "⠹ outer    ━━━━━━━━━━━━━━──────────────  1/2  50 %  00:03 < --:--",
        "  ⠹ inner  ━━━━━━━─────────────────────  1/4  25 %  00:01 < --:--",
    ]
    assert terminal.screen() == [
        "the program says this",
        "✓ outer  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━  2/2  in 00:04",
        "and this",
        "",
    ]
    assert sys.stderr is terminal.stream


def test_a_loop_on_a_terminal(terminal, monkeypatch):
    """
    Without a run, a loop draws its bar on the terminal, and leaves one line.
    """
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    for number in bl.track(range(2), "load"):
        if number == 1:
            until(lambda: "1/2" in "".join(terminal.screen()))

    [line, rest] = terminal.screen()
    assert (line.startswith("✓ load  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━  2/2  in 00:0"), rest) == (True, "")


def test_a_run_takes_over(terminal, monkeypatch, directory):
    """
    There is one live picture on a terminal: while a run draws its tree, no loop draws bars beside it.
    """
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    items: Any = iter(bl.track(range(100), "load"))
    next(items), next(items)
    until(lambda: "load" in "".join(terminal.screen()))
    bl.configure("x", directory=directory)
    with bl.step("step"):
        until(lambda: [row.split()[1:2] for row in terminal.screen() if row] == [["load"], ["step"]])
    bl.shutdown()
    items.close()


def until(is_so):
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_lines_are_harmless():
    """
    A description cannot steer a terminal, and a stream that cannot carry it gets what it can.
    """
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Lines(stream).end(work("naïve\x1b[2J", 1, 2, outcome="closed"), [])

    assert stream.buffer.getvalue() == b"[INFO] na\\xefve [2J... (1/2) [00:01 elapsed, ETA --:--]\n"


def test_bars_in_a_notebook(monkeypatch):
    """
    In a notebook there is one output for a cell's work, updated in place, with nothing in it that is no text.
    """
    shown, updated = [], []

    class Handle:
        def update(self, bundle, *, raw):
            updated.append(bundle)

    def display(bundle, *, raw, display_id):
        shown.append(bundle)
        return Handle()

    module = type(sys)("IPython.display")
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", type(sys)("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    bars = NotebookBars(None)
    bars.show([work("<b>load</b>", 1, 2)])
    bars.end(work("<b>load</b>", 2, 2, outcome="success"), [])

    assert (len(shown), len(updated)) == (1, 1)
    assert "&lt;b&gt;load&lt;/b&gt;" in shown[0]["text/html"]
    assert updated[0]["text/plain"] == "✓ <b>load</b>  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━  2/2  in 00:01"


# ── afterwards, and from outside ──────────────────────────────────────────────────────────────────


def command(*arguments):
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False).output


def recorded(directory):
    bl.configure("x", directory=directory, console=False)
    with bl.step("embed"):
        list(bl.track(range(3), "documents"))
        for number in bl.track(range(10), "left"):
            if number == 2:
                break
        for _ in range(20):
            list(bl.track(range(5), "page"))
    list(bl.track(range(4), "loose"))
    bl.shutdown()
    return open_runs(directory).last


def test_show(directory):
    """
    `show` says what was done, below the step that it was done in; many of one name are one line.
    """
    recorded(directory)
    lines = [line.split("  in ")[0] for line in command("show", "--directory", str(directory)).splitlines()]

    assert [line.strip() for line in lines if line.strip().startswith(("✓ ", "↷ "))][-4:] == [
        "✓ documents  3/3",
        "↷ left  2/10  20 %",
        "✓ page ×20  100/100",
        "✓ loose  4/4",
    ]


def test_show_as_json(directory):
    """
    As plain values, a run has its work with all that is known of it.
    """
    run = recorded(directory)
    shown = json.loads(command("show", "--directory", str(directory), "--json"))["tasks"]
    [loose] = [task for task in shown if task["description"] == "loose"]

    assert (len(shown), shown) == (23, run.to_dict()["tasks"])
    assert {key: loose[key] for key in ("done", "total", "percent", "outcome", "step_name", "stalls")} == {
        "done": 4,
        "total": 4,
        "percent": 100,
        "outcome": "success",
        "step_name": None,
        "stalls": 0,
    }


def test_tail(directory):
    """
    `tail` tells of work in every process, one line for each change in per cent, and as JSON all there is.
    """
    recorded(directory)

    lines = command("tail", "--directory", str(directory)).splitlines()
    documents = command("tail", "--directory", str(directory), "--json", "--lines", "1000").splitlines()

    assert [line.split("  ", 1)[1].split("  in ")[0] for line in lines if "documents" in line or "loose" in line] == [
        "✓ documents  3/3",
        "✓ loose  4/4",
    ]
    assert sum('"what": "progress"' in line and '"outcome": "success"' in line for line in documents) == 22


def test_tail_draws_what_goes_on():
    """
    On a terminal, `tail` draws a bar for each piece of work that goes on, named by its process where there are several.
    """
    console = Console(width=90, height=20, file=io.StringIO(), force_terminal=True)
    going_on = GoingOn()

    def heard(name, process, done, outcome=None):
        task = Task(description=name, id=f"{name}{process}", done=done, total=10, outcome=outcome, process=process)
        going_on.hear([Happening(what="progress", time_unix_nano=0, task=task)])

    heard("load", "host-11-abc", 5)
    alone = going_on.bars(console).plain.splitlines()
    heard("load", "host-12-abc", 2)
    both = going_on.bars(console).plain.splitlines()
    heard("load", "host-11-abc", 10, "success")
    heard("load", "host-11-abc", 9)
    heard("other", "host-13-abc", 1)
    going_on.forget({"host-11-abc", "host-12-abc"})

    assert [line[2:30].split("━")[0].strip() for line in alone] == ["load"]
    assert [line[2:30].split("━")[0].strip() for line in both] == ["11 load", "12 load"]
    assert ["2/10" in line for line in going_on.bars(console).plain.splitlines()] == [True]


def test_a_hundred_threads_of_bars():
    """
    Looking at work that begins and ends meanwhile never fails.
    """
    from branchline.progress.board import board

    errors = []
    is_over = threading.Event()

    def look():
        while not is_over.is_set():
            try:
                board().shown()
                board().beat()
            except Exception as error:
                errors.append(error)

    looking = threading.Thread(target=look)
    looking.start()
    for _ in range(2_000):
        list(bl.progress.Track(range(3), "x"))
    is_over.set()
    looking.join()

    assert errors == []


def test_figures_of_what_is_not_known():
    """
    Where nobody knows of how much, there is neither a per cent nor a rest.
    """
    assert plain(figures(work(done=5, after=3))) == "5  00:03"
