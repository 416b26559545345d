"""The follower: a thread that delivers what the processes of its run write, and holds nobody up."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .._journal import cursors, layout
from .._journal.cursors import Cursor, Key
from .._journal.unread import ends
from ..errors import JournalError
from .deliveries import begin
from .leftovers import Leftovers
from .patience import Patience
from .underway import DeliveryOptions, Destination, Step, Tell, Underway


# From the first line to its delivery: what comes meanwhile travels with it.
_LINGER_SECONDS: Final = 0.5
# Between two looks at the files of other processes, which wake nobody here.
_POLL_SECONDS: Final = 1.0
_IDLE_POLL_SECONDS: Final = 5.0
_IDLE_AFTER_SECONDS: Final = 60.0
# Between two tries while somebody waits for the result.
_HURRY_SECONDS: Final = 0.2
_LOOK_SECONDS: Final = 0.005
_LOAD_SECONDS: Final = 0.05
# Shorter outages are nobody's business.
_SAY_AFTER_SECONDS: Final = 10.0
# For an interrupted delivery to come back.
_LAST_SECONDS: Final = 0.15


@dataclass(frozen=True, kw_only=True)
class FollowerOptions:
    """What a follower is told once."""

    kind: str  # "otlp", "mlflow"
    directory: Path
    run_id: str
    make_destination: Callable[[], Destination]
    tell: Tell
    sync: bool = False
    stays_home: bool = False  # forked children leave the delivery to the process that has set it up


class Follower:
    """Delivers one run to one destination, and after it what earlier runs left for the same one."""

    def __init__(self, options: FollowerOptions) -> None:
        """Make the destination, which may refuse its settings; the thread starts with the first line."""
        self._options = options
        self._destination: Destination | None = options.make_destination()
        self.kind = options.kind
        self.shown = self._destination.shown
        self.signals = self._destination.signals
        self.gets_notes = self._destination.gets_notes
        self.run = layout.runs_directory(options.directory) / options.run_id
        self.folder = cursors.follower_folder(options.directory, self._destination.name) / options.run_id
        self._settings = self._destination.settings
        self._inherited: list[object] = []
        self._fresh()

    def _fresh(self) -> None:
        self._thread: threading.Thread | None = None
        self._delivery: Underway | None = None
        self._leftovers: Leftovers | None = None
        self._patience = Patience()
        self._signal = _thread.allocate_lock()
        self._signal.acquire()
        self._is_idle = False
        self._not_before = 0.0
        self._is_asked_to_wait = False
        self._failing_since: float | None = None
        self._busy_at = time.monotonic()
        # Of those that wait in `flush`; several threads may.
        self._hurried: set[object] = set()
        self._deadline: float | None = None
        self._is_settled = False
        self.is_ours = False

    def __repr__(self) -> str:
        return f"<Follower {self.kind} of {self._options.run_id} to {self.shown}>"

    # ── what others call ──────────────────────────────────────────────────────────────────────────

    def register(self) -> None:
        """Leave word that this run is to be delivered, before it is: whoever comes after a crash finds it."""
        try:
            cursors.describe(self.folder.parent, self.kind, self._settings)
            if not (self.folder / cursors.CURSOR_NAME).exists():
                cursors.save(self.folder, Cursor(), signals=self.signals)
        except OSError as error:
            self._options.tell("register", f"cannot write to {self.folder}: {error}")

    def wake(self) -> None:
        """Tell it that there is something new; called by the writer after each write."""
        if self._thread is None and self._deadline is None:
            self._start()
        if self._is_idle:
            self._look_up()

    def flush(self, timeout: float) -> bool:
        """Return whether all that is in the journal now was answered by the destination within *timeout* seconds."""
        awaited = ends(self.run, self.signals)
        deadline = time.monotonic() + timeout
        me = object()
        self._hurried.add(me)
        self._look_up()
        try:
            while not self._has_reached(awaited):
                if time.monotonic() >= deadline:
                    return False
                # Where another process delivers, its cursor is read from the disk each time.
                time.sleep(_LOOK_SECONDS if self._delivery is not None else _LOAD_SECONDS)
        finally:
            self._hurried.discard(me)
        return True

    def close(self, timeout: float) -> None:
        """Deliver what can be delivered within *timeout* seconds, and end."""
        self._deadline = time.monotonic() + timeout
        thread = self._thread
        if thread is None and self._destination is not None:
            self._destination.close()
        if thread is None or thread is threading.current_thread():
            return
        self._look_up()
        thread.join(max(timeout - _LAST_SECONDS, 0))
        if thread.is_alive():
            destination = self._destination
            if destination is not None:
                destination.interrupt()
            thread.join(_LAST_SECONDS)

    def after_fork(self) -> None:
        """In a forked child: use nothing of the parent's; a thread of our own starts with our first line."""
        # Kept, for to finalise a connection here could end it there.
        self._inherited.append((self._destination, self._delivery, self._leftovers))
        self._destination = None
        self._fresh()
        if self._options.stays_home:
            self._deadline = 0.0

    @property
    def cursor(self) -> Cursor:
        """How far the delivery of the run got, whoever delivers it."""
        delivery = self._delivery
        if delivery is not None:
            return delivery.cursor
        try:
            return cursors.load(self.folder)
        except JournalError:
            return Cursor()

    # ── the thread ────────────────────────────────────────────────────────────────────────────────

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=f"branchline-{self.kind}", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:
            # No more threads, or the interpreter is ending: the journal has it all.
            self._thread = None

    def _look_up(self) -> None:
        try:
            self._signal.release()
        except RuntimeError:
            # Somebody else has just done so.
            return

    def _run(self) -> None:
        try:
            while not self._is_late():
                # Asked before: what a turn that began earlier has not seen may still be delivered.
                is_ending = self._deadline is not None
                self._is_settled = False
                seconds = self._guarded_turn()
                if is_ending and self._is_settled:
                    return
                self._rest(seconds)
        finally:
            self._let_go()

    def _seconds_left(self) -> float | None:
        return None if self._deadline is None else self._deadline - time.monotonic()

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _guarded_turn(self) -> float:
        try:
            return self._turn()
        except Exception as error:  # nothing of ours ends the delivery
            self._options.tell("follower", f"cannot deliver to {self.shown}: {type(error).__name__}: {error}")
            return self._wait(Step("wait", message=str(error)))

    def _turn(self) -> float:
        """Deliver what there is; return how long to rest, and note whether there is nothing more to be done."""
        left = self._not_before - time.monotonic()
        if left > 0 and (self._is_asked_to_wait or not self._is_hurried()):
            self._is_settled = self._is_asked_to_wait
            return left
        delivery = self._own()
        if delivery is None:
            # Whoever has it goes on without us.
            self._is_settled = True
            return _POLL_SECONDS
        if self._is_hurried():
            delivery.look_again()
        while not self._is_late():
            step = delivery.step(self._seconds_left())
            if step.kind == "nothing":
                return self._when_nothing()
            if step.kind == "late":
                self._is_settled = True
                return 0.0
            if step.kind == "wait":
                return self._wait(step)
            if step.kind == "lost":
                self._give_up_own()
                return 0.0
            self._succeeded()
        return 0.0

    def _when_nothing(self) -> float:
        self._is_settled = True
        if self._is_hurried():
            return _HURRY_SECONDS
        if self._leftovers is None:
            self._leftovers = Leftovers(self._options.directory, self._known(), self._options.tell)
        step = self._leftovers.step(self._options.run_id)
        if step.kind == "wait":
            return self._wait(step)
        if step.kind == "moved":
            self._succeeded()
            return 0.0
        is_idle = time.monotonic() - self._busy_at > _IDLE_AFTER_SECONDS
        return _IDLE_POLL_SECONDS if is_idle else _POLL_SECONDS

    def _own(self) -> Underway | None:
        if self._delivery is None:
            options = DeliveryOptions(sync=self._options.sync)
            self._delivery = begin(
                self._options.directory, self._options.run_id, self._known(), tell=self._options.tell, options=options
            )
            self.is_ours = self._delivery is not None
        return self._delivery

    def _known(self) -> Destination:
        if self._destination is None:
            self._destination = self._options.make_destination()
        return self._destination

    # ── waiting ───────────────────────────────────────────────────────────────────────────────────

    def _is_hurried(self) -> bool:
        return self._deadline is not None or bool(self._hurried)

    def _succeeded(self) -> None:
        self._patience.reset()
        self._not_before = 0.0
        self._failing_since = None
        self._busy_at = time.monotonic()

    def _wait(self, step: Step) -> float:
        now = time.monotonic()
        # Who fails twice in a row is not waited for at the end: the journal has it all.
        self._is_settled = self._failing_since is not None or step.retry_after_seconds is not None
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since >= _SAY_AFTER_SECONDS:
            self._options.tell(
                f"failing_{self.kind}",
                f"cannot deliver to {self.shown} ({step.message}); all of it is kept, and sent when that works again",
            )
        self._is_asked_to_wait = step.retry_after_seconds is not None
        self._not_before = now + self._patience.seconds(step.retry_after_seconds)
        return self._not_before - now

    def _rest(self, seconds: float) -> None:
        if seconds <= 0 or self._is_late():
            return
        is_waiting = self._not_before > time.monotonic()
        if self._is_hurried() and not self._is_asked_to_wait:
            seconds = min(seconds, _HURRY_SECONDS)
        # While the destination is not to be asked, nobody needs to wake us for more.
        self._is_idle = not is_waiting
        is_woken = self._signal.acquire(timeout=seconds)
        self._is_idle = False
        if is_woken:
            self._linger()

    def _linger(self) -> None:
        until = time.monotonic() + _LINGER_SECONDS
        while not self._is_hurried() and (left := until - time.monotonic()) > 0:
            self._signal.acquire(timeout=left)

    def _has_reached(self, awaited: Mapping[Key, tuple[int, int]]) -> bool:
        cursor = self.cursor
        return all(cursor.place(*key).position >= end for key, end in awaited.items())

    # ── the end ───────────────────────────────────────────────────────────────────────────────────

    def _give_up_own(self) -> None:
        delivery, self._delivery = self._delivery, None
        if delivery is not None:
            delivery.give_up()

    def _let_go(self) -> None:
        self._give_up_own()
        if self._leftovers is not None:
            self._leftovers.give_up()
        if self._destination is not None:
            self._destination.close()
