"""What a child finished, counted where a SIGKILL cannot take it back."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path


_COUNTER = struct.Struct("<q")
_SIZE = 64 * 1024


class Ledger:
    """Counters in a shared file: the process may die, the pages stay."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the ledger at *path*, made when it is missing."""
        descriptor = os.open(Path(path), os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(descriptor, _SIZE)
        self._memory = mmap.mmap(descriptor, _SIZE)
        os.close(descriptor)

    def __setitem__(self, place: int, count: int) -> None:
        # In one store: ``pack_into`` writes zeros first, and a kill may strike between.
        self._memory[place * 8 : place * 8 + 8] = _COUNTER.pack(count)

    def __getitem__(self, place: int) -> int:
        (count,) = _COUNTER.unpack_from(self._memory, place * 8)
        return int(count)
