"""A run as plain JSON values: what a saved session is made of (RT-70…77)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import branchline as bl
from branchline.read import open_runs
from journals import journal, log, span


def test_the_whole_run(tmp_path: Path) -> None:
    """
    Everything that was recorded is in it: experiment, branch, step, stamp, log line, event, point and call (RT-70).
    """
    with bl.configure("svc", directory=tmp_path, run_id="r", console=False):
        with bl.experiment("prompts"), bl.branch({"k": {"deep": 1}}, name="small") as branch, bl.step("load", rows=3):
            bl.stamp("loaded", rows=3)
            bl.event("rows.loaded", message="only three", rows=3)
            bl.record_metric("loss", 0.5, unit="1", step=7)
            bl.record_usage("gpt", input_tokens=3, cost="0.1")
            branch.output = {"ok": True}
    told = open_runs(tmp_path)["r"].to_dict()

    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["id"], told["service_name"], told["state"]) == ("r", "svc", "ended")
    experiment, small, load = told["spans"]
    assert [step["kind"] for step in told["spans"]] == ["experiment", "branch", "step"]
    assert (small["parent_id"], load["parent_id"]) == (experiment["span_id"], small["span_id"])
    assert (small["config"], small["output"], small["status"]) == ({"k": {"deep": 1}}, {"ok": True}, "success")
    assert {"rows": 3, "gen_ai.request.model": "gpt"}.items() <= load["attributes"].items()
    assert [(stamp["name"], stamp["attributes"]) for stamp in load["stamps"]] == [("loaded", {"rows": 3})]
    [event] = told["logs"]
    assert (event["event_name"], event["message"], event["span_id"]) == ("rows.loaded", "only three", load["span_id"])
    [point] = told["points"]
    assert (point["name"], point["value"], point["unit"], point["step"]) == ("loss", 0.5, "1", 7)
    [call] = told["usages"]
    assert (call["model"], call["input_tokens"], call["cost"]) == ("gpt", 3, "0.1")
    assert (told["usage"]["input_tokens"], told["usage"]["cost"]) == (3, "0.1")
    assert (told["dropped"], told["skipped"]) == ({}, [])
    assert told["metadata"]["metadata_version"] == "1.0"


def test_secrets_of_others(tmp_path: Path) -> None:
    """
    Secrets in files that somebody else has written are taken out; ids that look like payment cards are not.
    """
    secret = "sk-proj-abcdefghijklmnop1234"
    line = log(f"password=hunter22 {secret}")
    asked = span(0x4111111111111111, "ask", own={"api_key": "x1", "prompt": f"use {secret}"})
    journal(tmp_path, run="r").spans(asked).logs(line)
    run = open_runs(tmp_path)["r"]
    clean, whole = run.to_dict(), run.to_dict(redact=False)

    assert secret in json.dumps(whole)
    assert "hunter22" in json.dumps(whole)
    assert secret not in json.dumps(clean)
    assert "hunter22" not in json.dumps(clean)
    assert clean["spans"][0]["attributes"] == {"api_key": "[redacted]", "prompt": "use [redacted]"}
    assert clean["spans"][0]["span_id"] == "4111111111111111"


PROGRAM = """
import os, signal, sys
import branchline as bl
bl.configure("svc", directory=sys.argv[1], run_id="r", console=False)
with bl.experiment("prompts"):
    with bl.step("done"):
        bl.event("one", n=1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_crash_loses_nothing(tmp_path: Path) -> None:
    """
    A session that was killed is there as well, with all that had finished; nobody had to save it (RT-70).
    """
    killed = subprocess.run([sys.executable, "-c", PROGRAM, tmp_path], timeout=60, check=False, cwd=tmp_path)
    told = open_runs(tmp_path)["r"].to_dict()

    assert (killed.returncode, told["state"]) == (-signal.SIGKILL, "killed")
    assert [(step["name"], step["outcome"]) for step in told["spans"]] == [
        ("prompts", "interrupted"),
        ("done", "success"),
    ]
    assert [line["event_name"] for line in told["logs"]] == ["one"]
