"""Responses: the tokens that the answer of a provider says it took, whatever its shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from . import prices


class Reading(NamedTuple):
    """What a response says."""

    input_tokens: int = 0
    """All that went in, caches included; some providers say it without."""
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    modalities: Mapping[str, int] = {}
    model: str | None = None
    provider: str | None = None
    operation: str | None = None
    response_id: str | None = None
    service_tier: str | None = None
    cost: object = None
    """What the library that made the call has worked out."""


def reading(response: object, provider: str | None) -> Reading | None:
    """Return what *response*, an object or a mapping, says; None where that is not understood.

    May raise whatever the response raises when it is looked at.
    """
    usage = _first(response, "usage", "usage_metadata", "usageMetadata", "meta")
    if usage is None:
        # What streams and realtime sessions end with has it one level down; a usage by itself is welcome as well.
        inner = _get(response, "response")
        usage = _get(inner, "usage")
        response = inner if usage is not None else response
    for read in _SHAPES:
        for source in (usage, response):
            found = None if source is None else read(source)
            if found is not None:
                return found._replace(**_around(response, found))
    return _extracted(response, provider)


def _around(response: object, found: Reading) -> dict[str, Any]:
    """Return what the response says besides its tokens."""
    hidden = _get(response, "_hidden_params")
    said = {
        "model": _text(response, "model", "model_version", "modelVersion"),
        "provider": _text(hidden, "custom_llm_provider"),
        "response_id": _text(response, "id", "response_id", "responseId"),
        "service_tier": _text(response, "service_tier") or _text(_get(response, "usage"), "service_tier"),
        "operation": "embeddings" if _get(response, "object") == "list" else None,
        "cost": _get(hidden, "response_cost"),
    }
    return {key: value for key, value in said.items() if value is not None and getattr(found, key) is None}


# ── the shapes, the more telling first ────────────────────────────────────────────────────────────


def _google(usage: object) -> Reading | None:
    given = _count(usage, "prompt_token_count", "promptTokenCount")
    if given is None:
        return None
    thought = _count(usage, "thoughts_token_count", "thoughtsTokenCount") or 0
    return Reading(
        given + (_count(usage, "tool_use_prompt_token_count", "toolUsePromptTokenCount") or 0),
        (_count(usage, "candidates_token_count", "candidatesTokenCount") or 0) + thought,
        _count(usage, "cached_content_token_count", "cachedContentTokenCount") or 0,
        0,
        thought,
        {
            **_listed(_first(usage, "prompt_tokens_details", "promptTokensDetails"), "input_tokens"),
            **_listed(_first(usage, "candidates_tokens_details", "candidatesTokensDetails"), "output_tokens"),
        },
    )


def _bedrock(usage: object) -> Reading | None:
    given = _count(usage, "inputTokens")
    if given is None:
        return None
    read = _count(usage, "cacheReadInputTokens") or 0
    written = _count(usage, "cacheWriteInputTokens") or 0
    made = _count(usage, "outputTokens") or 0
    return Reading(given + read + written, made, read, written, provider="aws.bedrock")


def _chat(usage: object) -> Reading | None:
    """Read what OpenAI's chat completions say, and Mistral, LiteLLM and many more with them."""
    given = _count(usage, "prompt_tokens")
    if given is None:
        return None
    inside = _get(usage, "prompt_tokens_details")
    made = _get(usage, "completion_tokens_details")
    cached = _count(inside, "cached_tokens")
    if cached is None:
        cached = _count(usage, "cache_read_input_tokens", "prompt_cache_hit_tokens", "cached_tokens")
    written = _count(inside, "cache_write_tokens", "cache_creation_tokens")
    if written is None:
        written = _count(usage, "cache_creation_input_tokens")
    return Reading(
        given,
        _count(usage, "completion_tokens") or 0,
        cached or 0,
        written or 0,
        _count(made, "reasoning_tokens") or 0,
        {**_modalities(inside, "input_tokens"), **_modalities(made, "output_tokens")},
    )


def _messages(usage: object) -> Reading | None:
    """Read what Anthropic says, which counts caches beside the input, and OpenAI's responses, which count them in."""
    given = _count(usage, "input_tokens")
    if given is None:
        return None
    read = _count(usage, "cache_read_input_tokens") or 0
    written = _count(usage, "cache_creation_input_tokens") or 0
    inside = _first(usage, "input_tokens_details", "input_token_details")
    made = _first(usage, "output_tokens_details", "output_token_details")
    return Reading(
        given + read + written,
        _count(usage, "output_tokens") or 0,
        read or _count(inside, "cached_tokens", "cache_read") or 0,
        written or _count(inside, "cache_write_tokens", "cache_creation") or 0,
        _count(made, "reasoning_tokens", "thinking_tokens", "reasoning") or 0,
        {**_modalities(inside, "input_tokens"), **_modalities(made, "output_tokens")},
    )


def _cohere(usage: object) -> Reading | None:
    billed = _first(usage, "billed_units", "tokens")
    given = _count(billed, "input_tokens")
    return None if given is None else Reading(given, _count(billed, "output_tokens") or 0)


_SHAPES: Final[tuple[Callable[[object], Reading | None], ...]] = (_google, _bedrock, _chat, _messages, _cohere)


def _extracted(response: object, provider: str | None) -> Reading | None:
    """Return what genai-prices finds in a response of *provider*."""
    found = None if provider is None else prices.extracted(_mapping(response), provider)
    if found is None:
        return None
    tokens = {name: _count(found, name) or 0 for name in ("input_tokens", "output_tokens", "cache_read_tokens")}
    return Reading(
        tokens["input_tokens"],
        tokens["output_tokens"],
        tokens["cache_read_tokens"],
        _count(found, "cache_write_tokens") or 0,
        _count(found, "output_reasoning_tokens") or 0,
        model=_text(response, "model"),
        response_id=_text(response, "id"),
    )


# ── looking inside ────────────────────────────────────────────────────────────────────────────────


def _get(source: object, name: str) -> object:
    if source is None:
        return None
    return source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)


def _first(source: object, *keys: str) -> object:
    return next((value for key in keys if (value := _get(source, key)) is not None), None)


def _count(source: object, *keys: str) -> int | None:
    """Return the first of these that is a number of tokens."""
    for key in keys:
        value = _get(source, key)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and value == int(value):
            return int(value)
    return None


def _text(source: object, *keys: str) -> str | None:
    return next((value for key in keys if isinstance(value := _get(source, key), str) and value), None)


def _modalities(details: object, what: str) -> dict[str, int]:
    found = {kind: _count(details, f"{kind}_tokens", kind) for kind in ("audio", "image")}
    return {f"{kind}.{what}": count for kind, count in found.items() if count}


def _listed(details: object, what: str) -> dict[str, int]:
    """Return the modalities that Google lists one by one, but text."""
    found: dict[str, int] = {}
    for item in details if isinstance(details, list | tuple) else ():
        modality = _get(item, "modality")
        kind = str(getattr(modality, "value", modality)).lower()
        count = _count(item, "token_count", "tokenCount")
        if count and kind != "text":
            found[f"{kind}.{what}"] = found.get(f"{kind}.{what}", 0) + count
    return found


def _mapping(response: object) -> object:
    dump = getattr(response, "model_dump", None)
    return dump() if callable(dump) else response
