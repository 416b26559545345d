"""Generators as steps: a step lasts as long as there is something to come, and is not its consumer's parent."""

from __future__ import annotations

import time
from collections.abc import Iterator

import branchline as bl


@bl.traced_step
def read_rows(count: int) -> Iterator[int]:
    for number in range(count):
        time.sleep(0.01)
        yield number
    bl.stamp("exhausted", rows=count)


@bl.traced_step
def even(rows: Iterator[int]) -> Iterator[int]:
    for row in rows:
        if row % 2 == 0:
            yield row


def main() -> None:
    with bl.configure("generators"), bl.step("pipeline"):
        for row in even(read_rows(10)):
            # Beside the generators, not inside them: it is this loop that stores.
            with bl.step("store", row=row):
                time.sleep(0.01)

        # Left early, a generator's step is closed: no error.
        print(next(read_rows(1_000)))


if __name__ == "__main__":
    main()
