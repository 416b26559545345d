"""Usage as the journal has it: the attributes of its log event, what a span says of its own, and back again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

from . import names
from .money import CONTEXT, as_float, money, plain
from .tally import Tally
from .usage_values import TokenBreakdown, Usage


_PARTS: Final = ("system", "data", "instructions", "output", "other")
_COUNTS: Final = {
    "input_tokens": names.INPUT_TOKENS,
    "output_tokens": names.OUTPUT_TOKENS,
    "cached_tokens": names.CACHED_TOKENS,
    "cache_write_tokens": names.CACHE_WRITE_TOKENS,
    "reasoning_tokens": names.REASONING_TOKENS,
}
_KNOWN: Final = frozenset(_COUNTS.values())
# What instrumentations have called it, the newest first.
_SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "input_tokens": (names.INPUT_TOKENS, "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"),
    "output_tokens": (names.OUTPUT_TOKENS, "gen_ai.usage.completion_tokens", "llm.token_count.completion"),
    "cached_tokens": (
        names.CACHED_TOKENS,
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache_write_tokens": (
        names.CACHE_WRITE_TOKENS,
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    "reasoning_tokens": (
        names.REASONING_TOKENS,
        "gen_ai.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
}
_MODELS: Final = (names.MODEL, names.RESPONSE_MODEL, "llm.model_name")
_PROVIDERS: Final = (names.PROVIDER, "gen_ai.system", "llm.provider", "llm.system")
_TIERS: Final = ("openai.response.service_tier", "gen_ai.openai.response.service_tier")
_COSTS: Final = (names.COST_EXACT, names.COST_USD, "gen_ai.usage.cost", "operation.cost", "llm.cost.total")
# Whoever sets one of these says what a call took.
SPENDING_KEYS: Final = frozenset((*_SPELLINGS["input_tokens"], *_SPELLINGS["output_tokens"]))
SPENDING_PREFIXES: Final = ("gen_ai.usage.", "llm.token_count.")


def usage_attributes(usage: Usage) -> dict[str, Any]:
    """Return the attributes of the log event that keeps *usage*."""
    found: dict[str, Any] = {
        names.OPERATION: usage.operation,
        names.MODEL: usage.model,
        names.INPUT_TOKENS: usage.input_tokens,
        names.OUTPUT_TOKENS: usage.output_tokens,
    }
    if usage.provider is not None:
        found[names.PROVIDER] = usage.provider
    if usage.step is not None:
        found[names.STEP_NAME] = usage.step
    if usage.cost is not None:
        found[names.COST_USD] = as_float(usage.cost)
        found[names.COST_EXACT] = plain(usage.cost)
        found[names.COST_SOURCE] = usage.cost_source
    if usage.cached_tokens or usage.cache_write_tokens or usage.reasoning_tokens:
        found[names.CACHED_TOKENS] = usage.cached_tokens
        found[names.CACHE_WRITE_TOKENS] = usage.cache_write_tokens
        found[names.REASONING_TOKENS] = usage.reasoning_tokens
    if usage.latency is not None:
        found[names.USAGE_LATENCY] = usage.latency
    is_rare = usage.estimated is not None or usage.breakdown is not None or usage.service_tier is not None
    is_rare = is_rare or usage.calls != 1
    is_rare = is_rare or bool(usage.modalities or usage.labels)
    if is_rare or usage.response_id is not None or usage.response_model is not None:
        _add_rare(found, usage)
    return found


def _add_rare(found: dict[str, Any], usage: Usage) -> None:
    if usage.estimated is not None:
        found[names.COST_ESTIMATED] = plain(usage.estimated)
    if usage.response_model is not None:
        found[names.RESPONSE_MODEL] = usage.response_model
    if usage.service_tier is not None:
        found[names.USAGE_TIER] = usage.service_tier
    if usage.response_id is not None:
        found[names.RESPONSE_ID] = usage.response_id
    if usage.calls != 1:
        found[names.USAGE_CALLS] = usage.calls
    if usage.breakdown is not None:
        for part in _PARTS:
            found[names.BREAKDOWN_PREFIX + part] = getattr(usage.breakdown, part)
    for name, text in usage.labels.items():
        found[names.USAGE_LABEL_PREFIX + name] = text
    for kind, count in usage.modalities.items():
        found[names.GEN_AI_USAGE_PREFIX + kind] = count


def usage_of(
    attributes: Mapping[str, Any],
    *,
    usage_id: str,
    time_unix_nano: int,
    trace_id: str | None,
    span_id: str | None,
) -> Usage:
    """Return the usage that a log event with these *attributes* keeps."""
    parts = {part: _count(attributes.get(names.BREAKDOWN_PREFIX + part)) for part in _PARTS}
    latency = attributes.get(names.USAGE_LATENCY)
    return Usage(
        input_tokens=_count(attributes.get(names.INPUT_TOKENS)),
        output_tokens=_count(attributes.get(names.OUTPUT_TOKENS)),
        cached_tokens=_count(attributes.get(names.CACHED_TOKENS)),
        cache_write_tokens=_count(attributes.get(names.CACHE_WRITE_TOKENS)),
        reasoning_tokens=_count(attributes.get(names.REASONING_TOKENS)),
        model=_text(attributes, names.MODEL) or "",
        provider=_text(attributes, names.PROVIDER),
        operation=_text(attributes, names.OPERATION) or "chat",
        modalities=_modalities(attributes),
        cost=_money(attributes, names.COST_EXACT, names.COST_USD),
        estimated=_money(attributes, names.COST_ESTIMATED),
        cost_source=_text(attributes, names.COST_SOURCE),
        latency=float(latency) if isinstance(latency, int | float) else None,
        breakdown=TokenBreakdown(**parts) if any(parts.values()) else None,
        response_model=_text(attributes, names.RESPONSE_MODEL),
        response_id=_text(attributes, names.RESPONSE_ID),
        labels=_labels(attributes),
        service_tier=_text(attributes, names.USAGE_TIER),
        calls=_count(attributes.get(names.USAGE_CALLS, 1)),
        usage_id=usage_id,
        time_unix_nano=time_unix_nano,
        trace_id=trace_id,
        span_id=span_id,
        experiment=_text(attributes, names.EXPERIMENT_NAME),
        branch=_text(attributes, names.BRANCH_NAME),
        branch_id=_text(attributes, names.BRANCH_ID),
        step=_text(attributes, names.STEP_NAME),
    )


def span_usage(attributes: Mapping[str, Any]) -> Usage | None:
    """Return what a span says by its *attributes* that a call took, in any spelling; None where it says nothing."""
    if not any(key in attributes for key in SPENDING_KEYS):
        return None
    said = {kind: _count(_first(attributes, keys)) for kind, keys in _SPELLINGS.items()}
    cost = _money(attributes, *_COSTS)
    return Usage(
        input_tokens=said["input_tokens"],
        output_tokens=said["output_tokens"],
        cached_tokens=said["cached_tokens"],
        cache_write_tokens=said["cache_write_tokens"],
        reasoning_tokens=said["reasoning_tokens"],
        model=_text(attributes, *_MODELS) or "",
        provider=_text(attributes, *_PROVIDERS),
        operation=_text(attributes, names.OPERATION) or "chat",
        modalities=_modalities(attributes),
        cost=cost,
        cost_source=None if cost is None else names.GIVEN,
        response_model=_text(attributes, names.RESPONSE_MODEL),
        response_id=_text(attributes, names.RESPONSE_ID),
        service_tier=_text(attributes, *_TIERS),
    )


def own_attributes(tally: Tally, labels: Iterable[Labels], modalities: Mapping[str, int]) -> dict[str, Any]:
    """Return what a span says of its own calls: what they come to, and what they all had in common."""
    found = {key: value for kind, key in _COUNTS.items() if (value := getattr(tally, kind)) or key in _ALWAYS}
    for key, values in zip(_LABELS, zip(*labels, strict=True), strict=True):
        # Of several models no single one is the model.
        if len(set(values)) == 1 and values[0]:
            found[key] = values[0]
    for kind, count in modalities.items():
        found[names.GEN_AI_USAGE_PREFIX + kind] = count
    return found | cost_attributes(tally)


# Operation, provider, model.
Labels = tuple[str, str | None, str]
_LABELS: Final = (names.OPERATION, names.PROVIDER, names.MODEL)
_ALWAYS: Final = (names.INPUT_TOKENS, names.OUTPUT_TOKENS)


def cost_attributes(tally: Tally) -> dict[str, Any]:
    """Return what a span says of the cost of its own *tally*."""
    cost = tally.cost
    priced = {names.PRICED_RATIO: tally.priced_ratio}
    return priced if cost is None else {names.COST_USD: as_float(cost), **priced}


def total_attributes(tally: Tally) -> dict[str, Any]:
    """Return what a step, branch or experiment says of the *tally* of all that it and what is inside took."""
    found = {
        names.TOTAL_INPUT_TOKENS: tally.input_tokens,
        names.TOTAL_OUTPUT_TOKENS: tally.output_tokens,
        names.TOTAL_PRICED_RATIO: tally.priced_ratio,
    }
    cost = tally.cost
    return found if cost is None else {**found, names.TOTAL_COST_USD: as_float(cost)}


# ── values ────────────────────────────────────────────────────────────────────────────────────────


def _first(attributes: Mapping[str, Any], keys: Iterable[str]) -> object:
    return next((attributes[key] for key in keys if key in attributes), None)


def _count(value: object) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**63:
        return int(value)
    return 0


def _text(attributes: Mapping[str, Any], *keys: str) -> str | None:
    found = _first(attributes, keys)
    return found if isinstance(found, str) and found else None


def _money(attributes: Mapping[str, Any], *keys: str) -> Decimal | None:
    found = _first(attributes, keys)
    if isinstance(found, str | int | float) and not isinstance(found, bool):
        with suppress(ValueError, OverflowError):
            # A correction may take something back.
            is_taken_back = isinstance(found, str) and found.startswith("-")
            return CONTEXT.minus(money(found[1:])) if is_taken_back else money(found)  # type: ignore[index]  # text
    return None


def _labels(attributes: Mapping[str, Any]) -> dict[str, str]:
    return {
        key.removeprefix(names.USAGE_LABEL_PREFIX): str(value)
        for key, value in attributes.items()
        if key.startswith(names.USAGE_LABEL_PREFIX)
    }


def _modalities(attributes: Mapping[str, Any]) -> dict[str, int]:
    return {
        key.removeprefix(names.GEN_AI_USAGE_PREFIX): _count(value)
        for key, value in attributes.items()
        if key.startswith(names.GEN_AI_USAGE_PREFIX) and key.count(".") == 3 and _is_modality(key)
    }


def _is_modality(key: str) -> bool:
    return key not in _KNOWN and key.split(".")[2] in ("text", "image", "audio", "video")
