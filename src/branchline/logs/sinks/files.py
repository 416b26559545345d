"""The sink for files: rolling ones, which a full disk or a folder that refuses only delays."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..._files.rolling import RollingFile
from ..._files.rotation import Rotation
from ..._files.tidying import Care
from ..accounts import Account
from ..records import Line


# A disk that refuses is asked again so soon that writing resumes within a second of there being room.
_TRY_AGAIN_SECONDS: Final = 0.25
MOST_WAITING: Final = 4 * 1024 * 1024


class FileSink:
    """A file; what the disk refuses waits in memory, and is written first once it accepts."""

    def __init__(
        self,
        path: Path,
        account: Account,
        *,
        rotation: Rotation,
        care: Care,
        mode: int,
        delay: bool,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        """Write to *path*, which is opened now unless *delay*; *most_waiting* bytes wait while the disk refuses."""
        self.path = path
        self._most_waiting = most_waiting
        self.file = RollingFile(
            path, rotation=rotation, care=care, mode=mode, say=lambda text: account.say("tidying", text)
        )
        self._account = account
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._retry_at = 0.0
        if not delay:
            self._open()

    @property
    def state(self) -> str:
        """How the disk is doing, as far as anybody knows."""
        return "failed" if self._retry_at else "active"

    def write(self, lines: Sequence[Line]) -> None:
        """Write *lines*, or keep them until the disk accepts them."""
        self.write_encoded([line.encode("utf-8", "backslashreplace") for line in lines])

    def write_encoded(self, lines: Sequence[bytes]) -> None:
        """Do the same with lines that are bytes already."""
        self._waiting.extend(lines)
        self._waiting_bytes += sum(map(len, lines))
        if time.monotonic() >= self._retry_at:
            self._try()
        if self._waiting_bytes > self._most_waiting:
            self._bound()

    def flush(self) -> bool:
        """Write what waits; return whether all of it is written."""
        if self._waiting:
            self._try()
        return not self._waiting

    def settle(self, timeout: float | None) -> bool:
        """Wait until what was rotated is compressed; return whether it is."""
        return self.file.tidying.wait(timeout)

    def close(self, timeout: float | None) -> bool:
        """Write what waits, and close the file."""
        is_written = self.flush()
        if self._waiting:
            self._account.drop("disk", len(self._waiting))
            self._waiting.clear()
            self._waiting_bytes = 0
        self.file.close()
        return self.file.tidying.wait(timeout) and is_written

    def forget_threads(self) -> None:
        """Begin anew in a forked child: what waits is the parent's to write."""
        self._waiting.clear()
        self._waiting_bytes = 0

    def _open(self) -> None:
        try:
            self.file.open()
        except OSError as error:
            self._refused(error)

    def _try(self) -> None:
        given = len(self._waiting)
        try:
            self.file.append(self._waiting)
        except OSError as error:
            self._refused(error)
        else:
            if self._retry_at:
                self._retry_at = 0.0
                self._account.say("resumed", f"writing to {self.path} again")
        self._waiting_bytes = sum(map(len, self._waiting)) if self._waiting else 0
        self._account.wrote(given - len(self._waiting))

    def _refused(self, error: OSError) -> None:
        self._retry_at = time.monotonic() + _TRY_AGAIN_SECONDS
        self._account.say("refused", f"cannot write to {self.path}: {error.strerror or error}; keeping what comes")

    def _bound(self) -> None:
        """Drop the newest of what waits: the oldest tells how it began."""
        dropped = 0
        while self._waiting and self._waiting_bytes > self._most_waiting:
            self._waiting_bytes -= len(self._waiting.pop())
            dropped += 1
        self._account.drop("disk", dropped)
