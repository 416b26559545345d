"""The dashboard of one trace with its logs, and the tables that lead to it."""

from __future__ import annotations

from branchline import names
from panels import LOKI, TEMPO, Json, Panel, dashboard, entry, link_to


def trace() -> Json:
    """Return the dashboard of one trace, with its branches and all that was logged in it."""
    ids = '{service_name=~".+"} | trace_id = "$trace"'
    return dashboard(
        "branchline-trace",
        "A trace and its logs",
        "One trace, the branches in it, and what was logged meanwhile, by whichever process.",
        [
            [
                Panel(
                    title="Trace $trace",
                    type="traces",
                    source=TEMPO,
                    targets=[{"refId": "A", "queryType": "traceql", "query": "$trace"}],
                    width=24,
                    height=18,
                )
            ],
            [
                traces(
                    "Its branches",
                    f'{{ trace:id = "$trace" && span.{names.KIND} = "{names.KIND_BRANCH}" }}'
                    f" | select(span.{names.BRANCH_NAME}, span.{names.OUTCOME})",
                    form="spans",
                    links={
                        names.BRANCH_NAME: link_to(
                            "branchline-branches", "Compare this branch", branch="${__value.raw}"
                        )
                    },
                )
            ],
            [
                Panel(
                    title="Logs",
                    type="logs",
                    source=LOKI,
                    targets=[
                        {"refId": "A", "queryType": "range", "expr": ids, "maxLines": 1000, "direction": "forward"}
                    ],
                    options={
                        "showTime": True,
                        "wrapLogMessage": True,
                        "enableLogDetails": True,
                        "sortOrder": "Ascending",
                        "dedupStrategy": "none",
                    },
                    width=24,
                    height=14,
                )
            ],
        ],
        [entry("trace", "The id of a trace, as `branchline show` prints it")],
    )


def traces(title: str, query: str, *, form: str = "traces", links: dict[str, Json] | None = None) -> Panel:
    """Return a table of the traces that *query* finds, or of its spans; each leads to its trace."""
    to_trace = link_to("branchline-trace", "This trace and its logs", trace="${__value.raw}")
    linked = {"/^(traceID|Trace ID|traceIdHidden)$/": to_trace, **(links or {})}
    overrides = [
        {
            "matcher": {"id": "byRegexp" if name.startswith("/") else "byName", "options": name},
            "properties": [{"id": "links", "value": [link]}],
        }
        for name, link in linked.items()
    ]
    target = {"refId": "A", "queryType": "traceql", "query": query, "tableType": form, "limit": 100, "spss": 3}
    return Panel(
        title=title,
        type="table",
        source=TEMPO,
        targets=[target],
        overrides=overrides,
        options={"showHeader": True},
        width=24,
        height=9,
    )
