"""Which console a run gets: a live tree, plain lines, or none."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TextIO

from ..._journal.seen import Listener
from ...links import NOWHERE, Links
from ...progress_values import Progress


Kind = Literal["tree", "lines"]


def console_listener(
    option: bool | str,
    *,
    verbosity: str,
    links: Links = NOWHERE,
    stream: TextIO | None = None,
    works: Callable[[], Sequence[Progress]] = tuple,
) -> Listener | None:
    """Return what shows a run on *stream* (default: stderr as it is now), or None where nothing is to be shown.

    *works* says what is worked on, and what has been until a moment ago.
    """
    out = sys.stderr if stream is None else stream
    kind = choose(
        option,
        verbosity=verbosity,
        is_terminal=_is_terminal(out),
        # The prompt of an interactive Python is a notebook as well: redrawing would go over what is typed.
        is_notebook="ipykernel" in sys.modules or hasattr(sys, "ps1") or bool(sys.flags.interactive),
        environ=os.environ,
    )
    if kind is None or out is None:
        return None
    levels = 8 if verbosity == "VERBOSE" else 2
    if kind == "tree":
        # Only a run that is watched pays for what watching needs.
        from .tree import LiveTree

        is_coloured = not os.environ.get("NO_COLOR")
        return LiveTree(out, levels=levels, links=links, is_coloured=is_coloured, works=works)
    # As above.
    from .lines import PlainLines

    return PlainLines(
        out, levels=levels, links=links, fold=verbosity != "VERBOSE", only_errors=verbosity == "QUIET", works=works
    )


def choose(
    option: bool | str, *, verbosity: str, is_terminal: bool, is_notebook: bool, environ: Mapping[str, str]
) -> Kind | None:
    """Return the console for these circumstances."""
    if option is False or verbosity == "NONE":
        return None
    can_redraw = is_terminal and not is_notebook and not _is_ci(environ) and environ.get("TERM") != "dumb"
    if option == "auto" and not can_redraw:
        return None
    return "tree" if can_redraw and verbosity != "QUIET" else "lines"


def _is_ci(environ: Mapping[str, str]) -> bool:
    return environ.get("CI", "").lower() in ("1", "true", "yes")


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except Exception:  # A closed stream, or something that only looks like one.
        return False
