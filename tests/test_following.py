"""What ``configure(otlp=…)`` sets up: who delivers, what a flush says, and what is undone."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import branchline as bl
from branchline._journal.cursors import Cursor, Place
from branchline.config import Config, load_config
from branchline.errors import ConfigError, MissingExtraError
from branchline.exporters.accounts import Account, account_of, in_words, waiting
from branchline.exporters.followers import makers_for
from branchline.telemetry import FlushResult
from endpoints import HttpEndpoint
from journals import journal, span
from surplus import Surplus


@pytest.fixture
def endpoint() -> Iterator[HttpEndpoint]:
    with HttpEndpoint() as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    bl.shutdown()


def record(*names: str) -> None:
    for name in names:
        with bl.step(name):
            pass


def kinds(endpoint: HttpEndpoint) -> Counter[str]:
    """Return how much of which kind has arrived."""
    received = endpoint.received
    return Counter(spans=len(received.spans), logs=len(received.logs))


# ── who delivers ──────────────────────────────────────────────────────────────────────────────────


def made(environment: dict[str, str], *, is_guest: bool = False, **said: Any) -> str:
    """Return where is delivered to, or nothing."""
    _, makers = makers_for(Config(service_name="x", **said), environment, is_guest=is_guest, say=print)
    shown = [make().shown for make in makers.values()]
    return "".join(shown)


URL = "http://127.0.0.1:4318"
SAID = {"OTEL_EXPORTER_OTLP_ENDPOINT": URL}


def test_who_delivers():
    """
    Nothing said: what the environment names, for whoever owns the provider. A URL or an OTLP: that, for guests too.
    False: nothing, whatever the environment says.
    """
    assert made({}) == ""
    assert made({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}) == ""
    assert made({"OTEL_EXPORTER_OTLP_HEADERS": "a=b"}) == ""
    assert made(SAID) == URL
    assert made(SAID, is_guest=True) == ""
    assert made(SAID, otlp=False) == ""
    assert made({}, otlp=bl.OTLP("http://other:4318"), is_guest=True) == "http://other:4318"
    assert made(SAID, otlp=bl.OTLP("http://other:4318")) == "http://other:4318"
    assert made({}, otlp=bl.OTLP("http://me:secret@other:4318/base?key=abc")) == "http://other:4318/base"


@pytest.mark.parametrize("said", [True, 7, "", "ftp://x", "http://", ["http://x"]])
def test_what_is_no_endpoint(said):
    """
    What cannot be an endpoint is refused at set-up, and what was set up before goes on.
    """
    run = bl.configure("before", console=False)

    with pytest.raises(ConfigError):
        bl.configure(otlp=said)

    assert repr(run).split()[2] == "recording"


def test_secrets_of_an_endpoint_are_not_said():
    """
    An endpoint that is refused is named without what is secret in it.
    """
    with pytest.raises(ConfigError) as refused:
        bl.configure(otlp="ftp://me:hunter22@host")

    assert "hunter22" not in str(refused.value)


def test_a_variable_that_is_no_endpoint(monkeypatch):
    """
    What the environment says wrongly is refused at set-up as well.
    """
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere in particular")

    with pytest.raises((ConfigError, MissingExtraError)):
        bl.configure(console=False)


def test_the_option_in_a_file(tmp_path):
    """
    The endpoint may stand in pyproject.toml, as text; "off" is False.
    """
    file = tmp_path / "pyproject.toml"
    file.write_text(f'[tool.branchline]\notlp = "{URL}"')
    on = load_config({}, env={}, pyproject=file)
    file.write_text('[tool.branchline]\notlp = "off"')
    off = load_config({}, env={}, pyproject=file)

    assert (on.otlp, off.otlp) == (bl.OTLP(URL), False)


def test_without_an_endpoint_nothing_is_loaded():
    """
    Who delivers nothing loads no HTTP client, and has no cursors and no thread.
    """
    source = """
    import sys, os, threading
    import branchline as bl
    with bl.configure("x", console=False):
        with bl.step("s"): pass
        bl.flush()
        print([name for name in sys.modules if name.split(".")[0] in ("urllib3", "grpc", "google")])
        print([thread.name for thread in threading.enumerate() if "otlp" in thread.name])
    print(os.listdir(".branchline"))
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, timeout=60, check=True
    )

    assert ran.stdout.splitlines() == ["[]", "[]", "['runs']"]


# ── what is delivered, and what is said of it ─────────────────────────────────────────────────────


def test_a_flush_says_what_has_become_of_it(endpoint):
    """
    After a flush everything of the user's has arrived, and the numbers are those of the server; branchline's own
    notes stay in the journal and are no part of them.
    """
    bl.configure("x", otlp=endpoint.url, console=False)
    record("a", "b")
    bl.stamp("loose")
    result = bl.flush()

    same = FlushResult(journaled=3, delivered=3)
    assert (result, bool(result)) == (FlushResult(journaled=3, delivered=3, followers={"otlp": same}), True)
    assert kinds(endpoint) == {"spans": 2, "logs": 1}


def test_notes_on_request(endpoint):
    """
    With ``lifecycle`` the notes are delivered and counted like everything else.
    """
    bl.configure("x", otlp=bl.OTLP(endpoint.url, lifecycle=True), console=False)
    record("a")
    result = bl.flush()

    assert (result.journaled, result.delivered, bool(result)) == (2, 2, True)
    assert kinds(endpoint) == {"spans": 1, "logs": 1}


def test_signals_that_are_not_wanted(endpoint):
    """
    Of signals that the endpoint does not get, nothing is waited for and nothing is counted.
    """
    bl.configure("x", otlp=bl.OTLP(endpoint.url, signals=["logs"]), console=False)
    record("a")
    bl.stamp("loose")
    result = bl.flush()

    assert (result.journaled, result.delivered, bool(result)) == (1, 1, True)
    assert kinds(endpoint) == {"spans": 0, "logs": 1}


def test_what_others_record_meanwhile(endpoint):
    """
    A flush is about what was recorded before it: other threads may go on for ever.
    """
    bl.configure("x", otlp=endpoint.url, console=False)
    endpoint.behave(delay_seconds=0.05)
    stop = threading.Event()

    def work():
        while not stop.is_set():
            record("busy")
            # Otherwise it would outrun an endpoint that shares its interpreter.
            time.sleep(0.001)

    thread = threading.Thread(target=work)
    thread.start()
    results = [bl.flush(30) for _ in range(5)]
    stop.set()
    thread.join()

    assert [(bool(result), result.spooled) for result in results] == [(True, 0)] * 5
    assert all(result.journaled == result.delivered for result in results)


def test_the_books_balance(endpoint):
    """
    Whatever the endpoint does, journaled = delivered + spooled + rejected, and delivered is what the server has.
    """
    bl.configure("x", otlp=endpoint.url, console=False)
    seen = []
    for kind, how in (
        ("healthy", {}),
        ("partial", {"rejected": 3}),
        ("status", {"status": 503}),
        ("status", {"status": 400}),
        ("healthy", {}),
    ):
        endpoint.behave(kind, **how)
        record(*"abcdefghij")
        seen.append(bl.flush(0.5 if how == {"status": 503} else 30))

    assert [(one.journaled, one.delivered, one.spooled, one.rejected) for one in seen] == [
        (10, 10, 0, 0),
        (20, 17, 0, 3),
        (30, 17, 10, 3),
        (40, 17, 0, 23),
        (50, 27, 0, 23),
    ]
    assert not seen[-1]


def test_metrics_of_branchline_itself(endpoint):
    """
    The books are delivered as metrics, where something is delivered.
    """
    bl.configure("x", otlp=endpoint.url, console=False)
    record("a", "b")
    bl.flush()
    record("c")
    bl.shutdown()

    told = points(endpoint)
    assert told["branchline.self.recorded"]["traces"] == 3
    assert told["branchline.self.delivered"]["traces otlp"] == 2
    assert told["branchline.self.spooled"]["traces otlp"] == 1
    assert told["branchline.self.rejected"]["traces otlp"] == 0
    assert set(told) >= {"branchline.self.queue.size", "branchline.self.overhead"}


def points(endpoint: HttpEndpoint) -> dict[str, dict[str, int | float]]:
    """Return the last value of each of branchline's own metrics, by what tells its series apart."""
    found: dict[str, dict[str, int | float]] = {}
    for request in endpoint.requests:
        for resource in request.content.get("resourceMetrics", ()):
            for metric in (metric for scope in resource["scopeMetrics"] for metric in scope["metrics"]):
                for point in (metric.get("sum") or metric.get("gauge") or {}).get("dataPoints", ()):
                    series = " ".join(item["value"]["stringValue"] for item in point.get("attributes", ()))
                    value = int(point["asInt"]) if "asInt" in point else point["asDouble"]
                    found.setdefault(metric["name"], {})[series] = value
    return found


def test_nothing_of_it_is_left(endpoint):
    """
    After a shutdown there is no thread and nobody holds the run; its cursor says that all of it was delivered.
    """
    surplus = Surplus()
    run = bl.configure("x", otlp=endpoint.url, console=False)
    record("a")
    result = bl.shutdown()

    [file] = Path(".branchline").glob(f"cursors/*/{run.run_id}/cursor.json")
    [process] = orjson.loads(file.read_bytes())["processes"].values()
    assert bool(result)
    assert process["traces"]["delivered"] == 1
    assert [name for name in surplus.threads() if "branchline-otlp" in name] == []


def test_children_deliver_as_their_parent_does(endpoint):
    """
    A process that joins the run by its parent's settings delivers where that does, or not at all where that does not.
    """
    source = f"""
    import multiprocessing, os
    import branchline as bl
    from branchline.telemetry import _state

    def work(_):
        return _state.current.config.otlp

    if __name__ == "__main__":
        for otlp in ({endpoint.url!r}, False):
            with bl.configure("x", otlp=otlp, console=False):
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    print(pool.map(work, [1]))
    """
    Path("program.py").write_text(textwrap.dedent(source))
    ran = subprocess.run(
        [sys.executable, "program.py"], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    )  # fmt: skip

    assert ran.stdout.splitlines() == [f"[OTLP(endpoint='{endpoint.url}')]", "[False]"]


# ── the books ─────────────────────────────────────────────────────────────────────────────────────


def test_accounts():
    """
    What was journaled is what was delivered, waits and was rejected; notes are left out, unless they are delivered.
    """
    counters = {"spans": {"journaled": 10}, "logs": {"journaled": 6, "notes": 2}}
    cursor = Cursor({("p", "traces"): Place(delivered=5, rejected=2), ("p", "logs"): Place(delivered=1, withheld=1)})

    assert account_of(counters, cursor, "p", ["traces", "logs"]) == {
        "traces": Account(journaled=10, delivered=5, spooled=3, rejected=2),
        "logs": Account(journaled=4, delivered=1, spooled=3),
    }
    assert account_of(counters, cursor, "p", ["logs"], with_notes=True)["logs"].journaled == 6


def test_accounts_that_were_read_at_different_moments():
    """
    A cursor that is further than the counters does not make more of it than there was.
    """
    counters = {"spans": {"journaled": 3}}
    cursor = Cursor({("p", "traces"): Place(delivered=9, rejected=1)})

    assert account_of(counters, cursor, "p", ["traces"])["traces"] == Account(journaled=3, delivered=2, rejected=1)
    assert account_of({"spans": "damaged"}, cursor, "p", ["traces"])["traces"] == Account()


def test_what_waits_in_a_run(tmp_path):
    """
    What waits is added up over the processes of a run; behind the end of its files nothing does.
    """
    counters = {"spans": {"journaled": 7}, "logs": {"journaled": 3, "notes": 3}}
    journal(tmp_path, process="p", counters=counters).spans(span(1, "a"))
    journal(tmp_path, process="q", counters=counters).spans(span(2, "b"))
    run = next((tmp_path / "runs").iterdir())
    end = (run / "p" / "traces-000000.jsonl").stat().st_size
    cursor = Cursor({("p", "traces"): Place(offset=end, delivered=6)})

    assert waiting(run, Cursor(), ["traces", "logs"]) == {"traces": 14}
    assert waiting(run, cursor, ["traces", "logs"]) == {"traces": 7}


def test_in_words():
    """
    Counts are said as a person would.
    """
    assert in_words({"traces": 1204, "logs": 1, "metrics": 0}) == "1,204 spans and 1 log record"
    assert in_words({"traces": 1, "logs": 2, "metrics": 3}) == "1 span, 2 log records and 3 data points"
    assert in_words({}) == ""
