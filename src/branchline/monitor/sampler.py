"""The sampler: everything that can be read of this process and its machine, read together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from .. import names
from .catalogue import NO_ATTRIBUTES, Readings
from .gpu import GpuReader
from .lag import LoopProbe
from .machine import MachineReader
from .process import ProcessReader


if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

# Whoever asks within this part of the interval gets what the one before got.
_FRESH: Final = 0.9


class Sampler:
    """Reads what there is to read, at most once in an interval, however many ask."""

    def __init__(self, *, interval: float, has_system: bool) -> None:
        """Read this process, and with *has_system* its machine.

        Raises:
            MissingExtraError: where reading the machine needs a package that is not installed.
        """
        self._fresh_seconds = interval * _FRESH
        self._machine = MachineReader() if has_system else None
        self._gpu = GpuReader() if has_system else None
        self.begin_anew()

    def begin_anew(self) -> None:
        """In a forked child: read it, and leave the machine and the loops to the parent."""
        self._lock = threading.Lock()
        self._process = ProcessReader()
        self._probes: tuple[LoopProbe, ...] = ()
        self._read: Readings = {}
        self._read_at = float("-inf")

    def forget_system(self) -> None:
        """Read only this process from now on: what the machine takes, another process tells."""
        self._machine = self._gpu = None

    def watch(self, loop: AbstractEventLoop) -> None:
        """Measure how late *loop* is, too."""
        if all(probe.loop is not loop for probe in self._probes):
            self._probes = (*self._probes, LoopProbe(loop))

    def read(self) -> Readings:
        """Return what there is to read; what cannot be read is left out."""
        with self._lock:
            if time.monotonic() - self._read_at < self._fresh_seconds:
                return self._read
            found: Readings = {}
            for read in self._readers():
                # A file of /proc that is not for us, a driver: the others are worth having.
                with suppress(Exception):
                    found.update(read())
            self._read, self._read_at = found, time.monotonic()
            return found

    def _readers(self) -> list[Callable[[], Readings]]:
        more = [reader.read for reader in (self._machine, self._gpu) if reader is not None]
        return [self._process.read, *more, self._lags]

    def _lags(self) -> Readings:
        lags = {probe: probe.lag() for probe in self._probes}
        self._probes = tuple(probe for probe, lag in lags.items() if lag is not None)
        found = [lag for lag in lags.values() if lag is not None]
        return {names.LOOP_LAG: [(max(found), NO_ATTRIBUTES)]} if found else {}

    def close(self) -> None:
        """Let go of loops and drivers."""
        for probe in self._probes:
            probe.close()
        self._probes = ()
        if self._gpu is not None:
            self._gpu.close()
