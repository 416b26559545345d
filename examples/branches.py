"""Try variants of a configuration side by side: an experiment and its branches."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import branchline as bl


@dataclass(frozen=True)
class Config:
    """What the branches differ in."""

    model: str
    temperature: float


CONFIGS = [Config("small", 0.0), Config("small", 0.7), Config("huge", 0.7)]


@bl.traced_step
def generate(config: Config) -> float:
    if config.model == "huge":
        msg = "the huge model is not there today"
        raise LookupError(msg)
    time.sleep(0.1)
    bl.stamp("generated", texts=20)
    return round(random.Random(config.temperature).uniform(0.5, 1.0), 2)


def main() -> None:
    with bl.configure("branches"), bl.experiment("temperature"):
        for config in CONFIGS:
            try:
                with bl.branch(config) as branch:
                    if config.temperature == 0.0:
                        branch.skip("we know how this one goes")
                    else:
                        branch.output = generate(config)
            except LookupError as error:
                # The branch is recorded as failed; whether the others still run is yours to say.
                print(f"{branch.name}: {error}")
            else:
                print(f"{branch.name}: {branch.status}")


if __name__ == "__main__":
    main()
