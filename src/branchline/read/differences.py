"""What is not the same in two runs: what they were told, what code they ran, on what data, and in what."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .. import metadata_documents as documents
from .pairing import paired
from .run import Run
from .values import Branch


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that is not the same in two runs; None where one of them has no such thing."""

    section: str
    """One of ``SECTIONS``."""
    name: str
    before: object = None
    after: object = None
    where: tuple[str, ...] = ()
    """The branches or steps that it is about; empty: the run as a whole."""


Document = Mapping[str, object]
Found = Iterator[Difference]


def differences(before: Run, after: Run) -> tuple[Difference, ...]:
    """Return what is not the same in two runs, the most important first."""
    old, new = before.metadata, after.metadata
    found: list[Difference] = [*_branches(before, after), *_models(before, after)]
    if old and new:
        for section, compare in _COMPARED.items():
            found += compare(section, _mapping(old.get(section)), _mapping(new.get(section)))
    order = {section: place for place, section in enumerate(SECTIONS)}
    return tuple(sorted(found, key=lambda difference: order[difference.section]))


def undescribed(*runs: Run) -> tuple[Run, ...]:
    """Return those of *runs* of which nobody has written down what they ran in."""
    return tuple(run for run in runs if not run.metadata)


# ── what they were told ───────────────────────────────────────────────────────────────────────────


def _branches(before: Run, after: Run) -> Found:
    pairs, gone, come = paired(before, after)
    changed: dict[tuple[str, object, object], list[str]] = {}
    for one, other in pairs:
        for name, values in _changed(_flat(one.config), _flat(other.config)):
            changed.setdefault((name, _hashable(values[0]), _hashable(values[1])), []).append(one.name)
    for (name, old, new), branches in changed.items():
        where = () if len(branches) == len(pairs) and not gone and not come else tuple(branches)
        yield Difference(section=CONFIGURATION, name=name, before=old, after=new, where=where)
    yield from _unmatched(gone, come)


def _unmatched(gone: Sequence[Branch], come: Sequence[Branch]) -> Found:
    """Yield the settings of branches that only one of the runs has; where these say nothing, the branches."""
    if gone and come:
        told = list(_changed(_values_of(gone), _values_of(come)))
        for name, (one, other) in told:
            yield Difference(section=CONFIGURATION, name=name, before=one, after=other)
        if told:
            return
    one, other = (", ".join(dict.fromkeys(branch.name for branch in some)) or None for some in (gone, come))
    if one != other:
        yield Difference(section=CONFIGURATION, name="branches", before=one, after=other)


def _values_of(branches: Iterable[Branch]) -> dict[str, object]:
    found: dict[str, dict[object, None]] = {}
    for branch in branches:
        for key, value in _flat(branch.config).items():
            found.setdefault(key, {})[_hashable(value)] = None
    return {key: next(iter(values)) if len(values) == 1 else tuple(values) for key, values in found.items()}


def _models(before: Run, after: Run) -> Found:
    old, new = _models_of(before), _models_of(after)
    changed: dict[tuple[object, object], list[str]] = {}
    for step, values in _changed(old, new):
        if step in old and step in new:
            changed.setdefault(values, []).append(step)
    for (one, other), steps in changed.items():
        yield Difference(section=MODELS, name="model", before=one, after=other, where=tuple(steps))
    if not changed:
        one, other = (tuple(sorted({model for each in some.values() for model in each})) for some in (old, new))
        if one != other and one and other:
            yield Difference(section=MODELS, name="model", before=one, after=other)


def _models_of(run: Run) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for usage in run.usages:
        found.setdefault(usage.step or "", set()).add(usage.model)
    return {step: tuple(sorted(models)) for step, models in found.items()}


# ── what they ran in ──────────────────────────────────────────────────────────────────────────────


def _each(section: str, old: Document, new: Document) -> Found:
    for name, (one, other) in _changed(_flat(old), _flat(new)):
        yield Difference(section=section, name=name, before=one, after=other)


def _code(section: str, old: Document, new: Document) -> Found:
    for name in ("commit", "branch", "remote"):
        if old.get(name) != new.get(name):
            yield Difference(section=section, name=name, before=old.get(name), after=new.get(name))
    one, other = _patch(old), _patch(new)
    if one != other:
        yield Difference(section=section, name="uncommitted changes", before=one, after=other)


def _patch(code: Document) -> object:
    """Return what was changed since the commit; None where nobody knows."""
    return "none" if code.get("is_dirty") is False else code.get("patch_checksum")


def _data(section: str, old: Document, new: Document) -> Found:
    before, after = _sources(old), _sources(new)
    for path in {**before, **after}:
        one, other = before.get(path), after.get(path)
        if one != other:
            yield Difference(section=section, name=path, before=one, after=other)


def _sources(content: Document) -> dict[str, str]:
    """Return by path what each source of data was: its checksum, or its size where it was not hashed."""
    found = {}
    listed = content.get("sources")
    for source in listed if isinstance(listed, list) else ():
        if isinstance(source, dict):
            found[str(source.get("path"))] = str(source.get("checksum") or f"{source.get('size_bytes')} bytes")
    return found


def _packages(section: str, old: Document, new: Document) -> Found:
    changed = list(_changed(_mapping(old.get("versions")), _mapping(new.get("versions"))))
    for name, (one, other) in sorted(changed, key=lambda each: (_distance(*each[1]), each[0])):
        yield Difference(section=section, name=name, before=one, after=other)


def _distance(one: object, other: object) -> int:
    """Return how little a package has changed: 0 for another major version; what is new or gone comes last."""
    if one is None or other is None:
        return 9
    pairs = zip(re.findall(r"\d+", str(one)), re.findall(r"\d+", str(other)), strict=False)
    return next((place for place, (left, right) in enumerate(pairs) if left != right), 8)


def _arguments(section: str, old: Document, new: Document) -> Found:
    for name, (one, other) in _changed(_flags(old), _flags(new)):
        yield Difference(section=section, name=name, before=one, after=other)


def _flags(process: Document) -> dict[str, object]:
    """Return what a command line says, by flag; what has none, by its place."""
    listed = process.get("argv")
    words = [str(word) for word in listed] if isinstance(listed, list) else []
    found: dict[str, object] = {"script": words[0]} if words else {}
    flag, place = None, 0
    for word in words[1:]:
        if word.startswith("-") and not re.fullmatch(r"-[\d.]+", word):
            flag, separator, value = word.partition("=")
            found[flag] = value if separator else True
            flag = None if separator else flag
        elif flag is not None:
            found[flag], flag = word, None
        else:
            place += 1
            found[f"argument {place}"] = word
    return found


def _environment(section: str, old: Document, new: Document) -> Found:
    old, new = dict(old), dict(new)
    one, other = old.pop("python_version", None), new.pop("python_version", None)
    if one != other:
        yield Difference(section=PACKAGES, name="python", before=one, after=other)
    for document in (old, new):
        # It is among the packages.
        document.pop("branchline_version", None)
        document |= dict(_mapping(document.pop("variables", None)))
    yield from _each(section, old, new)


def _runtime(section: str, old: Document, new: Document) -> Found:
    before, after = _facts(old), _facts(new)
    for fact in sorted(before ^ after):
        is_old = fact in before
        yield Difference(section=section, name=fact, before=True if is_old else None, after=None if is_old else True)


def _facts(runtime: Document) -> set[str]:
    facts = runtime.get("facts")
    return set(map(str, facts)) if isinstance(facts, list) else set()


CONFIGURATION: Final = documents.CONFIGURATION
MODELS: Final = "models"
PACKAGES: Final = documents.PACKAGES

_COMPARED: Final[Mapping[str, Callable[[str, Document, Document], Found]]] = {
    CONFIGURATION: _each,
    documents.CODE: _code,
    documents.DATA_SOURCES: _data,
    documents.CHECKSUMS: _each,
    documents.SEEDS: _each,
    documents.ENVIRONMENT: _environment,
    PACKAGES: _packages,
    documents.PROCESS: _arguments,
    documents.MACHINE: _each,
    documents.RUNTIME: _runtime,
}

# In order of importance: what somebody has decided before what came about.
SECTIONS: Final = (
    *(CONFIGURATION, documents.CODE, MODELS, documents.DATA_SOURCES, documents.CHECKSUMS, documents.SEEDS),
    *(documents.PROCESS, PACKAGES, documents.ENVIRONMENT, documents.MACHINE, documents.RUNTIME),
)


# ── comparing ─────────────────────────────────────────────────────────────────────────────────────


def _changed(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[tuple[str, tuple[object, object]]]:
    for key in {**old, **new}:
        one, other = old.get(key), new.get(key)
        if one != other:
            yield key, (one, other)


def _flat(content: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _hashable(value: object) -> object:
    if isinstance(value, Mapping):
        return str({key: _hashable(item) for key, item in value.items()})
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


def _mapping(value: object) -> Document:
    return value if isinstance(value, Mapping) else {}
