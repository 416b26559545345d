"""A second try for what a destination has refused, once a person has removed the cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from .._journal import dead_letters
from .._journal.cursors import Cursor, Key, Place
from .._journal.dead_letters import DeadLetter, bury
from .deliveries import shares
from .otlp.answers import Answer
from .underway import BATCH_BYTES, NOTHING, Destination, Step, Underway


class SecondTry:
    """Sends the dead letters of one run again, file by file; what is refused again stays one."""

    def __init__(self, delivery: Underway, destination: Destination) -> None:
        """Send what is refused in the run that *delivery* has the claim on."""
        self._delivery = delivery
        self._destination = destination
        # Only those of before: what is refused now is not tried for ever.
        self._files = dead_letters.files(delivery.folder)
        self._batches: list[list[DeadLetter]] = []
        self._answered: list[DeadLetter] = []
        self._again: list[DeadLetter] = []

    @property
    def cursor(self) -> Cursor:
        """What has become of everything in the run."""
        return self._delivery.cursor

    def step(self) -> Step:
        """Send one batch; when all of a file was answered, what is refused still takes its place."""
        try:
            if self._answered and not self._batches:
                return self._finished()
            if not self._batches and not self._begun():
                return NOTHING
        except OSError as error:
            return Step("wait", message=f"cannot write to {self._delivery.folder}: {error}")
        batch = self._batches[0]
        answer = self._destination.deliver(batch[0].signal, [letter.line for letter in batch])
        if answer.kind in {"retry", "unsupported"}:
            return Step("wait", message=answer.message, retry_after_seconds=answer.retry_after_seconds)
        if answer.kind == "too_large" and len(batch) > 1:
            half = len(batch) // 2
            self._batches[:1] = [batch[:half], batch[half:]]
            return Step("moved")
        del self._batches[0]
        self._answered += batch
        self._again += _refused_again(batch, answer)
        return Step("moved")

    def _begun(self) -> bool:
        """Open the next file that has letters in it; return whether there is one."""
        while self._files and not self._batches:
            self._batches = list(_batches(self._files[0]))
            if not self._batches:
                self._files.pop(0).unlink(missing_ok=True)
        return bool(self._batches)

    def _finished(self) -> Step:
        if self._again:
            bury(self._delivery.folder, self._again, is_apart=True)
        places = _moved(self.cursor, self._answered, self._again)
        self._answered, self._again = [], []
        self._files.pop(0).unlink(missing_ok=True)
        return self._delivery.recounted(places)


def _refused_again(batch: Sequence[DeadLetter], answer: Answer) -> list[DeadLetter]:
    if answer.kind == "accepted":
        return []
    items = [letter.items for letter in batch]
    counts = shares(items, answer.rejected) if answer.kind == "partial" else items
    return [
        replace(letter, kind=answer.kind, message=answer.message, items=count, unix_nano=0)
        for letter, count in zip(batch, counts, strict=True)
    ]


def _batches(file: Path) -> Iterator[list[DeadLetter]]:
    for _, letters in groupby(dead_letters.letters_in(file), key=lambda letter: letter.signal):
        batch: list[DeadLetter] = []
        size = 0
        for letter in letters:
            if batch and size + len(letter.line) > BATCH_BYTES:
                yield batch
                batch, size = [], 0
            batch.append(letter)
            size += len(letter.line)
        yield batch


def _moved(cursor: Cursor, answered: Sequence[DeadLetter], again: Sequence[DeadLetter]) -> dict[Key, Place]:
    """Return the places in which what is taken now is delivered, and no longer rejected."""
    taken: Counter[Key] = Counter()
    for letter in answered:
        taken[letter.process, letter.signal] += letter.items
    for letter in again:
        taken[letter.process, letter.signal] -= letter.items
    places: dict[Key, Place] = {}
    for key, count in taken.items():
        place = cursor.place(*key)
        # A cursor that was lost meanwhile knows of no rejections.
        moved = min(count, place.rejected)
        places[key] = replace(place, delivered=place.delivered + moved, rejected=place.rejected - moved)
    return places
