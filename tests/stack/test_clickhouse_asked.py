"""The dashboard on ClickHouse, asked: each of its queries, put to our tables in ClickHouse's own engine."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from compose import ROOT, document


pytestmark = pytest.mark.stack
session = pytest.importorskip("chdb.session", reason="needs ClickHouse's engine: pip install chdb")

BOARD = document(ROOT / "collector-config" / "grafana" / "dashboards" / "scale" / "branches-clickhouse.json")
TABLES = sorted((ROOT / "collector-config" / "clickhouse").glob("*.sql"))
# An hour ago: what is older than the tables keep is gone at once.
BEGIN = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S.%f")
TRACE = "0af7651916cd43dd8448eb211c80319c"


class ClickHouse:
    """The engine with our tables and what a run has put into them."""

    def __init__(self, folder: Path) -> None:
        self._session = session.Session(str(folder))
        for path in TABLES:
            text = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
            for statement in filter(None, map(str.strip, text.split(";"))):
                self._session.query(statement)
        self._session.query("USE otel")
        self._spans = 0

    def span(self, name: str, kind: str, branch: str, seconds: float, outcome: str = "success", **more: object) -> None:
        """Put a span into its table, as the exporter does: of branchline it knows attributes only."""
        self._spans += 1
        ours = {
            "branchline.kind": kind,
            "branchline.outcome": outcome,
            "branchline.experiment.name": "prices",
            "branchline.branch.name": branch,
        }
        attributes = ours | {key.replace("__", "."): value for key, value in more.items()}
        row = {
            "Timestamp": BEGIN,
            "TraceId": TRACE,
            "SpanId": f"{self._spans:016x}",
            "SpanName": name,
            "ServiceName": "shop",
            "ResourceAttributes": {"branchline.run.id": "r1"},
            "SpanAttributes": {key: str(value) for key, value in attributes.items() if value},
            "Duration": round(seconds * 1e9),
        }
        # It came twice, as happens when an answer gets lost.
        for _ in range(2):
            self._put("otel_traces", row)

    def log(self, body: str, branch: str) -> None:
        """Put a log record into its table."""
        attributes = {"branchline.branch.name": branch, "log.record.uid": body}
        row = {"Timestamp": BEGIN, "TraceId": TRACE, "SeverityText": "INFO", "ServiceName": "shop", "Body": body}
        self._put("otel_logs", row | {"LogAttributes": attributes})

    def _put(self, table: str, row: Mapping[str, object]) -> None:
        self._session.query(f"INSERT INTO {table} FORMAT JSONEachRow {json.dumps(row)}")

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return what *sql* answers."""
        return [json.loads(line) for line in str(self._session.query(sql, "JSONEachRow")).splitlines()]


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory):
    """Two branches, one of which failed, a step in no branch, and a line of a log."""
    found = ClickHouse(tmp_path_factory.mktemp("clickhouse"))
    for branch, outcome, factor in (("cheap", "success", 1), ("dear", "failed", 2)):
        found.span(branch, "branch", branch, 10.0 * factor, outcome)
        for seconds in (1.0, 2.0, 3.0):
            found.span(
                "ask",
                "step",
                branch,
                seconds * factor,
                gen_ai__request__model="tiny",
                gen_ai__usage__input_tokens=100 * factor,
                gen_ai__usage__output_tokens=10 * factor,
                branchline__cost__usd=0.5 * factor,
            )
    found.span("pay", "step", "dear", 1.0, "failed")
    found.span("tidy", "step", "", 1.0)
    found.log("hello", "cheap")
    return found


def asked(title: str, **chosen: str) -> str:
    """Return what Grafana's plugin makes of the query of a panel, when *chosen* is chosen and of the rest all."""
    [panel] = [panel for panel in BOARD["panels"] if panel["title"] == title]
    return filled(panel["targets"][0]["rawSql"], **chosen)


def filled(sql: str, **chosen: str) -> str:
    sql = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 >= toDateTime(0) AND \1 <= now()", sql)
    sql = re.sub(r"\$__timeInterval\((\w+)\)", r"toStartOfInterval(toDateTime(\1), INTERVAL 60 second)", sql)
    for variable in BOARD["templating"]["list"]:
        sql = sql.replace(f"${variable['name']}", chosen.get(variable["name"]) or variable.get("allValue", ""))
    return sql


def test_branches_are_compared_exactly(clickhouse):
    """
    The table of branches says what the spans say, each of them counted once.
    """
    assert clickhouse.rows(asked("Branches")) == [
        {
            "branch": "cheap",
            "ended": 1,
            "failed": 0,
            "mean_duration": 10,
            "p95_duration": 10,
            "input_tokens": 300,
            "output_tokens": 30,
            "cost": 1.5,
        },
        {
            "branch": "dear",
            "ended": 1,
            "failed": 1,
            "mean_duration": 20,
            "p95_duration": 20,
            "input_tokens": 600,
            "output_tokens": 60,
            "cost": 3,
        },
    ]


def test_a_choice_narrows(clickhouse):
    """
    What is chosen on top is what is asked.
    """
    assert [row["branch"] for row in clickhouse.rows(asked("Branches", branch="'dear','x'"))] == ["dear"]
    assert clickhouse.rows(asked("Branches", service="'another'")) == []


def test_steps_are_compared_exactly(clickhouse):
    """
    The table of steps has exact percentiles, of steps in no branch as well.
    """
    found = clickhouse.rows(asked("Steps"))

    assert {(row["step"], row["branch"]): (row["ended"], row["failed"], row["p50"], row["p99"]) for row in found} == {
        ("ask", "cheap"): (3, 0, 2, 3),
        ("ask", "dear"): (3, 0, 4, 6),
        ("pay", "dear"): (1, 1, 1, 1),
        ("tidy", ""): (1, 0, 1, 1),
    }


def test_a_trace_is_found_with_its_logs(clickhouse):
    """
    A branch leads to its trace, and the trace to what was logged in it.
    """
    found = clickhouse.rows(asked("Traces of the branches"))

    assert {(row["branch"], row["trace"], row["run"], row["outcome"]) for row in found} == {
        ("cheap", TRACE, "r1", "success"),
        ("dear", TRACE, "r1", "failed"),
    }
    [line] = clickhouse.rows(asked("Logs of trace $trace", trace=TRACE))
    assert (line["body"], line["level"], line["branch"]) == ("hello", "INFO", "cheap")
    assert clickhouse.rows(asked("Logs of trace $trace", trace="f" * 32)) == []


@pytest.mark.parametrize("panel", [panel["title"] for panel in BOARD["panels"]])
def test_every_question_is_answered(clickhouse, panel):
    """
    The engine understands each query, and has an answer.
    """
    assert clickhouse.rows(asked(panel, trace=TRACE))


def test_variables_have_values(clickhouse):
    """
    What can be chosen is what there is.
    """
    found = {
        variable["name"]: [next(iter(row.values())) for row in clickhouse.rows(filled(variable["query"]))]
        for variable in BOARD["templating"]["list"]
        if variable["type"] == "query"
    }

    assert found == {"service": ["shop"], "experiment": ["prices"], "branch": ["", "cheap", "dear"]}
