"""What MLflow has acknowledged of one run: kept with the cursor, in one step, so that nothing is told twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .picture import Position


@dataclass(frozen=True, kw_only=True)
class Acknowledged:
    """What MLflow has of one entity."""

    run_id: str
    experiment_id: str
    is_begun: bool = False  # it has its parameters
    ended_as: str | None = None  # the outcome that it was ended with
    has_trace: bool = False
    about: str = ""  # what tells the metadata that it has
    is_given_up: bool = False  # MLflow does not know the run any more, or never wanted it
    points: Mapping[str, Position] = field(default_factory=dict)  # by source, where that is beyond the cursor


@dataclass
class Told:
    """What MLflow has, by entity, and what it was about to be told."""

    entities: dict[str, Acknowledged] = field(default_factory=dict)
    intents: set[str] = field(default_factory=set)
    """Of which a run is about to be created, or perhaps was: whoever comes after a crash looks."""
    is_known: bool = False
    """Whether all that was created is among the entities or the intents; else nobody has noted it."""

    @property
    def is_unfinished(self) -> bool:
        """Whether there are runs that have not ended, or that were about to be created."""
        return bool(self.intents) or any(
            entity.ended_as is None and not entity.is_given_up for entity in self.entities.values()
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as it is kept."""
        return {
            "runs": {key: _written(entity) for key, entity in self.entities.items()},
            "intents": sorted(self.intents),
        }

    def forget_points(self, cursor: Mapping[str, Position]) -> None:
        """Leave out what the *cursor* of each source says by itself."""
        for key, entity in self.entities.items():
            if entity.points:
                beyond = {name: at for name, at in entity.points.items() if at > cursor.get(name, (0, 0))}
                self.entities[key] = replace(entity, points=beyond)


def told_from(kept: Mapping[str, Any]) -> Told:
    """Return what was *kept*; of what cannot be read, nothing."""
    runs, intents = kept.get("runs"), kept.get("intents")
    if not isinstance(runs, dict) or not isinstance(intents, list):
        return Told()
    return Told(entities=dict(_entities(runs)), intents=set(map(str, intents)), is_known=True)


def _written(entity: Acknowledged) -> dict[str, Any]:
    said = {
        "id": entity.run_id,
        "in": entity.experiment_id,
        "begun": entity.is_begun,
        "ended": entity.ended_as,
        "trace": entity.has_trace,
        "about": entity.about,
        "given_up": entity.is_given_up,
        "points": {name: list(at) for name, at in entity.points.items()},
    }
    # There may be very many of them.
    return {key: value for key, value in said.items() if value}


def _entities(runs: Mapping[str, Any]) -> Iterator[tuple[str, Acknowledged]]:
    for key, known in runs.items():
        try:
            yield (
                key,
                Acknowledged(
                    run_id=str(known.get("id", "")),
                    experiment_id=str(known.get("in", "")),
                    is_begun=known.get("begun") is True,
                    ended_as=known.get("ended"),
                    has_trace=known.get("trace") is True,
                    about=str(known.get("about", "")),
                    is_given_up=known.get("given_up") is True,
                    points={name: (int(at[0]), int(at[1])) for name, at in known.get("points", {}).items()},
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            # Damaged: it is found again by its tag.
            continue
