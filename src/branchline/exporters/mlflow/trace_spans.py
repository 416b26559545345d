"""The spans of a branch as a trace of their own, in OTLP/JSON, with what MLflow's page shows under MLflow's names."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from ... import names
from ..._journal.anyvalue import Value
from ..._journal.decode import DecodedEvent, DecodedLink, DecodedSpan
from ..._journal.jsontext import any_value, quoted
from ..._journal.nested import unflattened
from ...usage_records import span_usage
from .trace_parts import TracePart, trace_id_of


# What one request may have: beyond it, MLflow takes no longer for two than for one.
MOST_SPANS: Final = 500
MOST_BYTES: Final = 4_000_000

INPUTS: Final = "mlflow.spanInputs"
OUTPUTS: Final = "mlflow.spanOutputs"
SPAN_TYPE: Final = "mlflow.spanType"
TOKENS: Final = "mlflow.chat.tokenUsage"
COST: Final = "mlflow.llm.cost"
MODEL: Final = "mlflow.llm.model"
PROVIDER: Final = "mlflow.llm.provider"

_PLACES: Final = frozenset({names.KIND_EXPERIMENT, names.KIND_BRANCH})
_TYPES: Final = {names.KIND_EXPERIMENT: "CHAIN", names.KIND_BRANCH: "CHAIN", names.KIND_STEP: "TASK"}
_OF_CALLS: Final = frozenset({names.COST_USD, names.PRICED_RATIO})
_GEN_AI: Final = "gen_ai."
_ERROR: Final = 2

Attributes = Mapping[str, Value]


def otlp_lines(part: TracePart) -> Iterator[bytes]:
    """Return the spans of *part*, below its root alone, as requests of OTLP/JSON; the root comes with the last."""
    spans = _rooted(part)
    head = f'{{"resourceSpans":[{{"resource":{{"attributes":[{_written(_about(part, spans))}]}},"scopeSpans":['
    scoped: list[str] = []
    size = 0
    for text in _texts(part, spans):
        if scoped and (len(scoped) >= MOST_SPANS or size + len(text) > MOST_BYTES):
            yield f"{head}{','.join(scoped)}]}}]}}\n".encode()
            scoped, size = [], 0
        scoped.append(text)
        size += len(text)
    if scoped:
        yield f"{head}{','.join(scoped)}]}}]}}\n".encode()


# ── which spans ───────────────────────────────────────────────────────────────────────────────────


def _rooted(part: TracePart) -> dict[str, DecodedSpan]:
    """Return the spans of *part* by id, each once, with their parents in the trace, the root behind all others."""
    found: dict[str, DecodedSpan] = {}
    for span in part.spans:
        known = found.get(span.span_id)
        # A recoverer that came too early closed it as interrupted: the real end says more.
        if known is None or known.ours.get(names.OUTCOME) == names.INTERRUPTED:
            found[span.span_id] = span
    root = part.root[1]
    first = found.pop(root, None)
    for key, span in found.items():
        parent = span.parent_id
        if parent not in found or parent == key:
            # Whatever was between is not known: at the root it can be seen.
            found[key] = span._replace(parent_id=part.parents.get(key, root))
    if first is None and not part.is_late and found:
        first = _missing_root(part, found.values())
    if first is not None:
        found[root] = first._replace(parent_id=None)
    return found


def _missing_root(part: TracePart, spans: Iterable[DecodedSpan]) -> DecodedSpan:
    """Return a root for *spans*: without one, MLflow takes a trace for unfinished for ever."""
    every = list(spans)
    return every[0]._replace(
        span_id=part.root[1],
        name=part.name,
        start_unix_nano=min(span.start_unix_nano for span in every),
        end_unix_nano=max(span.end_unix_nano for span in every),
        status=_ERROR if part.outcome in {*names.ERROR_OUTCOMES, names.LOST} else 0,
        status_message=part.outcome or "",
        attributes={},
        ours={} if part.outcome is None else {names.OUTCOME: part.outcome},
        events=[],
        links=[],
    )


def _about(part: TracePart, spans: Mapping[str, DecodedSpan]) -> dict[str, Value]:
    """Return the attributes of the resource, of which MLflow makes tags of the trace."""
    every = list(spans.values())
    found: dict[str, Value] = {}
    for key in (names.EXPERIMENT_NAME, names.BRANCH_ID, names.BRANCH_NAME):
        value = next((span.ours[key] for span in reversed(every) if key in span.ours), None)
        if value is not None:
            found[key] = value
    service = next((name for span in every if (name := span.resource.get(names.SERVICE_NAME))), None)
    if service is not None:
        found[names.SERVICE_NAME] = service
    if part.outcome is not None:
        found[names.OUTCOME] = part.outcome
    # Where else it can be looked at: in the journal, and in whatever gets the whole of it.
    return {**found, names.RUN_ID: part.branchline_run_id, names.MLFLOW_TRACE_SOURCE: part.root[0]}


# ── what MLflow shows of a span ───────────────────────────────────────────────────────────────────


def _texts(part: TracePart, spans: Mapping[str, DecodedSpan]) -> Iterator[str]:
    trace, around = trace_id_of(part.root), _around_calls(spans, part.around)
    for span in spans.values():
        own = _moved(span, part, trace, spans)
        if span.span_id in around:
            yield _text(own, trace, {**_in_and_out(own), SPAN_TYPE: _TYPES[str(own.ours[names.KIND])]}, of_calls=False)
            yield _text(_calls_in(own), trace, _spent(own), of_calls=True)
        else:
            yield _text(own, trace, {**_in_and_out(own), **_kind(own), **_spent(own)}, of_calls=True)


def has_tokens(span: DecodedSpan) -> bool:
    """Whether *span* tells of calls of models."""
    return span_usage(span.attributes) is not None


def _around_calls(spans: Mapping[str, DecodedSpan], known: Collection[str]) -> set[str]:
    """Return the spans of ours whose own calls of models need a span of their own; some are *known* to be.

    MLflow takes what an outer one says for the sum of all inside, and would not count these: it is so for steps with
    others below that made calls, too; and for branches and experiments, which are no calls.
    """
    telling = {key: span for key, span in spans.items() if has_tokens(span)}
    ours = {key: span for key, span in telling.items() if names.KIND in span.ours}
    found = {key for key, span in ours.items() if key in known or span.ours[names.KIND] in _PLACES}
    # Also because damaged ids can make a ring of parents.
    climbed: set[str] = set()
    for span in telling.values():
        above = spans.get(span.parent_id or "")
        while above is not None and above.span_id not in climbed:
            climbed.add(above.span_id)
            if above.span_id in ours:
                found.add(above.span_id)
            above = spans.get(above.parent_id or "")
    return found


def _calls_in(span: DecodedSpan) -> DecodedSpan:
    """Return a span below *span* that stands for the calls it made itself."""
    operation, model = span.attributes.get(names.OPERATION), span.attributes.get(names.MODEL)
    return span._replace(
        span_id=hashlib.blake2b(f"{span.span_id}/calls".encode(), digest_size=8).hexdigest(),
        parent_id=span.span_id,
        name=" ".join(str(text) for text in (operation, model) if text) or "calls",
        status=0,
        status_message="",
        attributes={key: value for key, value in span.attributes.items() if key.startswith(_GEN_AI)},
        ours={key: value for key, value in span.ours.items() if key in _OF_CALLS},
        events=[],
        links=[],
    )


def _kind(span: DecodedSpan) -> dict[str, Value]:
    # For an operation of a model, MLflow has a type by itself.
    kind = _TYPES.get(str(span.ours.get(names.KIND)))
    return {} if kind is None or names.OPERATION in span.attributes else {SPAN_TYPE: kind}


def _in_and_out(span: DecodedSpan) -> dict[str, Value]:
    """Return what went in and what came out: of a branch its configuration, of a step its arguments."""
    is_branch = span.ours.get(names.KIND) == names.KIND_BRANCH
    prefix = names.BRANCH_CONFIG_PREFIX if is_branch else names.ARGUMENTS_PREFIX
    taken = {key.removeprefix(prefix): value for key, value in span.ours.items() if key.startswith(prefix)}
    given = span.ours.get(names.BRANCH_OUTPUT if is_branch else names.RESULT)
    found: dict[str, Value] = {INPUTS: unflattened(taken) if is_branch else taken} if taken else {}
    return found if given is None else {**found, OUTPUTS: given}


def _spent(span: DecodedSpan) -> dict[str, Value]:
    """Return what the span took by itself. Where we know no price, MLflow may know one."""
    cost = span.ours.get(names.COST_USD)
    found: dict[str, Value] = {} if cost is None else {COST: {"total_cost": cost}}
    usage = span_usage(span.attributes)
    if usage is None:
        return found
    tokens: dict[str, Value] = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    cached = {"cache_read_input_tokens": usage.cached_tokens, "cache_creation_input_tokens": usage.cache_write_tokens}
    found[TOKENS] = tokens | {key: count for key, count in cached.items() if count}
    labels = {MODEL: usage.response_model or usage.model, PROVIDER: usage.provider}
    return found | {key: text for key, text in labels.items() if text}


# ── OTLP/JSON ─────────────────────────────────────────────────────────────────────────────────────


def _moved(span: DecodedSpan, part: TracePart, trace: str, spans: Mapping[str, DecodedSpan]) -> DecodedSpan:
    """Return *span* with its links to spans of the same trace as links within it."""
    if not span.links:
        return span
    inside = (part.root[0], spans)
    return span._replace(links=[_link_moved(link, trace, *inside) for link in span.links])


def _link_moved(link: DecodedLink, trace: str, before: str, spans: Mapping[str, DecodedSpan]) -> DecodedLink:
    is_inside = link.trace_id == before and link.span_id in spans
    return link._replace(trace_id=trace) if is_inside else link


def _text(span: DecodedSpan, trace: str, shown: Attributes, *, of_calls: bool) -> str:
    """Return the *span* in its scope; what it took itself only with *of_calls*."""
    attributes = {**span.attributes, **span.ours}
    if not of_calls:
        attributes = {
            key: value for key, value in attributes.items() if not key.startswith(_GEN_AI) and key not in _OF_CALLS
        }
    parent = "" if span.parent_id is None else f'"parentSpanId":"{span.parent_id}",'
    message = f',"message":{quoted(span.status_message)}' if span.status_message else ""
    return (
        f'{{"scope":{{"name":{quoted(span.scope)}}},"spans":[{{"traceId":"{trace}","spanId":"{span.span_id}",{parent}'
        f'"name":{quoted(span.name)},"kind":1,"startTimeUnixNano":"{span.start_unix_nano}",'
        # What the user has set under MLflow's names counts.
        f'"endTimeUnixNano":"{span.end_unix_nano}","attributes":[{_written({**shown, **attributes})}],'
        f'"events":[{_events(span.events)}],"links":[{_links(span.links)}],'
        f'"status":{{"code":{span.status}{message}}}}}]}}'
    )


def _events(events: Sequence[DecodedEvent]) -> str:
    return ",".join(
        f'{{"timeUnixNano":"{event.time_unix_nano}","name":{quoted(event.name)},'
        f'"attributes":[{_written(event.attributes)}]}}'
        for event in events
    )


def _links(links: Sequence[DecodedLink]) -> str:
    return ",".join(
        f'{{"traceId":"{link.trace_id}","spanId":"{link.span_id}","attributes":[{_written(link.attributes)}]}}'
        for link in links
        if link.trace_id and link.span_id
    )


def _written(attributes: Attributes) -> str:
    return ",".join(f'{{"key":{quoted(key)},"value":{{{any_value(value)}}}}}' for key, value in attributes.items())
