"""Following a run while it is written: what has happened since the last look."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .. import names
from .._journal.decode import LONGEST_LINE, DecodedLog, DecodedSpan, decode_line
from ..usage_values import Usage
from .assemble import BOOKKEEPING, STARTED, Key, loose_stamp, open_span, step_of
from .load import files_of, foreign_process, open_runs
from .logs import log_line
from .points import point_of
from .run import Run
from .spending import usage_in
from .tasks import task_of
from .values import LogLine, Point, Stamp, Step, Task


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One thing that happened in a run."""

    what: Literal["started", "ended", "stamp", "log", "point", "usage", "progress"]
    time_unix_nano: int
    step: Step | None = None
    """Without its children: the step that started or ended, or that the stamp belongs to."""
    stamp: Stamp | None = None
    log: LogLine | None = None
    point: Point | None = None
    usage: Usage | None = None
    task: Task | None = None


def follow(run: Run, *, interval: float = 0.25) -> Iterator[Happening]:
    """Yield what has happened in *run*, and then what happens, until no process is left that could write.

    Looks every *interval* seconds.
    """
    follower = Follower(run)
    while follower.alive():
        yield from follower.poll()
        time.sleep(interval)
    # It may have died: then what it had not written yet is recovered before the last look.
    open_runs(run.directory)
    yield from follower.poll()


@dataclass(slots=True)
class Follower:
    """Reads a run's files from where it left off."""

    run: Run
    _offsets: dict[str, int] = field(default_factory=dict)
    _sealed: set[str] = field(default_factory=set)
    _ended: set[Key] = field(default_factory=set)
    _open: dict[Key, Step] = field(default_factory=dict)
    _stamped: dict[Key, int] = field(default_factory=dict)
    _uids: set[str] = field(default_factory=set)

    def poll(self) -> list[Happening]:
        """Return what has happened since the last call, in order of time."""
        found: list[Happening] = []
        logs: list[tuple[DecodedLog, str]] = []
        ended: dict[Key, Step] = {}
        for folder, path in files_of(self.run.directory):
            for raw in self._new_lines(path):
                line = decode_line(raw, _pass_over)
                process = folder or foreign_process(line)
                for span in line.spans:
                    found += self._ended_span(span, process, ended)
                for log in line.logs:
                    found += self._logged(log, process, logs)
        # Last: by now the step that a line was written in may be known.
        steps = {**self._open, **ended} if logs else ended
        found += [
            Happening(what="log", time_unix_nano=log.time_unix_nano, log=log_line(log, steps, process))
            for log, process in logs
        ]
        return sorted(found, key=lambda happening: happening.time_unix_nano)

    @property
    def is_over(self) -> bool:
        """Whether no process of the run is left that could still write."""
        return not self.alive()

    def alive(self) -> frozenset[str]:
        """Return the names of the processes that could still write."""
        return frozenset(process.name for process in self.run.source.processes() if process.state == "running")

    def _new_lines(self, path: Path) -> Iterator[bytes]:
        key = str(path).removesuffix(".gz")
        is_packed = path.suffix == ".gz"
        if key in self._sealed:
            return
        try:
            with gzip.open(path) if is_packed else path.open("rb") as file:
                file.seek(self._offsets.get(key, 0))
                while line := file.readline(LONGEST_LINE):
                    if not line.endswith(b"\n") and len(line) < LONGEST_LINE:
                        break
                    self._offsets[key] = self._offsets.get(key, 0) + len(line)
                    yield line
        except (OSError, EOFError, zlib.error):
            # Sealed between our look into the folder and now, or damaged: the next poll sees which.
            return
        if is_packed:
            self._sealed.add(key)

    def _ended_span(self, span: DecodedSpan, process: str, ended: dict[Key, Step]) -> Iterator[Happening]:
        key = (span.trace_id, span.span_id)
        if key in self._ended:
            return
        self._ended.add(key)
        self._open.pop(key, None)
        step = ended[key] = step_of(span, (), process)
        yield from self._stamps(key, step)
        yield Happening(what="ended", time_unix_nano=step.end_unix_nano or step.start_unix_nano, step=step)

    def _stamps(self, key: Key, step: Step) -> Iterator[Happening]:
        shown = self._stamped.pop(key, 0)
        for stamp in step.stamps[shown:]:
            yield Happening(what="stamp", time_unix_nano=stamp.time_unix_nano, step=step, stamp=stamp)

    def _logged(self, log: DecodedLog, process: str, logs: list[tuple[DecodedLog, str]]) -> Iterator[Happening]:
        uid = log.attributes.get(names.LOG_UID)
        if isinstance(uid, str):
            if uid in self._uids:
                return
            self._uids.add(uid)
        if log.event_name in BOOKKEEPING:
            yield from self._bookkept(log, process)
        elif log.event_name == names.STAMP_EVENT:
            yield Happening(what="stamp", time_unix_nano=log.time_unix_nano, stamp=loose_stamp(log))
        elif log.event_name == names.METRIC_EVENT:
            yield Happening(what="point", time_unix_nano=log.time_unix_nano, point=point_of(log, self._open))
        elif log.event_name == names.USAGE_EVENT:
            yield Happening(what="usage", time_unix_nano=log.time_unix_nano, usage=usage_in(log))
        elif log.event_name == names.PROGRESS_EVENT:
            task = task_of(log, self._open, process, is_alive=True)
            yield Happening(what="progress", time_unix_nano=log.time_unix_nano, task=task)
        else:
            logs.append((log, process))

    def _bookkept(self, log: DecodedLog, process: str) -> Iterator[Happening]:
        key = (log.trace_id or "", log.span_id or "")
        if key in self._ended:
            return
        if log.event_name in STARTED and key not in self._open:
            step = step_of(open_span(key, log, ()), (), process, is_open=True)
            self._open[key] = step
            yield Happening(what="started", time_unix_nano=step.start_unix_nano, step=step)
        elif log.event_name == names.STEP_CHECKPOINT and key in self._open:
            stamps = step_of(open_span(key, None, [log]), (), process, is_open=True).stamps
            self._stamped[key] = self._stamped.get(key, 0) + len(stamps)
            for stamp in stamps:
                yield Happening(what="stamp", time_unix_nano=stamp.time_unix_nano, step=self._open[key], stamp=stamp)


def _pass_over(reason: str) -> None:
    """Say nothing of a damaged line: here it would scroll by, and `show` reports it."""
