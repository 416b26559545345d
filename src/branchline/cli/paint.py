"""How things look in the terminal: one set of colours, signs and ways to say a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..exporters.console.text import Glyphs, duration, glyphs_for
from ..read import LogLine, Step
from ..read.tree import ending_of, first_line


STYLES: Final[Mapping[str, str]] = {
    "success": "green",
    "ended": "green",
    "failed": "red",
    "lost": "red",
    "killed": "red",
    "skipped": "yellow",
    "cancelled": "yellow",
    "interrupted": "magenta",
    "open": "cyan",
    "running": "cyan",
    "pending": "cyan",
}


def level_style(line: LogLine) -> str:
    """Return how the level of a log record looks: what is wrong stands out."""
    if line.severity_number >= 17 or line.level in {"ERROR", "FATAL", "CRITICAL"}:
        return "red"
    return "yellow" if line.severity_number >= 13 or line.level in {"WARN", "WARNING"} else "dim"


def glyphs(console: Console) -> Glyphs:
    """Return the signs that *console* can show."""
    return glyphs_for(console.encoding)


def sign(console: Console, ending: str) -> Text:
    """Return the sign for an *ending*; for what has none yet, the sign of a start."""
    known = glyphs(console)
    if ending in {"open", "pending", "running"}:
        return styled((known.start, STYLES["open"]))
    if ending == "closed":
        return styled((known.success, "dim"))
    return styled(known.outcome(ending))


def step_sign(console: Console, step: Step) -> Text:
    """Return the sign for how *step* ended."""
    return sign(console, ending_of(step))


def styled(*pieces: tuple[str, str]) -> Text:
    """Return *pieces* of text, each in its own style; what is appended later has none of them."""
    text = Text()
    for piece, style in pieces:
        text.append(piece, style)
    return text


def reason_of(step: Step) -> str | None:
    """Return why *step* ended as it did, where that is known, in one line."""
    reason = step.error or (step.skip_reason if ending_of(step) == "skipped" else None)
    return first_line(reason) if reason else None


def table() -> Table:
    """Return an empty table in our look."""
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    drawn.header_style = drawn.border_style = "dim"
    return drawn


def seconds(length: float | None) -> str:
    """Return a length of time in seconds as a person reads it; nothing for none."""
    return "" if length is None else duration(round(length * 1e9))


def moment(unix_nano: int, form: str = "%H:%M:%S") -> str:
    """Return a time of day here; a question mark for one that no calendar has."""
    try:
        return datetime.fromtimestamp(unix_nano / 1e9).astimezone().strftime(form)
    except (OverflowError, ValueError, OSError):
        return "?"


def ago(unix_nano: int, now: float) -> str:
    """Return how long before *now* (in seconds) a time was: ``3 min ago``."""
    passed = now - unix_nano / 1e9
    for length, unit in ((86_400 * 365, "y"), (86_400, "d"), (3_600, "h"), (60, "min")):
        if passed >= length:
            return f"{passed // length:.0f} {unit} ago"
    return f"{passed:.0f} s ago" if passed >= 1 else "just now"
