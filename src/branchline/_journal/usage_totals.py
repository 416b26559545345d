"""Totals of usage, by experiment and branch: what one process tells the others of the same run in its process.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..tally import Tally
from ..usage_values import Usage


# Names of an experiment and of a branch.
Place = tuple[str | None, str | None]

NOWHERE: Final[Place] = (None, None)
# What comes on top is only part of the whole.
_MOST_PLACES: Final = 500


class UsageTotals:
    """What the calls of models came to, in all and by branch."""

    def __init__(self) -> None:
        self.whole = Tally()
        self._places: dict[Place, Tally] = {}

    def add(self, usage: Usage) -> None:
        """Add one call."""
        self.whole.add(usage)
        self._at((usage.experiment, usage.branch)).add(usage)

    def of(self, experiment: str | None, branch: str | None) -> Tally | None:
        """Return what a branch came to; None where it called no model."""
        return self._places.get((experiment, branch))

    def take(self, document: object) -> None:
        """Add what another process has told of itself; what is not understood is left out."""
        for place, tally in _read(document):
            self.whole.take(tally)
            self._at(place).take(tally)

    def document(self) -> list[dict[str, Any]]:
        """Return what to tell the others: the parts, which come to the whole."""
        return [
            {
                "experiment": experiment,
                "branch": branch,
                # As text: no JSON reader makes it a float.
                "cost_units": str(tally.cost_units),
                **{name: getattr(tally, name) for name in _COUNTS},
            }
            for (experiment, branch), tally in list(self._places.items())
        ]

    def _at(self, place: Place) -> Tally:
        if place not in self._places and len(self._places) >= _MOST_PLACES:
            place = NOWHERE
        return self._places.setdefault(place, Tally())


_COUNTS: Final = tuple(name for name in Tally.__slots__ if name != "cost_units")


def _read(document: object) -> Iterator[tuple[Place, Tally]]:
    for part in document if isinstance(document, list) else ():
        if not isinstance(part, Mapping):
            continue
        tally = Tally()
        try:
            tally.cost_units = int(part["cost_units"])
            for name in _COUNTS:
                setattr(tally, name, int(part[name]))
        except (KeyError, ValueError, TypeError):
            continue
        yield (_text(part.get("experiment")), _text(part.get("branch"))), tally


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
