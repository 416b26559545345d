"""A handler: takes records, makes lines of them, and gives these to its sink, here or in a thread of its own."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import get_ident
from typing import Final

from .accounts import Account, said
from .admission import Filter, Rate, Repeats, freeze
from .formats import Formatter, JsonFormat
from .queueing import MOST_AT_ONCE, Overflow, Queue
from .records import Line, Record
from .sinks.files import FileSink
from .sinks.places import CallableSink, HandlerSink, Sink


# What is logged while a line is made or written belongs there too; what a sink logs about each line has no end.
_DEEPEST: Final = 32
# A forked child may end at any moment without saying so. What it says first is written at once; one that says more is
# worth a thread.
_WRITTEN_AT_ONCE: Final = 1000
_LAST_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a handler is to be: everything but its sink."""

    level: int
    format: Formatter
    is_passing: Filter | None = None
    rate: Rate | None = None
    repeats: Repeats | None = None
    is_catching: bool = True
    queue_size: int = 0
    """0 is to write in the thread that logs."""
    overflow: Overflow = "block"


class Handler:
    """One sink of a logger, with what leads to it."""

    def __init__(self, handler_id: int, plan: Plan, sink: Sink, account: Account) -> None:
        """Give lines to *sink*, as *plan* says."""
        self.id = handler_id
        self.level = plan.level
        self.sink = sink
        self.account = account
        self._plan = plan
        self._format = plan.format
        self._is_passing = plan.is_passing
        self._encode = self._format.encoded if isinstance(self._format, JsonFormat) else None
        self._is_limited = plan.rate is not None or plan.repeats is not None
        self.queue: Queue | None = None
        if plan.queue_size:
            # What may take long for each line is not given many at a time: what is left must not be with it at the end.
            at_once = 1 if isinstance(sink, CallableSink | HandlerSink) else MOST_AT_ONCE
            self.queue = Queue(self._deliver, account, size=plan.queue_size, overflow=plan.overflow, at_once=at_once)
        self._left_at_once = 0
        self._is_closed = False
        self._begin_anew()
        _handlers.add(self)

    def __repr__(self) -> str:
        return f"<Handler {self.id} to {self.account.name}>"

    def _begin_anew(self) -> None:
        self._mutex = threading.RLock()
        self._is_busy = False
        self._nested: deque[Record] = deque()

    def forget_threads(self) -> None:
        """Begin anew in a forked child: what waits is the parent's to write, and its locks may be taken for ever."""
        self._begin_anew()
        self.account.reset()
        self.sink.forget_threads()
        for part in (self._plan.rate, self._plan.repeats, self.queue):
            if part is not None:
                part.begin_anew()
        self._left_at_once = _WRITTEN_AT_ONCE if self.queue is not None else 0

    # ── a record ──────────────────────────────────────────────────────────────────────────────────

    def take(self, record: Record) -> None:
        """Take *record*; raises only where the handler is not to catch what goes wrong."""
        if self._is_passing is not None and not self._passes(record):
            return
        self.account.created += 1
        if self._is_limited:
            for one in self._admitted(record):
                self._forward(one)
            return
        queue = self.queue
        if queue is None or self._left_at_once or queue.thread_id == get_ident():
            self._forward(record)
            return
        # As `_forward`, without its call: this is the way of nearly all.
        if not record.is_lasting:
            freeze(record)
        queue.put(record)

    def _forward(self, record: Record) -> None:
        queue = self.queue
        if queue is None or self._left_at_once:
            self._left_at_once -= queue is not None
            self._write([record], is_catching=self._plan.is_catching)
        elif queue.thread_id == get_ident():
            # What the thread that writes logs itself must not make it wait, or go on for ever.
            self.account.drop("recursive")
        else:
            freeze(record)
            queue.put(record)

    def _passes(self, record: Record) -> bool:
        try:
            return bool(self._is_passing is None or self._is_passing(record))
        except Exception as error:  # a function of the user's
            self.account.created += 1
            self.account.drop("filter_failed")
            self._failed("filter", error, is_catching=self._plan.is_catching)
            return False

    def _admitted(self, record: Record) -> list[Record]:
        plan = self._plan
        if plan.rate is not None and not plan.rate.passes(record):
            self.account.drop("rate_limit")
            return []
        if plan.repeats is None:
            return [record]
        admitted = plan.repeats.admitted(record)
        if record not in admitted:
            self.account.drop("repeated")
        # The lines that tell of repeats are ours, and were created just now.
        self.account.created += len(admitted) - (record in admitted)
        return admitted

    # ── lines ─────────────────────────────────────────────────────────────────────────────────────

    def _deliver(self, records: list[Record]) -> None:
        self._write(records, is_catching=True)

    def _write(self, records: list[Record], *, is_catching: bool) -> None:
        with self._mutex:
            if self._is_closed:
                # It was taken away while somebody had it in hand.
                self.account.drop("closed", len(records))
                return
            if self._is_busy:
                self._write_later(records)
                return
            began = time.perf_counter()
            try:
                self._write_with_nested(records, is_catching=is_catching)
            finally:
                self._is_busy = False
                self.account.seconds += time.perf_counter() - began

    def _write_with_nested(self, records: list[Record], *, is_catching: bool) -> None:
        """Write *records*, and then what was logged in the middle of that."""
        for _ in range(_DEEPEST):
            self._is_busy = True
            self._write_now(records, is_catching=is_catching)
            # From here on a signal handler writes by itself what it logs, and what it finds here.
            self._is_busy = False
            records = []
            with suppress(IndexError):
                while True:
                    records.append(self._nested.popleft())
            if not records:
                return
        self.account.drop("recursive", len(records))

    def _write_later(self, records: list[Record]) -> None:
        """Keep what is logged in the middle of writing: by a signal handler, or by the sink itself."""
        if len(self._nested) < _DEEPEST:
            self._nested.extend(records)
        else:
            self.account.drop("recursive", len(records))

    def _write_now(self, records: list[Record], *, is_catching: bool) -> None:
        if self._encode is not None and isinstance(self.sink, FileSink):
            # Made by us, and taken by us: nothing of it can fail, and no line need be a text.
            self.sink.write_encoded(self._encode(records))
            return
        lines = []
        for record in records:
            try:
                lines.append(Line(self._format(record), record))
            except Exception as error:  # a function of the user's
                self.account.drop("format_failed")
                self._failed("formatter", error, is_catching=is_catching)
        if not lines:
            return
        try:
            self.sink.write(lines)
        except Exception as error:  # somebody else's stream, function or handler
            self._failed("sink", error, is_catching=is_catching)

    def _failed(self, what: str, error: Exception, *, is_catching: bool) -> None:
        if not is_catching:
            raise error
        self.account.say(what, f"its {what} failed: {said(error)}")

    # ── the end ───────────────────────────────────────────────────────────────────────────────────

    def flush(self, timeout: float | None = None) -> bool:
        """Write what waits; return whether all of it is written."""
        until = Until(timeout)
        self._tell_repeats()
        is_empty = self.queue is None or self.queue.flush(until.left())
        if not self._is_mine(until.left()):
            # Somebody is in the middle of writing, and stays there.
            return False
        try:
            is_written = self.sink.flush()
        finally:
            self._mutex.release()
        return self.sink.settle(until.left()) and is_written and is_empty

    def close(self, timeout: float | None = None) -> bool:
        """Write what waits, and give everything back; return whether nothing was dropped that should not have been."""
        until = Until(timeout)
        self._tell_repeats()
        is_empty = self.queue is None or self.queue.close(until.left())
        # Whoever has begun to write goes on to its end, unless that takes too long; nobody begins any more.
        left = until.left()
        is_mine = self._is_mine(_LAST_SECONDS if left is None else min(left, _LAST_SECONDS))
        self._is_closed = True
        if is_mine:
            self._mutex.release()
        is_closed = self.sink.close(until.left())
        _handlers.discard(self)
        if self.account.unintended:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.account.dropped.items())
            self.account.say("closed", f"{self.account.unintended:,} record(s) were dropped: {reasons}")
        return is_empty and is_closed and not self.account.unintended

    def _is_mine(self, timeout: float | None) -> bool:
        """Wait until nobody writes; return whether that is so, and then nobody does until the mutex is released."""
        return self._mutex.acquire(timeout=-1 if timeout is None else timeout)

    def _tell_repeats(self) -> None:
        if self._plan.repeats is not None:
            for record in self._plan.repeats.rest():
                self.account.created += 1
                self._forward(record)


class Until:
    """A time by which something is to be done."""

    def __init__(self, timeout: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with *timeout* seconds; None is as long as it takes."""
        self._clock = clock
        self._at = None if timeout is None else clock() + timeout

    def left(self) -> float | None:
        """Return the seconds that are left, or None for as long as it takes."""
        return None if self._at is None else max(self._at - self._clock(), 0.0)


_handlers: Final[weakref.WeakSet[Handler]] = weakref.WeakSet()


def _begin_anew() -> None:
    for handler in list(_handlers):
        handler.forget_threads()


os.register_at_fork(after_in_child=_begin_anew)
