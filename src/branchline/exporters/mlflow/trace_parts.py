"""What of a branch is to be seen as a trace of its own, and the id of that trace."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ..._journal.decode import DecodedSpan


@dataclass(frozen=True, kw_only=True)
class TracePart:
    """The spans of a trace that MLflow has not got; the trace is that of a branch, an experiment, or a step outside."""

    root: tuple[str, str]
    """The ids, of its trace and its own, of the span that becomes the root."""
    spans: Sequence[DecodedSpan]
    """All that have ended; no spans of other branches, which are traces of their own."""
    parents: Mapping[str, str] = field(default_factory=dict)
    """By span id: the parent that is no more among the *spans*, but was in an earlier part."""
    around: Collection[str] = ()
    """The ids of spans below which others of an earlier part called models."""
    is_late: bool = False
    """Whether the root was in an earlier part."""
    run_id: str
    """Of the run of MLflow that the trace is linked to."""
    experiment_id: str
    """Of MLflow's experiment."""
    name: str
    branchline_run_id: str
    outcome: str | None = None


def trace_id_of(root: tuple[str, str]) -> str:
    """Return the id of the trace that begins at *root*; MLflow shows it with ``tr-`` before it.

    It follows from the span's own ids: whatever is sent again, by whomever, is the same trace.
    """
    return hashlib.blake2b("/".join(root).encode(), digest_size=16).hexdigest()
