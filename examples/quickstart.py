"""Decorate your own functions and see where the time goes."""

from __future__ import annotations

import time

import branchline as bl


@bl.traced_step
def load(path: str) -> list[str]:
    time.sleep(0.05)
    bl.stamp("opened", path=path)
    time.sleep(0.05)
    return ["cherry", "apple", "banana"]


@bl.traced_step(name="clean up", keep="everything")
def clean(rows: list[str]) -> list[str]:
    time.sleep(0.1)
    return sorted(rows)


def main() -> None:
    # The files go to .branchline/ in the current directory; `branchline show last` shows them again.
    with bl.configure("quickstart"):
        rows = clean(load("fruit.txt"))
        with bl.step("report", rows=len(rows)) as step:
            step.set(first=rows[0])
            print(", ".join(rows))


if __name__ == "__main__":
    main()
