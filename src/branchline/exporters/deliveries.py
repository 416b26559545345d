"""Delivering one run to one destination: batch by batch, the cursor behind it, nothing passed over in silence."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from .._journal import cursors, layout
from .._journal.claims import Claim, claimed
from .._journal.cursors import Cursor, Key, Place
from .._journal.dead_letters import DeadLetter, bury
from .._journal.layout import Signal
from .._journal.payloads import halves, items_in, sound
from .._journal.unread import Read, Reader
from .accounts import in_words
from .otlp.answers import Answer
from .underway import NOTHING, DeliveryOptions, Destination, OwnWay, Step, Tell, Underway


# Lines with nothing in them to deliver count too: a file may be full of them.
_BATCH_LINES: Final = 10_000
_ACCEPTED: Final = Answer(kind="accepted")
# Where time is short: what is sent first, to see how long it takes.
_FIRST_BYTES: Final = 256 * 1024


class _Piece(NamedTuple):
    """A line on its way, or a part of one that was too large."""

    read: Read
    payload: bytes
    items: int = 0
    withheld: int = 0
    is_end: bool = True
    """Whether the line is done with, when this is."""


class Delivery:
    """One run on its way to one destination, while nobody else delivers it; used by one thread."""

    def __init__(
        self, destination: Destination, run: Path, folder: Path, claim: Claim, *, tell: Tell, options: DeliveryOptions
    ) -> None:
        """Go on from the cursor in *folder*. Raises JournalError for one of a later version."""
        self.run = run
        self.folder = folder
        self.cursor: Cursor = cursors.load(folder)
        self.claim = claim
        self._destination = destination
        self._tell = tell
        self._options = options
        self._reader = Reader(run, is_thorough=options.is_thorough)
        self._signals = deque(destination.signals)
        self._streams: dict[Signal, Iterator[Read]] = {}
        self._batch: deque[_Piece] = deque()
        self._limit = options.batch_bytes
        self._is_unsaved = False
        # Of the last request that was answered: how many bytes it had, and how many seconds that took.
        self._pace: tuple[int, float] | None = None
        # What became of the first parts of the line that the next part belongs to.
        self._carried = (0, 0)

    def look_again(self) -> None:
        """Look at all processes in the next step, those that have ended as well."""
        self._reader.look_again()

    def give_up(self) -> None:
        """Let somebody else go on."""
        self.claim.give_up()

    def step(self, seconds_left: float | None = None) -> Step:
        """Deliver the next batch, or as much of it as is likely to be answered in time, and save how far that got."""
        if not self.claim.is_good:
            return Step("lost")
        if self._is_unsaved:
            # Before anything else is sent: what a restart would send again is one batch, whatever the disk does.
            return self._save(0)
        if not self._batch:
            self._fill()
        if not self._batch:
            return NOTHING
        limit = self._limit if seconds_left is None else min(self._limit, bytes_in(seconds_left, self._pace))
        if not limit:
            return Step("late")
        chunk = self._chunk(limit)
        answer = self._sent(chunk)
        try:
            return self._dealt_with(chunk, answer)
        except OSError as error:
            return Step("wait", message=f"cannot write to {self.folder}: {error}")

    # ── what is sent together ─────────────────────────────────────────────────────────────────────

    def _fill(self) -> None:
        for _ in range(len(self._signals)):
            signal = self._signals[0]
            # Each signal in turn: a flood of one does not hold up the others.
            self._signals.rotate(-1)
            self._batch.extend(self._pieces(signal))
            if self._batch:
                return

    def _pieces(self, signal: Signal) -> Iterator[_Piece]:
        stream = self._streams.pop(signal, None)
        if stream is None:
            stream = self._reader.lines(signal, self.cursor)
        size = 0
        for count, read in enumerate(stream, start=1):
            piece = self._prepared(read)
            yield piece
            size += len(piece.payload)
            if size >= self._options.batch_bytes or count >= _BATCH_LINES:
                self._streams[signal] = stream
                return

    def _prepared(self, read: Read) -> _Piece:
        if not read.line:
            return _Piece(read, b"")
        payload, withheld = self._destination.prepared(read.signal, read.line)
        return _Piece(read, payload, items_in(read.signal, payload) if payload else 0, withheld)

    def _sent(self, chunk: list[_Piece]) -> Answer:
        lines = [piece.payload for piece in chunk if piece.payload]
        if not lines:
            return _ACCEPTED
        began = time.monotonic()
        answer = self._destination.deliver(chunk[0].read.signal, lines)
        if answer.kind != "retry":
            self._pace = (sum(map(len, lines)), time.monotonic() - began)
        return answer

    def _chunk(self, limit: int) -> list[_Piece]:
        """Return the pieces of the batch that may be sent at once."""
        chunk: list[_Piece] = []
        room = limit
        for piece in self._batch:
            room -= len(piece.payload)
            if room < 0 and chunk:
                break
            chunk.append(piece)
        return chunk

    # ── what became of it ─────────────────────────────────────────────────────────────────────────

    def _dealt_with(self, chunk: list[_Piece], answer: Answer) -> Step:
        match answer.kind:
            case "accepted":
                return self._done(chunk, [0] * len(chunk))
            case "partial":
                return self._refused(chunk, shares([piece.items for piece in chunk], answer.rejected), answer)
            case "refused":
                if self._without_damage(chunk):
                    return Step("moved")
                return self._refused(chunk, [piece.items for piece in chunk], answer)
            case "too_large":
                return self._too_large(chunk, answer)
        if answer.kind == "unsupported":
            self._tell("unsupported", f"{self._destination.shown} cannot be delivered to: {answer.message}")
        return Step("wait", message=answer.message, retry_after_seconds=answer.retry_after_seconds)

    def _refused(self, chunk: list[_Piece], rejected: list[int], answer: Answer) -> Step:
        letters = [
            DeadLetter(
                process=piece.read.process,
                signal=piece.read.signal,
                kind=answer.kind,
                message=answer.message,
                items=count,
                unix_nano=0,
                line=piece.payload,
            )
            for piece, count in zip(chunk, rejected, strict=True)
            if piece.payload
        ]
        bury(self.folder, letters)
        signal = chunk[0].read.signal
        self._tell(
            f"refused_{self._destination.name}",
            f"{self._destination.shown} refused {in_words({signal: sum(rejected)})}: {answer.message or 'no reason'}; "
            f"kept with the answer in {self.folder}",
        )
        return self._done(chunk, rejected)

    def _too_large(self, chunk: list[_Piece], answer: Answer) -> Step:
        sent = [piece for piece in chunk if piece.payload]
        # What it does not take today, it does not take tomorrow.
        self._limit = max(sum(len(piece.payload) for piece in sent) // 2, 1)
        if len(sent) > 1:
            return Step("moved")
        place = chunk.index(sent[0])
        parts = halves(sent[0].read.signal, sent[0].payload)
        if parts is None:
            return self._refused(chunk, [piece.items for piece in chunk], answer)
        for _ in range(place + 1):
            self._batch.popleft()
        self._batch.extendleft(reversed([*chunk[:place], *_parts(sent[0], parts)]))
        return Step("moved")

    def _without_damage(self, chunk: list[_Piece]) -> bool:
        """Take lines that are damaged inside out of the batch; return whether there were any."""
        looked_at = []
        for piece in chunk:
            looked_at.append(piece if _is_sound(piece) else _damaged(piece))
            # To parse is to hold everybody up: let others run in between.
            time.sleep(0)
        if looked_at == chunk:
            return False
        for _ in chunk:
            self._batch.popleft()
        self._batch.extendleft(reversed(looked_at))
        return True

    def _done(self, chunk: list[_Piece], rejected: list[int]) -> Step:
        places: dict[Key, Place] = {}
        for piece, refused in zip(chunk, rejected, strict=True):
            self._batch.popleft()
            delivered = self._carried[0] + piece.items - refused
            refused += self._carried[1]  # noqa: PLW2901 - with what became of its first parts
            self._carried = (0, 0) if piece.is_end else (delivered, refused)
            if not piece.is_end:
                continue
            read = piece.read
            key = (read.process, read.signal)
            place = places.get(key) or self.cursor.place(*key)
            places[key] = replace(
                place,
                segment=read.segment,
                offset=read.offset,
                delivered=place.delivered + delivered,
                rejected=place.rejected + refused,
                withheld=place.withheld + piece.withheld,
                damaged=place.damaged + read.is_damaged,
            )
        if places:
            self.cursor = self.cursor.moved(places)
        return self._save(sum(len(piece.read.line) for piece in chunk if piece.is_end))

    def recounted(self, places: Mapping[Key, Place]) -> Step:
        """Save *places* in which only the numbers have changed."""
        self.cursor = self.cursor.moved(places)
        return self._save(0)

    def _save(self, size: int) -> Step:
        self._is_unsaved = True
        try:
            cursors.save(self.folder, self.cursor, signals=self._destination.signals, sync=self._options.sync)
        except OSError as error:
            return Step("wait", size, message=f"cannot save how far the delivery got in {self.folder}: {error}")
        self._is_unsaved = False
        return Step("moved", size)


def is_unfinished(folder: Path, destination: Destination) -> bool:
    """Whether *destination* has to be told more of the run of *folder*, though all of it was read."""
    return isinstance(destination, OwnWay) and destination.has_more(folder)


def begin(
    directory: Path, run_id: str, destination: Destination, *, tell: Tell, options: DeliveryOptions
) -> Underway | None:
    """Return the delivery of a run below *directory*, or None while somebody else delivers it.

    Raises:
        OSError: where the cursors cannot be written to.
        JournalError: for a cursor that a later version has written.
    """
    folder = cursors.follower_folder(directory, destination.name) / run_id
    claim = claimed(folder)
    if claim is None:
        return None
    with contextlib.ExitStack() as undo:
        undo.callback(claim.give_up)
        run = layout.runs_directory(directory) / run_id
        make = destination.delivery if isinstance(destination, OwnWay) else partial(Delivery, destination)
        delivery = make(run, folder, claim, tell=tell, options=options)
        undo.pop_all()
    return delivery


def bytes_in(seconds: float, pace: tuple[int, float] | None) -> int:
    """Return how many bytes are likely to be answered within *seconds*, by the *pace* of the last request; 0: none."""
    if pace is None:
        return _FIRST_BYTES
    size, took = pace
    # Half of the time, for a guess may be wrong; and half as much hardly takes less than half as long.
    share = seconds / 2 / max(took, 1e-3)
    return int(size * share) if share >= 0.5 else 0


def shares(items: Iterable[int], rejected: int) -> list[int]:
    """Return how many of the *rejected* are taken to be of each line, which have so many *items*: nobody says it."""
    found = []
    for count in items:
        found.append(min(count, max(rejected, 0)))
        rejected -= found[-1]
    return found


def _parts(piece: _Piece, parts: tuple[bytes, bytes]) -> list[_Piece]:
    first, second = parts
    signal = piece.read.signal
    return [
        piece._replace(payload=first, items=items_in(signal, first), withheld=0, is_end=False),
        piece._replace(payload=second, items=items_in(signal, second)),
    ]


def _is_sound(piece: _Piece) -> bool:
    return not piece.payload or sound(piece.read.signal, piece.payload, is_thorough=True) is not None


def _damaged(piece: _Piece) -> _Piece:
    return piece._replace(read=piece.read._replace(is_damaged=True), payload=b"", items=0)
