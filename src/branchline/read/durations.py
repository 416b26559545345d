"""What the finished steps and branches of a run, and its calls of models, come to as metrics, made again from these."""

from __future__ import annotations

from collections.abc import Iterable

from .. import names
from .._journal.durations import Durations
from .._journal.snapshots import Metric
from .._journal.usage_metrics import UsageMetrics
from ..usage_values import Usage
from .run import Run
from .values import Branch, Step, walk


def span_metrics(run_or_steps: Run | Iterable[Step]) -> tuple[Metric, ...]:
    """Return the metrics that finished steps and branches come to, of all processes together.

    These are the numbers of ``branchline.step.duration``, ``branchline.branch.duration`` and ``branchline.branches`` in
    the journal, whatever became of the processes, and without a limit on their series.
    """
    durations = Durations()
    roots = run_or_steps.roots if isinstance(run_or_steps, Run) else run_or_steps
    for step in walk(roots):
        if step.end_unix_nano is None:
            continue
        length = step.end_unix_nano - step.start_unix_nano
        experiment, branch, outcome = step.experiment_name, step.branch_name, step.outcome
        error = step.attributes.get(names.ERROR_TYPE) if outcome in names.ERROR_OUTCOMES else None
        error_type = error if isinstance(error, str) else None
        if isinstance(step, Branch):
            durations.add_branch(length, experiment, branch, outcome, error_type, step.status)
        elif step.kind == names.KIND_STEP:
            durations.of_steps(step.name, experiment, branch, outcome, error_type).add(length)
    return durations.metrics()


def usage_metrics(run_or_usages: Run | Iterable[Usage]) -> tuple[Metric, ...]:
    """Return the metrics that calls of models come to, of all processes together.

    These are the numbers of ``gen_ai.client.token.usage``, ``gen_ai.client.operation.duration`` and ``branchline.cost``
    in the journal.
    """
    found = UsageMetrics()
    for usage in run_or_usages.usages if isinstance(run_or_usages, Run) else run_or_usages:
        found.add(usage)
    return found.metrics()
