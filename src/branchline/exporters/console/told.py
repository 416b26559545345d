"""What was told of work: whether something new about it is worth a line."""

from __future__ import annotations

from typing import Final

from ...progress_values import Progress


# What takes no longer is over before anybody could read of it.
_SOON_SECONDS: Final = 0.1
# A loop in a loop is worth a line when it takes so long that its outer one has none.
_INNER_SECONDS: Final = 5.0
# The same name again, so soon, over at once: one of thousands, of which nobody reads every line.
_AGAIN_SECONDS: Final = 1.0
# Where nobody knows how much there is, a line says so each time that it has doubled, and after so long.
_REPEAT_SECONDS: Final = 10.0
_MOST: Final = 2_000


class Told:
    """Remembers what was told, and says what is news: a change in per cent, and an end."""

    def __init__(self) -> None:
        self._going_on: dict[str, Progress] = {}
        self._ended: dict[str, None] = {}
        self._names: dict[str, int] = {}

    def is_news(self, work: Progress) -> bool:
        """Return whether *work* is worth a line, which is then told."""
        if work.is_inner and work.elapsed_seconds < _INNER_SECONDS and work.outcome != "failed":
            return False
        if work.outcome is not None:
            return self._has_ended(work)
        if not _has_moved(work, self._going_on.get(work.task_id)):
            return False
        if len(self._going_on) >= _MOST:
            self._going_on.clear()
        self._going_on[work.task_id] = work
        return True

    def _has_ended(self, work: Progress) -> bool:
        if work.task_id in self._ended:
            return False
        if len(self._ended) >= _MOST:
            self._ended.clear()
        self._ended[work.task_id] = None
        before = self._going_on.pop(work.task_id, None)
        is_known = before is not None and (before.done, before.total) == (work.done, work.total)
        return self._is_apart(work, was_told=before is not None) and not (is_known and work.outcome == "success")

    def _is_apart(self, work: Progress, *, was_told: bool) -> bool:
        """Whether an end is no more than one of thousands."""
        now = work.time_unix_nano
        latest = self._names.get(work.description)
        is_new = latest is None or now - latest >= _AGAIN_SECONDS * 1e9
        is_apart = was_told or is_new or work.elapsed_seconds >= _SOON_SECONDS or work.outcome == "failed"
        if is_apart:
            if len(self._names) >= _MOST:
                self._names.clear()
            self._names[work.description] = now
        return is_apart


def _has_moved(work: Progress, before: Progress | None) -> bool:
    if work.done == (0 if before is None else before.done):
        return False
    if before is None:
        return True
    if work.percent is None or before.percent is None:
        return work.done >= 2 * before.done or work.elapsed_seconds - before.elapsed_seconds >= _REPEAT_SECONDS
    return work.percent != before.percent
