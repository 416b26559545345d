"""What leads from a run in the terminal to its traces in Jaeger, Grafana and MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.style import Style
from rich.text import Text

from ..exporters.console.text import plural
from ..links import Links, Trace
from ..read import Branch, Run, Step
from ..read.tree import printable


# A run of a thousand top-level steps is as many traces.
_TRACES: Final = 3
_TITLE_WIDTH: Final = 8


def viewer_lines(run: Run, links: Links, *, is_whole: bool = False) -> Iterator[Text]:
    """Yield a line for each place where a trace of *run* can be looked at; nothing where there are none."""
    roots = _first_of_each_trace(run)
    shown = roots if is_whole else roots[:_TRACES]
    # Without a name where it would say what the tree has just said.
    named = [(root, f"{root.kind} {printable(root.name)}  " if len(roots) > 1 else "") for root in shown]
    lines = [_line(viewer, url, name) for root, name in named for viewer, url in links.to(_trace(root)).items()]
    yield from lines
    compared = links.compared(_trace(root) for root in roots if isinstance(root, Branch))
    if compared is not None:
        yield _line("compare", compared)
    if lines and len(roots) > len(shown):
        yield Text(f"  … {plural(len(roots) - len(shown), 'more trace')}; --all shows them", "dim")


def viewer_documents(run: Run, links: Links) -> list[dict[str, Any]]:
    """Return the same as JSON values: of each trace what it is, and its URL at each viewer."""
    found = [(root, links.to(_trace(root))) for root in _first_of_each_trace(run)]
    return [{"trace_id": root.trace_id, "kind": root.kind, "name": root.name, **urls} for root, urls in found if urls]


def _line(viewer: str, url: str, name: str = "") -> Text:
    # As a hyperlink on a terminal that knows them; elsewhere it is text like any other.
    return Text(f"  {viewer:<{_TITLE_WIDTH}} ", "dim").append(name, "not dim").append(url, Style(link=url, dim=False))


def _first_of_each_trace(run: Run) -> Sequence[Step]:
    """Return the root of each trace; of one whose beginning is not here, the first that is."""
    roots: dict[str, Step] = {}
    for root in run.roots:
        roots.setdefault(root.trace_id, root)
    return list(roots.values())


def _trace(root: Step) -> Trace:
    return Trace(root.trace_id, root.start_unix_nano, root.end_unix_nano)
