"""Boundaries: where the buckets of a histogram end when nobody says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


# What the semantic conventions have for durations in seconds (HTTP, RPC, databases).
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
# A step may be a call of a microsecond or the job of a night, and a branch is at least a step.
STEP_SECONDS: Final = (
    *(0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0),
    *(10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0, 43_200.0),
)

_TOKENS: Final = tuple(float(4**power) for power in range(14))
_MODEL_SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
_AGENT_SECONDS: Final = tuple(0.1 * 2**power for power in range(13))
_WORKFLOW_SECONDS: Final = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)

# The conventions for generative AI, under the names that are shipped today and those that come next.
BY_NAME: Final[Mapping[str, tuple[float, ...]]] = {
    "gen_ai.client.token.usage": _TOKENS,
    "gen_ai.client.inference.operation.input_tokens": _TOKENS,
    "gen_ai.client.inference.operation.output_tokens": _TOKENS,
    "gen_ai.client.operation.duration": _MODEL_SECONDS,
    "gen_ai.client.inference.duration": _MODEL_SECONDS,
    "gen_ai.execute_tool.duration": _MODEL_SECONDS,
    "gen_ai.invoke_agent.duration": _AGENT_SECONDS,
    "gen_ai.invoke_workflow.duration": _WORKFLOW_SECONDS,
}


def boundaries_of(name: str, unit: str) -> tuple[float, ...] | None:
    """Return the boundaries that the conventions have for a histogram; None where they have none."""
    return BY_NAME.get(name.lower()) or (SECONDS if unit == "s" else None)
