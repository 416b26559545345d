"""Usage: what one call of a model took, in tokens and in money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class TokenBreakdown:
    """What the tokens of a call were spent on."""

    system: int = 0
    data: int = 0
    instructions: int = 0
    output: int = 0
    other: int = 0

    @property
    def total_input(self) -> int:
        """All but the output."""
        return self.system + self.data + self.instructions + self.other

    @property
    def total(self) -> int:
        """All of them."""
        return self.total_input + self.output


class Usage(NamedTuple):
    """What one call of a model took, and where it was made.

    A named tuple, not a dataclass: one is made for every call, while the caller waits.
    """

    model: str
    provider: str | None = None
    operation: str = "chat"
    input_tokens: int = 0
    """All that went in, what was read from or written to a cache included."""
    output_tokens: int = 0
    """All that came out, reasoning included."""
    cached_tokens: int = 0
    """Of the input, what was read from a cache."""
    cache_write_tokens: int = 0
    """Of the input, what was written to a cache."""
    reasoning_tokens: int = 0
    """Of the output, what was only thought."""
    cost: Decimal | None = None
    """In US dollars; None where nobody knows."""
    cost_source: str | None = None
    """Who knew the cost: ``given``, ``configured`` prices, or the release of the package that has the prices."""
    latency: float | None = None
    """In seconds."""
    breakdown: TokenBreakdown | None = None
    estimated: Decimal | None = None
    """What it was expected to cost, where somebody had said so before."""
    modalities: Mapping[str, int] = MappingProxyType({})
    """Of input and output, what was no text, as ``audio.input_tokens``."""
    response_model: str | None = None
    """What the provider calls the model that answered."""
    response_id: str | None = None
    """What the provider calls its answer."""
    labels: Mapping[str, str] = MappingProxyType({})
    """What else its recorder calls things: an experiment, a run or a step of its own."""
    service_tier: str | None = None
    """How it was served, where its price depends on that: ``flex``, ``priority``, ``batch``."""
    calls: int = 1
    """How many calls this is: 0 where it only corrects what was known of one."""
    usage_id: str = ""
    """Of the record in the journal; unique."""
    time_unix_nano: int = 0
    trace_id: str | None = None
    """In hex; with ``span_id`` the span that it belongs to. None outside of any."""
    span_id: str | None = None
    experiment: str | None = None
    branch: str | None = None
    branch_id: str | None = None
    step: str | None = None
    """The name of the step that it was recorded in."""

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens

    @property
    def priced_ratio(self) -> float:
        """The part of the tokens that had a price: all of them, or none."""
        return 0.0 if self.cost is None else 1.0
