"""Branches as traces of MLflow's: re-rooted, with tokens, cost, what went in and what came out."""

from __future__ import annotations

import json
from collections import Counter

import orjson
import pytest

from branchline._journal.decode import decode_line
from branchline._mlflow.failures import MLflowFailure
from branchline.exporters.mlflow import trace_spans
from branchline.exporters.mlflow.trace_parts import TracePart, trace_id_of
from branchline.exporters.mlflow.trace_spans import otlp_lines
from branchline.exporters.mlflow.traces import SentTraces
from endpoints import HttpEndpoint
from journals import TRACE, attributes, event, span


BRANCH = f"{2:016x}"
ROOT = (TRACE, BRANCH)
CONFIG = {"branchline.config.model": "gpt", "branchline.config.optimizer.lr": 0.1}
IDENTITY = {"branchline.experiment.name": "prices", "branchline.branch.id": "b1", "branchline.branch.name": "gpt"}


def usage(cost=None, **tokens):
    own = {f"gen_ai.usage.{key}": count for key, count in tokens.items()}
    own |= {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "branchline.cost.priced_ratio": 1.0}
    return own | ({} if cost is None else {"branchline.cost.usd": cost})


def part(*spans, root=ROOT, **fields):
    """A part of the spans, which are as the journal has them."""
    resource = {"attributes": attributes({"service.name": "svc", "host.name": "h", "branchline.run.id": "r1"})}
    group = {"resource": resource, "scopeSpans": [{"scope": {"name": "branchline"}, "spans": list(spans)}]}
    decoded = decode_line(orjson.dumps({"resourceSpans": [group]}) + b"\n", pytest.fail).spans
    known = {"run_id": "m1", "experiment_id": "7", "name": "gpt", "branchline_run_id": "r1", "outcome": "success"}
    return TracePart(root=root, spans=decoded, **{**known, **fields})


def sent(given):
    """The resource and the spans of all requests, by name; attributes as plain values."""
    resource, found = {}, {}
    for line in otlp_lines(given):
        [group] = json.loads(line)["resourceSpans"]
        resource = {item["key"]: item["value"].get("stringValue") for item in group["resource"]["attributes"]}
        for one in decode_line(line, pytest.fail).spans:
            found[one.name] = one
    return resource, found


def tree(found):
    """The names of spans and of their parents."""
    by_id = {one.span_id: one.name for one in found.values()}
    return {name: by_id.get(one.parent_id) for name, one in found.items()}


def shown(one):
    """What MLflow shows of a span, under its own names."""
    return {key.removeprefix("mlflow."): value for key, value in one.attributes.items() if key.startswith("mlflow.")}


# ── the tree ──────────────────────────────────────────────────────────────────────────────────────


def test_a_branch_is_a_trace_of_its_own():
    """
    The branch has no parent any more, all have the trace's new id and their own; the trace says where it comes from.
    """
    given = part(
        span(3, "step", parent=2, own=IDENTITY),
        span(4, "below", parent=3, start=0.25, end=0.5, events=[event("stamp", 0.3, rows=1)]),
        span(2, "gpt", parent=1, kind="branch", own={**CONFIG, **IDENTITY}),
    )
    resource, found = sent(given)

    assert tree(found) == {"step": "gpt", "below": "step", "gpt": None}
    assert {one.trace_id for one in found.values()} == {trace_id_of(ROOT)}
    assert {one.span_id for one in found.values()} == {f"{number:016x}" for number in (2, 3, 4)}
    assert [(one.start_unix_nano, one.end_unix_nano) for one in found.values()] == [
        (one.start_unix_nano, one.end_unix_nano) for one in given.spans
    ]
    assert [mark.name for mark in found["below"].events] == ["stamp"]
    assert resource == {
        **IDENTITY,
        "service.name": "svc",
        "branchline.outcome": "success",
        "branchline.run.id": "r1",
        "branchline.trace.id": TRACE,
    }


def test_ids_follow_from_the_branch():
    """
    Whoever sends a branch again sends the very same; branches of one trace have traces of their own.
    """
    given = part(span(3, "step", parent=2), span(2, "gpt", parent=1, kind="branch"))

    assert list(otlp_lines(given)) == list(otlp_lines(given))
    assert len({trace_id_of((TRACE, f"{number:016x}")) for number in range(1, 1000)}) == 999


def test_parents_that_are_not_there():
    """
    What has a parent outside of the branch hangs on the branch; what came late hangs where it belongs.
    """
    orphan, ring = span(5, "orphan", parent=99), span(6, "ring", parent=6)
    _, found = sent(part(orphan, ring, span(2, "gpt", parent=1, kind="branch")))
    [line] = otlp_lines(part(span(7, "late", parent=3), is_late=True, parents={f"{7:016x}": f"{3:016x}"}))
    [late] = decode_line(line, pytest.fail).spans

    assert tree(found) == {"orphan": "gpt", "ring": "gpt", "gpt": None}
    assert (late.trace_id, late.parent_id) == (trace_id_of(ROOT), f"{3:016x}")


@pytest.mark.parametrize(("outcome", "status"), [("success", 0), ("interrupted", 2), ("lost", 2), (None, 0)])
def test_a_branch_whose_end_is_unknown(outcome, status):
    """
    A trace without a root would be unfinished for ever: one is made of what is known.
    """
    _, found = sent(
        part(span(3, "a", parent=2, start=1, end=2), span(4, "b", parent=2, start=3, end=5), outcome=outcome)
    )
    root = found["gpt"]

    assert tree(found) == {"a": "gpt", "b": "gpt", "gpt": None}
    assert (root.span_id, root.status, root.end_unix_nano - root.start_unix_nano) == (BRANCH, status, 4 * 10**9)


def test_two_ends():
    """
    Of a span that was closed as interrupted, and then ended all the same, the end counts, in whatever order they come.
    """
    ends = [span(2, "gpt", kind="branch", outcome="interrupted", code=2), span(2, "gpt", kind="branch", end=9.0)]
    for given in (ends, ends[::-1]):
        [line] = otlp_lines(part(*given))
        [root] = decode_line(line, pytest.fail).spans

        assert (root.ours["branchline.outcome"], root.status) == ("success", 0)


def test_links_stay_within_the_trace():
    """
    A link to another step of the branch leads there; one to somewhere else stays as it is.
    """
    links = [{"traceId": TRACE, "spanId": f"{number:016x}", "attributes": []} for number in (3, 50)]
    _, found = sent(part(span(3, "a", parent=2), {**span(4, "b", parent=2), "links": links}, span(2, "gpt")))

    assert [link.trace_id for link in found["b"].links] == [trace_id_of(ROOT), TRACE]


def test_many_spans(monkeypatch):
    """
    A large trace goes in several requests, each span in one, the root in the last.
    """
    monkeypatch.setattr(trace_spans, "MOST_SPANS", 10)
    given = part(*(span(number, f"s{number}", parent=2) for number in range(3, 38)), span(2, "gpt", kind="branch"))
    requests = [[one.name for one in decode_line(line, pytest.fail).spans] for line in otlp_lines(given)]
    small = part(*(span(number, "x" * 500, parent=2) for number in range(3, 13)), span(2, "gpt", kind="branch"))
    monkeypatch.setattr(trace_spans, "MOST_BYTES", 5_000)

    assert [len(names) for names in requests] == [10, 10, 10, 6]
    assert (Counter(name for names in requests for name in names).most_common(1)[0][1], requests[-1][-1]) == (1, "gpt")
    assert len(list(otlp_lines(small))) > 1


# ── what MLflow shows ─────────────────────────────────────────────────────────────────────────────


def test_in_and_out():
    """
    A branch takes its configuration and gives its output; a step takes its arguments and gives its result.
    """
    step = {"branchline.argument.question": "why", "branchline.argument.k": 3, "branchline.result": "because"}
    branch = {**CONFIG, "branchline.branch.output": {"score": 0.5}}
    _, found = sent(
        part(span(3, "step", parent=2, own=step), span(4, "bare", parent=2), span(2, "gpt", kind="branch", own=branch))
    )

    assert {name: shown(one) for name, one in found.items()} == {
        "step": {"spanInputs": {"question": "why", "k": 3}, "spanOutputs": "because", "spanType": "TASK"},
        "bare": {"spanType": "TASK"},
        "gpt": {
            "spanInputs": {"model": "gpt", "optimizer": {"lr": 0.1}},
            "spanOutputs": {"score": 0.5},
            "spanType": "CHAIN",
        },
    }


def test_tokens_and_cost():
    """
    What a step took stands where MLflow looks for it; without a price of ours, MLflow may have one.
    """
    known = usage(0.25, input_tokens=100, output_tokens=20) | {"gen_ai.usage.cache_read.input_tokens": 60}
    known |= {"gen_ai.provider.name": "openai", "gen_ai.usage.cache_write.input_tokens": 5}
    unknown = usage(input_tokens=7, output_tokens=3)
    _, found = sent(
        part(span(3, "known", parent=2, own=known), span(4, "unknown", parent=2, own=unknown), span(2, "gpt"))
    )

    assert shown(found["known"]) == {
        "chat.tokenUsage": {
            "input_tokens": 100,
            "output_tokens": 20,
            "total_tokens": 120,
            "cache_read_input_tokens": 60,
            "cache_creation_input_tokens": 5,
        },
        "llm.cost": {"total_cost": 0.25},
        "llm.model": "gpt-4o",
        "llm.provider": "openai",
    }
    assert shown(found["unknown"]) == {
        "chat.tokenUsage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
        "llm.model": "gpt-4o",
    }


def test_calls_around_calls():
    """
    MLflow takes what an outer span took for the sum of all inside: the calls of such a step get a span of their own.
    """
    given = part(
        span(5, "inner", parent=4, own=usage(0.5, input_tokens=1, output_tokens=1)),
        span(4, "between", parent=3),
        span(3, "outer", parent=2, own=usage(0.25, input_tokens=10, output_tokens=5)),
        span(2, "gpt", kind="branch", own=usage(1.0, input_tokens=100, output_tokens=50)),
    )
    _, found = sent(given)
    telling = {one.span_id: shown(one)["chat.tokenUsage"]["total_tokens"] for one in _all(given) if _tells(one)}
    parents = {one.span_id: one.parent_id for one in _all(given)}

    assert tree(found) == {"inner": "between", "between": "outer", "outer": "gpt", "gpt": None, "chat gpt-4o": "gpt"}
    assert sorted(telling.values()) == [2, 15, 150]
    assert not any(above in telling for key in telling for above in _above(key, parents))
    assert sum(shown(one)["llm.cost"]["total_cost"] for one in _all(given) if _tells(one)) == 1.75
    assert not any(key.startswith("gen_ai.") for name in ("outer", "gpt") for key in found[name].attributes)


@pytest.mark.parametrize("kind", ["branch", "experiment"])
def test_calls_of_a_branch_itself(kind):
    """
    A branch is no call of a model: the calls made in it, outside of all steps, stand below it.
    """
    own = {"branchline.usage.input_tokens": 7, **usage(0.5, input_tokens=7, output_tokens=3)}
    _, found = sent(part(span(2, "gpt", kind=kind, own=own)))

    assert tree(found) == {"gpt": None, "chat gpt-4o": "gpt"}
    assert shown(found["gpt"]) == {"spanType": "CHAIN"}
    assert shown(found["chat gpt-4o"])["llm.cost"] == {"total_cost": 0.5}


def _all(given):
    return [one for line in otlp_lines(given) for one in decode_line(line, pytest.fail).spans]


def _tells(one):
    return "mlflow.chat.tokenUsage" in one.attributes


def _above(key, parents):
    while (key := parents.get(key)) is not None:
        yield key


def test_others_add_up_by_themselves():
    """
    A span of an instrumentation that tells of the sum of what is inside is left as it is.
    """
    inner = span(4, "chat", parent=3, kind=None, outcome=None, own=usage(input_tokens=1, output_tokens=1))
    outer = span(3, "agent", parent=2, kind=None, outcome=None, own=usage(input_tokens=1, output_tokens=1))
    _, found = sent(part(inner, outer, span(2, "gpt", kind="branch")))

    assert tree(found) == {"chat": "agent", "agent": "gpt", "gpt": None}
    assert "mlflow.spanType" not in found["agent"].attributes


def test_what_the_user_says_counts():
    """
    What somebody has set under MLflow's own names stays.
    """
    own = {**CONFIG, "mlflow.spanInputs": "mine", "mlflow.spanType": "AGENT"}
    _, found = sent(part(span(2, "gpt", kind="branch", own=own)))

    assert shown(found["gpt"]) == {"spanInputs": "mine", "spanType": "AGENT"}


def test_odd_values():
    """
    Values of every kind arrive as they are, and none spoils the trace.
    """
    own: dict[str, object] = {
        "none": None,
        "bytes": b"\0\1",
        "map": {"a": [1, {"b": 2.5}]},
        "text": '\ud83d\ude00 "\\\n'[2:],
        "big": 2**62,
    }
    own |= {"branchline.result": {"x": b"\0", "y": [None, 2**62]}}
    _, found = sent(part(span(3, "odd \u0000 \u2028", parent=2, own=own), span(2, "gpt", kind="branch")))
    odd = found["odd \u0000 \u2028"]

    assert {key: odd.attributes[key] for key in ("bytes", "map", "big")} == {
        "bytes": b"\0\1",
        "map": {"a": (1, {"b": 2.5})},
        "big": 2**62,
    }
    assert shown(odd)["spanOutputs"] == {"x": b"\0", "y": (None, 2**62)}


# ── an address that takes OTLP ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/api/2.0/otel", "/api/2.0/otel/", "/api/2.0/otel/v1/traces"])
def test_unity_catalog(path):
    """
    Traces go to Unity Catalog's address as protobuf, with its headers alone, whatever OTLP's own variables say.
    """
    headers = {"Authorization": "Bearer secret", "X-Databricks-UC-Table-Name": "main.traces.branches"}
    environment = {"OTEL_EXPORTER_OTLP_HEADERS": "x-theirs=1", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    given = part(span(3, "step", parent=2), span(2, "gpt", parent=1, kind="branch", own=CONFIG))
    with HttpEndpoint() as endpoint:
        SentTraces(f"{endpoint.url}{path}", headers, environment).deliver(given)
    [request] = endpoint.requests

    assert request.path == "/api/2.0/otel/v1/traces"
    assert {key: request.headers.get(key) for key in ("content-type", "x-theirs", *map(str.lower, headers))} == {
        "content-type": "application/x-protobuf",
        "x-theirs": None,
        "authorization": "Bearer secret",
        "x-databricks-uc-table-name": "main.traces.branches",
    }
    assert set(endpoint.received.spans) == {f"{trace_id_of(ROOT)}-{number:016x}" for number in (2, 3)}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (503, ("retry", "TEMPORARILY_UNAVAILABLE")),
        (429, ("retry", "TEMPORARILY_UNAVAILABLE")),
        (401, ("refused", "PERMISSION_DENIED")),
        (403, ("refused", "PERMISSION_DENIED")),
        (400, ("refused", "INVALID_PARAMETER_VALUE")),
    ],
)
def test_an_address_that_refuses(status, said):
    """
    What is to be sent again, what needs another token, and what is never taken, are told apart; no token is shown.
    """
    with HttpEndpoint() as endpoint:
        endpoint.behave("status", status=status, body="what is Bearer secret?")
        with pytest.raises(MLflowFailure) as failed:
            SentTraces(endpoint.url, {"Authorization": "Bearer secret"}, {}).deliver(part(span(2, "gpt")))

    assert ((failed.value.kind, failed.value.code), "secret" in str(failed.value)) == (said, False)
