"""What MLflow takes: names, lengths, numbers and sizes of requests, so that one bad entry costs no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final


# The smallest of all releases and of what is hosted; ours to keep, because a release cuts, or refuses the whole batch.
LONGEST_KEY: Final = 250
LONGEST_PARAM: Final = 6_000
LONGEST_TAG: Final = 5_000
LONGEST_EXPERIMENT_NAME: Final = 500
MOST_PARAMS: Final = 100
MOST_TAGS: Final = 100
MOST_METRICS: Final = 1_000
MOST_ENTRIES: Final = 1_000
# A server refuses a request of more than 1,000,000 bytes; this leaves room for what is around the entries.
MOST_BYTES: Final = 900_000
# What an entry has around its name and value, numbers and indentation included.
_AROUND_ENTRY: Final = 160

_NOT_IN_KEYS: Final = re.compile(r"[^/\w.\- :]")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One value of a metric."""

    key: str
    value: float
    timestamp_ms: int
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class Data:
    """Something that a run has read."""

    name: str
    digest: str
    source_type: str
    source: str  # JSON
    profile: str  # JSON


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one request takes."""

    params: Sequence[tuple[str, str]] = ()
    tags: Sequence[tuple[str, str]] = ()
    points: Sequence[Point] = ()

    def singles(self) -> Iterator[Batch]:
        """Return its entries, each in a batch of its own."""
        yield from (Batch(params=[param]) for param in self.params)
        yield from (Batch(tags=[tag]) for tag in self.tags)
        yield from (Batch(points=[point]) for point in self.points)

    def __len__(self) -> int:
        return len(self.params) + len(self.tags) + len(self.points)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Entries as MLflow takes them, and whether that is less than what they were."""

    entries: Mapping[str, str]
    is_whole: bool


def fitted_key(key: str) -> str:
    """Return *key* with what MLflow refuses in a name replaced by ``_``.

    It must also be a path: not empty, not ``.`` or ``..``, with nothing that a normal form of it would leave out.
    """
    parts = _NOT_IN_KEYS.sub("_", key[:LONGEST_KEY]).split("/")
    path = "/".join(part if part.strip(".") else "_" * max(len(part), 1) for part in parts)
    return path if len(path) <= LONGEST_KEY else path[:LONGEST_KEY].rstrip("/.")


def fitted(texts: Mapping[str, str], *, longest: int) -> Fitted:
    """Return *texts* under keys that MLflow takes, each its own, and within *longest* characters, marked where cut."""
    entries: dict[str, str] = {}
    is_whole = True
    for key, text in texts.items():
        name = _unused(fitted_key(key), entries)
        entries[name] = cut(text, longest)
        is_whole = is_whole and name == key and len(text) <= longest
    return Fitted(entries=entries, is_whole=is_whole)


def _unused(key: str, known: Mapping[str, str]) -> str:
    number, found = 1, key
    while found in known:
        number += 1
        ending = f"_{number}"
        found = key[: LONGEST_KEY - len(ending)] + ending
    return found


def cut(text: str, longest: int) -> str:
    """Return *text* within *longest* characters, saying how many it had where it is cut."""
    if len(text) <= longest:
        return text
    marker = f"… [cut: {len(text):,} characters]"
    return text[: longest - len(marker)] + marker


def batches(
    params: Iterable[tuple[str, str]] = (), tags: Iterable[tuple[str, str]] = (), points: Iterable[Point] = ()
) -> Iterator[Batch]:
    """Return everything in as few requests as MLflow takes it in."""
    filling = _Filling()
    for kind, entries in (("params", params), ("tags", tags), ("points", points)):
        for entry in entries:
            if not filling.has_room_for(kind, entry):
                yield filling.batch()
                filling = _Filling()
            filling.add(kind, entry)
    if filling.count:
        yield filling.batch()


_MOST: Final[Mapping[str, int]] = {"params": MOST_PARAMS, "tags": MOST_TAGS, "points": MOST_METRICS}


class _Filling:
    """A request that is being filled."""

    def __init__(self) -> None:
        self.count = 0
        self._size = 0
        self._entries: dict[str, list[Any]] = {kind: [] for kind in _MOST}

    def has_room_for(self, kind: str, entry: Any) -> bool:
        is_full = self.count >= MOST_ENTRIES or len(self._entries[kind]) >= _MOST[kind]
        return not is_full and (not self.count or self._size + _size(entry) <= MOST_BYTES)

    def add(self, kind: str, entry: Any) -> None:
        self.count += 1
        self._size += _size(entry)
        self._entries[kind].append(entry)

    def batch(self) -> Batch:
        return Batch(**self._entries)


def _size(entry: Point | tuple[str, str]) -> int:
    texts = (entry.key,) if isinstance(entry, Point) else entry
    # As MLflow sends them: what is not ASCII takes six or twelve bytes.
    return _AROUND_ENTRY + sum(len(json.dumps(text)) for text in texts)
