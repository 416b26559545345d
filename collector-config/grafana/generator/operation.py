"""The dashboards of whoever runs things: what is spent, and whether everything arrives."""

from __future__ import annotations

from choices import OF_SERVICE, RATES, SERVICE, TOTALS, values_of
from panels import PROMETHEUS, Json, bars, choice, course, dashboard
from promql import (
    BUDGET,
    COST,
    DELIVERED,
    DROPPED,
    FOLLOWER,
    MODEL,
    OVERHEAD,
    PERIOD,
    QUEUE,
    REASON,
    RECORDED,
    REJECTED,
    REMAINING,
    SIGNAL,
    SPOOLED,
    USED,
    last,
    newest,
    rate,
    total,
)


def budget() -> Json:
    """Return the dashboard of what is spent, and how long the rest lasts."""
    key = f"job, {PERIOD}, {BUDGET}"
    # Processes that share a budget say the same of it; the last of them is right.
    left = f"min by ({key}) ({REMAINING.series}{{{OF_SERVICE}}})"
    used = f"max by ({key}) ({USED.series}{{{OF_SERVICE}}})"
    an_hour = f"sum by (job) (rate({COST.series}{{{OF_SERVICE}}}[1h])) * 3600"
    named = f"{{{{job}}}} {{{{{BUDGET}}}}} {{{{{PERIOD}}}}}"
    return dashboard(
        "branchline-budget",
        "Budget",
        "What is spent, by whom, and how long the rest lasts.",
        [
            [
                bars("Used", newest(used), named, unit="percentunit"),
                bars("Left", newest(left), named, unit="currencyUSD"),
            ],
            [
                course(
                    "Used, over time",
                    (used, named),
                    unit="percentunit",
                ),
                course(
                    "Spent in an hour",
                    (f"{total(rate(COST.series, OF_SERVICE), MODEL)} * 3600", f"{{{{{MODEL}}}}}"),
                    unit="currencyUSD",
                    description=RATES,
                ),
            ],
            [
                bars(
                    "Hours until it is used up",
                    f"{newest(left)} / on (job) group_left () ({an_hour} > 0)",
                    named,
                    unit="h",
                    description="At the speed of the last hour.",
                ),
                bars(
                    "Cost by model",
                    total(last(COST.series, OF_SERVICE), MODEL),
                    f"{{{{{MODEL}}}}}",
                    unit="currencyUSD",
                    description=TOTALS,
                ),
            ],
        ],
        [SERVICE],
    )


def pipeline() -> Json:
    """Return the dashboard that says whether everything arrives."""
    signal = f"{{{{{SIGNAL}}}}}"
    to_whom = f"{{{{{FOLLOWER}}}}} {signal}"
    return dashboard(
        "branchline-pipeline",
        "Pipeline health",
        "Whether what was recorded is written and delivered: by applications, and by the collector beyond.",
        [
            [
                bars("Recorded", total(last(RECORDED.series, OF_SERVICE), SIGNAL), signal, unit="short", width=6),
                bars(
                    "Delivered",
                    total(last(DELIVERED.series, OF_SERVICE), SIGNAL, FOLLOWER),
                    to_whom,
                    unit="short",
                    width=6,
                ),
                bars(
                    "Dropped",
                    total(last(DROPPED.series, OF_SERVICE), SIGNAL, REASON),
                    f"{signal} {{{{{REASON}}}}}",
                    unit="short",
                    width=6,
                    description="What never reached the journal. There should be nothing here.",
                ),
                bars(
                    "Rejected",
                    total(last(REJECTED.series, OF_SERVICE), SIGNAL, FOLLOWER),
                    to_whom,
                    unit="short",
                    width=6,
                    description="What a destination refused; it is kept as dead letters: `branchline ship --refused`.",
                ),
            ],
            [
                course(
                    "Waits in journals",
                    (total(f"{SPOOLED.series}{{{OF_SERVICE}}}", SIGNAL, FOLLOWER), to_whom),
                    unit="short",
                    width=8,
                ),
                course(
                    "Not in the journal yet",
                    (f"max by (job) ({QUEUE.series}{{{OF_SERVICE}}})", "{{job}}"),
                    unit="bytes",
                    width=8,
                    description="Of the process that has most of it.",
                ),
                course(
                    "Processor time of the writer",
                    (total(rate(OVERHEAD.series, OF_SERVICE), "job"), "{{job}}"),
                    unit="percentunit",
                    width=8,
                    description=RATES,
                ),
            ],
            [
                course(
                    "Collector: received in a second",
                    *(
                        (total(rate(f"otelcol_receiver_accepted_{kind}")), kind.replace("_", " "))
                        for kind in ("spans", "metric_points", "log_records")
                    ),
                    unit="ops",
                    width=8,
                ),
                course(
                    "Collector: refused and failed in a second",
                    *(
                        (f"{total(rate(f'otelcol_{what}_{kind}'))}", f"{kind.replace('_', ' ')} {said}")
                        for what, said in (("receiver_refused", "refused"), ("exporter_send_failed", "failed"))
                        for kind in ("spans", "metric_points", "log_records")
                    ),
                    unit="ops",
                    width=8,
                    description="There should be nothing here. What is refused waits in the journal of its sender.",
                ),
                course(
                    "Collector: what waits on disk",
                    (
                        "max by (exporter) (otelcol_exporter_queue_size / otelcol_exporter_queue_capacity)",
                        "{{exporter}}",
                    ),
                    unit="percentunit",
                    width=8,
                    description="The part of its queue that each exporter has filled; when it is full, senders wait.",
                ),
            ],
        ],
        [choice("service", PROMETHEUS, values_of(RECORDED.series, "job"))],
    )
