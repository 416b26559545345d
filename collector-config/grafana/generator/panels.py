"""How panels and dashboards look: what Grafana's JSON needs, and nothing about what is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final


Json = dict[str, Any]

PROMETHEUS: Final = {"type": "prometheus", "uid": "prometheus"}
TEMPO: Final = {"type": "tempo", "uid": "tempo"}
LOKI: Final = {"type": "loki", "uid": "loki"}
CLICKHOUSE: Final = {"type": "grafana-clickhouse-datasource", "uid": "clickhouse"}

# Grafana lays dashboards out in so many columns.
_COLUMNS: Final = 24
# The layout of the JSON: that of Grafana 11.6, which later ones read.
_SCHEMA: Final = 41


# ── panels ────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel, wherever it will stand."""

    title: str
    type: str
    source: Mapping[str, str]
    targets: Sequence[Json]
    width: int = 12
    height: int = 8
    description: str = ""
    unit: str | None = None
    links: Sequence[Json] = ()
    defaults: Json = field(default_factory=dict)
    overrides: Sequence[Json] = ()
    options: Json = field(default_factory=dict)
    transformations: Sequence[Json] = ()

    def placed(self, number: int, x: int, y: int) -> Json:
        """Return the panel as Grafana reads it."""
        defaults = self.defaults | ({"unit": self.unit} if self.unit else {})
        defaults |= {"links": list(self.links)} if self.links else {}
        return {
            "id": number,
            "type": self.type,
            "title": self.title,
            "description": self.description,
            "datasource": dict(self.source),
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": defaults, "overrides": list(self.overrides)},
            "options": self.options,
            "targets": [dict(target, datasource=dict(self.source)) for target in self.targets],
            "transformations": list(self.transformations),
        }


def asked(*expressions: tuple[str, str], is_instant: bool = False, form: str = "time_series") -> list[Json]:
    """Return queries of Prometheus, each with its legend."""
    kind = {"instant": True, "range": False} if is_instant else {"instant": False, "range": True, "exemplar": True}
    return [
        {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend, "format": form, **kind}
        for number, (expression, legend) in enumerate(expressions)
    ]


def bars(title: str, expression: str, legend: str, *, unit: str, **more: Any) -> Panel:  # noqa: ANN401 - as Panel has them
    """Return one bar for each of what is compared."""
    options = {
        "displayMode": "gradient",
        "orientation": "horizontal",
        "showUnfilled": True,
        "reduceOptions": {"calcs": ["lastNotNull"], "values": False, "fields": ""},
    }
    targets = asked((expression, legend), is_instant=True)
    defaults = {"color": {"mode": "palette-classic-by-name"}, "min": 0}
    return Panel(
        title=title,
        type="bargauge",
        source=PROMETHEUS,
        targets=targets,
        unit=unit,
        options=options,
        defaults=defaults,
        **more,
    )


def course(title: str, *expressions: tuple[str, str], unit: str, **more: Any) -> Panel:  # noqa: ANN401 - the same
    """Return the course of time, a line for each series."""
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["mean", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    custom = {"drawStyle": "line", "fillOpacity": 10, "showPoints": "auto", "spanNulls": 300_000}
    return Panel(
        title=title,
        type="timeseries",
        source=PROMETHEUS,
        targets=asked(*expressions),
        unit=unit,
        options=options,
        defaults={"custom": custom, "min": 0},
        **more,
    )


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table: what it is called, what is asked, and in which unit it is."""

    title: str
    expression: str
    unit: str


def table(title: str, key: str, called: str, columns: Sequence[Column], **more: Any) -> Panel:  # noqa: ANN401 - the same
    """Return a row for each value of the label *key*, a column for each of *columns*."""
    targets = asked(*((column.expression, "") for column in columns), is_instant=True, form="table")
    titles = {f"Value #{target['refId']}": column.title for target, column in zip(targets, columns, strict=True)}
    overrides = [
        {"matcher": {"id": "byName", "options": column.title}, "properties": [{"id": "unit", "value": column.unit}]}
        for column in columns
    ]
    links = more.pop("links", [])
    overrides.append(
        {"matcher": {"id": "byName", "options": called}, "properties": [{"id": "links", "value": list(links)}]}
    )
    organised = {"excludeByName": {"Time": True}, "renameByName": {key: called, **titles}}
    return Panel(
        title=title,
        type="table",
        source=PROMETHEUS,
        targets=targets,
        overrides=overrides,
        options={"showHeader": True, "sortBy": [{"displayName": columns[0].title, "desc": True}]},
        transformations=[
            {"id": "merge", "options": {}},
            {"id": "organize", "options": organised},
        ],
        **more,
    )


# ── dashboards ────────────────────────────────────────────────────────────────────────────────────
def link_to(uid: str, title: str, *same: str, **values: str) -> Json:
    """Return a link to another dashboard with the *same* variables and range of time, and *values* for others."""
    said = "".join(
        [*(f"&${{{name}:queryparam}}" for name in same), *(f"&var-{name}={values[name]}" for name in values)]
    )
    return {"title": title, "url": f"/d/{uid}?${{__url_time_range}}{said}"}


def choice(name: str, source: Mapping[str, str], query: Json | str, *, every: str = ".*") -> Json:
    """Return a variable with the values that *query* finds; *every* is what all of them mean together."""
    return {
        "name": name,
        "label": name,
        "type": "query",
        "datasource": dict(source),
        "query": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        # Not the list of them: what has no experiment, or no branch, belongs to all as well.
        "allValue": every,
        "current": {"text": "All", "value": "$__all"},
    }


def entry(name: str, described: str) -> Json:
    """Return a variable that is typed or comes with a link."""
    empty = {"text": "", "value": ""}
    return {"name": name, "label": name, "description": described, "type": "textbox", "query": "", "current": empty}


def dashboard(
    uid: str,
    title: str,
    description: str,
    rows: Sequence[Sequence[Panel]],
    variables: Sequence[Json] = (),
) -> Json:
    """Return *rows* of panels as a dashboard."""
    panels: list[Json] = []
    y = 0
    for row in rows:
        assert sum(panel.width for panel in row) <= _COLUMNS
        x = 0
        for panel in row:
            panels.append(panel.placed(len(panels) + 1, x, y))
            x += panel.width
        y += max(panel.height for panel in row)
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["branchline"],
        "editable": False,
        "schemaVersion": _SCHEMA,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "timezone": "browser",
        "graphTooltip": 1,
        "links": [
            {
                "type": "dashboards",
                "title": "branchline",
                "tags": ["branchline"],
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
                "icon": "external link",
                "tooltip": "",
                "targetBlank": False,
            }
        ],
        "annotations": {"list": []},
        "templating": {"list": list(variables)},
        "panels": panels,
    }


def written(found: Json) -> str:
    """Return a dashboard as it stands in its file."""
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
