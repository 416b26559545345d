"""The dashboards: as they were generated, in Grafana's schema, and asking only for what branchline writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from branchline import names
from branchline._journal.durations import Durations
from branchline._journal.usage_metrics import UsageMetrics
from branchline.exporters.accounts import Account
from branchline.exporters.self_metrics import self_metrics
from branchline.usage_values import Usage
from compose import ROOT, document, mounts, services


GRAFANA = ROOT / "collector-config" / "grafana"
FILES = sorted((GRAFANA / "dashboards").rglob("*.json"))

# What the collector says of itself, in its own names.
COLLECTOR = {
    *(
        f"otelcol_receiver_{what}_{kind}"
        for what in ("accepted", "refused")
        for kind in ("spans", "metric_points", "log_records")
    ),
    *(f"otelcol_exporter_send_failed_{kind}" for kind in ("spans", "metric_points", "log_records")),
    "otelcol_exporter_queue_size",
    "otelcol_exporter_queue_capacity",
}
# What budgets are measured by.
BUDGETS = ((names.BUDGET_USED_RATIO, "1"), (names.BUDGET_REMAINING, "{USD}"))
# Labels that Prometheus and the collector give.
GIVEN = {"job", "instance", "le", "exporter"}
_SUFFIX = {"s": "_seconds", "By": "_bytes"}


def all_panels() -> list[tuple[str, dict[str, Any]]]:
    return [(f"{path.stem}: {panel['title']}", panel) for path in FILES for panel in document(path)["panels"]]


def queries(kind: str) -> list[tuple[str, str]]:
    """Return what panels ask of a data source, with variables of Grafana's in their place."""
    found = [
        (where, filled(target.get("expr") or target.get("query") or target["rawSql"]))
        for where, panel in all_panels()
        for target in panel["targets"]
        if target["datasource"]["type"] == kind
    ]
    assert found
    return found


def filled(query: str) -> str:
    query = query.replace("$__range", "1h").replace("$__rate_interval", "5m")
    return re.sub(r"\$\{\w+(:\w+)?\}|\$(?!__)\w+", ".*", query)


def selectors(node: object) -> Iterator[promql_parser.VectorSelector]:
    """Yield every selector in a PromQL expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    elif isinstance(node, promql_parser.MatrixSelector):
        yield node.vector_selector
    else:
        for part in ("expr", "param", "lhs", "rhs"):
            yield from selectors(getattr(node, part, None)) if getattr(node, part, None) is not None else ()
        for argument in getattr(node, "args", None) or ():
            yield from selectors(argument)


def in_prometheus(name: str, unit: str, kind: str, *, is_monotonic: bool) -> set[str]:
    """Return what Prometheus calls a metric that came over OTLP: dots are underscores, then unit, then what it is."""
    base = name.replace(".", "_") + _SUFFIX.get(unit, "")
    if kind == "histogram":
        return {f"{base}_{part}" for part in ("bucket", "sum", "count")}
    return {f"{base}_total"} if is_monotonic else {base}


def written_series() -> set[str]:
    """Return the series of everything that branchline measures, as its own code names and describes it."""
    durations = Durations()
    durations.of_steps("step", None, None, names.SUCCESS, None).add(1)
    durations.add_branch(1, None, None, names.SUCCESS, None, names.SUCCESS)
    account = Account()
    counted = {"spans": {"recorded": 1, "dropped": {"full": 1}}}
    own = self_metrics({"otlp": {"traces": account}}, counted, queue_bytes=1, overhead_seconds=1.0)
    found: set[str] = set()
    usage = UsageMetrics()
    usage.add(Usage(model="tiny", input_tokens=1, output_tokens=1, latency=1.0, cost=Decimal(1)))
    for metric in (*durations.metrics(), *usage.metrics(), *own):
        found |= in_prometheus(metric.name, metric.unit, metric.kind, is_monotonic=metric.is_monotonic)
    for name, unit in BUDGETS:
        found |= in_prometheus(name, unit, "gauge", is_monotonic=False)
    return found


def written_names() -> set[str]:
    found = [getattr(names, name) for name in dir(names) if name.isupper()]
    return {name for name in found if isinstance(name, str)}


def test_they_are_what_the_generator_makes(tmp_path):
    """
    The committed dashboards are those that the generator writes, all of them and no others.
    """
    subprocess.run([sys.executable, GRAFANA / "generator", "--to", tmp_path], check=True)

    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert {path.relative_to(GRAFANA / "dashboards"): path.read_bytes() for path in FILES} == made


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_grafana_knows_every_key(path):
    """
    Grafana's own model of a dashboard takes it and gives it back: no key is unknown, none has a wrong place or type.
    """
    register_default_plugins()
    told = document(path)

    understood = json.loads(JSONEncoder().encode(Dashboard.from_json(document(path))))

    assert list(lost(told, understood)) == []


def lost(told: object, understood: object, where: str = "") -> Iterator[str]:
    """Yield the places of *told* that are not in what was *understood* of it."""
    if isinstance(told, dict) and isinstance(understood, dict):
        for key, value in told.items():
            if key in understood:
                yield from lost(value, understood[key], f"{where}/{key}")
            else:
                yield f"{where}/{key}"
    elif isinstance(told, list) and isinstance(understood, list) and len(told) == len(understood):
        for number, (one, other) in enumerate(zip(told, understood, strict=True)):
            yield from lost(one, other, f"{where}/{number}")
    elif told != understood:
        yield f"{where}: {told!r} is {understood!r}"


def test_the_metrics_are_those_that_we_write():
    """
    Every series that is asked for is one that branchline writes under that name, or the collector of itself.
    """
    known = written_series() | COLLECTOR

    asked = {
        (where, selector.name)
        for where, query in queries("prometheus")
        for selector in selectors(promql_parser.parse(query))
    }

    assert len(asked) > 20
    assert sorted((where, name) for where, name in asked if name not in known) == []


def test_the_labels_are_those_that_we_write():
    """
    A label that is matched, or summed by, is an attribute of `names.py` in Prometheus' spelling, or Prometheus' own.
    """
    known = {name.replace(".", "_") for name in written_names()} | GIVEN
    matched, summed = set(), set()
    for where, query in queries("prometheus"):
        for selector in selectors(promql_parser.parse(query)):
            matched |= {(where, matcher.name) for matcher in selector.matchers.matchers}
        for group in re.findall(r"(?:by|on) \(([^)]*)\)", query):
            summed |= {(where, name.strip()) for name in group.split(",")}

    assert matched
    assert summed
    assert sorted((where, name) for where, name in matched | summed if name not in known) == []


def test_what_traces_and_logs_are_asked_for_is_what_we_write():
    """
    Attributes in TraceQL are names that we write, and so are labels in LogQL but those of Loki itself.
    """
    attributes = {
        (where, name) for where, query in queries("tempo") for name in re.findall(r"(?:span|resource)\.([\w.]+)", query)
    }
    labels = {(where, name) for where, query in queries("loki") for name in re.findall(r"(\w+)\s*=", query)}

    assert attributes
    assert labels
    assert sorted((where, name) for where, name in attributes if name not in written_names()) == []
    assert {name for _, name in labels} == {names.SERVICE_NAME.replace(".", "_"), "trace_id"}


def test_variables_ask_for_what_we_write():
    """
    The values of a variable come from a series and a label that there are.
    """
    asked = [
        re.fullmatch(r"label_values\((\w+)\{.*\}, (\w+)\)", variable["query"]["query"])
        for path in FILES
        for variable in document(path)["templating"]["list"]
        if variable.get("datasource", {}).get("type") == "prometheus"
    ]

    assert asked
    known = {name.replace(".", "_") for name in written_names()} | GIVEN
    assert {found[1] for found in asked if found} <= written_series()
    assert {found[2] for found in asked if found} <= known
    assert None not in asked


def test_data_sources_name_what_we_write():
    """
    What leads from a trace to metrics, and from a log record to its branch, has names that we write.
    """
    text = (GRAFANA / "datasources" / "branchline.yaml").read_text(encoding="utf-8")

    found = set(re.findall(r"\bbranchline_\w+", text))
    assert found == {
        f"{names.STEP_DURATION.replace('.', '_')}_seconds_bucket",
        names.STEP_NAME.replace(".", "_"),
        names.BRANCH_NAME.replace(".", "_"),
    }
    assert set(re.findall(r"\bbranchline\.[\w.]+", text)) == {names.BRANCH_NAME}


def test_links_lead_somewhere():
    """
    A link leads to a dashboard that there is beside it, with variables that it has; in data sources as well.
    """
    for folder in ("default", "scale"):
        found = {}
        texts = [(GRAFANA / "datasources" / "branchline.yaml").read_text("utf-8")] if folder == "default" else []
        for path in FILES:
            if path.parent.name == folder:
                content = document(path)
                found[content["uid"]] = {variable["name"] for variable in content["templating"]["list"]}
                texts.append(path.read_text("utf-8"))
        links = [link for text in texts for link in re.findall(r"/d/([\w-]+)\?([^\"\s]*)", text)]
        assert links
        for uid, said in links:
            assert set(re.findall(r"var-(\w+)=|\{(\w+):queryparam", said)) <= {
                pair for name in found[uid] for pair in ((name, ""), ("", name))
            }, uid


def test_data_sources_are_provisioned():
    """
    Whatever a panel asks is provisioned beside it under that name and type, and a service mounts both.
    """
    for folder, service in (("default", "grafana"), ("scale", "grafana-scale")):
        mounted = {ROOT / source for source, _, _ in mounts(services()[service]) if source.startswith(".")}
        assert GRAFANA / "dashboards" / folder in mounted
        provisioned = {
            (one["type"], one["uid"])
            for path in mounted
            if path.parent.name == "datasources"
            for one in document(path)["datasources"]
        }
        asked = {
            (target["datasource"]["type"], target["datasource"]["uid"])
            for path in FILES
            if path.parent.name == folder
            for panel in document(path)["panels"]
            for target in panel["targets"]
        }
        assert asked
        assert asked <= provisioned


def test_the_first_page_is_there():
    """
    What Grafana opens first is one of the dashboards that are mounted.
    """
    for name in ("grafana", "grafana-scale"):
        service = services()[name]
        [(source, target)] = [
            (source, target) for source, target, _ in mounts(service) if target == "/var/lib/branchline/dashboards"
        ]
        home = Path(service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
        assert (ROOT / source / home.relative_to(target)).is_file()


def test_the_plugin_is_the_one_that_is_installed():
    """
    The dashboard on ClickHouse is written for the release of the plugin that compose installs.
    """
    board = document(GRAFANA / "dashboards" / "scale" / "branches-clickhouse.json")
    versions = {target["pluginVersion"] for panel in board["panels"] for target in panel["targets"]}

    installed = services()["grafana-scale"]["environment"]["GF_PLUGINS_PREINSTALL_SYNC"]
    assert installed == f"grafana-clickhouse-datasource@{versions.pop()}"
    assert versions == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_panel_lies_on_another(path):
    """
    Panels fill the page without a gap in a row, and none covers another.
    """
    taken: dict[tuple[int, int], int] = {}
    for panel in document(path)["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert 0 <= x < 24
                assert taken.setdefault((x, y), panel["id"]) == panel["id"]
    height = max(y for _, y in taken) + 1
    assert len(taken) == 24 * height
