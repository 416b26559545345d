"""A branch's configuration: as a mapping, as an id, as flat values, and as a name that a person reads."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from ..standing_redaction import standing_redactor
from ..values import Value, freeze, freeze_key, freeze_name


# What one line of a table or of a tree has room for.
MAX_BRANCH_NAME = 60
# A value longer than this (a prompt, a query) says nothing in a name.
MAX_NAMED_VALUE = 24
# An output is there to be looked at beside its branch; it is no artifact.
MAX_OUTPUT = 4_096

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")


def mapping_of(config: object) -> dict[str, object]:
    """Return *config*, whatever it is, as a dictionary: a copy of a mapping, the fields of an object.

    A text is the name of a branch that has no other configuration.
    """
    try:
        return _mapping_of(config)
    except Exception:
        return {"value": f"<unreadable {type(config).__name__}>"}


def _mapping_of(config: object) -> dict[str, object]:
    if config is None:
        return {}
    if isinstance(config, str):
        return {"name": config}
    if isinstance(config, Mapping):
        return dict(config)
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {each.name: _without_dataclass(getattr(config, each.name, None)) for each in dataclasses.fields(config)}
    model_dump = getattr(type(config), "model_dump", None)
    if model_dump is not None:
        return dict(model_dump(config))
    fields = getattr(config, "__dict__", None)
    # A function has attributes too, but they are not what it is about.
    if fields and not callable(config):
        return dict(fields)
    return {"value": config}


def _without_dataclass(value: object) -> object:
    # One inside another counts by its values, as it does in a pydantic model.
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _mapping_of(value)
    return value


def config_id(config: object) -> str:
    """Return the id of a configuration: its own ``config_id``, else 16 hex digits that its values decide.

    The same values have the same id in every process; an object that does not print its values counts by its type.
    """
    mapping = mapping_of(config)
    chosen = _chosen_id(mapping)
    if chosen is not None:
        return freeze_name(chosen)
    # Both are slow to import, and only who has branches needs them.
    import hashlib

    return hashlib.sha256(_canonical(mapping).encode("ascii")).hexdigest()[:16]


def _chosen_id(mapping: Mapping[str, object]) -> object:
    try:
        chosen = mapping.get("config_id")
    except Exception:
        return None
    return None if isinstance(chosen, str) and not chosen else chosen


def _canonical(mapping: Mapping[str, object]) -> str:
    import json

    values = {key: value for key, value in mapping.items() if not _is_id(key)}
    try:
        return json.dumps(values, sort_keys=True, default=_stable_text)
    except Exception:
        # Keys of several types, loops, values that cannot be printed: what is recorded of them decides.
        return _ADDRESS.sub("", json.dumps(freeze(values), sort_keys=True, default=str))


def _is_id(key: object) -> bool:
    # Keys of other types may do anything when they are compared.
    return isinstance(key, str) and key == "config_id"


def _stable_text(value: object) -> str:
    if isinstance(value, (set, frozenset)) and value:
        # A set of texts prints in another order in every process.
        inside = ", ".join(sorted(map(repr, value)))
        return f"{{{inside}}}" if type(value) is set else f"{type(value).__name__}({{{inside}}})"
    return _ADDRESS.sub("", str(value))


def flattened(config: Mapping[str, object]) -> dict[str, Value]:
    """Return the values of *config*, frozen, under dotted keys: ``{"model": {"name": "x"}}`` is ``model.name``."""
    flat: dict[str, Value] = {}
    frozen = freeze(config)
    if isinstance(frozen, Mapping):
        _flatten(frozen, "", flat)
    return flat


def _flatten(values: Mapping[str, Value], prefix: str, flat: dict[str, Value]) -> None:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            _flatten(value, f"{name}.", flat)
        else:
            # {"a.b": 1, "a": {"b": 2}}: two values that would be called the same.
            flat[name if name not in flat else f"{name}#{len(flat)}"] = value


def logging_params(config: Mapping[str, object]) -> dict[str, object]:
    """Return *config* as it is, except that what is nested in it is flattened as `flattened` does it."""
    params: dict[str, object] = {}
    for key, value in config.items():
        name = freeze_key(key)
        nested = flattened({name: value}) if isinstance(value, Mapping) else {name: value}
        params.update({each if each not in params else f"{each}#{len(params)}": nested[each] for each in nested})
    return params


def branch_name(config: Mapping[str, object], identity: str) -> str:
    """Return what to call a branch: its config's ``name``, else what its values are, else its *identity*.

    Values that do not fit are left out; the beginning of the identity then tells such branches apart.
    """
    flat = flattened({key: value for key, value in config.items() if not _is_id(key)})
    named = flat.pop("name", None)
    if isinstance(named, str) and named.strip():
        return freeze_name(named)
    words = [_word(key, value) for key, value in flat.items()]
    whole = " ".join(word for word in words if word is not None)
    if whole and None not in words and len(whole) <= MAX_BRANCH_NAME:
        return whole
    ending = f"…{identity[:6]}"
    brief = ""
    for word in words:
        if word is not None and len(brief) + len(word) + 1 + len(ending) <= MAX_BRANCH_NAME:
            brief += f"{word} "
    return f"{brief}{ending}" if brief else identity


def _word(key: str, value: Value) -> str | None:
    """Return ``key=value``, or None when that is nothing to read, or nothing to show."""
    text = _brief(value)
    if text is None or len(text) > MAX_NAMED_VALUE or not text.isprintable() or " " in text:
        return None
    redactor = standing_redactor()
    return None if redactor.is_secret(key) else f"{key}={redactor.text(text)}"


def _brief(value: Value) -> str | None:
    if isinstance(value, tuple):
        words = [_brief(each) for each in value[:MAX_NAMED_VALUE]]
        return None if None in words else f"[{','.join(map(str, words))}]"
    return None if isinstance(value, (bytes, Mapping)) else str(value)


def output_view(output: object) -> Value:
    """Return what is recorded of a branch's output: texts and numbers as they are, the rest if it is small."""
    frozen = freeze(output)
    if isinstance(frozen, bytes):
        return f"<{len(output):,} bytes>" if isinstance(output, (bytes, bytearray)) else "<bytes>"
    if frozen is None or isinstance(frozen, (bool, int, float, str)):
        return frozen
    import json

    text = json.dumps(frozen, default=str, ensure_ascii=False)
    if len(text) <= MAX_OUTPUT:
        return frozen
    # Cut, it has no keys any more that redaction could go by; so that comes first.
    text = json.dumps(standing_redactor().value("output", frozen), default=str, ensure_ascii=False)
    return f"{text[:MAX_OUTPUT]}… [cut: {len(text):,} characters]"
