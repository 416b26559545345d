"""Prices: what the tokens of a model cost on a day, from the user's own list or from the data of genai-prices.

That package ships its data; nothing here asks a network for newer ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from contextvars import copy_context
from datetime import UTC, datetime
from decimal import Decimal
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

from .money import CONTEXT, of_units, units
from .price_list import ModelPrice, PriceList


CONFIGURED: Final = "configured"
_DAY_NS: Final = 86_400 * 1_000_000_000
_MINUTE_NS: Final = 60 * 1_000_000_000
_FOR_EVER: Final = 1 << 63
_MOST_KNOWN: Final = 4_096

# What OpenTelemetry and others call providers, where genai-prices does not know them by that name.
_PROVIDERS: Final[Mapping[str, str]] = {
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "gcp.gen_ai": "google",
    "x_ai": "x-ai",
    "fireworks_ai": "fireworks",
    "voyage": "voyageai",
}
# Of models that say whose they are by their name alone, where genai-prices does not take that for enough.
_BY_PREFIX: Final = (("text-embedding-", "openai"), ("dall-e-", "openai"), ("whisper-", "openai"), ("tts-", "openai"))
# How the package calls ways of being served that are no tiers there.
_SERVED: Final = {"batch": {"processing": "batch"}, "standard": None, "auto": None}
_REGION: Final = re.compile(r"(us|eu|apac|au|jp|ca|us-gov|global)\.(?=[a-z0-9-]+\.)")


class Row(NamedTuple):
    """Prices of one token, in the smallest units of money; None where there is none of its own."""

    input: int | None
    output: int | None
    cached: int | None
    cache_write: int | None
    reasoning: int | None


class Rates:
    """What the tokens of one model cost."""

    __slots__ = ("_base", "_steps", "model", "provider", "request_units", "source")

    def __init__(
        self,
        base: Row,
        steps: tuple[tuple[int, Row], ...] = (),
        *,
        model: str,
        provider: str | None,
        source: str,
        request_units: int = 0,
    ) -> None:
        """Charge *base*; for a call with more input than a step says, all of it as that step does, highest first."""
        self._base = base
        self._steps = steps
        self.model = model
        self.provider = provider
        self.source = source
        self.request_units = request_units

    def cost(self, given: int, made: int, cached: int, written: int, thought: int) -> Decimal | None:
        """Return what a call costs that was *given* and *made* so many tokens; None where a price is missing."""
        row = self._base
        for start, above in self._steps:
            if given > start:
                row = above
                break
        input_price, output_price, cached_price, write_price, thought_price = row
        if (given and input_price is None) or (made and output_price is None):
            return None
        total = self.request_units
        if cached and cached_price is not None:
            total += cached * cached_price
            given -= cached
        if written and write_price is not None:
            total += written * write_price
            given -= written
        if thought and thought_price is not None:
            total += thought * thought_price
            made -= thought
        if given > 0 and input_price is not None:
            total += given * input_price
        if made > 0 and output_price is not None:
            total += made * output_price
        return of_units(total)

    def rows(self) -> Iterator[tuple[int, Mapping[str, Decimal]]]:
        """Yield, from how many input tokens on, what a million tokens of which kind cost; the smallest start first."""
        for start, row in ((0, self._base), *reversed(self._steps)):
            yield (
                start,
                {
                    kind: CONTEXT.scaleb(of_units(price), 6)
                    for kind, price in row._asdict().items()
                    if price is not None
                },
            )

    def __repr__(self) -> str:
        return f"<Rates of {self.model!r} from {self.source}>"


class Prices:
    """Finds what models cost; what was found once is remembered for its day."""

    def __init__(self, listed: PriceList | None = None) -> None:
        """Go by what is *listed*, then by genai-prices, where it is installed."""
        self._listed = {name: _listed_rates(name, price) for name, price in (listed or {}).items()}
        # By model and provider: the rates, and the time from which and until which they hold.
        self._known: dict[tuple[str, str | None, str | None], tuple[Rates | None, int, int]] = {}

    def rates(
        self, model: str, provider: str | None, time_unix_nano: int, service_tier: str | None = None
    ) -> Rates | None:
        """Return what *model* costs at that time, served that way; None where nobody knows."""
        known = self._known.get((model, provider, service_tier))
        if known is None or not known[1] <= time_unix_nano < known[2]:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._found(model, provider, time_unix_nano, service_tier)
            self._known[model, provider, service_tier] = known
        return known[0]

    def _found(
        self, model: str, provider: str | None, time_unix_nano: int, service_tier: str | None
    ) -> tuple[Rates | None, int, int]:
        name = model.lower()
        listed = self._listed.get(f"{provider.lower()}/{name}") if provider else None
        listed = listed or self._listed.get(name)
        if listed is not None:
            return listed, 0, _FOR_EVER
        rates, length = None, _DAY_NS
        if is_installed():
            # The package asks for this thread's decimal context; a copy can be thrown away.
            rates, length = copy_context().run(_shipped_rates, name, provider, time_unix_nano, service_tier)
        since = time_unix_nano // length * length
        return rates, since, since + length


def is_installed() -> bool:
    """Whether the extra ``prices`` is there."""
    return find_spec("genai_prices") is not None


def _listed_rates(name: str, price: ModelPrice) -> Rates:
    provider, _, model = name.rpartition("/")
    row = Row(*map(_token_units, (price.input, price.output, price.cached, price.cache_write, price.reasoning)))
    return Rates(row, model=model, provider=provider or None, source=CONFIGURED)


def _token_units(price: Any) -> int | None:  # noqa: ANN401  # of the package, which has more kinds of prices than we take
    """Return a *price* of a million tokens as the smallest units for one."""
    return units(CONTEXT.scaleb(price, -6)) if isinstance(price, Decimal) else None


# ── genai-prices ──────────────────────────────────────────────────────────────────────────────────


def _shipped_rates(
    model: str, provider: str | None, time_unix_nano: int, service_tier: str | None
) -> tuple[Rates | None, int]:
    """Return what the package says of *model*, and for how long, in nanoseconds."""
    # Optional, and it takes a third of a second: whoever has no tokens to price does not pay for it.
    import genai_prices

    served = _SERVED.get(service_tier or "", {"service_tier": service_tier}) if service_tier else None
    when = datetime.fromtimestamp(time_unix_nano // 1_000_000_000, UTC)
    for name, whose in _references(model, provider):
        with suppress(Exception):  # it raises several kinds for what it does not know
            nothing = genai_prices.Usage()
            found: Any = genai_prices.calc_price(
                nothing, name, provider_id=whose, genai_request_timestamp=when, price_context=served
            )
            rates = _rates_of(found, f"genai-prices {genai_prices.__version__}")
            return rates, _MINUTE_NS if _depends_on_hour(found.model) else _DAY_NS
    return None, _DAY_NS


def _references(model: str, provider: str | None) -> Iterator[tuple[str, str | None]]:
    """Yield the names under which a model may be known, the likeliest first, with the provider to look with."""
    whose = None if provider is None else _PROVIDERS.get(provider.lower(), provider.lower())
    yield model, whose
    head, _, tail = model.partition("/")
    if tail:
        # As LiteLLM and OpenRouter name them: a provider in front, or two.
        yield tail, _PROVIDERS.get(head, head)
        yield from _references(tail, None) if "/" in tail else ((tail, None),)
    if _REGION.match(model) or model.startswith(("anthropic.", "amazon.", "meta.", "mistral.", "cohere.")):
        yield model, "aws"
    for prefix, owner in _BY_PREFIX:
        if model.startswith(prefix):
            yield model, owner


def _rates_of(found: Any, source: str) -> Rates:  # noqa: ANN401  # the package's own types
    price = found.model_price
    each = [
        getattr(price, key, None)
        for key in ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "output_reasoning_mtok")
    ]
    starts = sorted({tier.start for one in each for tier in getattr(one, "tiers", ())}, reverse=True)
    requests = _token_units(getattr(price, "requests_kcount", None))
    return Rates(
        Row(*(_token_units(_above(one, -1)) for one in each)),
        tuple((start, Row(*(_token_units(_above(one, start)) for one in each))) for start in starts),
        model=found.model.id,
        provider=found.provider.id,
        source=source,
        # Of a thousand, not a million.
        request_units=0 if requests is None else requests * 1_000,
    )


def _above(price: Any, start: int) -> Any:  # noqa: ANN401  # the same
    """Return what a *price* is for calls of more input than *start*."""
    if not hasattr(price, "tiers"):
        return price
    reached = [tier.price for tier in price.tiers if tier.start <= start]
    return reached[-1] if reached else price.base


def _depends_on_hour(model: Any) -> bool:  # noqa: ANN401  # the same
    conditions = model.prices if isinstance(model.prices, list) else ()
    return any(hasattr(condition.constraint, "start_time") for condition in conditions)


def extracted(response: object, provider: str) -> object:
    """Return the usage that the package finds in a *response* of that provider; None where it finds none."""
    if not is_installed():
        return None
    # As above.
    import genai_prices

    whose = _PROVIDERS.get(provider.lower(), provider.lower())
    for flavor in ("default", "chat", "responses", "embeddings", "anthropic"):
        with suppress(Exception):  # not of this flavor, or not a response
            return genai_prices.extract_usage(response, provider_id=whose, api_flavor=flavor).usage
    return None
