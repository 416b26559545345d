"""Run all variants side by side, each in a process of its own, and compare them: the strategy multi_branch."""

from __future__ import annotations

import os

import branchline as bl


CONFIGS = [{"limit": limit} for limit in (1_000, 5_000, 20_000, -1)]


@bl.traced_step
def primes(limit: int) -> int:
    if limit < 0:
        msg = "there are no primes below zero"
        raise ValueError(msg)
    return sum(all(number % divisor for divisor in range(2, int(number**0.5) + 1)) for number in range(2, limit))


def count(config: dict[str, int]) -> int:
    found = primes(config["limit"])
    bl.record_metric("primes", found)
    return found


def main() -> None:
    with bl.configure("multi branch"), bl.experiment("primes") as exp:
        results = exp.run(count, CONFIGS, executor="process", max_concurrency=min(4, os.cpu_count() or 1))
    for branch in results:
        # One that fails costs no other its result.
        print(f"{branch.name}: {branch.output if branch.status == 'success' else branch.error!r}")


if __name__ == "__main__":
    main()
