"""Which spans are told as which trace: those of one entity, or those below a step that is in none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ... import names
from ..._journal.decode import DecodedSpan
from .entries import outcome_of, title
from .picture import LOOSE, Entity, Picture
from .told import Acknowledged
from .trace_parts import TracePart
from .trace_spans import has_tokens


def parts_of(picture: Picture, entity: Entity, known: Acknowledged, run_id: str) -> Iterator[TracePart]:
    """Yield what MLflow has not got of the traces of *entity*, of which it has acknowledged what is *known*."""
    if entity.key == LOOSE:
        yield from _loose_parts(picture, entity, known, run_id)
        return
    outcome = outcome_of(entity)
    spans = [at.span for at in entity.spans if at.is_new or not known.has_trace]
    is_nothing_else = all(span.span_id == entity.key for span in spans)
    is_time = outcome is not None or picture.is_much(entity)
    if not is_time or not spans or (is_nothing_else and entity.kind == names.KIND_EXPERIMENT):
        return
    root = entity.trace_id, entity.key
    here = {span.span_id for span in spans}
    parents = {
        span.span_id: span.parent_id
        for span in spans
        if span.parent_id and span.parent_id not in here and picture.owner(span.parent_id) == entity.key
    }
    # What is told before the end gets its root later.
    is_late = known.has_trace or outcome is None
    part = _part(root, spans, known, run_id, name=title(entity), outcome=outcome, parents=parents, is_late=is_late)
    yield replace(part, around=frozenset(entity.around))


def _loose_parts(picture: Picture, entity: Entity, known: Acknowledged, run_id: str) -> Iterator[TracePart]:
    for top, found in picture.loose_spans.items():
        if not picture.has_ended(top) and entity.closed is None:
            continue
        root = next((at for at in found if at.span.span_id == top), None)
        is_whole = root is not None and (root.is_new or not known.has_trace)
        spans = [at.span for at in found if is_whole or at.is_new or not known.has_trace]
        if spans:
            first = spans[0] if root is None else root.span
            name, outcome = first.name, str(first.ours.get(names.OUTCOME) or names.SUCCESS)
            late = {span.span_id: span.parent_id for span in spans if span.parent_id} if root is None else {}
            root_ids = first.trace_id, top
            yield _part(root_ids, spans, known, run_id, name=name, outcome=outcome, parents=late, is_late=root is None)


def forget(picture: Picture, entity: Entity) -> None:
    """Let go of the spans that were told, but for what those need to know that are told later."""
    if outcome_of(entity) is None:
        calling = [at.span.span_id for at in entity.spans if has_tokens(at.span)]
        entity.around.update(*(picture.above(span_id, entity.key) for span_id in calling))
    entity.spans.clear()
    if entity.key == LOOSE:
        for top in [top for top in picture.loose_spans if picture.has_ended(top) or entity.closed is not None]:
            del picture.loose_spans[top]


def _part(
    root: tuple[str, str],
    spans: Sequence[DecodedSpan],
    known: Acknowledged,
    run_id: str,
    *,
    name: str,
    outcome: str | None,
    parents: Mapping[str, str],
    is_late: bool,
) -> TracePart:
    return TracePart(
        root=root,
        spans=spans,
        parents=parents,
        is_late=is_late,
        run_id=known.run_id,
        experiment_id=known.experiment_id,
        name=name,
        branchline_run_id=run_id,
        outcome=outcome,
    )
