"""The dashboards that compare: branches side by side, and the steps in them."""

from __future__ import annotations

from branchline import names
from choices import IN_BRANCH, IN_EXPERIMENT, IN_STEP, OF_BRANCH, OF_EXPERIMENT, OF_STEP, RATES, SERVICE, TOTALS
from panels import Column, Json, bars, course, dashboard, link_to, table
from promql import (
    BRANCH,
    BRANCH_DURATION,
    BRANCHES,
    CALLS,
    COST,
    ERROR,
    ERRORS,
    MODEL,
    OUTCOME,
    STATUS,
    STEP,
    STEP_DURATION,
    TOKEN_TYPE,
    TOKENS,
    last,
    mean,
    or_none,
    quantile,
    rate,
    total,
)
from traces import traces


def branches() -> Json:
    """Return the dashboard on which branches stand side by side."""
    ended = total(last(f"{BRANCH_DURATION.series}_count", *OF_BRANCH), BRANCH)
    failed = or_none(total(last(f"{BRANCH_DURATION.series}_count", *OF_BRANCH, ERRORS), BRANCH), ended)
    tokens = f"{TOKENS.series}_sum"
    spent = last(COST.series, *OF_BRANCH)
    columns = (
        Column(title="ended", expression=ended, unit="short"),
        Column(title="failed", expression=failed, unit="short"),
        Column(title="mean duration", expression=mean(BRANCH_DURATION, BRANCH, *OF_BRANCH), unit="s"),
        Column(
            title="p95 duration",
            expression=quantile(0.95, last(f"{BRANCH_DURATION.series}_bucket", *OF_BRANCH), BRANCH),
            unit="s",
        ),
        Column(
            title="input tokens",
            expression=total(last(tokens, *OF_BRANCH, f'{TOKEN_TYPE}="input"'), BRANCH),
            unit="short",
        ),
        Column(
            title="output tokens",
            expression=total(last(tokens, *OF_BRANCH, f'{TOKEN_TYPE}="output"'), BRANCH),
            unit="short",
        ),
        Column(title="cost", expression=total(spent, BRANCH), unit="currencyUSD"),
    )
    to_steps = link_to("branchline-steps", "Steps of this branch", "service", "experiment", branch="${__value.raw}")
    named = f"{{{{{BRANCH}}}}}"
    return dashboard(
        "branchline-branches",
        "Branches compared",
        "What the branches of an experiment took, cost and came to, side by side.",
        [
            [table("Branches", BRANCH, "branch", columns, links=[to_steps], width=24, height=9, description=TOTALS)],
            [
                bars("Mean duration", mean(BRANCH_DURATION, BRANCH, *OF_BRANCH), named, unit="s"),
                bars("Cost", total(spent, BRANCH), named, unit="currencyUSD"),
            ],
            [
                bars(
                    "Tokens",
                    total(last(tokens, *OF_BRANCH), BRANCH, TOKEN_TYPE),
                    f"{named} {{{{{TOKEN_TYPE}}}}}",
                    unit="short",
                ),
                bars(
                    "Failed steps",
                    total(last(f"{STEP_DURATION.series}_count", *OF_BRANCH, ERRORS), BRANCH, ERROR),
                    f"{named} {{{{{ERROR}}}}}",
                    unit="short",
                ),
            ],
            [
                bars(
                    "How branches ended",
                    total(last(BRANCHES.series, *OF_EXPERIMENT), STATUS),
                    f"{{{{{STATUS}}}}}",
                    unit="short",
                    width=8,
                    description="Of all branches of the experiment, also those that are not chosen.",
                ),
                course(
                    "Steps, p95",
                    (quantile(0.95, rate(f"{STEP_DURATION.series}_bucket", *OF_BRANCH), BRANCH), named),
                    unit="s",
                    width=16,
                    description=RATES,
                ),
            ],
            [traces("Their traces", f'{{ span.{names.KIND} = "{names.KIND_BRANCH}" && {_branch_chosen()} }}')],
        ],
        [SERVICE, IN_EXPERIMENT, IN_BRANCH],
    )


def steps() -> Json:
    """Return the dashboard of how long steps take."""
    buckets = f"{STEP_DURATION.series}_bucket"
    ended = total(last(f"{STEP_DURATION.series}_count", *OF_STEP), STEP)
    failed = or_none(total(last(f"{STEP_DURATION.series}_count", *OF_STEP, ERRORS), STEP), ended)
    columns = (
        Column(title="ended", expression=ended, unit="short"),
        Column(title="failed", expression=failed, unit="short"),
        *(
            Column(title=f"p{share}", expression=quantile(share / 100, last(buckets, *OF_STEP), STEP), unit="s")
            for share in (50, 95, 99)
        ),
        Column(title="in all", expression=total(last(f"{STEP_DURATION.series}_sum", *OF_STEP), STEP), unit="s"),
    )
    return dashboard(
        "branchline-steps",
        "Steps",
        "How long steps take, and which of them fail.",
        [
            [table("Steps", STEP, "step", columns, width=24, height=10, description=TOTALS)],
            [
                course(
                    f"p{share}",
                    (quantile(share / 100, rate(buckets, *OF_STEP), STEP), f"{{{{{STEP}}}}}"),
                    unit="s",
                    width=8,
                    description=RATES,
                )
                for share in (50, 95, 99)
            ],
            [
                course(
                    "Ended in a second",
                    (total(rate(f"{STEP_DURATION.series}_count", *OF_STEP), OUTCOME), f"{{{{{OUTCOME}}}}}"),
                    unit="ops",
                    description=RATES,
                ),
                course(
                    "Calls of models, p95",
                    (quantile(0.95, rate(f"{CALLS.series}_bucket", *OF_BRANCH), MODEL), f"{{{{{MODEL}}}}}"),
                    unit="s",
                    description=RATES,
                ),
            ],
            [
                traces(
                    "Traces with these steps",
                    f'{{ span.{names.KIND} = "{names.KIND_STEP}" && name =~ "${{step:pipe}}" && {_branch_chosen()} }}',
                )
            ],
        ],
        [SERVICE, IN_EXPERIMENT, IN_BRANCH, IN_STEP],
    )


def _branch_chosen() -> str:
    return f'span.{names.BRANCH_NAME} =~ "${{branch:pipe}}"'
