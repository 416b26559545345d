"""The dashboard on ClickHouse: branches and steps from the spans themselves, exactly, and the logs of a trace."""

from __future__ import annotations

from branchline import names
from panels import CLICKHOUSE, Json, Panel, choice, dashboard, entry, link_to


UID = "branchline-clickhouse"

_TIME = "$__timeFilter(Timestamp)"
_CHOSEN = f"{_TIME} AND ServiceName IN ($service) AND Experiment IN ($experiment) AND Branch IN ($branch)"
_FAILED = ", ".join(f"'{outcome}'" for outcome in sorted(names.ERROR_OUTCOMES))

# FINAL: delivery is at least once, and of a span that came twice one counts.
BRANCHES_SQL = f"""
SELECT Branch AS branch,
       countIf(Kind = '{names.KIND_BRANCH}') AS ended,
       countIf(Kind = '{names.KIND_BRANCH}' AND Outcome IN ({_FAILED})) AS failed,
       avgIf(Duration, Kind = '{names.KIND_BRANCH}') / 1e9 AS mean_duration,
       quantileExactIf(0.95)(Duration, Kind = '{names.KIND_BRANCH}') / 1e9 AS p95_duration,
       sum(InputTokens) AS input_tokens,
       sum(OutputTokens) AS output_tokens,
       sum(CostUsd) AS cost
FROM otel_traces FINAL
WHERE {_CHOSEN} AND Branch != ''
GROUP BY branch
ORDER BY branch"""

STEPS_SQL = f"""
SELECT SpanName AS step, Branch AS branch,
       count() AS ended,
       countIf(Outcome IN ({_FAILED})) AS failed,
       quantileExact(0.5)(Duration) / 1e9 AS p50,
       quantileExact(0.95)(Duration) / 1e9 AS p95,
       quantileExact(0.99)(Duration) / 1e9 AS p99,
       sum(Duration) / 1e9 AS in_all
FROM otel_traces FINAL
WHERE {_CHOSEN} AND Kind = '{names.KIND_STEP}'
GROUP BY step, branch
ORDER BY in_all DESC
LIMIT 500"""

COURSE_SQL = f"""
SELECT $__timeInterval(Timestamp) AS time, Branch AS branch, quantile(0.95)(Duration) / 1e9 AS p95
FROM otel_traces FINAL
WHERE {_CHOSEN} AND Kind = '{names.KIND_STEP}'
GROUP BY time, branch
ORDER BY time"""

SPENT_SQL = f"""
SELECT $__timeInterval(Timestamp) AS time, Model AS model, sum(CostUsd) AS cost
FROM otel_traces FINAL
WHERE {_CHOSEN} AND CostUsd > 0
GROUP BY time, model
ORDER BY time"""

TRACES_SQL = f"""
SELECT TraceId AS trace, Run AS run, Branch AS branch, SpanName AS name, Timestamp AS started,
       Duration / 1e9 AS duration, Outcome AS outcome
FROM otel_traces FINAL
WHERE {_CHOSEN} AND Kind = '{names.KIND_BRANCH}'
ORDER BY started DESC
LIMIT 200"""

LOGS_SQL = """
SELECT Timestamp AS timestamp, Body AS body, SeverityText AS level, Branch AS branch, EventName AS event
FROM otel_logs FINAL
WHERE TraceId = '$trace'
ORDER BY timestamp
LIMIT 1000"""

SERVICES_SQL = "SELECT DISTINCT ServiceName FROM otel_traces ORDER BY ServiceName"
EXPERIMENTS_SQL = "SELECT DISTINCT Experiment FROM otel_traces WHERE ServiceName IN ($service) ORDER BY Experiment"
BRANCHES_KNOWN_SQL = (
    "SELECT DISTINCT Branch FROM otel_traces"
    " WHERE ServiceName IN ($service) AND Experiment IN ($experiment) ORDER BY Branch"
)

# How Grafana's plugin wants its answer: as rows, as series, as log records.
_TABLE, _SERIES, _LOGS = 1, 0, 2
_KINDS = {_TABLE: "table", _SERIES: "timeseries", _LOGS: "logs"}
_PLUGIN = "4.23.5"


def on_clickhouse() -> Json:
    """Return the dashboard."""
    chosen = ("service", "experiment", "branch")
    to_trace = link_to(UID, "What was logged in this trace", *chosen, trace="${__value.raw}")
    return dashboard(
        UID,
        "Branches compared, on ClickHouse",
        "Branches and steps from the spans themselves: exact, whatever the range, also for millions of them.",
        [
            [_panel("Branches", "table", BRANCHES_SQL, height=9, units=_BRANCH_UNITS)],
            [_panel("Steps", "table", STEPS_SQL, height=10, units=_STEP_UNITS)],
            [
                _panel("Steps, p95", "timeseries", COURSE_SQL, form=_SERIES, width=12, unit="s"),
                _panel("Cost by model", "timeseries", SPENT_SQL, form=_SERIES, width=12, unit="currencyUSD"),
            ],
            [_panel("Traces of the branches", "table", TRACES_SQL, units={"duration": "s"}, links={"trace": to_trace})],
            [_panel("Logs of trace $trace", "logs", LOGS_SQL, form=_LOGS, height=12)],
        ],
        [
            # All of them is a question as well: also what is in no experiment has to be in the answer.
            choice("service", CLICKHOUSE, SERVICES_SQL, every="SELECT ServiceName FROM otel_traces"),
            choice("experiment", CLICKHOUSE, EXPERIMENTS_SQL, every="SELECT Experiment FROM otel_traces"),
            choice("branch", CLICKHOUSE, BRANCHES_KNOWN_SQL, every="SELECT Branch FROM otel_traces"),
            entry("trace", "The id of a trace, as `branchline show` prints it"),
        ],
    )


_BRANCH_UNITS = {"mean_duration": "s", "p95_duration": "s", "cost": "currencyUSD"}
_STEP_UNITS = dict.fromkeys(("p50", "p95", "p99", "in_all"), "s")


def _panel(
    title: str,
    kind: str,
    sql: str,
    *,
    form: int = _TABLE,
    width: int = 24,
    height: int = 8,
    unit: str | None = None,
    units: dict[str, str] | None = None,
    links: dict[str, Json] | None = None,
) -> Panel:
    properties: list[tuple[str, Json]] = [(name, {"id": "unit", "value": said}) for name, said in (units or {}).items()]
    properties += [(name, {"id": "links", "value": [link]}) for name, link in (links or {}).items()]
    return Panel(
        title=title,
        type=kind,
        source=CLICKHOUSE,
        targets=[
            {
                "refId": "A",
                "editorType": "sql",
                "queryType": _KINDS[form],
                "rawSql": sql.strip(),
                "format": form,
                "pluginVersion": _PLUGIN,
            }
        ],
        width=width,
        height=height,
        unit=unit,
        overrides=[{"matcher": {"id": "byName", "options": name}, "properties": [found]} for name, found in properties],
        options={"showHeader": True} if kind == "table" else {},
    )
