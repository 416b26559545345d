"""What the machine takes, all processes together: CPU, memory, disks and network, as psutil tells."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from types import ModuleType
from typing import Final

from .. import names
from ..errors import missing_extra
from .catalogue import NO_ATTRIBUTES, Readings


# What psutil has beside these is part of them, or of one system only.
_MODES: Final = ("user", "system", "nice", "idle", "iowait", "irq", "softirq", "steal")
_CALLED: Final = {"irq": "interrupt", "softirq": "interrupt"}
# A machine full of containers has a thousand of them.
_MOST_INTERFACES: Final = 32


def require_psutil() -> ModuleType:
    """Return psutil.

    Raises:
        MissingExtraError: where it is not installed.
    """
    try:
        import psutil
    except ImportError:
        feature = "sampling the system"
        raise missing_extra(feature, extra="monitor", package="psutil") from None
    return psutil


def has_psutil() -> bool:
    """Whether psutil is installed."""
    try:
        require_psutil()
    except ImportError:
        return False
    return True


def process_memory() -> tuple[int, int] | None:
    """Return the virtual and the resident memory of this process; None where psutil is not installed."""
    if not has_psutil():
        return None
    found = require_psutil().Process().memory_info()
    return int(found.vms), int(found.rss)


class MachineReader:
    """Reads what the machine takes, again and again: of some of it, what it was since the last time."""

    def __init__(self) -> None:
        """Read with psutil.

        Raises:
            MissingExtraError: where it is not installed.
        """
        self._psutil = require_psutil()
        self._last: tuple[float, Mapping[str, float]] | None = None

    def read(self) -> Readings:
        """Return what it takes now."""
        found: Readings = {}
        for read in (self._processors, self._memory, self._disks, self._network):
            # A sandbox hides one file or another: the others are worth having.
            with suppress(Exception):
                found.update(read())
        return found

    def _processors(self) -> Readings:
        times: dict[str, float] = {}
        counted = self._psutil.cpu_times()
        for mode in _MODES:
            if hasattr(counted, mode):
                called = _CALLED.get(mode, mode)
                times[called] = times.get(called, 0.0) + getattr(counted, mode)
        now, count = time.monotonic(), self._psutil.cpu_count() or 1
        found: Readings = {
            names.SYSTEM_CPU_TIME: [(spent, {names.CPU_MODE: mode}) for mode, spent in times.items()],
            names.SYSTEM_CPU_COUNT: [(count, NO_ATTRIBUTES)],
        }
        last, self._last = self._last, (now, times)
        if last is not None and now > last[0]:
            possible = (now - last[0]) * count
            found[names.SYSTEM_CPU_UTILIZATION] = [
                (max(spent - last[1].get(mode, spent), 0.0) / possible, {names.CPU_MODE: mode})
                for mode, spent in times.items()
            ]
        return found

    def _memory(self) -> Readings:
        memory = self._psutil.virtual_memory()
        states = {
            "used": memory.total - memory.available,
            **{state: getattr(memory, state) for state in ("free", "cached", "buffers") if hasattr(memory, state)},
        }
        return {
            names.SYSTEM_MEMORY_LIMIT: [(memory.total, NO_ATTRIBUTES)],
            names.SYSTEM_MEMORY_USAGE: [(size, {names.MEMORY_STATE: state}) for state, size in states.items()],
            names.SYSTEM_MEMORY_UTILIZATION: [
                (size / memory.total, {names.MEMORY_STATE: state}) for state, size in states.items()
            ],
        }

    def _disks(self) -> Readings:
        counted = self._psutil.disk_io_counters()
        if counted is None:
            # A machine without any, as some containers are.
            return {}
        read, write = {names.DISK_DIRECTION: "read"}, {names.DISK_DIRECTION: "write"}
        return {
            names.SYSTEM_DISK_IO: [(counted.read_bytes, read), (counted.write_bytes, write)],
            names.SYSTEM_DISK_OPERATIONS: [(counted.read_count, read), (counted.write_count, write)],
        }

    def _network(self) -> Readings:
        found: Readings = {names.SYSTEM_NETWORK_IO: [], names.SYSTEM_NETWORK_ERRORS: []}
        interfaces = self._psutil.net_io_counters(pernic=True)
        busiest = sorted(interfaces, key=lambda name: -interfaces[name].bytes_sent - interfaces[name].bytes_recv)
        for name in busiest[:_MOST_INTERFACES]:
            counted = interfaces[name]
            sent = {names.NETWORK_INTERFACE: name, names.NETWORK_DIRECTION: "transmit"}
            received = {names.NETWORK_INTERFACE: name, names.NETWORK_DIRECTION: "receive"}
            found[names.SYSTEM_NETWORK_IO] += [(counted.bytes_sent, sent), (counted.bytes_recv, received)]
            found[names.SYSTEM_NETWORK_ERRORS] += [(counted.errout, sent), (counted.errin, received)]
        return found
