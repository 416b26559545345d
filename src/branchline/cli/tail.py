"""``branchline tail``: a run while it happens, one line for each thing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..exporters.console.bars import figures, sign
from ..exporters.console.text import figure, spending
from ..exporters.console.told import Told
from ..read import Follower, Happening, LogLine, Point, Run, Step, Task, Usage, open_runs
from ..read.document import (
    call_document,
    iso,
    log_document,
    point_document,
    stamp_document,
    step_document,
    task_document,
)
from ..read.spending import spending_in
from ..read.tree import ending_of, pairs, printable
from .logs import said
from .options import common_options, found_run, found_runs, print_json, terminal
from .paint import STYLES, glyphs, level_style, moment, reason_of, seconds, step_sign, styled
from .tasks import GoingOn


@click.command()
@click.argument("run", default="last")
@click.option("--lines", "-n", default=20, show_default=True, type=click.IntRange(min=0), help="Of the past, so many.")
@click.option(
    "--interval", default=0.25, show_default=True, type=click.FloatRange(min=0.01), help="Seconds between looks."
)
@common_options
def tail(run: str, directory: Path, *, lines: int, interval: float, is_json: bool) -> None:
    """Follow RUN (an id, the beginning of one, or `last`) until it ends or Ctrl-C."""
    found = found_run(found_runs(directory), run)
    console = terminal()
    try:
        _follow(console, found, lines=lines, interval=interval, is_json=is_json)
    except KeyboardInterrupt:
        return


def _follow(console: Console, run: Run, *, lines: int, interval: float, is_json: bool) -> None:
    follower = Follower(run)
    past = follower.poll()
    told, going_on = Told(), GoingOn()
    going_on.hear(past)
    news = past if is_json else [happening for happening in past if _is_news(happening, told)]
    _print(console, news[len(news) - lines :] if lines < len(news) else news, is_json=is_json)
    with _bars(console, is_json=is_json) as bars:
        while alive := follower.alive():
            happenings = follower.poll()
            going_on.hear(happenings)
            going_on.forget(alive)
            # Where there are bars, they say how far it is.
            _print(console, [each for each in happenings if is_json or _is_news(each, told, bars)], is_json=is_json)
            if bars is not None:
                bars.update(going_on.bars(console), refresh=True)
            time.sleep(interval)
    # It may have died: then what it had not written yet is recovered before the last look.
    [ended] = open_runs(run.directory)
    _print(console, [each for each in follower.poll() if is_json or _is_news(each, told)], is_json=is_json)
    if not is_json:
        console.print(Text(f"run {printable(run.id)} {ended.state}", STYLES.get(ended.state, "dim")), soft_wrap=True)


@contextmanager
def _bars(console: Console, *, is_json: bool) -> Iterator[Live | None]:
    """Draw below what is printed, on a terminal; take it away at the end."""
    if is_json or not console.is_terminal:
        yield None
        return
    with Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False) as live:
        yield live


def _is_news(happening: Happening, told: Told, bars: Live | None = None) -> bool:
    """Return whether something is worth a line."""
    if happening.task is None:
        return True
    return told.is_news(happening.task.progress) and (bars is None or happening.task.outcome is not None)


def _print(console: Console, happenings: Iterable[Happening], *, is_json: bool) -> None:
    for happening in happenings:
        if is_json:
            print_json(_document(happening))
        else:
            console.print(happening_line(console, happening), soft_wrap=True)


def happening_line(console: Console, happening: Happening) -> Text:
    """Return one thing that happened as a line: time, sign, what."""
    line = styled((moment(happening.time_unix_nano), "dim"), ("  ", ""))
    step = happening.step
    if happening.log is not None:
        return line.append_text(_log(happening.log))
    if happening.stamp is not None:
        line.append(f"{glyphs(console).dot} ", "cyan").append(printable(happening.stamp.name))
        line.append("".join(f" {pair}" for pair in pairs(happening.stamp.attributes)), "dim")
        return line.append(f"  in {printable(step.name)}", "dim") if step is not None else line
    if happening.point is not None:
        return line.append_text(_point(console, happening.point))
    if happening.usage is not None:
        return line.append_text(_usage(console, happening.usage))
    if happening.task is not None:
        return line.append_text(_task(console, happening.task))
    return line.append_text(_step(console, step)) if step is not None else line


def _step(console: Console, step: Step) -> Text:
    text = step_sign(console, step).append(" ")
    if step.kind in {"branch", "experiment"}:
        text.append(f"{step.kind} ", "dim")
    text.append(printable(step.name), "bold" if step.kind in {"branch", "experiment"} else "")
    if step.branch_name is not None and step.kind != "branch":
        text.append(f"  {printable(step.branch_name)}", "dim")
    if step.duration is not None:
        text.append(f"  {seconds(step.duration)}", "dim")
    ending = ending_of(step)
    if ending not in {"success", "open", "failed"}:
        text.append(f"  {ending}", STYLES.get(ending, ""))
    reason = reason_of(step)
    return text.append(f"  {reason}", "red" if step.is_failed else "dim") if reason else text


def _point(console: Console, point: Point) -> Text:
    text = styled((f"{glyphs(console).dot} ", "cyan"), (f"{printable(point.name)} ", ""), (figure(point.value), "cyan"))
    # A ratio has the unit 1, and what is counted stands in braces.
    unit = (point.unit or "").strip("{}")
    text.append(f" {printable(unit)}" if unit not in {"", "1"} else "")
    step = {} if point.step is None else {"step": point.step}
    text.append("".join(f" {pair}" for pair in pairs({**step, **point.attributes})), "dim")
    place = point.step_name or point.branch_name
    return text.append(f"  in {printable(place)}", "dim") if place else text


def _usage(console: Console, usage: Usage) -> Text:
    text = styled((f"{glyphs(console).dot} ", "cyan"), (f"{printable(usage.model)} ", ""))
    text.append(spending(spending_in([usage])), "cyan")
    place = usage.step or usage.branch
    return text.append(f"  in {printable(place)}", "dim") if place else text


def _task(console: Console, task: Task) -> Text:
    progress = task.progress
    mark = (glyphs(console).start, "cyan") if task.outcome is None else sign(progress, glyphs(console))
    text = styled(mark, (f" {printable(task.description)}  ", ""), *figures(progress))
    place = task.step_name or task.branch_name
    return text.append(f"  in {printable(place)}", "dim") if place else text


def _log(line: LogLine) -> Text:
    text = styled((printable(line.level_name) or "LOG", level_style(line)), ("  ", "")).append_text(said(line))
    return text.append(f"  in {printable(line.step_name)}", "dim") if line.step_name else text


def _document(happening: Happening) -> dict[str, Any]:
    document: dict[str, Any] = {"what": happening.what, "time": iso(happening.time_unix_nano)}
    if happening.step is not None:
        document["span"] = step_document(happening.step)
    if happening.stamp is not None:
        document["stamp"] = stamp_document(happening.stamp)
    if happening.log is not None:
        document["log"] = log_document(happening.log)
    if happening.point is not None:
        document["point"] = point_document(happening.point)
    if happening.usage is not None:
        document["usage"] = call_document(happening.usage)
    if happening.task is not None:
        document["task"] = task_document(happening.task)
    return document
