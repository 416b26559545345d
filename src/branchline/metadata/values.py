"""The metadata of a piece of work as frozen values, in schema 1.0, and as JSON and back again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from .. import metadata_documents as documents
from .sources import DataSource


def _known(kind: type, content: Mapping[str, Any]) -> dict[str, Any]:
    names = {entry.name for entry in fields(kind)} - {"extra"}
    return {name: value for name, value in content.items() if name in names}


def _others(kind: type, content: Mapping[str, Any]) -> dict[str, Any]:
    names = {entry.name for entry in fields(kind)} - {"extra"}
    return {name: value for name, value in content.items() if name not in names}


def _plain(value: Any, *, left_out: Iterable[str] = ()) -> dict[str, Any]:  # noqa: ANN401 - any of the values below
    own = {entry.name: getattr(value, entry.name) for entry in fields(value) if entry.name != "extra"}
    return {name: item for name, item in own.items() if name not in left_out or item} | dict(value.extra)


def _section(content: object) -> Mapping[str, Any]:
    return content if isinstance(content, Mapping) else {}


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """What the work was told to do; whatever else there is to say is in *extra*."""

    model: str = ""
    provider: str = ""
    persona_count: int = 0
    complexity: str = "moderate"
    detail_level: str = "standard"
    temperature: float = 0.7
    max_tokens: int = 4096
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values, with what is in *extra* beside the others."""
        return _plain(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` has made *content* of."""
        return cls(**_known(cls, content), extra=_others(cls, content))


@dataclass(frozen=True, kw_only=True)
class EnvironmentInfo:
    """What the work ran in."""

    python_version: str = ""
    platform: str = ""
    """``linux``, ``darwin`` or ``win32``."""
    platform_version: str = ""
    """Of the kernel."""
    timezone: str = "UTC"
    hostname: str = ""
    branchline_version: str = ""
    python_implementation: str = ""
    executable: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of the environment, those that are known to hold no secret."""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; a host without a name is left out."""
        return _plain(self, left_out=("hostname",)) | {"variables": dict(self.variables)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` has made *content* of."""
        return cls(**_known(cls, content), extra=_others(cls, content))


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What the calls of models took, as somebody has told."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_cost_usd: float = 0.0
    cost_per_persona: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return _plain(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` has made *content* of."""
        return cls(**_known(cls, content), extra=_others(cls, content))


@dataclass(frozen=True, kw_only=True)
class DataSources:
    """What the work has read."""

    sources: tuple[DataSource, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The paths, as they were named."""
        return tuple(source.path for source in self.sources)

    @property
    def total_files(self) -> int:
        """How many files that is, with those in folders and of patterns."""
        return sum(source.files for source in self.sources)

    @property
    def total_tokens(self) -> int:
        """How many tokens that is, as far as it was said."""
        return sum(source.tokens for source in self.sources)

    @property
    def total_bytes(self) -> int:
        """How many bytes that is."""
        return sum(source.size_bytes for source in self.sources)

    @property
    def checksums(self) -> dict[str, str]:
        """The checksum of each path."""
        return {source.path: source.checksum for source in self.sources if source.checksum}

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return documents.sources_document(source.to_dict() for source in self.sources)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` has made *content* of, or another writer of schema 1.0, who has only paths."""
        told = [source for source in content.get("sources") or () if isinstance(source, Mapping)]
        if told:
            return cls(sources=tuple(DataSource(**_known(DataSource, source)) for source in told))
        checksums = _section(content.get("checksums"))
        return cls(
            sources=tuple(
                DataSource(path=str(path), checksum=str(checksums.get(path, ""))) for path in content.get("files") or ()
            )
        )


_GENERATION: Final = ("experiment_id", "run_id", "timestamp_start", "timestamp_end", "duration_seconds")
_OWN_SECTIONS: Final = frozenset(
    {
        *("metadata_version", documents.GENERATION, documents.CONFIGURATION, documents.DATA_SOURCES),
        *(documents.ENVIRONMENT, documents.COSTS, documents.CHECKSUMS, documents.ERRORS, documents.WARNINGS),
        documents.SEEDS,
    }
)


@dataclass(frozen=True, kw_only=True)
class GenerationMetadata:
    """Everything that is known of a piece of work and of what it ran in."""

    experiment_id: str = ""
    run_id: str = ""
    timestamp_start: str = ""
    """ISO 8601 in UTC; empty for what was never started."""
    timestamp_end: str = ""
    duration_seconds: float = 0.0
    """By a clock that nobody sets."""
    configuration: GenerationConfig = field(default_factory=GenerationConfig)
    data_sources: DataSources = field(default_factory=DataSources)
    environment: EnvironmentInfo = field(default_factory=EnvironmentInfo)
    costs: Costs = field(default_factory=Costs)
    checksums: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seeds: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further sections: code, packages, process, machine, runtime."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values, in schema 1.0."""
        return {
            "metadata_version": documents.SCHEMA,
            documents.GENERATION: {key: getattr(self, key) for key in _GENERATION},
            documents.CONFIGURATION: self.configuration.to_dict(),
            documents.DATA_SOURCES: self.data_sources.to_dict(),
            documents.ENVIRONMENT: self.environment.to_dict(),
            documents.COSTS: self.costs.to_dict(),
            documents.CHECKSUMS: dict(self.checksums),
            documents.ERRORS: list(self.errors),
            documents.WARNINGS: list(self.warnings),
            documents.SEEDS: dict(self.seeds),
            **self.extra,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` has made *content* of; sections that nobody here knows are kept."""
        generation = _section(content.get(documents.GENERATION))
        return cls(
            **{key: generation[key] for key in _GENERATION if key in generation},
            configuration=GenerationConfig.from_dict(_section(content.get(documents.CONFIGURATION))),
            data_sources=DataSources.from_dict(_section(content.get(documents.DATA_SOURCES))),
            environment=EnvironmentInfo.from_dict(_section(content.get(documents.ENVIRONMENT))),
            costs=Costs.from_dict(_section(content.get(documents.COSTS))),
            checksums=dict(_section(content.get(documents.CHECKSUMS))),
            errors=tuple(content.get(documents.ERRORS) or ()),
            warnings=tuple(content.get(documents.WARNINGS) or ()),
            seeds=dict(_section(content.get(documents.SEEDS))),
            extra={key: value for key, value in content.items() if key not in _OWN_SECTIONS},
        )
