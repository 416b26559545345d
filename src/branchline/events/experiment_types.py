"""What can happen in an experiment, and how much it matters."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class LogLevel(StrEnum):
    """How much an event of an experiment matters."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"

    @classmethod
    def _missing_(cls, value: object) -> LogLevel | None:
        name = str(value).strip().lower()
        return next((level for level in cls if level.value == _LEVELS.get(name, name)), None)


_LEVELS: Final = {"warning": "warn"}


class EventType(StrEnum):
    """What happened; ``EventType("DATA_LOADED")`` and ``EventType("data_loaded")`` are the same."""

    EXPERIMENT_STARTED = "experiment_started"
    EXPERIMENT_COMPLETED = "experiment_completed"
    EXPERIMENT_FAILED = "experiment_failed"
    DATA_LOADED = "data_loaded"
    DATA_VALIDATED = "data_validated"
    GENERATION_STARTED = "generation_started"
    GENERATION_COMPLETED = "generation_completed"
    GENERATION_FAILED = "generation_failed"
    PERSONA_CREATED = "persona_created"
    PERSONA_VALIDATED = "persona_validated"
    OUTPUT_WRITTEN = "output_written"
    CONFIG_LOADED = "config_loaded"
    PROVIDER_INITIALISED = "provider_initialised"
    LLM_CALL_STARTED = "llm_call_started"
    LLM_CALL_COMPLETED = "llm_call_completed"
    LLM_CALL_FAILED = "llm_call_failed"
    CUSTOM = "custom"

    @classmethod
    def _missing_(cls, value: object) -> EventType | None:
        name = str(value).strip().lower()
        return next((kind for kind in cls if kind.value == _SPELLINGS.get(name, name)), None)


_SPELLINGS: Final = {"provider_initialized": "provider_initialised"}


def event_type(value: object) -> EventType | str:
    """Return what happened; a name of one's own stays a text."""
    try:
        return EventType(value)  # type: ignore[arg-type]  # raises for what is none
    except ValueError:
        return str(value)
