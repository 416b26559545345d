"""What the branches of a process have measured so far, for who watches them live: the last value by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .. import names


# A person watches the newest; of the others, what was shown stays shown.
_MOST_BRANCHES: Final = 1_000
_MOST_NAMES: Final = 100


class BranchValues:
    """Remembers values by branch; any thread may note one, without a lock, and the writer alone reads them."""

    def __init__(self, open_: Mapping[int, Any]) -> None:
        """Remember nothing yet; *open_* are, by number, the open spans that do not know what is above them."""
        self._open = open_
        self._known: dict[int, dict[str, float]] = {}

    def note(self, span: Any, name: str, value: Any) -> None:
        """Note a *value* that was measured in *span*."""
        while span is not None and span.role != names.KIND_BRANCH:
            span = getattr(span, "up", None) or self._open.get(span.parent_number)
        if span is None:
            return
        found = self._known.setdefault(span.number, {})
        if name in found or len(found) < _MOST_NAMES:
            found[name] = float(value)

    def of(self, span: Any) -> Mapping[str, float]:
        """Return what the branch that *span* is has measured; it may still grow. Nothing for any other span."""
        if span.role != names.KIND_BRANCH:
            return _NOTHING
        while len(self._known) > _MOST_BRANCHES:
            del self._known[next(iter(list(self._known)))]
        return self._known.setdefault(span.number, {})


_NOTHING: Final[Mapping[str, float]] = {}
