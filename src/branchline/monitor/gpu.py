"""What NVIDIA's GPUs do, where there are any and nvidia-ml-py is installed; else nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType

from .. import names
from .catalogue import Readings


class GpuReader:
    """Reads what the GPUs do; where there is nothing to read, it does not ask again."""

    def __init__(self) -> None:
        self._library: ModuleType | None = None
        # Not at the start of a program: the driver takes its time.
        self._is_asked = False

    def read(self) -> Readings:
        """Return what they do now."""
        if not self._is_asked:
            self._is_asked = True
            self._library = _begun()
        if self._library is None:
            return {}
        found: Readings = {}
        with suppress(Exception):  # a driver that is being replaced, a GPU that has fallen off its bus
            found = _read(self._library)
        if not found:
            self._library = None
        return found

    def close(self) -> None:
        """Let go of the driver."""
        library, self._library = self._library, None
        if library is not None:
            with suppress(Exception):  # the driver's own
                library.nvmlShutdown()


def _begun() -> ModuleType | None:
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # not installed, no driver, no GPU: each has an error of its own
        return None
    library: ModuleType = pynvml
    return library


def _read(library: ModuleType) -> Readings:
    found: Readings = {}
    for number in range(library.nvmlDeviceGetCount()):
        handle = library.nvmlDeviceGetHandleByIndex(number)
        attributes = {names.GPU_ID: _text(library.nvmlDeviceGetUUID(handle)), names.GPU_NAME: _name(library, handle)}
        for metric, value in (*_memory(library, handle), *_utilization(library, handle)):
            found.setdefault(metric, []).append((value, attributes))
    return found


# Not every GPU tells everything: one that is shared has a memory, and nothing to say about its utilization.


def _memory(library: ModuleType, handle: object) -> Iterator[tuple[str, float]]:
    with suppress(Exception):
        memory = library.nvmlDeviceGetMemoryInfo(handle)
        yield names.GPU_MEMORY_USAGE, memory.used
        yield names.GPU_MEMORY_LIMIT, memory.total
        yield names.GPU_MEMORY_UTILIZATION, memory.used / memory.total


def _utilization(library: ModuleType, handle: object) -> Iterator[tuple[str, float]]:
    with suppress(Exception):
        yield names.GPU_UTILIZATION, library.nvmlDeviceGetUtilizationRates(handle).gpu / 100


def _name(library: ModuleType, handle: object) -> str:
    return _text(library.nvmlDeviceGetName(handle))


def _text(said: str | bytes) -> str:
    # Older releases say bytes.
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said
