"""What a trading system asks of performance and alerts, each as it was asked for, on the real pipeline."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import branchline as bl
import measured
from branchline.monitor import PerformanceMetric, PerformanceMonitor, Threshold, WebhookChannel, timed_operation
from branchline.read import open_runs
from test_alerts import alerts_in, webhook
from waiting import wait_for


def test_t058_system_metrics_at_regular_intervals(home):
    """
    T058, MX-60: when the system runs, CPU, memory and I/O of disk and network are recorded at regular intervals.
    """
    names = {"process.cpu.time", "process.memory.usage", "process.disk.io", "system.cpu.time", "system.network.io"}
    with bl.configure("trading", directory=home, console=False, system_metrics=0.2):
        wait_for(lambda: len(moments(home).get("process.cpu.time", ())) >= 5)

    found = moments(home)
    assert names <= set(found)
    assert all(earlier < later for earlier, later in pairwise(found["process.cpu.time"]))
    spent = [
        sum(point.as_double for point in metric.data_points)
        for metric in (metric.sum for _, _, metric in measured.metrics(home) if metric.name == "process.cpu.time")
    ]
    assert spent == sorted(spent)
    assert spent[0] < spent[-1]
    assert len(found["system.network.io"]) >= 2


def moments(home: Path) -> dict[str, list[int]]:
    """
    Return when each metric was recorded.
    """
    found: dict[str, list[int]] = {}
    for _, _, metric in measured.metrics(home):
        found.setdefault(metric.name, []).append(measured.points(metric)[0].time_unix_nano)
    return found


def test_t059_latencies_are_measured(home):
    """
    T059, MX-61: response times, delays of orders and intervals between updates are there with unit and tags, as single
    values, as a histogram, and summed up.
    """

    @timed_operation("api.request", exchange="binance")
    async def request(number: int) -> int:
        await asyncio.sleep(0.001)
        return number

    with bl.configure("trading", directory=home, console=False), PerformanceMonitor(system=False) as monitor:
        for number in range(10):
            asyncio.run(request(number))
        for delay in (120, 150, 180):
            PerformanceMetric("order_execution_time", delay, "milliseconds", {"symbol": "BTC/USDT"}).record()
        bl.histogram("market_data.interval", unit="s").record(0.25, {"symbol": "BTC/USDT"})
        bl.flush()
        found = {each.metric: each for each in monitor.summary()}
    run = open_runs(home).last

    assert [(p.name, p.value, p.unit, p.attributes) for p in run.points] == [
        ("order_execution_time", delay, "milliseconds", {"symbol": "BTC/USDT"}) for delay in (120, 150, 180)
    ]
    times = [line.attributes["duration_ms"] for line in run.logs if line.event_name == "branchline.operation.completed"]
    assert len(times) == 10
    assert all(isinstance(each, float) and each >= 1 for each in times)
    [(attributes, (count, _))] = measured.of(home, "branchline.step.duration").items()
    assert (dict(attributes)["branchline.step.name"], count) == ("api.request", 10)
    assert measured.of(home, "market_data.interval") == {(("symbol", "BTC/USDT"),): (1, 0.25)}
    orders, requests = found["order_execution_time"], found["branchline.step.duration"]
    assert (orders.count, orders.min, orders.max, orders.mean, orders.p50) == (3, 120, 180, 150, 150)
    assert (requests.count, requests.min <= requests.p50 <= requests.p95 <= requests.p99 <= requests.max) == (10, True)


def test_a_trade_its_error_and_its_latency_belong_together(home):
    """
    Weakness 5.3 (3): what happened to an order, what went wrong and how long it took are in one trace, on the step that
    it happened in, and their times say their zone.
    """
    run = bl.configure("trading", directory=home, console=False)
    with run, PerformanceMonitor(Threshold("branchline.step.duration", above=0.001), system=False):
        with suppress(ConnectionError), timed_operation("place_order", threshold_ms=1, symbol="BTC"):
            bl.event("trade.order_placed", side="BUY")
            metric = PerformanceMetric("order_execution_time", 150, "milliseconds")
            metric.record()
            time.sleep(0.01)
            raise ConnectionError("exchange is away")
    found = open_runs(home).last
    [step] = found.steps

    assert {line.event_name: (line.trace_id, line.span_id) for line in found.logs} == dict.fromkeys(
        [
            "branchline.operation.started",
            "trade.order_placed",
            "branchline.operation.failed",
            "branchline.alert",
        ],
        (step.trace_id, step.span_id),
    )
    assert [point.span_id for point in found.points] == [step.span_id]
    assert metric.to_dict()["timestamp"].endswith("+00:00")


def test_t060_thresholds_raise_alerts(home):
    """
    T060, MX-64, MX-65: a limit that is passed is a warning with the value and the limit; a critical one is at the
    webhook within five seconds, an error is not.
    """
    thresholds = [
        Threshold("order_execution_time", above=200),
        Threshold("open_orders", above=10, severity="ERROR"),
        Threshold("branchline.step.duration", above=0.02, step="risk.check", severity="CRITICAL"),
    ]
    with webhook() as server, bl.configure("trading", directory=home, console=False):
        channel = WebhookChannel(server.url)
        with PerformanceMonitor(*thresholds, channels=[channel], system=False):
            PerformanceMetric("order_execution_time", 150, "milliseconds").record()
            PerformanceMetric("order_execution_time", 250, "milliseconds").record()
            PerformanceMetric("open_orders", 11).record()
            with bl.step("risk.check"):
                time.sleep(0.03)
            ended = time.monotonic()
            wait_for(lambda: server.got)
            took = time.monotonic() - ended
            wait_for(lambda: len(alerts_in(home)) == 3)

    found = {line.attributes["alert.metric"]: (line.level, dict(line.attributes)) for line in alerts_in(home)}
    level, told = found["order_execution_time"]
    assert (level, told["alert.value"], told["alert.limit"]) == ("WARN", 250, 200)
    assert {metric: level for metric, (level, _) in found.items()} == {
        "order_execution_time": "WARN",
        "open_orders": "ERROR",
        "branchline.step.duration": "FATAL",
    }
    [(_, body)] = server.got
    posted: dict[str, Any] = json.loads(body)
    assert (posted["metric"], posted["severity"], posted["limit"]) == ("branchline.step.duration", "CRITICAL", 0.02)
    assert took < 5
