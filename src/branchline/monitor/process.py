"""What this process takes: as far as the standard library and Linux tell, which needs no package of others."""

from __future__ import annotations

import gc
import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from .. import names
from .catalogue import NO_ATTRIBUTES, Readings


_PAGE: Final = resource.getpagesize()
_DIRECTIONS: Final = {"read_bytes": "read", "write_bytes": "write"}


class ProcessTotals(NamedTuple):
    """What a process has taken since it began, and the memory that it holds."""

    cpu_seconds: float
    resident_bytes: int | None
    peak_bytes: int
    """The most that it ever held."""
    read_bytes: int | None
    written_bytes: int | None


def totals() -> ProcessTotals:
    """Return what this process has taken; None for what nobody tells here."""
    memory, io = _memory(), dict(_io())
    return ProcessTotals(
        cpu_seconds=time.process_time(),
        resident_bytes=None if memory is None else memory[1],
        peak_bytes=peak_bytes(),
        read_bytes=io.get("read"),
        written_bytes=io.get("write"),
    )


def resident_bytes() -> int | None:
    """Return the memory that this process holds now; None where nobody tells."""
    memory = _memory()
    return None if memory is None else memory[1]


def peak_bytes() -> int:
    """Return the most memory that this process ever held."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux says it in kilobytes.
    return largest if os.uname().sysname == "Darwin" else largest * 1024


def cpus() -> int:
    """Return how many CPUs this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


class ProcessReader:
    """Reads what this process takes, again and again: of some of it, what it was since the last time."""

    def __init__(self) -> None:
        self._began = time.monotonic() - _age()
        self._last: tuple[float, float, float] | None = None

    def read(self) -> Readings:
        """Return what it takes now."""
        used, now = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        found: Readings = {
            names.CPU_TIME: [
                (used.ru_utime, {names.CPU_MODE: "user"}),
                (used.ru_stime, {names.CPU_MODE: "system"}),
            ],
            names.UPTIME: [(now - self._began, NO_ATTRIBUTES)],
            names.THREAD_COUNT: [(_threads(), NO_ATTRIBUTES)],
            **self._utilization(now, used.ru_utime, used.ru_stime),
            names.CONTEXT_SWITCHES: [
                (used.ru_nvcsw, {names.SWITCH_TYPE: "voluntary"}),
                (used.ru_nivcsw, {names.SWITCH_TYPE: "involuntary"}),
            ],
            names.PAGING_FAULTS: [
                (used.ru_majflt, {names.FAULT_TYPE: "major"}),
                (used.ru_minflt, {names.FAULT_TYPE: "minor"}),
            ],
            **_collections(),
        }
        memory = _memory()
        if memory is not None:
            found[names.MEMORY_VIRTUAL] = [(memory[0], NO_ATTRIBUTES)]
            found[names.MEMORY_USAGE] = [(memory[1], NO_ATTRIBUTES)]
        io = [(count, {names.DISK_DIRECTION: direction}) for direction, count in _io()]
        if io:
            found[names.DISK_IO] = [*io]
        with suppress(OSError):
            # Less the one that this listing takes itself.
            found[names.FILE_DESCRIPTORS] = [(_entries("/dev/fd") - 1, NO_ATTRIBUTES)]
        return found

    def _utilization(self, now: float, user: float, system: float) -> Readings:
        last, self._last = self._last, (now, user, system)
        if last is None or now <= last[0]:
            return {}
        possible = (now - last[0]) * cpus()
        return {
            names.CPU_UTILIZATION: [
                (max(user - last[1], 0.0) / possible, {names.CPU_MODE: "user"}),
                (max(system - last[2], 0.0) / possible, {names.CPU_MODE: "system"}),
            ]
        }


def _collections() -> Readings:
    found: Readings = {names.GC_COLLECTIONS: [], names.GC_COLLECTED: [], names.GC_UNCOLLECTABLE: []}
    for generation, counted in enumerate(gc.get_stats()):
        attributes = {names.GC_GENERATION: generation}
        found[names.GC_COLLECTIONS].append((counted["collections"], attributes))
        found[names.GC_COLLECTED].append((counted["collected"], attributes))
        found[names.GC_UNCOLLECTABLE].append((counted["uncollectable"], attributes))
    return found


def _entries(folder: str) -> int:
    with os.scandir(folder) as entries:
        return sum(1 for _ in entries)


def _threads() -> int:
    try:
        return _entries("/proc/self/task")
    except OSError:
        # Of Python's only.
        return threading.active_count()


def _memory() -> tuple[int, int] | None:
    """Return the virtual and the resident memory of this process; None where nobody tells."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123  # this is read many times a second
            virtual, resident, *_ = file.read().split()
    except OSError:
        return _told_memory()
    return int(virtual) * _PAGE, int(resident) * _PAGE


def _told_memory() -> tuple[int, int] | None:
    from .machine import process_memory

    return process_memory()


def _io() -> Iterator[tuple[str, int]]:
    # A process that has given up its rights may not look.
    with suppress(OSError), open("/proc/self/io", "rb") as file:  # noqa: PTH123  # the same
        for line in file.read().decode().splitlines():
            key, _, count = line.partition(": ")
            if key in _DIRECTIONS:
                yield _DIRECTIONS[key], int(count)


def _age() -> float:
    """Return for how many seconds this process has been running, as far as it can be told."""
    try:
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123  # the same
            # Behind the name, which may have anything in it.
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        with open("/proc/uptime", "rb") as file:  # noqa: PTH123  # the same
            up = float(file.read().split()[0])
    except (OSError, ValueError, IndexError):
        return time.process_time()
    return max(up - ticks / os.sysconf("SC_CLK_TCK"), 0.0)
