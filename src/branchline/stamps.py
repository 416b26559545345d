"""Stamps: named moments of a step, and managers that number them across threads and processes."""

from __future__ import annotations

import copy
import functools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from . import foreign, names
from .current import CURRENT
from .recording import Recorder, Recording
from .values import Value, freeze, freeze_key, freeze_name


def stamp(name: str, /, **attributes: object) -> None:
    """Put a stamp on the current step, branch or experiment; outside of all of them it belongs to the run."""
    recorder = CURRENT.recorder or foreign.recorder()
    if recorder is not None:
        _record(recorder, name, attributes)


def mark(recording: Recording, name: str, attributes: Mapping[str, object]) -> None:
    """Put a stamp on *recording*: this module is the one place that knows that a stamp is a span event."""
    recording.mark(name, attributes)


class _HasRecording(Protocol):
    _recording: Recording | None


def mark_step(step: _HasRecording, name: str, /, **attributes: object) -> None:
    """Note a moment of this step."""
    recording = step._recording  # noqa: SLF001 - the method of Step, which is called in hot loops: no way around
    if recording is not None:
        recording.mark(name, attributes)


def _record(recorder: Recorder, name: str, attributes: Mapping[str, object]) -> None:
    recording = recorder.current()
    if recording is not None and recording.is_open:
        mark(recording, name, attributes)
    else:
        recorder.event(names.STAMP_EVENT, {**attributes, names.STAMP_NAME: name})


@functools.total_ordering
@dataclass(frozen=True, init=False, eq=False, slots=True)
class Stamp:
    """A named moment.

    Stamps are ordered by step, then by time; what follows only breaks ties, the same way in every process.
    """

    time: float
    """Seconds since the epoch."""
    step: int
    identifier: str
    """What it says; also as `id`."""
    monotonic_ns: int = field(repr=False)
    """The monotonic clock of its host, which nobody can set back; 0 if unknown."""
    process: str = field(repr=False)
    """Who made it: `host:pid:random`."""
    serial: int = field(repr=False)
    """How many stamps that process had made before it."""
    attributes: Mapping[str, Value] = field(repr=False)

    def __init__(
        self,
        time: float,
        step: int,
        identifier: str | None = None,
        *,
        id: str | None = None,
        monotonic_ns: int = 0,
        process: str = "",
        serial: int = 0,
        attributes: Mapping[str, Value] | None = None,
    ) -> None:
        if (identifier is None) == (id is None):
            msg = f"a stamp needs either an identifier or an id: got identifier={identifier!r} and id={id!r}"
            raise TypeError(msg)
        set_field = functools.partial(object.__setattr__, self)
        set_field("time", time)
        set_field("step", step)
        set_field("identifier", id if identifier is None else identifier)
        set_field("monotonic_ns", monotonic_ns)
        set_field("process", process)
        set_field("serial", serial)
        set_field("attributes", dict(attributes or {}))

    @property
    def id(self) -> str:
        """What it says; the same as `identifier`."""
        return self.identifier

    @property
    def uid(self) -> str:
        """A name that no other stamp of any process has."""
        return f"{self.process}/{self.serial}"

    @property
    def _order(self) -> tuple[int, float, int, str, int, str]:
        return (self.step, self.time, self.monotonic_ns, self.process, self.serial, self.identifier)

    def __eq__(self, other: object) -> bool:
        return self._order == other._order if isinstance(other, Stamp) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self._order < other._order if isinstance(other, Stamp) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._order)

    def seconds_since(self, earlier: Stamp) -> float:
        """Return how long after *earlier* it came: by the monotonic clock where both were made by one process."""
        if self.process and self.process == earlier.process:
            return (self.monotonic_ns - earlier.monotonic_ns) / 1e9
        return self.time - earlier.time

    def encode(self, *, full: bool = False) -> dict[str, object]:
        """Return time, step and identifier as a dictionary; with *full* all there is to know."""
        encoded: dict[str, object] = {"time": self.time, "step": self.step, "identifier": self.identifier}
        if full:
            encoded |= {
                "id": self.identifier,
                "uid": self.uid,
                "process": self.process,
                "monotonic_ns": self.monotonic_ns,
                "attributes": copy.deepcopy(self.attributes),
            }
        return encoded


class _Home:
    """What one process needs to make stamps: an identity of its own, and a lock among its threads."""

    __slots__ = ("identity", "lock", "serial")

    def __init__(self) -> None:
        self.identity = f"{os.uname().nodename}:{os.getpid()}:{os.urandom(6).hex()}"
        # Re-entrant: a signal handler may stamp while the thread that it interrupted is stamping.
        self.lock = threading.RLock()
        self.serial = 0


class StampManager:
    """Makes stamps whose steps count up from 0, in as many threads and processes as there are.

    A pickled or forked copy goes on from the same step under an identity of its own; `merge` unites what both have
    made. Every stamp is also recorded on the step that is current when it is made.

    Args:
        max_stamps: How many to keep; beyond that the oldest are dropped, and `dropped` counts them. None: all.
        clock: Seconds since the epoch.
    """

    def __init__(self, *, max_stamps: int | None = None, clock: Callable[[], float] = time.time) -> None:
        if max_stamps is not None and max_stamps < 1:
            msg = f"max_stamps must be at least 1, or None for no bound: got {max_stamps!r}"
            raise ValueError(msg)
        self._clock = clock
        self._step = 0
        self._latest = 0.0
        self._stamps: deque[Stamp] = deque(maxlen=max_stamps)
        self._made: dict[str, int] = {}
        self._homes: dict[int, _Home] = {}

    def __repr__(self) -> str:
        return f"<StampManager of {len(self._stamps)} stamp(s), at step {self._step}>"

    @property
    def max_stamps(self) -> int | None:
        """How many stamps it keeps."""
        return self._stamps.maxlen

    @property
    def process(self) -> str:
        """Who makes its stamps here: `host:pid:random`."""
        return self._home.identity

    @property
    def dropped(self) -> int:
        """How many stamps were made, here or in a merged copy, that `max_stamps` left no room for."""
        with self._home.lock:
            return sum(self._made.values()) - len(self._stamps)

    @property
    def all_stamps(self) -> list[Stamp]:
        """All stamps in their order, as copies."""
        with self._home.lock:
            stamps = list(self._stamps)
        return [copy.deepcopy(each) if each.attributes else each for each in sorted(stamps)]

    @property
    def step_logs(self) -> dict[int, list[str]]:
        """What was said at each step, as copies; a step that is only reserved has an empty list."""
        with self._home.lock:
            stamps, upcoming, dropped = list(self._stamps), self._step, self.dropped
        steps: Iterable[int] = sorted({each.step for each in stamps}) if dropped else range(max(upcoming, 1))
        logs: dict[int, list[str]] = {step: [] for step in steps}
        for each in sorted(stamps):
            logs[each.step].append(each.identifier)
        return logs

    def create_stamp(self, message: str, **attributes: object) -> Stamp:
        """Make a stamp at a step of its own."""
        return self._stamp(None, message, attributes)

    def stamp_creator(self) -> StampCreator:
        """Reserve a step now, and return what makes any number of stamps at that step."""
        with self._home.lock:
            return StampCreator(self, self._reserved())

    def stamp_at(self, step: int, message: str, attributes: Mapping[str, object] | None = None) -> Stamp:
        """Make a stamp at a *step* that was reserved before."""
        return self._stamp(step, message, attributes or {})

    def merge(self, other: StampManager) -> None:
        """Take over the stamps of *other* that are not here yet; its next step comes after both."""
        theirs, made, step = other.snapshot()
        with self._home.lock:
            here = set(self._stamps)
            united = [*self._stamps, *(each for each in theirs if each not in here)]
            # Oldest first: where there is a bound, they are the ones to go.
            self._stamps = deque(sorted(united, key=lambda each: (each.time, each)), self.max_stamps)
            for process, count in made.items():
                self._made[process] = max(count, self._made.get(process, 0))
            self._step = max(step, self._step)

    def snapshot(self) -> tuple[tuple[Stamp, ...], dict[str, int], int]:
        """Return its stamps, how many each process has made, and the next step, all of the same moment."""
        with self._home.lock:
            return tuple(self._stamps), dict(self._made), self._step

    @property
    def _home(self) -> _Home:
        # By process, for the sake of `os.fork`: the child must neither share the identity, nor wait for a lock that
        # a thread held which the child does not have. `setdefault` is atomic: two threads get the same home.
        pid = os.getpid()
        return self._homes.get(pid) or self._homes.setdefault(pid, _Home())

    def _stamp(self, step: int | None, message: str, attributes: Mapping[str, object]) -> Stamp:
        text = message if type(message) is str else freeze_name(message)
        frozen = {freeze_key(key): freeze(value) for key, value in attributes.items()}
        with self._home.lock:
            made = self._made_now(self._reserved() if step is None else step, text, frozen)
        recorder = CURRENT.recorder or foreign.recorder()
        if recorder is not None:
            identity = {names.STAMP_STEP: made.step, names.STAMP_ID: made.uid, names.STAMP_PROCESS: made.process}
            _record(recorder, text, frozen | identity)
        return made

    def _reserved(self) -> int:
        # No call between the two: that is where a signal handler, which may stamp too, could come in.
        step = self._step
        self._step = step + 1
        return step

    def _made_now(self, step: int, identifier: str, attributes: Mapping[str, Value]) -> Stamp:
        home = self._home
        serial = home.serial
        home.serial = serial + 1
        # A clock that is set back must not put a stamp before those that were there already.
        now = self._latest = max(self._clock(), self._latest)
        made = Stamp(
            now,
            step,
            identifier,
            monotonic_ns=time.monotonic_ns(),
            process=home.identity,
            serial=serial,
            attributes=attributes,
        )
        self._made[home.identity] = home.serial
        self._stamps.append(made)
        return made

    def __getstate__(self) -> dict[str, object]:
        stamps, made, step = self.snapshot()
        return self.__dict__ | {"_stamps": deque(stamps, self.max_stamps), "_made": made, "_step": step, "_homes": {}}


class StampCreator:
    """Makes stamps that share one step; can be pickled, together with its manager."""

    __slots__ = ("manager", "step")

    def __init__(self, manager: StampManager, step: int) -> None:
        self.manager = manager
        self.step = step

    def __call__(self, message: str, **attributes: object) -> Stamp:
        """Make a stamp at the step that was reserved."""
        return self.manager.stamp_at(self.step, message, attributes)

    def __repr__(self) -> str:
        return f"<StampCreator at step {self.step}>"
