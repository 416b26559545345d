"""The metadata of a run as a document: its sections, how several become one, and what is taken out of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from .redaction import Redactor


SCHEMA: Final = "1.0"

GENERATION: Final = "generation"
CONFIGURATION: Final = "configuration"
DATA_SOURCES: Final = "data_sources"
ENVIRONMENT: Final = "environment"
COSTS: Final = "costs"
CHECKSUMS: Final = "checksums"
ERRORS: Final = "errors"
WARNINGS: Final = "warnings"
SEEDS: Final = "seeds"
CODE: Final = "code"
PACKAGES: Final = "packages"
PROCESS: Final = "process"
MACHINE: Final = "machine"
RUNTIME: Final = "runtime"

# Of several recorders, costs add up; what is per item of one of them cannot.
_SUMS: Final = ("input_tokens", "output_tokens", "total_cost_usd")
_CHECKSUM: Final = r"[a-z0-9_-]{2,16}:[0-9a-f]{8,128}"
# What no user has named: names of packages would be taken for keys, and `google-auth` for one that is secret.
_OUR_OWN: Final = frozenset({"metadata_version", PACKAGES})


def empty() -> dict[str, Any]:
    """Return the document of something about which nothing is known, with every section of the schema."""
    return {
        "metadata_version": SCHEMA,
        GENERATION: {},
        CONFIGURATION: {},
        DATA_SOURCES: sources_document(()),
        ENVIRONMENT: {},
        COSTS: {},
        CHECKSUMS: {},
        ERRORS: [],
        WARNINGS: [],
        SEEDS: {},
    }


def merged(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what several *documents* say together; of what two of them say differently, the later counts."""
    whole: dict[str, Any] = {}
    costs: list[Mapping[str, Any]] = []
    sources: dict[str, Mapping[str, Any]] = {}
    for document in documents:
        for section, content in document.items():
            known = whole.get(section)
            if section == COSTS and isinstance(content, Mapping) and content:
                costs.append(content)
            elif section == DATA_SOURCES:
                sources |= {str(source.get("path")): source for source in _sources(content)}
            elif isinstance(known, dict) and isinstance(content, Mapping):
                known |= content
                continue
            elif isinstance(known, list) and isinstance(content, list | tuple):
                known += content
                continue
            # A copy: what is joined to it later is no part of the document that it came from.
            whole[section] = _copied(content)
    if costs:
        whole[COSTS] = _summed(costs)
    if DATA_SOURCES in whole:
        whole[DATA_SOURCES] = sources_document(sources.values())
    return whole


def _copied(content: Any) -> Any:  # noqa: ANN401 - whatever a document holds
    if isinstance(content, Mapping):
        return dict(content)
    return list(content) if isinstance(content, list | tuple) else content


def _summed(costs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if len(costs) == 1:
        return dict(costs[0])
    numbers = {key: [cost[key] for cost in costs if isinstance(cost.get(key), int | float)] for key in _SUMS}
    # Dollars as floats: ten times ten cents are a dollar.
    return {key: sum(found) if key.endswith("tokens") else math.fsum(found) for key, found in numbers.items() if found}


def _sources(content: object) -> list[Mapping[str, Any]]:
    found = content.get("sources") if isinstance(content, Mapping) else None
    return [source for source in found if isinstance(source, Mapping)] if isinstance(found, list | tuple) else []


def sources_document(sources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the section on data: each of its *sources*, and what they come to."""
    listed = [dict(source) for source in sources]
    return {
        "files": [source.get("path") for source in listed],
        "total_files": sum(_count(source, "files") for source in listed),
        "total_tokens": sum(_count(source, "tokens") for source in listed),
        "total_bytes": sum(_count(source, "size_bytes") for source in listed),
        "checksums": {source.get("path"): source["checksum"] for source in listed if source.get("checksum")},
        "sources": listed,
    }


def _count(source: Mapping[str, Any], key: str) -> int:
    value = source.get(key)
    return value if isinstance(value, int) else 0


# ── what is taken out ─────────────────────────────────────────────────────────────────────────────


def redacted(document: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """Return *document* without what is secret in it."""
    return {
        section: _copied(content) if section in _OUR_OWN else _redacted(section, content, redactor)
        for section, content in document.items()
    }


def _redacted(key: str, value: Any, redactor: Redactor) -> Any:  # noqa: ANN401 - whatever a document holds
    if isinstance(value, Mapping | list | tuple) and redactor.is_secret(key):
        # Whatever stands in it.
        return redactor.value(key, value)
    if isinstance(value, Mapping):
        return {redactor.text(str(name)): _redacted(str(name), item, redactor) for name, item in value.items()}
    if isinstance(value, str) and re.fullmatch(_CHECKSUM, value):
        # Of a file that is called `session`, it is no secret.
        return value
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        return [_redacted(key, item, redactor) for item in value]
    return _plain(redactor.value(key, value))


def _plain(value: Any) -> Any:  # noqa: ANN401 - the same
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
