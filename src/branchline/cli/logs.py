"""``branchline logs``: what a run has logged, or what is in log files, line by line or in total."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import click
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from .. import names
from .._files.encryption import Key
from .._files.restore import Wanted as WantedFiles
from ..errors import ArchiveError
from ..exporters.console.text import plural
from ..read import Follower, LogLine, Run
from ..read.document import log_document
from ..read.log_files import log_files, log_lines
from ..read.tree import first_line, pairs, printable
from .archives import fetched
from .keys import key_from, key_option, secret_in
from .log_checks import is_archive, verify_archive, verify_files, verify_run
from .log_totals import print_totals, totals_of
from .options import CommandError, common_options, found_run, found_runs, print_json, terminal
from .paint import level_style, moment, styled
from .times import moment_of, unix_nano


LEVELS = (*names.SEVERITIES[1:], "WARNING", "CRITICAL")
_ALIASES = {"WARNING": "WARN", "CRITICAL": "FATAL"}
# The longest that OpenTelemetry and the logging module have between them.
_LEVEL_WIDTH = 8
_PLACE_WIDTH = 40
_AT_ONCE = 10_000

Wanted = Callable[[LogLine], bool]


@click.command()
@click.argument("run", default="last")
@click.option("--level", type=click.Choice(LEVELS, case_sensitive=False), help="Of this level and above.")
@click.option("--step", metavar="NAME", help="Written in a step of this name.")
@click.option("--branch", metavar="NAME", help="Written in this branch: its name or its id.")
@click.option("--event", metavar="NAME", help="Events of this name; a * at the end stands for anything.")
@click.option("--logger", metavar="NAME", help="Of this logger and those below it.")
@click.option("--grep", metavar="REGEX", help="Whose message, event name or fields match.")
@click.option("--run", "run_id", metavar="ID", help="Of this run; for log files.")
@click.option("--since", metavar="TIME", help='From this time on: "2026-01-31", "2026-01-31 12:00", or "2 h" ago.')
@click.option("--until", metavar="TIME", help="Up to this time.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Leave out so many of them.")
@click.option("--limit", type=click.IntRange(min=0), help="Show so many at most.")
@click.option("--totals", is_flag=True, help="Count them by level and by type, and show none.")
@click.option("--verify", is_flag=True, help="Look whether all of it is as it was written or archived, and show none.")
@key_option
@click.option(
    "--seal-key-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The key that lines were sealed with, for --verify.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on until the run ends or Ctrl-C.")
@common_options
def logs(
    run: str,
    directory: Path,
    *,
    follow: bool,
    is_json: bool,
    offset: int,
    limit: int | None,
    totals: bool,
    verify: bool,
    key_file: Path | None,
    seal_key_file: Path | None,
    **conditions: str | None,
) -> None:
    """Show what RUN (an id, the beginning of one, or `last`) has logged, oldest first.

    RUN may also be a log file, with all that was rotated away from it, or a folder of log files, or of archived ones,
    or the URL of an archive.
    """
    is_wanted = wanted(**conditions)
    console = terminal()
    if verify and is_archive(run):
        verify_archive(console, run, is_json=is_json)
        return
    part = Part(is_wanted=is_wanted, offset=offset, limit=limit, is_total=totals, is_json=is_json)
    if "://" in run:
        asked = WantedFiles(
            since=None if conditions["since"] is None else moment_of(conditions["since"], "--since"),
            until=None if conditions["until"] is None else moment_of(conditions["until"], "--until"),
            run=conditions["run_id"],
        )
        _refuse_to_follow(follow=follow)
        with fetched(run, asked, key_from(key_file)) as files:
            _show_files(console, files, None, part)
        return
    if is_place(run):
        files = log_files(Path(run))
        if verify:
            seal_key = None if seal_key_file is None else secret_in(seal_key_file)
            verify_files(console, files, key_from(key_file), seal_key=seal_key, is_json=is_json)
            return
        _refuse_to_follow(follow=follow)
        _show_files(console, files, key_from(key_file), part)
        return
    found = found_run(found_runs(directory), run)
    if verify:
        verify_run(console, found, is_json=is_json)
    elif follow:
        with contextlib.suppress(KeyboardInterrupt):
            _follow(console, found, is_wanted, is_json=is_json)
    elif not _show(console, lines_of(found), part) and not is_json:
        console.print(Text(_nothing(found), "dim"))


@dataclass(frozen=True, kw_only=True)
class Part:
    """Which lines to show, and how."""

    is_wanted: Wanted
    offset: int
    limit: int | None
    is_total: bool
    is_json: bool


def _refuse_to_follow(*, follow: bool) -> None:
    if follow:
        msg = "--follow is for runs; `tail -F` follows a file"
        raise CommandError(msg)


def _show_files(console: Console, files: Sequence[Path], key: Key | None, part: Part) -> None:
    size = sum(path.stat().st_size for path in files)
    try:
        shown = _show(console, log_lines(files, key, unread=_say_unread), part, size=size)
    except ArchiveError as error:
        raise CommandError(str(error)) from None
    if not shown and not part.is_json:
        console.print(Text("none is like that", "dim"))


def _show(console: Console, every: Iterable[LogLine], part: Part, *, size: int | None = None) -> bool:
    """Print the *part* of *every* line that is asked for; return whether there was anything to print."""
    end = None if part.limit is None else part.offset + part.limit
    lines = islice(filter(part.is_wanted, every), part.offset, end)
    if part.is_total:
        print_totals(console, totals_of(lines, size), is_json=part.is_json)
        return True
    return bool(_print(console, lines, is_json=part.is_json))


def _say_unread(path: Path, error: Exception) -> None:
    click.echo(f"branchline: {path.name} cannot be read to its end: {type(error).__name__}: {error}", err=True)


def is_place(said: str) -> bool:
    """Whether what somebody *said* is a log file, also one of which only rotated ones are left, or a folder."""
    place = Path(said)
    return place.is_dir() or place.is_file() or (os.sep in said and bool(log_files(place)))


def wanted(
    *,
    level: str | None = None,
    step: str | None = None,
    branch: str | None = None,
    event: str | None = None,
    logger: str | None = None,
    grep: str | None = None,
    run_id: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Wanted:
    """Return what tells whether a line is asked for."""
    lowest = 0 if level is None else 4 * names.SEVERITIES.index(_ALIASES.get(level.upper(), level.upper())) - 3
    pattern = None if grep is None else _pattern(grep)
    first, last = unix_nano(since, "--since"), unix_nano(until, "--until")

    def is_wanted(line: LogLine) -> bool:
        return (
            line.severity_number >= lowest
            and (first is None or line.time_unix_nano >= first)
            and (last is None or line.time_unix_nano <= last)
            and (run_id is None or line.attributes.get("run_id") == run_id)
            and (step is None or line.step_name == step)
            and (branch is None or branch in (line.branch_name, line.branch_id))
            and (event is None or _is_called(line.event_name or "", event))
            and (logger is None or f"{line.logger_name}.".startswith(f"{logger}."))
            and (pattern is None or bool(pattern.search(_text(line))))
        )

    return is_wanted


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        msg = f"{text!r} is no regular expression: {error}"
        raise click.BadParameter(msg, param_hint="--grep") from error


def _is_called(name: str, wanted: str) -> bool:
    return bool(name) and (name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted)


def _text(line: LogLine) -> str:
    return " ".join(filter(None, (line.event_name, line.message, *pairs(line.attributes), str(line.exception or ""))))


def _nothing(run: Run) -> str:
    count = len(lines_of(run))
    return f"none of {plural(count, 'log record')} is like that" if count else "nothing was logged"


def lines_of(run: Run) -> list[LogLine]:
    """Return the log records of *run* that are there for a person to read."""
    return [line for line in run.logs if line.event_name not in names.NO_LOG_LINES]


def _follow(console: Console, run: Run, is_wanted: Wanted, *, is_json: bool) -> None:
    follower = Follower(run)
    is_over = False
    while True:
        happened = [happening.log for happening in follower.poll() if happening.log is not None]
        _print(console, list(filter(is_wanted, happened)), is_json=is_json)
        if is_over:
            return
        # Once more after its end: what came between the last look and that.
        is_over = follower.is_over
        time.sleep(0 if is_over else 0.25)


def _print(console: Console, lines: Iterable[LogLine], *, is_json: bool) -> int:
    """Print *lines*; return how many there were."""
    count = 0
    lines = iter(lines)
    # As wide as the widest of so many, and not of all: files may be larger than memory.
    while batch := list(islice(lines, _AT_ONCE)):
        count += len(batch)
        _print_some(console, batch, is_json=is_json)
    return count


def _print_some(console: Console, lines: Sequence[LogLine], *, is_json: bool) -> None:
    width = min(max([cell_len(place(line)) for line in lines], default=0), _PLACE_WIDTH)
    for line in lines:
        if is_json:
            print_json(log_document(line))
        else:
            console.print(log_text(line, width=width), soft_wrap=True)


def log_text(line: LogLine, *, width: int = 0) -> Text:
    """Return *line* for the terminal: time, level, where it was written in *width* columns, and what it says."""
    text = styled((moment(line.time_unix_nano, "%H:%M:%S.%f")[:-3], "dim"), ("  ", ""))
    text.append(f"{printable(line.level_name) or '-':<{_LEVEL_WIDTH}}", level_style(line)).append("  ")
    where = place(line)
    text.append(where, "cyan" if line.step_name or line.branch_name else "dim")
    text.append(" " * max(width - cell_len(where), 0) + "  ")
    return text.append_text(said(line))


def place(line: LogLine) -> str:
    """Return the branch and the step that *line* was written in; the logger where it was in neither."""
    inside = [printable(name) for name in (line.branch_name, line.step_name) if name]
    # Twice the same: the line stands in the branch itself.
    return " › ".join(dict.fromkeys(inside)) or printable(line.logger_name) or "-"


def said(line: LogLine) -> Text:
    """Return what *line* says, in one printable line: the event, the message, the fields, the exception."""
    parts = [Text(printable(line.event_name), "bold")] if line.event_name else []
    words = [Text(first_line(line.message))] if line.message else []
    # Stacks have lines of their own, and `--json` has them.
    fields = {key: value for key, value in line.attributes.items() if key != names.CODE_STACKTRACE}
    words += [Text(pair, "dim") for pair in pairs(fields)]
    parts += [Text(" ").join(words)] if words else []
    if line.exception is not None:
        parts.append(Text(first_line(str(line.exception)), "red"))
    return Text("  ").join(parts)
