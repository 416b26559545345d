"""Programs that record experiments: ``python mlflow_programs.py <which> <directory> [<tracking URI>]``."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import branchline as bl


TASKS = THREADS = 40
PROCESSES = 8
MANY = 150
SOME = 50


class Boom(Exception):
    """What every fourth branch ends with."""


def config_of(kind: str, number: int) -> dict[str, object]:
    return {"kind": kind, "number": number, "optimizer": {"lr": number / 10}}


def train(number: int) -> None:
    with bl.step("train"):
        for epoch in range(3):
            bl.record_metric("loss", number * 10 + epoch, step=epoch)
        with bl.step("score"):
            bl.record_metric("score", number / 4)
            bl.record_metric("score", number / 2)
            bl.record_usage("private", input_tokens=100 + number, output_tokens=number, cost="0.25")
    if number % 4 == 3:
        raise Boom(f"number {number}")


async def tasks() -> None:
    """Forty branches in tasks of one event loop."""

    async def one(number: int) -> None:
        with bl.branch(config_of("task", number)) as branch:
            branch.metric("direct", number)
            await asyncio.sleep(0.01)
            train(number)

    with bl.experiment("tasks", data="v1"):
        await asyncio.gather(*(one(number) for number in range(TASKS)), return_exceptions=True)


def threads() -> None:
    """Forty branches, all open at once in a thread each."""
    together = threading.Barrier(THREADS)

    def one(number: int) -> None:
        with suppress(Boom), bl.branch(config_of("thread", number)) as branch:
            together.wait(60)
            branch.metric("direct", number)
            train(number)

    with bl.experiment("threads", data="v1"), ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, range(THREADS)))


def in_a_process(config: dict[str, int]) -> None:
    branch = bl.current_branch()
    assert branch is not None
    branch.metric("direct", config["number"])
    train(config["number"])


def processes() -> None:
    """Eight branches, in a process each."""
    with bl.experiment("processes", data="v1") as experiment:
        configs = [config_of("process", number) for number in range(PROCESSES)]
        experiment.run(in_a_process, configs, executor="process", max_concurrency=PROCESSES)


def everything() -> None:
    asyncio.run(tasks())
    threads()
    processes()


def replayed(count: int) -> None:
    """Branches, each with five points of one metric."""

    def one(config: dict[str, int]) -> None:
        for epoch in range(5):
            bl.record_metric("loss", config["number"] + epoch / 10, step=epoch)

    with bl.experiment("replayed") as experiment:
        experiment.run(one, [{"number": number, "other": "x"} for number in range(count)], max_concurrency=8)


def main(which: str, directory: str, uri: str | None = None) -> None:
    telemetry = bl.configure("programs", directory=directory, console=False, mlflow=uri or False)
    programs: dict[str, Callable[[], None]] = {
        "everything": everything,
        "many": partial(replayed, MANY),
        "some": partial(replayed, SOME),
    }
    programs[which]()
    if uri is not None and which == "everything":
        telemetry.flush(float(sys.argv[4]) if len(sys.argv) > 4 else 0.0)
    bl.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:4])
