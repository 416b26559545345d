"""Flames: where money, tokens and time went, as values, for speedscope and as a picture."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

import branchline as bl
from branchline.cli import main
from branchline.read import Run, open_runs
from branchline.read.flame import Frame, flame


SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a journal with two branches, steps in steps, two models, and a call outside of all steps."""
    with bl.configure("x", directory=tmp_path, console=False):
        for name, times in (("a", 1), ("b", 2)):
            with bl.branch({"model": name}, name=name):
                for _ in range(times):
                    with bl.step("ask"):
                        bl.record_usage("gpt", input_tokens=100, cost="0.10")
                        with bl.step('check <all> & "more"'):
                            bl.record_usage("claude", output_tokens=50, cost="0.05")
        bl.record_usage("gpt", input_tokens=10, cost="0.01")
        bl.record_usage("unheard of", input_tokens=40)
    return tmp_path


def run_of(directory: Path) -> Run:
    return open_runs(directory).last


def shape(frame: Frame) -> tuple[object, ...]:
    return frame.name, frame.kind, frame.count, frame.total, [shape(each) for each in frame.ordered]


def called(directory: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, ["flame", "last", "--directory", str(directory), *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_money(directory):
    """
    Every dollar is in the step that it was spent in, under its model; steps of one name in one place are one.
    """
    check = 'check <all> & "more"'

    assert shape(flame(run_of(directory), "usd")) == (
        *("x", "run", 1, Decimal("0.46")),
        [
            (
                *("b", "branch", 1, Decimal("0.30")),
                [
                    (
                        *("ask", "step", 2, Decimal("0.30")),
                        [
                            ("gpt", "model", 2, Decimal("0.20"), []),
                            (check, "step", 2, Decimal("0.10"), [("claude", "model", 2, Decimal("0.10"), [])]),
                        ],
                    )
                ],
            ),
            (
                *("a", "branch", 1, Decimal("0.15")),
                [
                    (
                        *("ask", "step", 1, Decimal("0.15")),
                        [
                            ("gpt", "model", 1, Decimal("0.10"), []),
                            (check, "step", 1, Decimal("0.05"), [("claude", "model", 1, Decimal("0.05"), [])]),
                        ],
                    )
                ],
            ),
            ("(outside of all steps)", "step", 2, Decimal("0.01"), [("gpt", "model", 1, Decimal("0.01"), [])]),
        ],
    )


def test_tokens(directory):
    """
    Tokens count whether or not they have a price.
    """
    assert flame(run_of(directory), "tokens").total == Decimal(3 * 150 + 50)


def test_time(directory):
    """
    What runs inside of a step is no time of its own: the whole is as long as what is at the top.
    """
    run = run_of(directory)
    root = flame(run, "ms")
    longest = sum(Decimal((top.end_unix_nano or 0) - top.start_unix_nano) for top in run.roots) / 1_000_000

    assert root.total == longest
    assert all(frame.own >= 0 for frame in everything(root))


def everything(frame: Frame) -> list[Frame]:
    return [frame, *(below for child in frame.children.values() for below in everything(child))]


def test_steps_side_by_side(tmp_path):
    """
    Of steps that ran at the same time, none is taken off from the one around them twice.
    """
    second = 1_000_000_000
    from branchline.read.run import Contents
    from branchline.read.values import Step

    def step(name: str, start: int, end: int, *children: Step) -> Step:
        return Step(
            name=name,
            kind="step",
            trace_id="t",
            span_id=name,
            start_unix_nano=start * second,
            end_unix_nano=end * second,
            children=children,
        )

    class Source:
        def processes(self):
            return ()

        def contents(self, processes):
            return Contents(roots=(step("top", 0, 10, step("a", 1, 5), step("b", 3, 7), step("c", 9, 12)),))

        def document(self, run, redactor):
            return {}

    root = flame(Run(id="r", directory=tmp_path, source=Source()), "ms")

    assert {frame.name: frame.own for frame in everything(root)} == {
        "r": Decimal(0),
        "top": Decimal(3000),
        "a": Decimal(4000),
        "b": Decimal(4000),
        "c": Decimal(3000),
    }


def test_deep(tmp_path):
    """
    A tree of two thousand levels is drawn; what is too deep to be seen counts in the last level that is shown.
    """
    with bl.configure("x", directory=tmp_path, console=False):
        steps = [bl.step(f"s{depth}") for depth in range(2000)]
        for each in steps:
            each.__enter__()
        bl.record_usage("gpt", input_tokens=1, cost="1.00")
        for each in reversed(steps):
            each.__exit__(None, None, None)
    root = flame(run_of(tmp_path), "usd")
    frame = root
    while frame.ordered:
        [frame] = frame.ordered

    assert (root.total, frame.own, frame.depth) == (Decimal("1.00"), Decimal("1.00"), 256)
    assert "</svg>" in called(tmp_path)


def test_speedscope(directory):
    """
    For speedscope it is one profile of samples, whose weights add up to the total and whose stacks are known frames.
    """
    document = json.loads(called(directory, "--json"))
    [profile] = document["profiles"]
    frames = [frame["name"] for frame in document["shared"]["frames"]]
    stacks = [[frames[number] for number in sample] for sample in profile["samples"]]

    assert document["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert (profile["type"], profile["unit"], profile["startValue"], profile["endValue"]) == (
        "sampled",
        "none",
        0,
        0.46,
    )
    assert sum(profile["weights"]) == pytest.approx(0.46)
    assert dict(zip(map(tuple, stacks), profile["weights"], strict=True))["x", "b", "ask", "gpt"] == 0.2
    assert json.loads(called(directory, "--json", "--weight", "ms"))["profiles"][0]["unit"] == "milliseconds"


def test_a_picture(directory):
    """
    The picture is an SVG of its own: no script, nothing from elsewhere; names are escaped, and a frame lies on its own.
    """
    drawn = called(directory)
    root = ET.fromstring(drawn)
    frames = root.findall(f"{SVG}g")
    titles = [frame.findtext(f"{SVG}title") or "" for frame in frames]
    boxes = [frame.find(f"{SVG}rect") for frame in frames]
    spans = [
        (float(box.get("y") or 0), float(box.get("x") or 0), float(box.get("width") or 0))
        for box in boxes
        if box is not None
    ]

    assert not re.search(r"<script|href|url\(|@import", drawn)
    assert "https:" not in drawn
    assert 'step check <all> & "more" ×2\n$0.10, 21.7 %' in titles
    assert root.findtext(f"{SVG}text") == "x"
    assert "40 of 500 tokens have no known price" in drawn
    for row in {y for y, _, _ in spans}:
        line = sorted((x, width) for y, x, width in spans if y == row)
        assert all(x + width <= after for (x, width), (after, _) in pairwise(line))


def test_a_hostile_name(tmp_path):
    """
    A name with markup and control characters is text in the picture, and the picture is still XML.
    """
    with bl.configure("<svg onload=x>", directory=tmp_path, console=False), bl.step("</text><script>\x00\x1b[31m'\""):
        bl.record_usage("]]>&amp;", input_tokens=1, cost=1)
    drawn = called(tmp_path)

    assert "<script" not in drawn
    assert "\x1b" not in drawn
    ET.fromstring(drawn)


@pytest.mark.parametrize(("name", "head"), [("f.svg", "<svg "), ("f.json", '{"$schema"'), ("f", "<svg ")])
def test_into_a_file(directory, tmp_path, name, head):
    """
    The name of the file decides what is written to it.
    """
    path = tmp_path / name

    assert called(directory, "-o", str(path)) == ""
    assert path.read_text().startswith(head)


def test_nothing_to_draw(tmp_path):
    """
    Where nothing weighs anything, one line says why, and what can be drawn instead.
    """
    with bl.configure("x", directory=tmp_path, console=False), bl.step("s"):
        pass
    nothing = CliRunner().invoke(main, ["flame", "-d", str(tmp_path)])
    with bl.configure("x", directory=tmp_path, console=False), bl.step("s"):
        bl.record_usage("unheard of", input_tokens=5)
    unpriced = CliRunner().invoke(main, ["flame", "-d", str(tmp_path)])

    assert (nothing.exit_code, unpriced.exit_code) == (1, 1)
    assert "has recorded no usage of models; --weight ms draws its time" in nothing.output
    assert "has a known price; --weight tokens draws its tokens" in unpriced.output
