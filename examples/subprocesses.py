"""Other processes: what they record belongs to the same run, below the step that started them."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import branchline as bl


@bl.traced_step
def square(number: int) -> int:
    return number * number


def child() -> None:
    # The environment says which run and which step this belongs to.
    with bl.configure("child", console=False), bl.step("in the child"):
        print("the child says hello")


def main() -> None:
    with bl.configure("subprocesses"):
        with bl.step("pool"), ProcessPoolExecutor(max_workers=2) as pool:
            print(sum(pool.map(square, range(4))))
        with bl.step("start a child"):
            subprocess.run([sys.executable, __file__, "child"], check=True)  # noqa: S603 - it is this file


if __name__ == "__main__":
    child() if "child" in sys.argv else main()
