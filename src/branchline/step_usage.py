"""The method of a step that records what a call of a model took; exact decimals are loaded by the first call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol


if TYPE_CHECKING:
    from datetime import timedelta
    from decimal import Decimal

    from .recording import Recording
    from .usage_values import TokenBreakdown, Usage


class _HasRecording(Protocol):
    _recording: Recording | None


def usage(
    step: _HasRecording,
    model: str | None,
    /,
    *,
    input_tokens: int = 0,
    output_tokens: int = 0,
    cached_tokens: int = 0,
    cache_write_tokens: int = 0,
    reasoning_tokens: int = 0,
    provider: str | None = None,
    breakdown: TokenBreakdown | Mapping[str, int] | None = None,
    cost: Decimal | float | str | None = None,
    estimated: Decimal | float | str | None = None,
    latency: float | timedelta | None = None,
    response: object = None,
) -> Usage:
    """Record what a call of a model took in this step; `branchline.record_usage` says what is taken."""
    # Whoever calls no models must not pay for exact decimals.
    from .spending import record_on

    recording = step._recording  # noqa: SLF001 - the method of Step
    numbers = (input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens)
    return record_on(recording, model, numbers, provider, breakdown, cost, estimated, latency, response)
