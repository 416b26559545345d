"""The traces that a run's journal makes, put together as plainly as can be: the whole run is in memory."""

from __future__ import annotations

from branchline import names
from branchline._journal import layout
from branchline._journal.cursors import Cursor
from branchline._journal.decode import DecodedSpan, decode_line
from branchline._journal.unread import Reader
from branchline.exporters.mlflow.trace_parts import TracePart


def spans_of(directory, run_id):
    """Return every span of a run, in the order of its files."""
    reader = Reader(layout.runs_directory(directory) / run_id)
    lines = [read.line for read in reader.lines("traces", Cursor()) if read.line]
    return [span for line in lines for span in decode_line(line, print).spans]


def parts_of(directory, run_id, *, experiment_id="0", mlflow_run_of=lambda branch: ""):
    """Return the trace of each branch of a run; *mlflow_run_of* says to which of MLflow's runs it belongs."""
    spans = spans_of(directory, run_id)
    by_key = {(span.trace_id, span.span_id): span for span in spans}

    def branch_of(span):
        while span is not None and span.ours.get(names.KIND) != names.KIND_BRANCH:
            span = by_key.get((span.trace_id, span.parent_id))
        return span

    inside: dict[tuple[str, str], list[DecodedSpan]] = {}
    for span in spans:
        branch = branch_of(span)
        if branch is not None:
            inside.setdefault((branch.trace_id, branch.span_id), []).append(span)
    return [
        TracePart(
            root=root,
            spans=found,
            run_id=mlflow_run_of(by_key[root]),
            experiment_id=experiment_id,
            name=by_key[root].name,
            branchline_run_id=run_id,
            outcome=by_key[root].ours.get(names.OUTCOME),
        )
        for root, found in inside.items()
    ]
