"""Flames: where the money, the tokens or the time of a run went, steps of one name together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal

from ..money import CONTEXT, ZERO
from ..usage_values import Usage
from .run import Run
from .tree import printable
from .values import Step


Weight = Literal["usd", "tokens", "ms"]
WEIGHTS: Final[tuple[Weight, ...]] = ("usd", "tokens", "ms")

OUTSIDE: Final = "(outside of all steps)"
# What is deeper counts in the last one that is shown: nobody looks further down.
_DEEPEST: Final = 256
_UNITS: Final = {"usd": "none", "tokens": "none", "ms": "milliseconds"}


@dataclass(eq=False)
class Frame:
    """Steps of one name in one place, and what they weigh."""

    name: str
    kind: str
    """``run``, ``experiment``, ``branch``, ``step``, ``span``; ``model`` for what a model took in a step."""
    own: Decimal = ZERO
    """Without what is inside."""
    total: Decimal = ZERO
    count: int = 0
    """How many there were."""
    depth: int = 0
    children: dict[tuple[str, str], Frame] = field(default_factory=dict)

    def child(self, name: str, kind: str) -> Frame:
        """Return the frame of what is called so in this one; the deepest takes what is inside of it."""
        if self.depth >= _DEEPEST:
            return self
        known = self.children.get((name, kind))
        if known is None:
            known = self.children[name, kind] = Frame(name, kind, depth=self.depth + 1)
        return known

    @property
    def ordered(self) -> list[Frame]:
        """What is inside and weighs anything, the heaviest first."""
        return sorted(
            (each for each in self.children.values() if each.total), key=lambda each: each.total, reverse=True
        )

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name} {self.total}>"


def flame(run: Run, weight: Weight) -> Frame:
    """Return the whole of *run* as a frame, with everything inside that weighs anything."""
    root = Frame(run.service_name or run.id, "run", count=1)
    frames = [root]
    places: dict[tuple[str | None, str | None], Frame] = {}
    stack: list[tuple[Step, Frame]] = [(step, root) for step in reversed(run.roots)]
    while stack:
        step, above = stack.pop()
        frame = above.child(printable(step.name), step.kind)
        if not frame.count:
            frames.append(frame)
        frame.count += 1
        places[step.trace_id, step.span_id] = frame
        if weight == "ms":
            frame.own = CONTEXT.add(frame.own, _own_milliseconds(step))
        stack += [(child, frame) for child in reversed(step.children)]
    if weight != "ms":
        frames += _with_usages(root, places, run.usages, _dollars if weight == "usd" else _tokens)
    _add_up(frames)
    return root


def _with_usages(
    root: Frame,
    places: dict[tuple[str | None, str | None], Frame],
    usages: Iterable[Usage],
    weigh: Callable[[Usage], Decimal],
) -> Iterator[Frame]:
    """Yield the frames that are new with what each model took in each place."""
    for usage in usages:
        place = places.get((usage.trace_id, usage.span_id))
        if place is None:
            place = root.child(OUTSIDE, "step")
            if not place.count:
                yield place
        model = place.child(printable(usage.model), "model")
        if model is not place and not model.count:
            yield model
        model.count += usage.calls
        model.own = CONTEXT.add(model.own, weigh(usage))
        if place.name == OUTSIDE:
            place.count += usage.calls


def _add_up(frames: list[Frame]) -> None:
    # Whatever is inside of another one came after it.
    for frame in sorted(frames, key=lambda frame: -frame.depth):
        frame.total = frame.own
        for child in frame.children.values():
            frame.total = CONTEXT.add(frame.total, child.total)


def _dollars(usage: Usage) -> Decimal:
    return usage.cost or ZERO


def _tokens(usage: Usage) -> Decimal:
    return Decimal(usage.total_tokens)


def _own_milliseconds(step: Step) -> Decimal:
    """Return how long *step* took without the time in which anything inside of it ran."""
    if step.end_unix_nano is None:
        return ZERO
    own, covered = 0, step.start_unix_nano
    for child in step.children:
        if child.end_unix_nano is None or child.end_unix_nano <= covered:
            continue
        own += max(min(child.start_unix_nano, step.end_unix_nano) - covered, 0)
        covered = max(covered, min(child.end_unix_nano, step.end_unix_nano))
    return CONTEXT.divide(Decimal(own + max(step.end_unix_nano - covered, 0)), Decimal(1_000_000))


def speedscope(root: Frame, weight: Weight, *, name: str) -> dict[str, Any]:
    """Return *root* in the file format of speedscope, each place as one sample."""
    frames: list[dict[str, str]] = []
    known: dict[tuple[str, str], int] = {}
    samples: list[list[int]] = []
    weights: list[float] = []
    stack: list[tuple[Frame, list[int]]] = [(root, [])]
    while stack:
        frame, above = stack.pop()
        key = (frame.name, frame.kind)
        if key not in known:
            known[key] = len(frames)
            frames.append({"name": frame.name} | ({"file": frame.kind} if frame.kind != "step" else {}))
        here = [*above, known[key]]
        if frame.own:
            samples.append(here)
            weights.append(float(frame.own))
        stack += [(child, here) for child in reversed(frame.ordered)]
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "name": name,
        "exporter": "branchline",
        "activeProfileIndex": 0,
        "shared": {"frames": frames},
        "profiles": [
            {
                "type": "sampled",
                "name": f"{name} ({weight})",
                "unit": _UNITS[weight],
                "startValue": 0,
                "endValue": float(root.total),
                "samples": samples,
                "weights": weights,
            }
        ],
    }
