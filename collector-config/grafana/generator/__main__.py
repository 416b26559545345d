"""Writes the dashboards: `python collector-config/grafana/generator`; with `--to FOLDER` elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from clickhouse import on_clickhouse
from comparison import branches, steps
from operation import budget, pipeline
from panels import Json, written
from traces import trace


FOLDER: Final = Path(__file__).parent.parent / "dashboards"


def all_dashboards() -> dict[str, Json]:
    """Return every dashboard, by the path of its file."""
    return {
        "default/branches.json": branches(),
        "default/steps.json": steps(),
        "default/budget.json": budget(),
        "default/pipeline.json": pipeline(),
        "default/trace.json": trace(),
        "scale/branches-clickhouse.json": on_clickhouse(),
    }


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=FOLDER)
    folder = parser.parse_args().to
    for path, found in all_dashboards().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(written(found), encoding="utf-8")


if __name__ == "__main__":
    main()
