"""Price lists: what a user says that models cost, in US dollars for a million tokens, and who else may know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Final, Protocol

from .money import money


A_PRICE_LIST: Final = (
    'a mapping of "model" or "provider/model" to its prices in US dollars for a million tokens: '
    "input, output, cached, cache_write, reasoning"
)


@dataclass(frozen=True, kw_only=True)
class ModelPrice:
    """What a million tokens of one model cost, in US dollars; None where it costs what the kind above it does."""

    input: Decimal | None = None
    output: Decimal | None = None
    cached: Decimal | None = None
    """Input that is read from a cache; else as ``input``."""
    cache_write: Decimal | None = None
    """Input that is written to a cache; else as ``input``."""
    reasoning: Decimal | None = None
    """Output that is only thought; else as ``output``."""


PriceList = Mapping[str, ModelPrice]
_KINDS: Final = tuple(field.name for field in fields(ModelPrice))


def price_list(value: object) -> PriceList:
    """Return what *value* says that models cost.

    Raises:
        ValueError, TypeError: for anything but a mapping of models to mappings of prices.
    """
    if not isinstance(value, Mapping):
        raise TypeError
    return {_name(model): _price(prices) for model, prices in value.items()}


def _name(model: object) -> str:
    if isinstance(model, str) and model.strip():
        return model.strip().lower()
    raise ValueError


def _price(prices: object) -> ModelPrice:
    if isinstance(prices, ModelPrice):
        return prices
    if not isinstance(prices, Mapping) or not prices or not set(prices) <= set(_KINDS):
        raise ValueError
    return ModelPrice(**{kind: money(price) for kind, price in prices.items()})


class PriceBook(Protocol):
    """Who knows what models cost."""

    def rates(
        self, model: str, provider: str | None, time_unix_nano: int, service_tier: str | None = None
    ) -> RatesLike | None:
        """Return what *model* costs at that time, served that way; None where nobody knows."""


class RatesLike(Protocol):
    """What the tokens of one model cost."""

    source: str

    def cost(self, given: int, made: int, cached: int, written: int, thought: int) -> Decimal | None:
        """Return what a call costs that was *given* and *made* so many tokens; None where a price is missing."""
