"""A run as a tree of text: without times or ids, so that a test can compare it as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .._journal.anyvalue import Value
from .run import Run
from .values import Experiment, Stamp, Step


Item = Step | Stamp


def tree(run_or_items: Run | Item | Iterable[Item]) -> str:
    """Return a run, or steps and stamps, as indented text: the same every time, siblings in order of start."""
    items = items_of(run_or_items)
    lines: list[str] = []
    stack = [(item, "", "", "") for item in reversed(items)]
    while stack:
        item, before, branch, below = stack.pop()
        if isinstance(item, Stamp):
            lines.append(f"{before}{stamp_line(item)}")
            continue
        lines.append(f"{before}{branch}{step_line(item)}")
        lines += [f"{before}{below}{stamp_line(stamp)}" for stamp in item.stamps]
        for child in reversed(item.children):
            is_last = child is item.children[-1]
            stack.append((child, before + below, *(("└── ", "    ") if is_last else ("├── ", "│   "))))
    return "\n".join(lines)


def items_of(run_or_items: Run | Item | Iterable[Item]) -> list[Item]:
    """Return the top-level steps and stamps of what `tree` is given; a run's are in order of time."""
    if isinstance(run_or_items, Run):
        return sorted([*run_or_items.roots, *run_or_items.stamps], key=_moment)
    return [run_or_items] if isinstance(run_or_items, (Step, Stamp)) else list(run_or_items)


def _moment(item: Item) -> int:
    return item.time_unix_nano if isinstance(item, Stamp) else item.start_unix_nano


def step_line(step: Step) -> str:
    """Return one step as a line: ``step train  failed  ValueError: boom``."""
    parts = [f"{step.kind} {printable(step.name)}"]
    ending = ending_of(step)
    # That an experiment has ended well goes without saying: its branches have an ending each.
    if not (isinstance(step, Experiment) and ending == "success"):
        parts.append(ending)
    reason = step.error or (step.skip_reason if ending == "skipped" else None)
    if reason:
        parts.append(first_line(reason))
    return "  ".join(parts)


def ending_of(step: Step) -> str:
    """Return how *step* ended, in one word; ``open`` while it runs."""
    if step.outcome is None:
        return "open"
    return printable(step.status if step.kind == "branch" else step.outcome)


def stamp_line(stamp: Stamp) -> str:
    """Return one stamp as a line: ``· loaded rows=3``."""
    return " ".join(["·", printable(stamp.name), *pairs(stamp.attributes)])


def pairs(attributes: Mapping[str, Value]) -> list[str]:
    """Return *attributes* as ``key=value``."""
    return [f"{printable(key)}={shown(value)}" for key, value in attributes.items()]


def shown(value: Value) -> str:
    """Return *value* in one printable line; text that could be taken for several words is quoted."""
    if isinstance(value, str):
        return value if value.isprintable() and value and " " not in value else repr(value)
    return printable(repr(value)) if not isinstance(value, tuple) else f"[{', '.join(map(shown, value))}]"


def first_line(text: str) -> str:
    """Return the first line of *text*, printable; an ellipsis says that there was more."""
    head, _, rest = text.strip().partition("\n")
    return printable(head.rstrip()) + (" …" if rest.strip() else "")


def printable(text: str) -> str:
    """Return *text* with control characters, escapes and invisible marks spelled out: safe for any terminal."""
    if text.isprintable():
        return text
    return "".join([char if char.isprintable() else ascii(char)[1:-1] for char in text])
