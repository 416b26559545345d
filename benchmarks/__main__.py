"""``python -m benchmarks``: measure, print the table; see ``--help``."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from .judge import answers, lost
from .rounds import FULL, QUICK, SMOKE, measured
from .table import as_json, show, wide_console


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 1 only with ``--check``, when a bound is clearly missed."""
    options = _parser().parse_args(arguments)
    effort = SMOKE if options.smoke else QUICK if options.quick else FULL
    console = Console(stderr=True)
    with console.status("starting") as status:
        tell = status.update if console.is_terminal else _silent
        samples = measured(effort, tell)
    found, missing = answers(samples), lost(samples)
    if options.json:
        print(as_json(found, missing))
    else:
        show(wide_console(), found, missing)
    is_missed = any(verdict.is_missed_clearly for answer in found for verdict in answer.verdicts.values())
    return 1 if options.check and (is_missed or missing) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="What recording costs, against the stock OpenTelemetry SDK, as ratios."
    )
    parser.add_argument("--quick", action="store_true", help="about half a minute; rough")
    parser.add_argument("--smoke", action="store_true", help="a few spans: whether it works at all")
    parser.add_argument("--json", action="store_true", help="one JSON document in place of the table")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bound is missed by more than 10 %%")
    return parser


def _silent(message: str) -> None:
    """Say nothing: nobody looks."""


if __name__ == "__main__":
    sys.exit(main())
