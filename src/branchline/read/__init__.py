"""Reading: the runs on disk, as frozen values."""

from __future__ import annotations

from .._journal.anyvalue import Value
from .._journal.decode import Skipped
from .._journal.snapshots import Distribution, Metric, Series
from ..spreads import Summary
from ..usage_values import TokenBreakdown, Usage
from .durations import span_metrics, usage_metrics
from .following import Follower, Happening, follow
from .load import Runs, open_runs
from .run import Run
from .summaries import summaries
from .totals import Spending
from .tree import tree
from .values import Branch, ExceptionInfo, Experiment, Link, LogLine, Point, ProcessInfo, Stamp, Step, Task


__all__ = [
    "Branch",
    "Distribution",
    "ExceptionInfo",
    "Experiment",
    "Follower",
    "Happening",
    "Link",
    "LogLine",
    "Metric",
    "Point",
    "ProcessInfo",
    "Run",
    "Runs",
    "Series",
    "Skipped",
    "Spending",
    "Stamp",
    "Step",
    "Summary",
    "Task",
    "TokenBreakdown",
    "Usage",
    "Value",
    "follow",
    "open_runs",
    "span_metrics",
    "summaries",
    "tree",
    "usage_metrics",
]
