"""Lines of OTLP/JSON: how many objects go into one, and how they stand there, by their scopes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any, Final

from .. import names


SPANS_PER_LINE: Final = 64
# The OpenTelemetry Collector's file receiver breaks lines over 1 MiB; this leaves room for what UTF-8 adds.
LINE_BYTES: Final = 256 * 1024

_REMEMBERED: Final = 4096


class Lines:
    """Puts objects of one resource into lines; what it remembers is bounded."""

    def __init__(
        self,
        resource: str,
        *,
        version: str,
        text: Callable[[str], str],
        attributes: Callable[[Mapping[str, Any]], str],
    ) -> None:
        """Write *resource*, which is JSON, into every line, and scopes by the encoder's ways to write their parts."""
        self._resource = resource
        self._text, self._attributes = text, attributes
        self._scopes: dict[int, tuple[Any, str]] = {}
        self._own_scope = self._scope_json(names.SCOPE, version)

    def of(self, scopes: Sequence[Any], texts: Sequence[bytes], outer: str, middle: str, inner: str) -> bytes:
        """Return the objects that *texts* are, each of one of *scopes*, as whole lines.

        *outer*, *middle* and *inner* are what OTLP calls the lists that a signal has them in.
        """
        head = f'{{"{outer}":[{{"resource":{self._resource},"{middle}":['.encode()
        parts: list[bytes] = []
        for first in range(0, len(texts), SPANS_PER_LINE):
            beyond = min(first + SPANS_PER_LINE, len(texts))
            for start, end in _within(texts, first, beyond, LINE_BYTES - len(head)):
                groups = self._scoped(scopes[start:end], texts[start:end], inner)
                parts += head, *groups, b"]}]}\n"
        return b"".join(parts)

    def _scoped(self, scopes: Sequence[Any], texts: Sequence[bytes], inner: str) -> list[bytes]:
        if len(set(map(id, scopes))) == 1:
            return self._scope_group(scopes[0], texts, inner)
        groups: dict[int, tuple[Any, list[bytes]]] = {}
        for scope, text in zip(scopes, texts, strict=True):
            groups.setdefault(id(scope), (scope, []))[1].append(text)
        parts = [(b",", *self._scope_group(scope, group, inner)) for scope, group in groups.values()]
        return list(chain.from_iterable(parts))[1:]

    def _scope_group(self, scope: Any, texts: Sequence[bytes], inner: str) -> list[bytes]:
        schema = f',"schemaUrl":{self._text(scope.schema_url)}' if scope is not None and scope.schema_url else ""
        opening = f'{{"scope":{self._scope(scope)},"{inner}":['
        return [opening.encode(), b",".join(texts), f"]{schema}}}".encode()]

    def _scope(self, scope: Any) -> str:
        if scope is None:
            return self._own_scope
        remembered = self._scopes.get(id(scope))
        if remembered is not None and remembered[0] is scope:
            return remembered[1]
        text = self._scope_json(scope.name, scope.version, scope.attributes)
        if len(self._scopes) >= _REMEMBERED:
            self._scopes.clear()
        self._scopes[id(scope)] = (scope, text)
        return text

    def _scope_json(self, name: str, version: str | None, attributes: Mapping[str, Any] | None = None) -> str:
        text = f'{{"name":{self._text(name)}'
        if version:
            text += f',"version":{self._text(version)}'
        if attributes:
            text += f',"attributes":[{self._attributes(attributes)}]'
        return text + "}"


def _within(texts: Sequence[bytes], first: int, beyond: int, room: int) -> Iterable[tuple[int, int]]:
    """Split *texts* from *first* on so that no part is larger than *room*; one text alone may be."""
    if sum(map(len, texts[first:beyond])) <= room:
        return [(first, beyond)]
    cuts = [first]
    left = room
    for place in range(first, beyond):
        size = len(texts[place])
        if size > left and place > cuts[-1]:
            cuts.append(place)
            left = room
        left -= size
    return pairwise([*cuts, beyond])
