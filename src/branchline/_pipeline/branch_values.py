"""What the branches of a process have measured so far, for who watches them live: the last value by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from .. import names
from .._journal.records import LogRecord


# A person watches the newest; of the others, what was shown stays shown.
_MOST_BRANCHES: Final = 1_000
_MOST_NAMES: Final = 100


class BranchValues:
    """Remembers values by branch; bounded."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._known: dict[int, tuple[Any, dict[str, float]]] = {}

    def take(self, records: Iterable[LogRecord]) -> int:
        """Take the metric points among log *records*, and return how many there were."""
        points = [record for record in records if record.name == names.METRIC_EVENT]
        for record in points:
            if record.identity is not None:
                found = self._of(record.identity)
                name = record.data.get(names.METRIC_NAME)
                if isinstance(name, str) and (name in found or len(found) < _MOST_NAMES):
                    found[name] = float(record.data.get(names.METRIC_VALUE, "nan"))
        return len(points)

    def of(self, span: Any) -> Mapping[str, float]:
        """Return what the branch that *span* is has measured; it may still grow. Nothing for any other span."""
        is_branch = span.role == names.KIND_BRANCH and span.identity is not None
        return self._of(span.identity) if is_branch else _NOTHING

    def _of(self, identity: Any) -> dict[str, float]:
        # One object for all that is recorded in a branch: where the same branch is run again, it has another. As long
        # as it is remembered, no other object has its address.
        known = self._known.get(id(identity))
        if known is None:
            if len(self._known) >= _MOST_BRANCHES:
                del self._known[next(iter(self._known))]
            known = self._known[id(identity)] = (identity, {})
        return known[1]


_NOTHING: Final[Mapping[str, float]] = {}
