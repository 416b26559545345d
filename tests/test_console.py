"""The console: what a person sees while a run happens, and when it is over."""

from __future__ import annotations

import io
import logging
import os
import select
import subprocess
import sys
import termios
import time
from decimal import Decimal
from itertools import count

import pytest

from branchline._journal.seen import Seen, Summary
from branchline.exporters.console import console_listener
from branchline.exporters.console.frame import Frame
from branchline.exporters.console.lines import PlainLines
from branchline.exporters.console.listener import choose
from branchline.exporters.console.picture import MAX_GROUPS, MAX_KEPT, Picture
from branchline.exporters.console.summary import summary_rows
from branchline.exporters.console.text import ASCII, UNICODE, ansi, duration, elapsed, figure, plain, safe
from branchline.exporters.console.tree import LiveTree
from branchline.limits import BudgetConfig
from terminals import Terminal


MS = 1_000_000
NOON = 1_700_049_600 * 1_000 * MS  # 2023-11-15 12:00:00 UTC


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Story:
    """Spans as the writer would show them, on a clock that only the test moves."""

    def __init__(self):
        self.now = NOON
        self.open = {}
        self.ended = []
        self._ids = count(1)

    def start(self, name, kind="step", parent=None, **identity):
        span_id = next(self._ids)
        up = self.open.get(parent)
        self.open[span_id] = Seen(
            name=name,
            kind=kind,
            trace_id="0af7651916cd43dd8448eb211c80319c",
            span_id=span_id,
            parent_id=parent,
            start_unix_nano=self.now,
            end_unix_nano=None,
            outcome=None,
            error=None,
            stamps=(),
            branch_name=identity.get("branch", up.branch_name if up else None),
            experiment_name=identity.get("experiment", up.experiment_name if up else None),
            status=None,
            attributes={},
        )
        return span_id

    def experiment(self, name):
        return self.start("experiment", "experiment", experiment=name)

    def branch(self, name, parent=None):
        return self.start("branch", "branch", parent, branch=name)

    def measure(self, span_id, **metrics):
        seen = self.open[span_id]
        self.open[span_id] = seen._replace(metrics={**seen.metrics, **metrics})

    def end(self, span_id, after_ms=0, outcome="success", error=None, stamps=()):
        self.now += after_ms * MS
        seen = self.open.pop(span_id)
        status = outcome if seen.kind == "branch" else None
        end = {"end_unix_nano": self.now, "outcome": outcome, "error": error, "stamps": stamps, "status": status}
        self.ended.append(seen._replace(**end))

    def step(self, name, after_ms, parent=None, **how):
        self.end(self.start(name, parent=parent), after_ms, **how)

    def tell(self, listener):
        listener.listen(tuple(self.ended), tuple(self.open.values()))
        self.ended.clear()


def three_branches():
    """One branch that went well, one that failed in its second step, one that is still open."""
    story = Story()
    experiment = story.experiment("retrieval")
    small = story.branch("chunks=256", experiment)
    story.step("load", 12, small, stamps=("opened", "read", "closed"))
    story.end(small, 8)
    large = story.branch("chunks=512", experiment)
    rank = story.start("rank", parent=large)
    for _ in range(7):
        story.step("score", 2, rank)
    story.end(rank, 6, "failed", "ValueError: empty index")
    story.end(large, 0, "failed", "ValueError: empty index")
    last = story.branch("chunks=1024", experiment)
    story.start("embed", parent=last)
    story.now += 300 * MS
    return story


def summary(directory, **changes):
    told = Summary(
        run_id="20231115-120000-k3f9",
        directory=str(directory / ".branchline" / "runs" / "20231115-120000-k3f9"),
        service_name="demo.py",
        spans=0,
        logs=0,
        dropped={},
        oddities={},
        seconds=1.24,
    )
    return told._replace(**changes)


# ── which console ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("option", "verbosity", "is_terminal", "is_notebook", "environ", "console"),
    [
        ("auto", "REGULAR", True, False, {}, "tree"),
        ("auto", "REGULAR", False, False, {}, None),
        ("auto", "VERBOSE", True, False, {"TERM": "xterm"}, "tree"),
        ("auto", "QUIET", True, False, {}, "lines"),
        ("auto", "NONE", True, False, {}, None),
        ("auto", "REGULAR", True, False, {"CI": "true"}, None),
        ("auto", "REGULAR", True, False, {"TERM": "dumb"}, None),
        ("auto", "REGULAR", False, True, {}, None),
        (True, "REGULAR", True, False, {}, "tree"),
        (True, "REGULAR", False, False, {}, "lines"),
        (True, "REGULAR", True, True, {}, "lines"),
        (True, "REGULAR", True, False, {"CI": "true"}, "lines"),
        (True, "REGULAR", True, False, {"TERM": "dumb"}, "lines"),
        (True, "QUIET", True, False, {}, "lines"),
        (True, "NONE", True, False, {}, None),
        (False, "VERBOSE", True, False, {}, None),
    ],
)
def test_choice(option, verbosity, is_terminal, is_notebook, environ, console):
    """
    A live tree needs a terminal that can redraw; plain lines come only when asked for; NONE is none.
    """
    chosen = choose(option, verbosity=verbosity, is_terminal=is_terminal, is_notebook=is_notebook, environ=environ)

    assert console == chosen


def test_stderr_is_looked_up_when_asked(monkeypatch):
    """
    Without a stream, the console writes to what stderr is at that time, and to nothing that closed it.
    """
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)

    listener = console_listener(True, verbosity="REGULAR")
    three_branches().tell(listener)

    assert out.getvalue().startswith("12:00:00  ▸ experiment retrieval\n")


# ── plain lines ───────────────────────────────────────────────────────────────────────────────────


def test_plain_lines():
    """
    Branches have a line when they start and when they end, steps when they end, each with its path, in order of time.
    """
    out = io.StringIO()
    three_branches().tell(PlainLines(out, levels=2))

    assert out.getvalue().splitlines() == [
        "12:00:00  ▸ experiment retrieval",
        "12:00:00  ▸ branch chunks=256",
        "12:00:00  ✓ chunks=256 › load  12 ms  [read · closed]",
        "12:00:00  ▸ branch chunks=512",
        "12:00:00  ✓ branch chunks=256  20 ms  1 step",
        *["12:00:00  ✓ chunks=512 › rank › score  2.0 ms"] * 3,
        "12:00:00  ▸ branch chunks=1024",
        "12:00:00  ✗ chunks=512 › rank  20 ms  ValueError: empty index",
        "12:00:00  ✓ chunks=512 › rank › score ×7  p50 2.0 ms",
        "12:00:00  ✗ branch chunks=512  20 ms  8 steps  ValueError: empty index",
    ]


def test_many_equal_steps_become_few_lines():
    """
    From the fourth on, steps of one path are told by the tenth, hundredth and so on, and by their number at the end.
    """
    story, out = Story(), io.StringIO()
    branch = story.branch("a")
    for _ in range(1204):
        story.step("embed", 3, branch)
    story.end(branch)
    story.tell(PlainLines(out, levels=2))

    assert [line[10:] for line in out.getvalue().splitlines()] == [
        "▸ branch a",
        *["✓ a › embed  3.0 ms"] * 3,
        "✓ a › embed ×10  p50 3.0 ms",
        "✓ a › embed ×100  p50 3.0 ms",
        "✓ a › embed ×1,000  p50 3.0 ms",
        "✓ a › embed ×1,204  p50 3.0 ms",
        "✓ branch a  3.61 s  1,204 steps",
    ]


@pytest.mark.parametrize(
    ("verbosity", "told"),
    [
        ("REGULAR", ["✓ one › two", "✓ one"]),
        ("VERBOSE", ["✓ one › two › three", "✓ one › two", "✓ one"]),
        ("QUIET", []),
    ],
)
def test_verbosity(verbosity, told):
    """
    REGULAR shows two levels of steps, VERBOSE all of them, QUIET none that went well.
    """
    story, out = Story(), io.StringIO()
    one = story.start("one")
    two = story.start("two", parent=one)
    story.step("three", 1, two)
    story.end(two)
    story.end(one)
    story.tell(console_listener(True, verbosity=verbosity, stream=out))

    assert told == [line[10:].partition("  ")[0] for line in out.getvalue().splitlines()]


def test_quiet_shows_errors():
    """
    QUIET shows what failed, at any depth, and nothing else.
    """
    out = io.StringIO()
    three_branches().tell(console_listener(True, verbosity="QUIET", stream=out))

    assert out.getvalue() == (
        "12:00:00  ✗ chunks=512 › rank  20 ms  ValueError: empty index\n"
        "12:00:00  ✗ branch chunks=512  20 ms  8 steps  ValueError: empty index\n"
    )


def test_a_stream_that_takes_only_ascii():
    """
    A stream that cannot carry the glyphs gets plain ones, and names as escapes.
    """
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    story = Story()
    story.step("größe", 3, stamps=("a", "b"))
    story.tell(PlainLines(out, levels=2))

    assert raw.getvalue() == b"12:00:00  + gr\\xf6\\xdfe  3.0 ms  [a | b]\n"


def test_names_cannot_steer_the_terminal():
    """
    Control characters, line breaks, text-direction marks and lone surrogates in names are shown, not obeyed.
    """
    out = io.StringIO()
    story = Story()
    story.step("a\x1b[2Jb\nc\u202ed\ud800", 3, outcome="failed", error="E: \r\x07")
    story.tell(PlainLines(out, levels=2))

    assert out.getvalue() == "12:00:00  ✗ a\\x1b[2Jb\\nc\\u202ed\\ud800  3.0 ms  E: \\r\\x07\n"


def test_a_broken_stream_switches_the_console_off(tmp_path):
    """
    A closed file and a pipe that nobody reads any more end the console, and nothing else.
    """
    closed = (tmp_path / "closed").open("w")
    closed.close()
    reader, writer = os.pipe()
    os.close(reader)
    pipe = os.fdopen(writer, "w")
    for stream in (closed, pipe):
        listener = PlainLines(stream, levels=2)
        three_branches().tell(listener)
        three_branches().tell(listener)
        listener.close(summary(tmp_path))

        assert repr(listener).endswith(", broken>>")
    with pytest.raises(BrokenPipeError):
        pipe.close()


def test_a_reader_that_does_not_read_holds_nobody_up():
    """
    Lines that a full pipe does not take wait, within reason; the rest are counted.
    """
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="utf-8") as out:
        listener = PlainLines(out, levels=2, fold=False)
        story = Story()
        for _ in range(6_000):
            story.step("embed", 1)
        story.tell(listener)
        # Each read makes room; each look writes what waits.
        received = b""
        while not received.endswith(b"left out\n"):
            received += os.read(reader, 1 << 20)
            listener.listen((), ())
    os.close(reader)

    *told, last = received.decode().splitlines()
    assert {"✓ embed  1.0 ms"} == {line[10:] for line in told}
    assert last == f"{6_000 - len(told):,} lines left out"


def test_a_forked_child_keeps_quiet():
    """
    A child has no say on its parent's console.
    """
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as out:
        listener = PlainLines(out, levels=2)
        child = os.fork()
        if child == 0:
            three_branches().tell(listener)
            os._exit(0)
        os.waitpid(child, 0)
    with os.fdopen(reader) as inp:
        assert inp.read() == ""


# ── the picture ───────────────────────────────────────────────────────────────────────────────────


def test_memory_does_not_grow_with_spans():
    """
    Whatever the number of spans, names and branches, only so much of what ended is kept.
    """
    picture, story = Picture(levels=2), Story()
    for number in range(300):
        branch = story.branch(f"branch {number}")
        for step in range(100):
            story.step(f"step {step}", 1, branch)
        story.end(branch)
        story.tell(PictureListener(picture))

    kept = picture.root.kept
    assert (len(kept), max(len(node.groups) for node in kept)) == (MAX_KEPT, MAX_GROUPS + 1)
    assert (picture.root.steps, dict(picture.unkept())) == (30_000, {"success": 100})
    assert picture.nodes == {}


class PictureListener:
    def __init__(self, picture):
        self.picture = picture

    def listen(self, ended, open_):
        self.picture.take(ended, open_)
        self.picture.settle()


def test_a_parent_that_ends_in_the_same_breath():
    """
    Steps count for their branch whether or not the branch was ever seen open.
    """
    picture, story = Picture(levels=2), Story()
    branch = story.branch("a")
    outer = story.start("outer", parent=branch)
    story.step("inner", 1, outer)
    story.end(outer)
    story.end(branch)
    story.tell(PictureListener(picture))

    [(node, _)] = picture.branches()
    assert (node.steps, list(node.groups), list(node.groups["outer"].groups)) == (2, ["outer"], ["inner"])


def test_a_parent_in_another_process():
    """
    Steps whose parent is never seen here are, after a while, the run's own.
    """
    picture, story = Picture(levels=2), Story()
    for _ in range(10):
        story.step("work", 1, parent=2**63)
        story.tell(PictureListener(picture))
    for _ in range(3):
        picture.settle()

    assert (picture.root.groups["work"].count, picture.nodes) == (10, {})


def test_a_parent_that_has_ended():
    """
    A task that ends after the step that started it, and even after its branch, still counts for its branch.
    """
    picture, story = Picture(levels=2), Story()
    experiment = story.experiment("e")
    branch = story.branch("a", experiment)
    outer = story.start("outer", parent=branch)
    early, late = story.start("early", parent=outer), story.start("late", parent=outer)
    story.end(outer)
    story.tell(PictureListener(picture))
    for ends in (early, branch, late):
        story.end(ends)
        for _ in range(3):
            story.tell(PictureListener(picture))

    [(node, _)] = picture.branches()
    assert (node.steps, list(node.groups)) == (3, ["outer", "early", "late"])
    assert picture.nodes[experiment].steps == 3


def test_an_error_counts_once():
    """
    An exception that passes through three steps and their branch is one error.
    """
    picture, story = Picture(levels=2), Story()
    branch = story.branch("a")
    one = story.start("one", parent=branch)
    two = story.start("two", parent=one)
    story.step("three", 1, two, outcome="failed", error="E: no")
    for span in (two, one, branch):
        story.end(span, outcome="failed", error="E: no")
    story.tell(PictureListener(picture))

    assert (picture.root.errors, picture.root.steps) == (1, 3)


def test_the_median_is_about_right():
    """
    The median of any number of durations is within 4 % of the true one, from a bounded number of counters.
    """
    picture, story = Picture(levels=2), Story()
    for length in (*range(1, 1_000), 100_000):
        story.step("work", length)
    story.tell(PictureListener(picture))

    assert picture.root.groups["work"].median_nano == pytest.approx(500 * MS, rel=0.04)


# ── the tree ──────────────────────────────────────────────────────────────────────────────────────


def drawn(story, *, width=100, height=40, is_final=False, levels=2):
    picture = Picture(levels=levels)
    picture.take(story.ended, tuple(story.open.values()))
    rows = Frame(picture, UNICODE).rows(now_unix_nano=story.now, width=width, height=height, is_final=is_final)
    return [plain(row) for row in rows]


def test_the_tree_while_it_runs():
    """
    Finished branches are one row, open ones show their steps, errors stand in their place.
    """
    assert drawn(three_branches()) == [
        "⠋ retrieval                         0.3 s  9 steps · 1 error",
        "├─ ✓ chunks=256                     20 ms  1 step",
        "├─ ✗ chunks=512                     20 ms  8 steps · 1 error  ValueError: empty index",
        "└─ ⠋ chunks=1024                    0.3 s",
        "   └─ ⠋ embed                       0.3 s",
    ]


def test_the_tree_at_the_end():
    """
    The last frame shows the steps of the finished branches as well, equal ones folded, with the last two stamps.
    """
    assert drawn(three_branches(), is_final=True) == [
        "⠋ retrieval                         0.3 s  9 steps · 1 error",
        "├─ ✓ chunks=256                     20 ms  1 step",
        "│  └─ ✓ load                        12 ms  read · closed",
        "├─ ✗ chunks=512                     20 ms  8 steps · 1 error  ValueError: empty index",
        "│  └─ ✗ rank                        20 ms  ValueError: empty index",
        "│     └─ ✓ score ×7            p50 2.0 ms",
        "└─ ⠋ chunks=1024                    0.3 s",
        "   └─ ⠋ embed                       0.3 s",
    ]


def test_many_open_steps_are_one_row():
    """
    Thousands of tasks of one name are one row that counts them.
    """
    story = Story()
    outer = story.start("crawl")
    for _ in range(20):
        story.step("fetch", 4, outer)
    for _ in range(5_000):
        story.start("fetch", parent=outer)

    assert drawn(story) == [
        "⠋ crawl                             0.1 s",
        "└─ ⠋ fetch ×5,020              p50 4.0 ms  5,000 running",
    ]


def test_the_tree_fits_the_terminal():
    """
    A hundred finished branches and three open ones with steps fit ten rows: the open ones are what is seen.
    """
    story = Story()
    experiment = story.experiment("sweep")
    for number in range(100):
        outcome = "failed" if number == 7 else "success"
        story.end(story.branch(f"b{number}", experiment), 1, outcome=outcome)
    for name in ("x", "y", "z"):
        story.start("work", parent=story.branch(name, experiment))

    assert [" ".join(row.split()[1:4]) for row in drawn(story, height=10)] == [
        "sweep 0.1 s",
        "✗ 97 branches",
        "✓ b97 1.0",
        "✓ b98 1.0",
        "✓ b99 1.0",
        "⠋ x 0.0",
        "⠋ y 0.0",
        "⠋ z 0.0",
    ]
    assert [" ".join(row.split()[1:4]) for row in drawn(story, height=6)] == [
        "sweep 0.1 s",
        "✗ 100 branches",
        "⠋ x 0.0",
        "⠋ y 0.0",
        "⠋ z 0.0",
    ]
    assert drawn(story, height=3)[-1] == "… 3 more"


def test_rows_fit_the_width():
    """
    Rows are cut to the columns of the terminal, wide characters counted as two.
    """
    row = (("日本語の名前", "bold"), (" and a long story", ""))

    assert [ansi(row, width, is_coloured=False) for width in (40, 16, 7)] == [
        "日本語の名前 and a long story",
        "日本語の名前 an…",
        "日本語…",
    ]
    assert ansi(row, 7, is_coloured=True) == "\x1b[1m日本語…\x1b[0m"


def test_names_are_cut_before_durations():
    """
    In a narrow terminal the end of a name goes, and not how long it takes.
    """
    story = Story()
    outer = story.start("a step that is called by a whole sentence")
    story.end(story.start("日本語の名前日本語の名前", parent=outer), 12)

    assert drawn(story, width=30) == ["⠋ a step that …        0.0 s", "└─ ✓ 日本語の …        12 ms"]


# ── on a terminal ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def terminal(monkeypatch):
    terminal = Terminal()
    yield terminal
    terminal.close()


def live_tree(story, terminal, monkeypatch):
    # Here and not in the fixture: pytest puts its own stderr in place between the two.
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    return LiveTree(sys.stderr, levels=2, is_coloured=False, now_unix_nano=lambda: story.now)


def test_the_tree_is_redrawn_in_place(terminal, monkeypatch):
    """
    A frame takes the place of the one before, and no more than eight are drawn a second.
    """
    story = Story()
    tree = live_tree(story, terminal, monkeypatch)
    outer = story.start("outer")
    story.tell(tree)
    first = terminal.screen()
    story.now += 50 * MS
    story.start("too soon to be seen", parent=outer)
    story.tell(tree)
    second = terminal.screen()
    story.now += 100 * MS
    story.tell(tree)

    assert first == second == ["", "⠋ outer                             0.0 s"]
    assert terminal.screen() == [
        "",
        "⠙ outer                             0.1 s",
        "└─ ⠙ too soon to be seen            0.1 s",
    ]


def test_prints_of_the_application_go_above_the_tree(terminal, monkeypatch):
    """
    What the application prints or logs is there untouched and the tree below it, markup, begun lines and all.
    """
    story = Story()
    story.start("outer")
    tree = live_tree(story, terminal, monkeypatch)
    handler = logging.StreamHandler()
    logger = logging.getLogger("branchline.tests.console")
    logger.addHandler(handler)
    story.tell(tree)
    print("printed [/bold] \\[red]", file=sys.stderr, flush=True)
    logger.warning("logged by a handler from before")
    sys.stderr.write("half a ")
    sys.stderr.flush()
    story.now += 200 * MS
    story.tell(tree)
    begun = terminal.screen()
    print("line", file=sys.stderr)
    story.tell(tree)
    story.now += 200 * MS
    story.tell(tree)
    logger.removeHandler(handler)

    said = ["printed [/bold] \\[red]", "logged by a handler from before"]
    assert begun == [*said, "half a", "⠙ outer                             0.2 s"]
    assert terminal.screen() == [*said, "half a line", "", "⠹ outer                             0.4 s"]


def test_prints_of_a_child_process_are_not_lost(terminal, monkeypatch):
    """
    What others write to the same terminal stays, and the tree moves below it.
    """
    story = Story()
    outer = story.start("outer")
    story.start("inner", parent=outer)
    tree = live_tree(story, terminal, monkeypatch)
    story.tell(tree)
    subprocess.run(["/bin/sh", "-c", "echo from a child; printf prompt:"], stdout=terminal.stream, check=True)
    story.now += 200 * MS
    story.tell(tree)

    assert terminal.screen() == [
        "from a child",
        "prompt:",
        "⠙ outer                             0.2 s",
        "└─ ⠙ inner                          0.2 s",
    ]


def test_streams_are_given_back(terminal, monkeypatch, tmp_path, capsys):
    """
    When it is closed, stderr and the handlers are what they were, and what kept the tree's stream can still write.
    """
    story = Story()
    story.start("outer")
    tree = live_tree(story, terminal, monkeypatch)
    handler = logging.StreamHandler()
    logging.getLogger("branchline.tests.console").addHandler(handler)
    own, captured = sys.stderr, sys.stdout
    story.tell(tree)
    during = (sys.stderr, handler.stream, sys.stdout)
    tree.close(summary(tmp_path))
    after = (sys.stderr, handler.stream, sys.stdout)
    logging.getLogger("branchline.tests.console").removeHandler(handler)
    print("late", file=during[0])

    assert after == (own, own, captured)
    assert during[0] is during[1] is not own
    assert during[2] is captured
    assert terminal.screen()[-2:] == ["late", ""]


def test_a_stopped_terminal_holds_nobody_up(terminal, monkeypatch, tmp_path):
    """
    While the terminal takes nothing (Ctrl-S), the first frame is left out; the writer goes on to the second.
    """
    story = Story()
    story.start("outer")
    tree = live_tree(story, terminal, monkeypatch)
    termios.tcflow(terminal.stream.fileno(), termios.TCOOFF)
    story.tell(tree)
    assert select.select([], [terminal.stream], [], 0) == ([], [], [])
    termios.tcflow(terminal.stream.fileno(), termios.TCOON)
    story.now += 200 * MS
    story.tell(tree)

    assert terminal.screen() == ["", "⠙ outer                             0.2 s"]


def test_a_terminal_that_goes_away(terminal, monkeypatch, tmp_path):
    """
    A closed terminal switches the tree off.
    """
    story = Story()
    story.start("outer")
    tree = live_tree(story, terminal, monkeypatch)
    terminal.stream.close()
    story.tell(tree)
    tree.close(summary(tmp_path))

    assert sys.stderr is terminal.stream


def test_metrics_of_a_branch_in_the_tree(terminal, monkeypatch):
    """
    While a branch runs, and when it has ended, the tree shows what it has measured last.
    """
    story = Story()
    first = story.branch("a")
    story.measure(first, one=1, two=2.5, three=1e-7, four=1234.5)
    story.end(first, 20)
    story.measure(story.branch("b"), loss=0.5)
    tree = live_tree(story, terminal, monkeypatch)
    story.tell(tree)

    assert terminal.screen()[1:] == [
        "✓ a                                 20 ms  two 2.5 · three 1e-07 · four 1,234.5",
        "⠋ b                                 0.0 s  loss 0.5",
    ]


def test_metrics_in_plain_lines():
    """
    A line about a branch that has ended says what it has measured last.
    """
    story = Story()
    branch = story.branch("a")
    story.measure(branch, loss=0.5, accuracy=1)
    story.end(branch, 20)
    stream = io.StringIO()
    story.tell(PlainLines(stream, levels=1))

    assert stream.getvalue().splitlines()[-1] == "12:00:00  ✓ branch a  20 ms  loss 0.5  accuracy 1"


# ── the summary ───────────────────────────────────────────────────────────────────────────────────


def told(story, summary_, glyphs=UNICODE):
    picture = Picture(levels=2)
    picture.take(story.ended, ())
    return [plain(row) for row in summary_rows(summary_, picture, glyphs)]


def test_a_narrow_summary(tmp_path):
    """
    On a terminal nothing of the headline and the table breaks: what tells least is left out first, a name is cut last.
    """
    story = Story()
    for number in range(2):
        branch = story.branch(f"a rather long name of a branch, number {number}")
        story.measure(branch, accuracy=0.5, loss=1.25)
        story.end(branch, 20)
    picture = Picture(levels=2)
    picture.take(story.ended, ())

    def drawn(width):
        rows = summary_rows(summary(tmp_path, spans=2, points=4), picture, UNICODE, width=width)
        return [plain(row) for row in rows][1:-3]

    assert drawn(79) == [
        "✓ run 20231115-120000-k3f9 · demo.py · 1.24 s · 2 spans · 4 metric points",
        "",
        "  branch                                    status   duration  accuracy  loss",
        "  a rather long name of a branch, number 0  success     20 ms       0.5  1.25",
        "  a rather long name of a branch, number 1  success     20 ms       0.5  1.25",
    ]
    assert drawn(46) == [
        "✓ run 20231115-120000-k3f9 · demo.py · 1.24 s",
        "  2 spans · 4 metric points",
        "",
        "  branch                    status   duration",
        "  a rather long name of a…  success     20 ms",
        "  a rather long name of a…  success     20 ms",
        "  and 2 metrics more",
    ]


def test_branches_in_the_order_of_their_start(tmp_path):
    """
    The summary lists branches as they were started, not as they ended.
    """
    story = Story()
    first = story.branch("first")
    story.now += MS
    second = story.branch("second")
    story.end(second, 10)
    story.end(first, 10)

    assert [row.split()[0] for row in told(story, summary(tmp_path)) if "success" in row] == ["first", "second"]


def test_summary(tmp_path, monkeypatch):
    """
    The summary has the run, its branches, where its files are and the next command; losses only if there were any.
    """
    monkeypatch.chdir(tmp_path)
    story = three_branches()
    for span_id in reversed(list(story.open)):
        story.end(span_id, 0, "interrupted")

    assert told(story, summary(tmp_path, spans=13, logs=1_210, levels={"INFO": 1_204, "WARN": 2})) == [
        "",
        "⚡ run 20231115-120000-k3f9 · demo.py · 1.24 s · 13 spans · 1 error",
        "",
        "  branch        status        duration   steps   errors",
        "  chunks=256    success          20 ms       1        0",
        "  chunks=512    failed           20 ms       8        1",
        "  chunks=1024   interrupted     300 ms       1        0",
        "",
        "  logs      1,204 INFO, 2 WARN",
        "  files     .branchline/runs/20231115-120000-k3f9",
        "  next      branchline show 20231115-120000-k3f9",
    ]


def test_summary_of_metrics(tmp_path, monkeypatch):
    """
    The branches are compared by their metrics too, as many as fit; points are counted apart from what was logged.
    """
    monkeypatch.chdir(tmp_path)
    story = Story()
    experiment = story.experiment("e")
    for number, value in enumerate((0.123456, 61_725)):
        branch = story.branch(f"b{number}", experiment)
        story.measure(branch, loss=value, **{f"layer {number}": 1.5, f"layer {number + 2}": float("nan")})
        story.end(branch, 20)
    story.end(experiment)

    rows = told(story, summary(tmp_path, spans=3, logs=9, points=7))
    assert rows[1] == "✓ run 20231115-120000-k3f9 · demo.py · 1.24 s · 3 spans · 7 metric points"
    assert rows[3:7] == [
        "  branch   status    duration   steps   errors     loss   layer 0   layer 2   layer 1",
        "  b0       success      20 ms       0        0   0.1235       1.5       nan",
        "  b1       success      20 ms       0        0   61,725                           1.5",
        "  and 1 metric more",
    ]


def test_summary_of_losses(tmp_path, monkeypatch):
    """
    What was dropped is said by reason, what was odd once each; a run that is elsewhere is named with its directory.
    """
    monkeypatch.chdir(tmp_path)
    lost = summary(
        tmp_path / "else where", spans=1, dropped={"queue_full": 12_000, "disk": 2}, oddities={"surrogate": 3}
    )

    assert told(Story(), lost, ASCII) == [
        "",
        "+ run 20231115-120000-k3f9 | demo.py | 1.24 s | 1 span",
        "",
        "  files     else where/.branchline/runs/20231115-120000-k3f9",
        "  dropped   2 disk, 12,000 queue full",
        "  oddities  3 surrogate",
        "  next      branchline show 20231115-120000-k3f9 --directory 'else where/.branchline'",
    ]


def test_summary_of_budgets(tmp_path, monkeypatch):
    """
    A bar for each limit says how much of it is used; in a terminal that knows only ASCII, in signs that it can show.
    """
    monkeypatch.chdir(tmp_path)
    budget = BudgetConfig(daily=10, branch=1, calls=50)
    budgets = (
        budget.status("daily", Decimal("8.5")),
        budget.status("branch", Decimal("1.2"), name="chunks=256"),
        budget.status("calls", Decimal(1)),
    )

    assert told(Story(), summary(tmp_path, budgets=budgets))[3:6] == [
        "  daily     █████████████████░░░   85.0 %  $8.50 of $10.00",
        "  branch    ████████████████████  120.0 %  $1.20 of $1.00  chunks=256",
        "  calls     █░░░░░░░░░░░░░░░░░░░    2.0 %  1 of 50 calls",
    ]
    assert told(Story(), summary(tmp_path, budgets=budgets[:1]), ASCII)[3] == (
        "  daily     #################---   85.0 %  $8.50 of $10.00"
    )


def test_summary_of_many_branches(tmp_path):
    """
    Of more branches than a table can hold, those with errors are shown first, in their order; the rest are a number.
    """
    story = Story()
    for number in range(300):
        story.end(story.branch(f"b{number}"), 1, outcome="failed" if number == 299 else "success")

    rows = told(story, summary(tmp_path, spans=300))

    assert [row.split()[:2] for row in rows[-5:-3]] == [["b299", "failed"], ["and", "270"]]


# ── words ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("nanoseconds", "words"),
    [
        (-5, "0 µs"),
        (0, "0 µs"),
        (999_499, "999 µs"),
        (999_500, "1.0 ms"),
        (3_140_000, "3.1 ms"),
        (9_950_000, "10 ms"),
        (999_499_999, "999 ms"),
        (999_500_000, "1.00 s"),
        (1_240_000_000, "1.24 s"),
        (59_994_000_000, "59.99 s"),
        (59_996_000_000, "1 m 00 s"),
        (125_000_000_000, "2 m 05 s"),
        (7_380_000_000_000, "2 h 03 m"),
    ],
)
def test_durations(nanoseconds, words):
    """
    Durations have the digits a person reads, and no number is rounded up to a unit that it does not have.
    """
    assert words == duration(nanoseconds)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (7.0, "7"),
        (-61_725.0, "-61,725"),
        (0.123456, "0.1235"),
        (0.00001234, "1.234e-05"),
        (999.96, "1000"),
        (1234.56, "1,234.6"),
        (1e15, "1e+15"),
        (1e300, "1e+300"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_figures(value, words):
    """
    Measured values have the digits a person reads.
    """
    assert figure(value) == words


def test_elapsed():
    """
    What is still open is told in tenths of a second, then as any duration.
    """
    assert [elapsed(ns * MS) for ns in (-1, 40, 59_900, 61_000)] == ["0.0 s", "0.0 s", "59.9 s", "1 m 01 s"]


def test_safe_text():
    """
    Long text is cut, harmless invisible characters stay.
    """
    assert [safe("x" * 9, 5), safe("👩\u200d🔬 日本語"), safe("")] == ["xxxx…", "👩\u200d🔬 日本語", ""]
