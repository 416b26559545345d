"""What only the run hears goes there without a record of the logging module: it must say the same."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest


PROGRAM = """
    import logging, sys
    import branchline as bl

    class Odd:
        def __str__(self):
            log.info("from inside")
            return "odd"

    class Raising:
        def __str__(self):
            raise ValueError("no text")

    def say(log):
        log.info("plain")
        log.debug("a %s and %d", "text", 3, rows=3, path="s3://bucket", ratio=0.5, done=True, nothing=None)
        log.success("%(rows)d rows", {"rows": 3})
        log.bind(tenant="a").info("bound", rows=1)
        with bl.step("load"), log.contextualize(batch=7):
            log.info("inside")
        log.info("%d is none", "x")
        log.info("%s", Raising())
        log.info("%s", Odd())
        log.info("x" * 200_000)
        log.info({"a": 1}, rows=2)
        log.info("event", **{"event.name": "loaded"})
        log.info("list", items=[1, 2], big=1 << 70)
        log.log(7, "a level without a name")
        log.info("with a stack", stack_info=True)
        log.info("with more", extra={"user": 3})
        log.info("percent % alone")
        log.opt(lazy=True).info("%s", lambda: "late")
        log.warning("a warning")
        try:
            1 / 0
        except ZeroDivisionError:
            log.info("failed", exc_info=True)

    is_alone = sys.argv[1] == "alone"
    if not is_alone:
        class Deaf(logging.Handler):
            def emit(self, record): pass
        logging.getLogger().addHandler(Deaf())
    with bl.configure("alone", run_id=sys.argv[1], console=False, signals=False, capture_logs=1):
        log = bl.get_logger("app.db")
        log.setLevel(1)
        say(log)
"""
_DIFFERENT = ("timeUnixNano", "observedTimeUnixNano", "traceId", "spanId")


def _records(folder: Path, run_id: str) -> list[dict[str, Any]]:
    found = []
    for path in sorted((folder / ".branchline/runs" / run_id).glob("*/logs*.jsonl")):
        for line in path.read_text().splitlines():
            for scope in json.loads(line)["resourceLogs"][0]["scopeLogs"]:
                for record in scope["logRecords"]:
                    kept = {key: value for key, value in record.items() if key not in _DIFFERENT}
                    kept["attributes"] = [each for each in kept["attributes"] if each["key"] != "log.record.uid"]
                    kept["has_place"] = "spanId" in record
                    found.append({**kept, "scope": scope.get("scope", {})})
    return [record for record in found if record["scope"].get("name") == "app.db"]


@pytest.mark.parametrize("durability", ["crash", "batch"])
def test_the_run_hears_the_same(tmp_path: Path, durability: str) -> None:
    """
    What a Logger says is in the journal as it would be if a handler of somebody's listened as well.
    """
    program = textwrap.dedent(PROGRAM).replace("capture_logs=1", f"capture_logs=1, durability={durability!r}")
    (tmp_path / "program.py").write_text(program)
    for run_id in ("alone", "beside"):
        command = [sys.executable, str(tmp_path / "program.py"), run_id]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    alone, beside = _records(tmp_path, "alone"), _records(tmp_path, "beside")
    assert len(alone) == 20
    assert alone == beside


LISTENERS = """
    import logging, sys
    import branchline as bl
    from branchline.read import open_runs

    bl.configure("listeners", console=False, signals=False)
    log = bl.get_logger("app.db")
    log.info("nobody")
    heard = []
    class Hearing(logging.Handler):
        def emit(self, record): heard.append(record.getMessage())
    hearing = Hearing()
    logging.getLogger("app").addHandler(hearing)
    log.info("above")
    logging.getLogger("app").removeHandler(hearing)
    log.info("nobody again")
    log.addFilter(lambda record: record.getMessage() != "unwanted")
    log.info("unwanted")
    log.info("wanted")
    log.addHandler(hearing)
    log.info("here")
    log.removeHandler(hearing)
    log.add_handler({"sink": heard.append, "format": "{message}"})
    log.info("sink")
    bl.flush()
    bodies = [line.message for line in open_runs(".branchline").last.logs if line.logger_name == "app.db"]
    print(heard, bodies)
"""


def test_whoever_begins_to_listen_is_heard_of_at_once(tmp_path: Path) -> None:
    """
    A handler, a filter or a sink that is added later counts from the next record on.
    """
    (tmp_path / "program.py").write_text(textwrap.dedent(LISTENERS))
    ran = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60
    )
    heard = ["above", "here", "sink"]
    bodies = ["nobody", "above", "nobody again", "wanted", "here", "sink"]
    assert ran.stdout.strip() == f"{heard} {bodies}"
