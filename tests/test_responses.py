"""Responses: the tokens that the answer of a provider says it took, the same from an object and from a mapping."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import genai_prices
import pytest

import branchline as bl
from branchline.responses import Reading, reading
from branchline.testing import capture


OPENAI_CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-4o-2024-08-06",
    "usage": {
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "total_tokens": 1200,
        "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 64, "audio_tokens": 3},
    },
}
OPENAI_RESPONSES = {
    "id": "resp_1",
    "object": "response",
    "model": "gpt-4o-2024-08-06",
    "usage": {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 400},
        "output_tokens": 200,
        "output_tokens_details": {"reasoning_tokens": 64},
    },
}
OPENAI_EMBEDDINGS = {
    "object": "list",
    "model": "text-embedding-3-small",
    "usage": {"prompt_tokens": 8, "total_tokens": 8},
}
ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "model": "claude-sonnet-4-5",
    "usage": {
        "input_tokens": 500,
        "cache_read_input_tokens": 400,
        "cache_creation_input_tokens": 100,
        "output_tokens": 200,
    },
}
GOOGLE = {
    "modelVersion": "gemini-2.5-pro",
    "responseId": "g1",
    "usageMetadata": {
        "promptTokenCount": 900,
        "cachedContentTokenCount": 300,
        "candidatesTokenCount": 150,
        "thoughtsTokenCount": 50,
        "toolUsePromptTokenCount": 100,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 880}, {"modality": "IMAGE", "tokenCount": 20}],
        "totalTokenCount": 1200,
    },
}
BEDROCK = {
    "usage": {
        "inputTokens": 500,
        "outputTokens": 200,
        "totalTokens": 1200,
        "cacheReadInputTokens": 400,
        "cacheWriteInputTokens": 100,
    }
}
MISTRAL = {
    "id": "m1",
    "object": "chat.completion",
    "model": "mistral-large-2411",
    "usage": {"prompt_tokens": 70, "completion_tokens": 30, "total_tokens": 100},
}
LITELLM = {
    "id": "l1",
    "model": "claude-sonnet-4-5",
    "usage": {
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "cache_read_input_tokens": 400,
        "cache_creation_input_tokens": 100,
    },
}

SHAPES = {
    "openai chat": (
        OPENAI_CHAT,
        Reading(
            1000,
            200,
            400,
            0,
            64,
            {"audio.input_tokens": 8, "audio.output_tokens": 3},
            model="gpt-4o-2024-08-06",
            response_id="chatcmpl-1",
        ),
    ),
    "openai responses": (
        OPENAI_RESPONSES,
        Reading(1000, 200, 400, 0, 64, model="gpt-4o-2024-08-06", response_id="resp_1"),
    ),
    "openai embeddings": (OPENAI_EMBEDDINGS, Reading(8, model="text-embedding-3-small", operation="embeddings")),
    "anthropic": (ANTHROPIC, Reading(1000, 200, 400, 100, model="claude-sonnet-4-5", response_id="msg_1")),
    "google": (
        GOOGLE,
        Reading(1000, 200, 300, 0, 50, {"image.input_tokens": 20}, model="gemini-2.5-pro", response_id="g1"),
    ),
    "bedrock": (BEDROCK, Reading(1000, 200, 400, 100, provider="aws.bedrock")),
    "mistral": (MISTRAL, Reading(70, 30, model="mistral-large-2411", response_id="m1")),
    "litellm": (LITELLM, Reading(1000, 200, 400, 100, model="claude-sonnet-4-5", response_id="l1")),
}


def as_object(value: Any) -> Any:
    """Return mappings as objects with attributes, as the providers' packages have them."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_object(item) for key, item in value.items()})
    return [as_object(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("response", "said"), SHAPES.values(), ids=SHAPES)
def test_every_shape(response, said):
    """
    Each provider's shape is understood: input with its caches, output with its reasoning.
    """
    assert (reading(response, None), reading(as_object(response), None)) == (said, said)


def test_googles_package_has_other_names():
    """
    Google's package calls in snake case what its wire has in camel case, and modalities are enums there.
    """
    image = SimpleNamespace(modality=SimpleNamespace(value="IMAGE"), token_count=20)
    usage = SimpleNamespace(prompt_token_count=900, candidates_token_count=100, prompt_tokens_details=[image])
    response = SimpleNamespace(usage_metadata=usage, model_version="gemini-2.5-pro", response_id="g1")

    assert reading(response, None) == Reading(
        900, 100, modalities={"image.input_tokens": 20}, model="gemini-2.5-pro", response_id="g1"
    )


@pytest.mark.parametrize(
    ("name", "provider", "flavor"),
    [
        ("openai chat", "openai", "chat"),
        ("openai responses", "openai", "responses"),
        ("openai embeddings", "openai", "embeddings"),
        ("anthropic", "anthropic", "default"),
        ("google", "google", "default"),
        ("bedrock", "aws", "default"),
        ("mistral", "mistral", "default"),
    ],
)
def test_it_is_what_genai_prices_extracts(name, provider, flavor):
    """
    The numbers are those that genai-prices finds in the same response.
    """
    response, said = SHAPES[name]
    usage = genai_prices.extract_usage(response, provider_id=provider, api_flavor=flavor).usage

    theirs = [getattr(usage, key, 0) for key in ("input_tokens", "output_tokens", "cache_read_tokens")]
    assert theirs == [said.input_tokens, said.output_tokens, said.cached_tokens]


def test_a_usage_by_itself_and_one_level_down():
    """
    What a stream ends with has the response one level down; a usage without a response is taken as well.
    """
    inner = reading({"type": "response.completed", "response": OPENAI_RESPONSES}, None)

    assert inner == SHAPES["openai responses"][1]
    assert reading({"prompt_tokens": 7, "completion_tokens": 2}, None) == Reading(7, 2)


def test_a_library_that_knows_the_cost():
    """
    LiteLLM's own cost and provider are taken over.
    """
    response = as_object(LITELLM)
    response._hidden_params = {"response_cost": 0.25, "custom_llm_provider": "anthropic"}
    with capture():
        usage = bl.record_usage(None, response=response)

    assert (usage.model, usage.provider, str(usage.cost), usage.cost_source) == (
        "claude-sonnet-4-5",
        "anthropic",
        "0.25",
        "given",
    )


class Raising:
    """A response that nobody can look at."""

    def __getattr__(self, name):
        raise RuntimeError(name)


@pytest.mark.parametrize(
    "make",
    [dict, list, str, object, MagicMock, Raising, lambda: {"usage": {"tokens": -1}}, lambda: {"usage": Raising()}],
)
def test_what_is_no_response(make, capfd):
    """
    What does not say what it took is told of, with what to do, and the rest of the call is recorded.
    """
    with capture() as captured:
        bl.record_usage("m", response=make(), output_tokens=5)

    [usage] = captured.usages
    assert (usage.model, usage.input_tokens, usage.output_tokens) == ("m", 0, 5)
    assert "does not say what it took: say provider=…, or give the numbers" in capfd.readouterr().err
