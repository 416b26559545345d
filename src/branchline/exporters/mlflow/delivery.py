"""Delivering one run to MLflow: read on, tell what is new of each experiment and branch, save how far that got.

The journal is read from its beginning, so that what is half done is known again after any crash; what MLflow has
acknowledged is saved with the cursor, so that it is not told twice.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from ... import names
from ..._journal import cursors, layout
from ..._journal.claims import Claim
from ..._journal.cursors import Cursor, Key, Place
from ..._journal.decode import Line, decode_line
from ..._journal.layout import Signal
from ..._journal.payloads import items_in
from ..._journal.unread import Read, Reader
from ..._mlflow.failures import MLflowFailure
from ...errors import MissingExtraError
from ...log_api import PLAIN_SUPPRESSION, SUPPRESSION
from ..underway import NOTHING, DeliveryOptions, Step, Tell
from .health import UNREACHABLE
from .picture import Picture
from .points import source_of
from .reporter import Reporter
from .told import told_from


# What is read before it is told: enough for many branches, and little enough to hold in memory.
_PORTION_BYTES: Final = 4_000_000
# For a span to say where it belongs: steps that are open for longer say so by themselves.
_GRACE_SECONDS: Final = 3.0
# To save what was told of so many takes far less than one call of MLflow. Beyond, it is saved now and then: what a
# crash then repeats, MLflow knows already.
_MANY: Final = 2_000
_SAVE_SECONDS: Final = 1.0
# With less time than this, not even a quick answer would come.
_LATE_SECONDS: Final = 0.1
# A server that fails on one thing only may do so for ever.
_MOST_TRIES: Final = 6
# Whoever lives says so every few seconds. One that was only asleep tells its real end later, which then counts.
_SILENCE_SECONDS: Final = 600.0
_OVER: Final = frozenset({"ended", "recovered", None})
_OURS: Final = b'"eventName":"branchline.'


class _Passed(NamedTuple):
    """A line that was read, and is passed by the cursor once all that is in it was told."""

    read: Read
    items: int
    withheld: int
    has_points: bool


class _Failed(NamedTuple):
    """What could not be told so far, how often, and how much else had been told when that began."""

    times: int
    successes: int


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which run is delivered, and where that is noted."""

    run: Path
    folder: Path
    signals: tuple[Signal, ...]


class RunDelivery:
    """One run on its way to MLflow, while nobody else delivers it; used by one thread."""

    def __init__(self, scope: Scope, reporter: Reporter, claim: Claim, *, tell: Tell, options: DeliveryOptions) -> None:
        """Go on from the cursor in the folder of *scope*. Raises JournalError for one of a later version."""
        self.run = scope.run
        self.folder = scope.folder
        self.claim = claim
        self.cursor: Cursor = cursors.load(scope.folder)
        self._signals = scope.signals
        self._begun_at = self.cursor
        self._reporter = reporter
        self._told = told_from(cursors.told_in(scope.folder))
        self._tell = tell
        self._options = options
        self._reader = Reader(scope.run, is_thorough=options.is_thorough)
        self._picture = Picture(wants_span=reporter.wants_span if reporter.has_traces else None)
        self._read_to: dict[Key, Place] = {}
        self._lines: dict[Key, deque[_Passed]] = {}
        self._streams: dict[Signal, Iterator[Read]] = {}
        self._queue: deque[str] = deque()
        self._is_to_advance = False
        self._is_hurried = False
        self._failed: dict[str, _Failed] = {}
        self._successes = 0
        self._is_unsaved = False
        self._saved_at = 0.0
        self._unclear_since: float | None = None
        self._unreported = 0
        self._has_said_why = False
        reporter.begin(self.run, self._told, self._picture)

    def look_again(self) -> None:
        """Look at all processes in the next step, those that have ended as well: somebody waits for it."""
        self._reader.look_again()
        self._is_hurried = True

    def give_up(self) -> None:
        """Let somebody else go on."""
        if self._is_unsaved:
            self._save(0)
        self.claim.give_up()

    def step(self, seconds_left: float | None = None) -> Step:
        """Tell MLflow of one experiment or branch, and save how far that got."""
        # What instrumentations and bridges of logs see of it is nothing of the application's.
        token = otel_context.attach(Context({SUPPRESSION: True, PLAIN_SUPPRESSION: True}))
        try:
            return self._step(seconds_left)
        finally:
            otel_context.detach(token)

    def _step(self, seconds_left: float | None) -> Step:
        if not self.claim.is_good:
            return Step("lost")
        if not self._queue and not self._is_to_advance and not self._look():
            return self._settled()
        if not self._queue:
            return self._advance()
        if seconds_left is not None and seconds_left < _LATE_SECONDS:
            return Step("late")
        return self._report()

    # ── reading ───────────────────────────────────────────────────────────────────────────────────

    def _look(self) -> bool:
        """Read on, and line up what there is to be told; return whether there is anything."""
        # Asked first: what a process writes until it ends is read afterwards.
        is_over = self._is_over()
        count = sum([self._read_some(signal) for signal in self._signals])
        self._picture.settle()
        if self._is_hurried and not count and self._picture.is_undecided:
            # Whoever waits for an answer gets one: these steps are all that there is.
            self._picture.settle(is_final=True)
        self._is_hurried = False
        if not count and not self._is_cleared(is_over=is_over):
            return False
        self._queue.extend(dict.fromkeys((*self._reporter.postponed, *self._picture.changed)))
        self._reporter.postponed.clear()
        self._picture.changed.clear()
        self._is_to_advance = True
        return True

    def _read_some(self, signal: Signal) -> int:
        stream = self._streams.pop(signal, None) or self._reader.lines(signal, Cursor(self._read_to))
        size = count = 0
        for read in stream:
            count += 1
            size += len(read.line)
            self._take(read)
            if size >= _PORTION_BYTES:
                self._streams[signal] = stream
                break
        return count

    def _take(self, read: Read) -> None:
        key = (read.process, read.signal)
        position = _position(read)
        self._read_to[key] = Place(segment=read.segment, offset=read.offset)
        is_new = position > self._begun_at.place(*key).position
        line, items = _decoded(read)
        has_points = False
        if read.signal == "traces":
            self._picture.add_spans(line, is_new=is_new)
        elif read.signal == "metrics":
            self._picture.add_samples(read.line, read.process, position, is_new=is_new)
        else:
            has_points = self._picture.add_logs(line, read.process, position, is_new=is_new)
        if is_new:
            self._unreported += len(read.line)
            withheld = sum(log.event_name in names.LIFECYCLE for log in line.logs)
            self._lines.setdefault(key, deque()).append(_Passed(read, items, withheld, has_points))

    def _is_cleared(self, *, is_over: bool) -> bool:
        """Whether more can be told though no more was written: nobody will ever say what is unclear."""
        if is_over:
            self._picture.close()
        if not self._picture.is_waiting and not self._reporter.postponed:
            self._unclear_since = None
            return bool(self._picture.changed)
        now = time.monotonic()
        self._unclear_since = self._unclear_since or now
        if not is_over and now - self._unclear_since < _GRACE_SECONDS:
            return False
        self._unclear_since = None
        self._reporter.is_final = True
        self._picture.settle(is_final=True)
        return True

    def _is_over(self) -> bool:
        folders = layout.processes(self.run)
        return all(_has_ended(layout.read_json(folder / "process.json") or {}) for folder in folders)

    # ── telling ───────────────────────────────────────────────────────────────────────────────────

    def _report(self) -> Step:
        key = self._queue[0]
        share = self._unreported // len(self._queue)
        try:
            above = self._reporter.needed_before(key)
            if above is not None:
                self._queue.appendleft(above)
                return Step("moved")
            if not self._told.intents.issuperset(new := self._reporter.unborn(self._queue)):
                # What may be there after a crash is noted before it is.
                self._told.intents |= new
                if (step := self._save(0)).kind != "moved":
                    return step
            is_told = self._reporter.tell_of(key)
        except MissingExtraError as error:
            return Step("wait", message=str(error))
        except MLflowFailure as failure:
            return self._failed_with(key, failure)
        except OSError as error:
            return Step("wait", message=f"cannot write to {self.folder}: {error}")
        self._queue.popleft()
        self._unreported -= share
        self._is_unsaved |= is_told
        self._successes += is_told
        self._failed.pop(key, None)
        self._say_what_was_refused()
        self._say_what_is_not_kept()
        return self._save(share) if self._is_time_to_save() else Step("moved", share)

    def _failed_with(self, key: str, failure: MLflowFailure) -> Step:
        """Let others have their turn; what fails again and again while others do not is given up."""
        before = self._failed.setdefault(key, _Failed(0, self._successes))
        times = before.times + (failure.code != UNREACHABLE)
        self._failed[key] = before._replace(times=times)
        if times >= _MOST_TRIES and self._successes > before.successes:
            self._reporter.give_up(key, failure)
            self._failed.pop(key)
            self._say_what_was_refused()
        elif failure.code != UNREACHABLE:
            self._queue.rotate(-1)
        # Some of it may have been told.
        self._save(0)
        return Step("wait", message=str(failure))

    def _say_what_was_refused(self) -> None:
        teller = self._reporter.teller
        if teller is not None and teller.refused:
            count, teller.refused = teller.refused, 0
            self._tell(
                "refused_mlflow",
                f"MLflow refused {count:,} entr{'y' if count == 1 else 'ies'}: {teller.last_reason}; "
                f"kept with the reason in {self.folder}",
            )

    def _say_what_is_not_kept(self) -> None:
        if not self._has_said_why and (reason := self._reporter.reason_without_traces):
            self._has_said_why = True
            self._tell("traces_mlflow", f"{reason}; runs are told all the same, and MLflow(traces=False) says nothing")

    def _settled(self) -> Step:
        """Nothing is left to be told: whatever is not saved yet is, and what nobody should have created goes."""
        if self._is_unsaved:
            return self._save(0)
        try:
            is_tidied = self._is_over() and self._reporter.tidy()
        except (MLflowFailure, MissingExtraError) as failure:
            return Step("wait", message=str(failure))
        return self._save(0) if is_tidied else NOTHING

    # ── how far it got ────────────────────────────────────────────────────────────────────────────

    def _advance(self) -> Step:
        """Let the cursor pass all lines of which everything was told."""
        self._is_to_advance = self._reporter.is_final = False
        if self._reporter.postponed or self._picture.is_undecided:
            return Step("moved")
        places: dict[Key, Place] = {}
        for key, lines in self._lines.items():
            if key[1] == "traces" and self._reporter.has_traces and self._picture.awaits_home(self._reporter.has_trace):
                continue
            settled = self._picture.settled.get(key[0], (0, 0))
            passed: list[_Passed] = []
            while lines and (not lines[0].has_points or _position(lines[0].read) <= settled):
                passed.append(lines.popleft())
            if passed:
                places[key] = self._place_behind(passed, key)
        size, self._unreported = self._unreported, 0
        self.cursor = self.cursor.moved(places)
        passed_to = {source_of(*key): place.position for key, place in self.cursor.places.items() if key[1] != "traces"}
        self._told.forget_points(passed_to)
        return self._save(size) if places or self._is_unsaved else Step("moved", size)

    def _place_behind(self, passed: list[_Passed], key: Key) -> Place:
        before = self.cursor.place(*key)
        last = passed[-1].read
        withheld = sum(each.withheld for each in passed)
        items = sum(each.items for each in passed) - withheld
        teller = self._reporter.teller
        counted = teller.refused_points if teller is not None and key[1] != "traces" else Counter[str]()
        refused = min(counted.pop(source_of(*key), 0), items)
        return replace(
            before,
            segment=last.segment,
            offset=last.offset,
            delivered=before.delivered + items - refused,
            rejected=before.rejected + refused,
            withheld=before.withheld + withheld,
            damaged=before.damaged + sum(each.read.is_damaged for each in passed),
        )

    def recounted(self, places: dict[Key, Place]) -> Step:
        """Save *places* in which only the numbers have changed; who was given up gets another chance."""
        self._reporter.revive()
        self.cursor = self.cursor.moved(places)
        return self._save(0)

    def _is_time_to_save(self) -> bool:
        is_due = len(self._told.entities) < _MANY or time.monotonic() - self._saved_at > _SAVE_SECONDS
        return self._is_unsaved and is_due

    def _save(self, size: int) -> Step:
        try:
            cursors.save(
                self.folder,
                self.cursor,
                signals=self._signals,
                sync=self._options.sync,
                told=self._told.as_json(),
            )
        except OSError as error:
            self._is_unsaved = True
            return Step("wait", size, message=f"cannot save how far the delivery got in {self.folder}: {error}")
        self._is_unsaved = False
        self._saved_at = time.monotonic()
        return Step("moved", size)


def _has_ended(process: Mapping[str, Any]) -> bool:
    """Whether a *process* writes no more: it has said so, or was silent for long, as one is whose machine is gone."""
    heard = process.get("heartbeat_unix_nano")
    is_silent = isinstance(heard, int) and time.time() - heard / 1e9 > _SILENCE_SECONDS
    return process.get("state") in _OVER or is_silent


def _position(read: Read) -> tuple[int, int]:
    return read.segment, read.offset


def _decoded(read: Read) -> tuple[Line, int]:
    """Return what of a line is for MLflow, and how many items are in it."""
    if not read.line:
        return Line([], []), 0
    if read.signal == "metrics" or (read.signal == "logs" and _OURS not in read.line):
        return Line([], []), items_in(read.signal, read.line)
    line = decode_line(read.line, _note_nothing)
    return line, len(line.spans) + len(line.logs)


def _note_nothing(reason: str) -> None:
    """What cannot be read, the reader of lines has counted."""
