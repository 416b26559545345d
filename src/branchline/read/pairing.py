"""Which branch of one run is which of another."""

from __future__ import annotations

from .run import Run
from .values import Branch


Pair = tuple[Branch, Branch]


def paired(before: Run, after: Run) -> tuple[list[Pair], list[Branch], list[Branch]]:
    """Return the branches that two runs have both, and those that only the one or the other has.

    The same name in the same experiment is the same branch. A name is often made of the configuration, and so is
    another where that has changed: what is left is paired in order, where both runs have as many left.
    """
    old, new = _by_name(before), _by_name(after)
    pairs = [(old[key], new[key]) for key in old if key in new]
    gone = [old[key] for key in old if key not in new]
    come = [new[key] for key in new if key not in old]
    if [branch.experiment_name for branch in gone] == [branch.experiment_name for branch in come]:
        return [*pairs, *zip(gone, come, strict=True)], [], []
    return pairs, gone, come


def _by_name(run: Run) -> dict[tuple[str | None, str, int], Branch]:
    return {(branch.experiment_name, branch.name, branch.repeat): branch for branch in run.branches}
