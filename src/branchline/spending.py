"""Spending: recording what a call of a model took."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from . import foreign, names, prices, responses
from .current import CURRENT
from .money import A_COST, money
from .price_list import PriceBook
from .recording import Identity, Recording, UsagePlace
from .usage_values import TokenBreakdown, Usage
from .values import freeze_name


_NOT_SAID: Final = "unknown"
_MOST: Final = 2**63
NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})


def record_usage(
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
    """Record what one call of a model took, and return that with its cost. Never raises.

    It adds up on the step and branch that this code is in.

    Args:
        model: As it was asked for; None: as the *response* calls it.
        input_tokens: All that went in, caches included.
        output_tokens: All that came out, reasoning included.
        cached_tokens: Of the input, what was read from a cache.
        cache_write_tokens: Of the input, what was written to a cache.
        reasoning_tokens: Of the output, what was only thought.
        provider: Whose model it is, as ``openai``, ``anthropic``, ``aws.bedrock``.
        breakdown: What the tokens were spent on.
        cost: In US dollars, where you know it; else what the tokens cost on this day.
        estimated: What it was expected to cost.
        latency: How long the call took, in seconds or as a timedelta.
        response: The answer of the provider, an object or a mapping: says what you leave out.
    """
    numbers = (input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens)
    return record_on(None, model, numbers, provider, breakdown, cost, estimated, latency, response)


def record_on(
    recording: Recording | None,
    model: str | None,
    numbers: tuple[int, int, int, int, int],
    provider: str | None,
    breakdown: TokenBreakdown | Mapping[str, int] | None,
    cost: Decimal | float | str | None,
    estimated: Decimal | float | str | None,
    latency: float | timedelta | None,
    response: object,
    labels: Mapping[str, str] = NO_LABELS,
) -> Usage:
    """Record what one call of a model took, for *recording* if given, wherever this is called."""
    recorder = CURRENT.recorder or foreign.recorder()
    place: UsagePlace = _Nowhere() if recorder is None else recorder.usage_place(recording)
    # A response is somebody else's object, which may raise whatever it is asked.
    said = None if response is None else _read(response, provider, place)
    modalities: Mapping[str, int] = {}
    operation = response_model = response_id = tier = None
    if said is not None:
        numbers = _either(numbers, said)
        response_model, response_id, tier = map(_named, (said.model, said.response_id, said.service_tier))
        modalities = said.modalities
        model, provider, operation = model or said.model, provider or said.provider, said.operation
        cost = said.cost if cost is None else cost  # type: ignore[assignment]  # whatever it is, it is looked at below
    name = _NOT_SAID if model is None else freeze_name(model)
    whose = None if provider is None else freeze_name(provider)
    given, made, cached, written, thought = counted = _counts(numbers, place)
    amount = None if cost is None else _money(cost, place)
    source: str | None = names.GIVEN
    if amount is None:
        amount, source = _worked_out(name, response_model, whose, tier, counted, place)
    identity = place.identity
    return place.take(
        Usage(
            name,
            whose,
            operation or ("embeddings" if "embed" in name else "chat"),
            given,
            made,
            cached,
            written,
            thought,
            amount,
            source,
            None if latency is None else _seconds(latency, place),
            None if breakdown is None else _broken_down(breakdown, given, made, place),
            None if estimated is None else _money(estimated, place),
            modalities,
            None if response_model == name else response_model,
            response_id,
            labels,
            tier,
            1,
            place.usage_id,
            place.time_unix_nano,
            place.trace_id,
            place.span_id,
            None if identity is None else identity.experiment_name,
            None if identity is None else identity.branch_name,
            None if identity is None else identity.branch_id,
            place.step,
        )
    )


class _Nowhere:
    """Where usage goes when nothing records: it is worth its price all the same."""

    trace_id: str | None = None
    span_id: str | None = None
    identity: Identity | None = None
    step: str | None = None
    usage_id = ""

    def __init__(self) -> None:
        self.time_unix_nano = time.time_ns()

    def remark(self, kind: str, text: str, about: str = "") -> None:
        """Say nothing: who does not record wants nothing said."""

    def take(self, usage: Usage) -> Usage:
        """Take nothing."""
        return usage


# ── what it costs ─────────────────────────────────────────────────────────────────────────────────


def known_prices() -> PriceBook:
    """Return who knows what models cost: what ``configure`` has set, else the data of the extra ``prices``."""
    book = CURRENT.prices
    if book is None:
        book = CURRENT.prices = prices.Prices()
    return book


def _worked_out(
    model: str,
    response_model: str | None,
    provider: str | None,
    tier: str | None,
    counted: tuple[int, ...],
    place: UsagePlace,
) -> tuple[Decimal | None, str | None]:
    given, made, cached, written, thought = counted
    try:
        book = CURRENT.prices or known_prices()
        rates = None
        if response_model is not None and response_model != model:
            # An alias is not what it was last month; what has answered is.
            rates = book.rates(response_model, provider, place.time_unix_nano, tier)
        rates = rates or book.rates(model, provider, place.time_unix_nano, tier)
        cost = None if rates is None else rates.cost(given, made, cached, written, thought)
    except Exception as error:  # somebody else's data
        place.remark("usage_price", f"the price of {model!r} cannot be looked up: {type(error).__name__}: {error}")
        return None, None
    if rates is None or cost is None:
        hint = "say it with configure(prices=…)"
        if not prices.is_installed():
            hint = f"install the extra prices (pip install 'branchline[prices]'), or {hint}"
        text = f"no price is known of the model {model!r}, and its tokens count as unpriced: {hint}"
        place.remark("usage_unpriced", text, about=model)
        return None, None
    return cost, rates.source


# ── what was said, as it can be recorded ──────────────────────────────────────────────────────────


def _counts(numbers: tuple[Any, ...], place: UsagePlace) -> tuple[int, int, int, int, int]:
    given, made, cached, written, thought = (
        # Without a call, because this is how it comes nearly always.
        number if type(number) is int and 0 <= number < _MOST else _count(number, place)
        for number in numbers
    )
    if cached + written > given or thought > made:
        text = (
            f"{cached:,} + {written:,} tokens of caches and {thought:,} of reasoning are more than the {given:,} in "
            f"and {made:,} out that they are part of: recorded as they are"
        )
        place.remark("usage_parts", text)
    return given, made, cached, written, thought


def _count(number: Any, place: UsagePlace) -> int:  # noqa: ANN401  # whatever the user gave
    if number is None:
        return 0
    try:
        count = int(number)
        if 0 <= count < _MOST and count == number:
            return count
    except Exception:  # the same
        count = 0
    place.remark("usage_tokens", "a number of tokens was none, and counts as 0; accepted: whole numbers from 0 on")
    return 0


def _money(value: object, place: UsagePlace) -> Decimal | None:
    try:
        return money(value)
    except Exception:  # whatever the user gave
        place.remark("usage_cost", f"a cost was none, and counts as not known; accepted: {A_COST}")
        return None


def _seconds(value: object, place: UsagePlace) -> float | None:
    try:
        seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)  # type: ignore[arg-type]
        if 0 <= seconds < _MOST:
            return seconds
    except Exception:  # the same
        seconds = -1.0
    place.remark("usage_latency", "a latency was none, and is left out; accepted: seconds from 0 on, or a timedelta")
    return None


def _broken_down(value: object, given: int, made: int, place: UsagePlace) -> TokenBreakdown | None:
    try:
        found = value if isinstance(value, TokenBreakdown) else TokenBreakdown(**value)  # type: ignore[arg-type]
        parts = (found.system, found.data, found.instructions, found.output, found.other)
        if any(part.__class__ is not int or not 0 <= part < _MOST for part in parts):
            raise ValueError
        is_whole = found.total_input in (0, given) and found.output in (0, made)
    except Exception:  # the same
        place.remark("usage_breakdown", "a breakdown was none, and is left out; accepted: a TokenBreakdown")
        return None
    if not is_whole:
        text = (
            f"a breakdown into {found.total_input:,} tokens in and {found.output:,} out was given for {given:,} in and "
            f"{made:,} out: both are recorded as they are"
        )
        place.remark("usage_breakdown_sum", text)
    return found


def _read(response: object, provider: str | None, place: UsagePlace) -> responses.Reading | None:
    try:
        found = responses.reading(response, provider if isinstance(provider, str) else None)
    except Exception:  # the response's own
        found = None
    if found is None:
        hint = "say provider=…, or give the numbers"
        if not prices.is_installed():
            hint = f"install the extra prices (pip install 'branchline[prices]') and {hint}"
        kind = type(response).__name__
        place.remark("usage_response", f"a response of type {kind} does not say what it took: {hint}", about=kind)
    return found


def _named(text: str | None) -> str | None:
    return None if text is None else freeze_name(text)


def _either(numbers: tuple[Any, ...], said: responses.Reading) -> Any:  # noqa: ANN401  # five of them, not looked at yet
    return tuple(number or read for number, read in zip(numbers, said[: len(numbers)], strict=True))
