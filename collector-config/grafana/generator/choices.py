"""What is chosen on top of a dashboard: service, experiment, branch and step; and what that means in a query."""

from __future__ import annotations

from typing import Final

from panels import PROMETHEUS, Json, choice
from promql import BRANCH, EXPERIMENT, STEP, STEP_DURATION


OF_SERVICE: Final = 'job=~"$service"'
OF_EXPERIMENT: Final = (OF_SERVICE, f'{EXPERIMENT}=~"$experiment"')
OF_BRANCH: Final = (*OF_EXPERIMENT, f'{BRANCH}=~"$branch"')
OF_STEP: Final = (*OF_BRANCH, f'{STEP}=~"$step"')

TOTALS: Final = "What each process has come to, summed up: also right for processes that ended within seconds."
RATES: Final = "From rates: a process has to last for more than ten seconds to be seen here."


def values_of(instrument_series: str, attribute: str, *matchers: str) -> Json:
    """Return the query of a variable: the values that *attribute* has in a series."""
    return {"query": f"label_values({instrument_series}{{{', '.join(matchers)}}}, {attribute})", "refId": "values"}


SERVICE: Final = choice("service", PROMETHEUS, values_of(f"{STEP_DURATION.series}_count", "job"))
IN_EXPERIMENT: Final = choice(
    "experiment", PROMETHEUS, values_of(f"{STEP_DURATION.series}_count", EXPERIMENT, OF_SERVICE)
)
IN_BRANCH: Final = choice("branch", PROMETHEUS, values_of(f"{STEP_DURATION.series}_count", BRANCH, *OF_EXPERIMENT))
IN_STEP: Final = choice("step", PROMETHEUS, values_of(f"{STEP_DURATION.series}_count", STEP, *OF_BRANCH))
