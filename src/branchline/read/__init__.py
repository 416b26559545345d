"""Reading: the runs on disk, as frozen values."""

from __future__ import annotations

from .._journal.anyvalue import Value
from .._journal.decode import Skipped
from .follow import Follower, Happening
from .load import Runs, open_runs
from .tree import tree
from .values import (
    Branch,
    ExceptionInfo,
    Experiment,
    Link,
    LogLine,
    Point,
    ProcessInfo,
    Run,
    Stamp,
    Step,
)


__all__ = [
    "Branch",
    "ExceptionInfo",
    "Experiment",
    "Follower",
    "Happening",
    "Link",
    "LogLine",
    "Point",
    "ProcessInfo",
    "Run",
    "Runs",
    "Skipped",
    "Stamp",
    "Step",
    "Value",
    "open_runs",
    "tree",
]
