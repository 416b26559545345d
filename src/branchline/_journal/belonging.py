"""What a record belongs to: an experiment and branch, and the scope that it was made in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .compact import restored


class Identity:
    """The experiment and branch that a record belongs to, read back."""

    __slots__ = ("branch_id", "branch_name", "experiment_name")

    def __init__(self, experiment_name: str | None, branch_id: str | None, branch_name: str | None) -> None:
        self.experiment_name = experiment_name
        self.branch_id = branch_id
        self.branch_name = branch_name


class Scope:
    """An instrumentation scope: of a log record, or read back."""

    __slots__ = ("attributes", "compact", "name", "schema_url", "version")

    def __init__(
        self,
        name: str,
        version: str | None,
        schema_url: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.schema_url = schema_url
        self.attributes = attributes
        self.compact = (name, version, schema_url, dict(attributes or {}))


def identity_from(told: Any) -> Identity | None:
    """Return the experiment and branch that a compact form has *told*, if it has."""
    return Identity(*told) if told else None


def scope_from(told: Any) -> Scope | None:
    """Return the scope that a compact form has *told*, if it has."""
    if not told:
        return None
    name, version, schema_url, attributes = told
    if attributes:
        return Scope(name, version, schema_url, restored(attributes))
    return _plain_scope(name, version, schema_url)


# One for many records: they are written in groups, and a group is of one scope.
@lru_cache(maxsize=1024)
def _plain_scope(name: str, version: str | None, schema_url: str | None) -> Scope:
    return Scope(name, version, schema_url)
