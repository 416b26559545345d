"""Tallies: what several calls of models come to, added up without locks and without rounding."""

from __future__ import annotations

from decimal import Decimal

from .money import of_units, units
from .usage_values import Usage


class Tally:
    """What some calls come to.

    What adds to it calls nothing: then it is one step for other threads and for signal handlers, and nothing is
    miscounted.
    """

    __slots__ = (
        "cache_write_tokens",
        "cached_tokens",
        "calls",
        "cost_units",
        "input_tokens",
        "output_tokens",
        "priced_tokens",
        "reasoning_tokens",
        "unpriced_calls",
    )

    def __init__(self) -> None:
        self.calls = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cached_tokens = 0
        self.cache_write_tokens = 0
        self.reasoning_tokens = 0
        self.priced_tokens = 0
        self.unpriced_calls = 0
        self.cost_units = 0

    def add(self, usage: Usage) -> None:
        """Add one call."""
        if usage.cost is None:
            cost = priced = 0
            unpriced = usage.calls
        else:
            cost, priced, unpriced = units(usage.cost), usage.input_tokens + usage.output_tokens, 0
        calls, given, made = usage.calls, usage.input_tokens, usage.output_tokens
        cached, written, thought = usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens
        self.calls += calls
        self.input_tokens += given
        self.output_tokens += made
        self.cached_tokens += cached
        self.cache_write_tokens += written
        self.reasoning_tokens += thought
        self.priced_tokens += priced
        self.unpriced_calls += unpriced
        self.cost_units += cost

    def take(self, other: Tally) -> None:
        """Add what another one has come to."""
        self.calls += other.calls
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cached_tokens += other.cached_tokens
        self.cache_write_tokens += other.cache_write_tokens
        self.reasoning_tokens += other.reasoning_tokens
        self.priced_tokens += other.priced_tokens
        self.unpriced_calls += other.unpriced_calls
        self.cost_units += other.cost_units

    @property
    def is_empty(self) -> bool:
        """Whether there was no call, and no correction of one."""
        return not (self.calls or self.cost_units)

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens

    @property
    def cost(self) -> Decimal | None:
        """In US dollars, as far as it is known; None where it is known of no call."""
        return None if not self.cost_units and self.unpriced_calls == self.calls else of_units(self.cost_units)

    @property
    def priced_ratio(self) -> float:
        """The part of the tokens that had a price; of calls without any tokens, the part of the calls."""
        if self.total_tokens:
            return self.priced_tokens / self.total_tokens
        return 1 - self.unpriced_calls / self.calls if self.calls else 1.0

    def __repr__(self) -> str:
        return f"<Tally of {self.calls} call(s): {self.input_tokens} in, {self.output_tokens} out, {self.cost} USD>"
