"""What some calls of models came to, as a frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What some calls of models came to."""

    calls: int = 0
    input_tokens: int = 0
    """All that went in, caches included."""
    output_tokens: int = 0
    """All that came out, reasoning included."""
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal | None = None
    """In US dollars, as far as it is known; None where it is known of no call."""
    priced_ratio: float = 1.0
    """The part of the tokens that the cost is of."""

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens

    def __bool__(self) -> bool:
        return bool(self.calls or self.cost)


NOTHING: Final = Spending()
