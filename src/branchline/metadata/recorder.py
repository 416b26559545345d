"""The metadata recorder: what a piece of work was told, has read and took, and what it ran in."""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from .. import metadata_documents as documents
from ..current import CURRENT, MetadataTaker, current_identity
from ..metric_values import freeze_number
from ..standing_redaction import standing_redactor
from ..values import freeze
from .gathering import Gathering, origin
from .sources import data_source
from .values import Costs, DataSources, EnvironmentInfo, GenerationConfig, GenerationMetadata


_log: Final = logging.getLogger("branchline.metadata")

# What git may take; whoever asks for the metadata waits no longer.
_FACTS_SECONDS: Final = 10.0
_NUMBERS: Final = itertools.count()


class MetadataRecorder:
    """Records the metadata of one piece of work: its configuration, data, seeds, costs, and its environment.

    The environment is captured at once. While a run is being recorded, everything said here is part of the run's
    metadata as well; *run_id* and *experiment_id* are then those of the run, unless they are given. Secrets are taken
    out of everything. No method but ``save`` raises.
    """

    def __init__(self, experiment_id: str = "", run_id: str = "") -> None:
        """Begin with what there is to know of the process."""
        self._taker: MetadataTaker | None = CURRENT.metadata
        self._facts = (Gathering(origin(), standing_redactor()) if self._taker is None else self._taker).facts
        self._number = next(_NUMBERS)
        self._lock = threading.RLock()
        self._began: float | None = None
        self._has_config = self._has_costs = False
        self._metadata = GenerationMetadata(
            experiment_id=_text(experiment_id) or current_identity().experiment_name or "",
            run_id=_text(run_id) or CURRENT.run_id or "",
        )

    def start(self) -> None:
        """Begin to measure how long it takes."""
        with self._lock:
            self._began = time.monotonic()
            self._metadata = replace(self._metadata, timestamp_start=_now(), timestamp_end="", duration_seconds=0.0)

    def finish(self) -> GenerationMetadata:
        """End measuring, and return the metadata. What was never started took no time."""
        with self._lock:
            passed = 0.0 if self._began is None else time.monotonic() - self._began
            self._metadata = replace(self._metadata, timestamp_end=_now(), duration_seconds=passed)
        return self.get_metadata()

    def get_metadata(self) -> GenerationMetadata:
        """Return the metadata as it is now."""
        facts = dict(self._facts(_FACTS_SECONDS))
        environment = EnvironmentInfo.from_dict(facts.pop(documents.ENVIRONMENT, {}))
        with self._lock:
            return replace(self._metadata, environment=environment, extra=facts)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the metadata to the file *path* as JSON, in one step, and return where.

        Raises:
            OSError: where it cannot be written.
        """
        place = Path(path)
        text = json.dumps(self.get_metadata().to_dict(), indent=2, ensure_ascii=False)
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(f"{text}\n")
            Path(temporary).replace(place)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return place

    # ── what there is to say ──────────────────────────────────────────────────────────────────────

    def set_config(
        self,
        model: str = "",
        provider: str = "",
        persona_count: int = 0,
        complexity: str = "moderate",
        detail_level: str = "standard",
        temperature: float = 0.7,
        max_tokens: int = 4096,
        **extra: object,
    ) -> None:
        """Say what the work was told to do; *extra* is whatever else there is."""
        own = {
            "model": model,
            "provider": provider,
            "persona_count": persona_count,
            "complexity": complexity,
            "detail_level": detail_level,
            "temperature": temperature,
            "max_tokens": max_tokens,
        }
        self._has_config = True
        self._change(configuration=GenerationConfig.from_dict(_clean(documents.CONFIGURATION, own | extra)))

    def add_data_source(
        self,
        path: str | os.PathLike[str],
        tokens: int = 0,
        size_bytes: int = 0,
        checksum: str = "",
        *,
        is_hashed: bool = True,
    ) -> None:
        """Say what the work reads: a file, a folder or a pattern such as ``data/*.csv``.

        Its content is read and hashed, piece by piece, unless *checksum* says what it is or *is_hashed* that nobody
        wants to know; its size and time are looked at. *tokens* and *size_bytes* count more than what is found.
        """
        try:
            found = data_source(path, is_hashed=is_hashed and not checksum)
            if found.kind == "missing" and not checksum:
                _log.warning("%s cannot be read, and is recorded without a checksum", found.path)
            source = replace(
                found,
                path=standing_redactor().text(found.path),
                tokens=_whole(tokens),
                size_bytes=_whole(size_bytes) or found.size_bytes,
                checksum=_text(checksum) or found.checksum,
            )
        except Exception as error:  # whatever the user gave: recording never raises
            _log.warning("a source of data is left out: %s", type(error).__name__)
            return
        with self._lock:
            self._change(data_sources=DataSources(sources=(*self._metadata.data_sources.sources, source)))

    def set_costs(
        self, input_tokens: int = 0, output_tokens: int = 0, total_cost_usd: float = 0.0, **extra: object
    ) -> None:
        """Say what it took; what one persona cost follows from the configuration, whichever is said first."""
        self._has_costs = True
        self._change(
            costs=Costs(
                input_tokens=_whole(input_tokens),
                output_tokens=_whole(output_tokens),
                total_cost_usd=_number(total_cost_usd),
                extra=_clean(documents.COSTS, extra),
            )
        )

    def add_checksum(self, name: str, value: str) -> None:
        """Keep the checksum *value* of whatever *name* is."""
        cleaned = _clean(documents.CHECKSUMS, {_text(name): _text(value)})
        with self._lock:
            self._change(checksums={**self._metadata.checksums, **cleaned})

    def record_seed(self, name: str, value: object) -> None:
        """Say with which *value* the generator of random numbers called *name* began: ``record_seed("numpy", 7)``."""
        with self._lock:
            self._change(seeds={**self._metadata.seeds, **_clean(documents.SEEDS, {_text(name): value})})

    def add_error(self, error: str | BaseException) -> None:
        """Keep that something went wrong."""
        with self._lock:
            self._change(errors=(*self._metadata.errors, standing_redactor().text(_told(error))))

    def add_warning(self, warning: str) -> None:
        """Keep that something may be wrong."""
        with self._lock:
            self._change(warnings=(*self._metadata.warnings, standing_redactor().text(_told(warning))))

    def _change(self, **changed: Any) -> None:  # noqa: ANN401 - the fields of GenerationMetadata
        with self._lock:
            metadata = replace(self._metadata, **changed)
            # Whatever somebody has said it is.
            count: object = metadata.configuration.persona_count
            each = metadata.costs.total_cost_usd / count if isinstance(count, int) and count > 0 else 0.0
            self._metadata = replace(metadata, costs=replace(metadata.costs, cost_per_persona=each))
            if self._taker is not None:
                self._taker.take(self._number, self._said)

    def _said(self) -> dict[str, Any]:
        """Return what somebody has said, and nothing of what is only a default."""
        whole = self._metadata.to_dict()
        sections = (
            *([documents.CONFIGURATION] if self._has_config else []),
            *([documents.COSTS] if self._has_costs else []),
            *([documents.DATA_SOURCES] if self._metadata.data_sources.sources else []),
            *(documents.CHECKSUMS, documents.SEEDS, documents.ERRORS, documents.WARNINGS),
        )
        said = {section: whole[section] for section in sections if whole[section]}
        own_id = self._metadata.experiment_id
        return said | ({documents.GENERATION: {"experiment_id": own_id}} if own_id else {})

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        if error is not None:
            self.add_error(error)
        self.finish()

    def __repr__(self) -> str:
        return f"<MetadataRecorder of {self._metadata.experiment_id or 'no experiment'}>"


def record_metadata(
    experiment_id: str,
    run_id: str,
    config: Mapping[str, Any],
    data_files: Iterable[str | os.PathLike[str]],
    costs: Mapping[str, Any] | None = None,
) -> GenerationMetadata:
    """Return the metadata of a piece of work that is done, all in one call. Never raises."""
    recorder = MetadataRecorder(experiment_id, run_id)
    recorder.start()
    _said_with(recorder.set_config, config)
    for path in data_files:
        recorder.add_data_source(path)
    if costs:
        _said_with(recorder.set_costs, costs)
    return recorder.finish()


def _said_with(say: Callable[..., None], arguments: Mapping[str, Any]) -> None:
    try:
        say(**{str(name): value for name, value in arguments.items()})
    except Exception as error:  # whatever the user gave: recording never raises
        _log.warning("%s takes no %s; accepted: a mapping", say.__name__, type(error).__name__)


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _clean(section: str, content: Mapping[str, object]) -> dict[str, Any]:
    """Return *content* as JSON values, without what is secret in it."""
    frozen = {name: freeze(value) for name, value in content.items()}
    cleaned: dict[str, Any] = documents.redacted({section: frozen}, standing_redactor())[section]
    return cleaned


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(freeze(value))


def _told(what: object) -> str:
    return _text(what)


def _whole(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _number(value: object) -> float:
    number = freeze_number(value)
    return float(number) if math.isfinite(number) else 0.0
