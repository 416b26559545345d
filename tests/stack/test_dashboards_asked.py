"""The dashboards, asked: each of their queries, put to a Prometheus that the real collector feeds."""

from __future__ import annotations

import re
import time

import pytest
from applications import run
from servers import CONFIGS, Gateway, Prometheus, eventually, get

from compose import ROOT, document


pytestmark = pytest.mark.stack
DASHBOARDS = sorted((ROOT / "collector-config" / "grafana" / "dashboards" / "default").glob("*.json"))
# There is nothing to show when all is well.
MAY_BE_EMPTY = {("Pipeline health", "Dropped"), ("Pipeline health", "Collector: refused and failed in a second")}

SCRAPED = "min(count_over_time(otelcol_receiver_accepted_log_records[5m]))"

PROGRAM = '''\
"""Two branches with a model, one of which fails, for long enough that there are rates."""

import logging
import time

import branchline as bl

used = bl.gauge("branchline.budget.used_ratio", unit="1")
left = bl.gauge("branchline.budget.remaining", unit="{USD}")


def ask(number):
    with bl.step("ask"):
        time.sleep(0.2)
        bl.record_usage(
            "tiny", input_tokens=100 * number, output_tokens=10 * number, cost=0.25 * number, latency=0.2
        )


with bl.configure("shop", console=False) as run:
    with bl.experiment("prices"):
        for number, name in ((1, "cheap"), (2, "dear")):
            try:
                with bl.branch({"number": number}, name=name):
                    for _ in range(5):
                        ask(number)
                    if name == "dear":
                        with bl.step("pay"):
                            raise ValueError("too dear")
            except ValueError:
                pass
            used.set(0.25 * number, {"branchline.budget.period": "day"})
            left.set(10 - number, {"branchline.budget.period": "day"})
    logging.getLogger("shop").warning("done")
    time.sleep(1)
    assert bl.flush(timeout=60), bl.flush(timeout=60)
'''


class Scraping(Prometheus):
    """``prometheus.yml``, asking a gateway on this machine how it is, and more often."""

    def of(self, gateway):
        config = (CONFIGS / "prometheus.yml").read_text(encoding="utf-8")
        for shipped, here in (("collector:8888", f"127.0.0.1:{gateway.metrics}"), ("15s", "1s")):
            assert shipped in config
            config = config.replace(shipped, here)
        path = self.home / "prometheus.yml"
        path.write_text(config, encoding="utf-8")
        self._command[1] = f"--config.file={path}"
        return self


def _value(found):
    return float(found[0]["value"][1]) if found else 0.0


def panels():
    return [
        (content["title"], panel["title"], target)
        for content in map(document, DASHBOARDS)
        for panel in content["panels"]
        for target in panel["targets"]
        if target["datasource"]["type"] == "prometheus"
    ]


def filled(expression: str, *, chosen: str = ".*") -> str:
    """Return what Grafana makes of an expression when *chosen* is what every variable says."""
    expression = expression.replace("$__rate_interval", "5m").replace("$__range", "1h")
    return re.sub(r"\$\w+", chosen, expression)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """A Prometheus that has all that one process has measured, through a gateway, and what that says of itself."""
    home = tmp_path_factory.mktemp("boards")
    prometheus = Scraping(home / "prometheus")
    to = {"PROMETHEUS_OTLP": prometheus.otlp, "GATEWAY_TRACES_TO": "[file/traces]", "GATEWAY_LOGS_TO": "[file/logs]"}
    with Gateway(home / "gateway", **to) as gateway, prometheus.of(gateway):
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": gateway.endpoint("http"), "OTEL_METRIC_EXPORT_INTERVAL": "300"}
        run(home / "run", PROGRAM, env=env)
        arrived = eventually(
            lambda: prometheus.query("sum(branchline_cost_total)"), lambda found: _value(found) == 3.75
        )
        assert _value(arrived) == 3.75
        # Twice, so that there are rates.
        scraped = eventually(lambda: prometheus.query(SCRAPED), lambda found: _value(found) > 1)
        assert _value(scraped) > 1
        yield prometheus


@pytest.mark.parametrize(
    ("board", "panel", "target"), panels(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_question_is_answered(prometheus, board, panel, target):
    """
    Prometheus understands each query and has an answer; of the collector's own metrics, the collector has the name.
    """
    expression = filled(target["expr"])
    now = time.time()
    if target["instant"]:
        found = get(f"{prometheus.url}/api/v1/query", query=expression)
    else:
        window = {"start": f"{now - 600:.3f}", "end": f"{now:.3f}", "step": "5"}
        found = get(f"{prometheus.url}/api/v1/query_range", query=expression, **window)

    assert found["status"] == "success"
    assert found["data"]["result"] or (board, panel) in MAY_BE_EMPTY


def test_branches_are_compared_exactly(prometheus):
    """
    The table of branches says what the program did: how many ended and failed, their tokens and their cost.
    """
    [table] = [panel for panel in document(DASHBOARDS[0])["panels"] if panel["title"] == "Branches"]
    titles = table["transformations"][1]["options"]["renameByName"]
    found: dict[str, dict[str, float]] = {}
    for target in table["targets"]:
        for series in prometheus.query(filled(target["expr"])):
            assert set(series["metric"]) == {"branchline_branch_name"}
            row = found.setdefault(series["metric"]["branchline_branch_name"], {})
            row[titles[f"Value #{target['refId']}"]] = float(series["value"][1])

    durations = {name: (row.pop("mean duration"), row.pop("p95 duration")) for name, row in found.items()}
    assert found == {
        "cheap": {"ended": 1, "failed": 0, "input tokens": 500, "output tokens": 50, "cost": 1.25},
        "dear": {"ended": 1, "failed": 1, "input tokens": 1000, "output tokens": 100, "cost": 2.5},
    }
    assert all(mean >= 1.0 and p95 >= 1.0 for mean, p95 in durations.values())


def test_a_choice_narrows(prometheus):
    """
    What is chosen on top is what is asked: of one branch there is one row, of another service nothing.
    """
    [table] = [panel for panel in document(DASHBOARDS[0])["panels"] if panel["title"] == "Branches"]
    expression = table["targets"][0]["expr"]

    assert len(prometheus.query(filled(expression.replace("$branch", "(cheap)")))) == 1
    assert prometheus.query(filled(expression.replace("$service", "another"))) == []
