"""Endpoints that are down, slow, refusing or lost, and shippers that are killed: nothing is lost, all is counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from programs import Child, Ended, balances, disk, mounting, run, states

from branchline._journal.segments import seal
from endpoints import RemoteEndpoint


pytestmark = pytest.mark.slow

# Far more than a healthy endpoint takes on a busy machine.
LONG = 60.0

RECORD = """
URL = sys.argv[2]
directory = os.path.join(HOME, "journal")

def record(numbers, name="s"):
    for n in numbers:
        with bl.step(name, n=n) as step:
            step.stamp("x", n=n)

def told(result):
    print(bool(result), result.journaled, result.delivered, result.spooled, result.rejected, result.dropped, flush=True)
"""
CONFIGURE = RECORD + 'bl.configure("delivery", directory=directory, console=False, otlp=URL)\n'


class Server(RemoteEndpoint):
    """An endpoint, and what an application must be told to speak its protocol."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.env = {"OTEL_EXPORTER_OTLP_PROTOCOL": {"http": "http/json", "grpc": "grpc"}[kind]}


@pytest.fixture(params=["http", "grpc"])
def endpoint(request) -> Iterator[Server]:
    with Server(request.param) as endpoint:
        yield endpoint


@pytest.fixture
def http() -> Iterator[Server]:
    with Server("http") as endpoint:
        yield endpoint


def recorded(home: Path) -> set[str]:
    """
    The ids of all spans in the journals below *home*.
    """
    return {f"{span['traceId']}-{span['spanId']}" for span in disk(home).spans}


def arrived(endpoint: Server) -> set[str]:
    return set(endpoint.received.spans)


def duplicates(endpoint: Server) -> int:
    return endpoint.received.duplicates()


def ship(home: Path, *words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """
    Run ``branchline ship`` on the journal below *home*, as a person would.
    """
    return subprocess.run(
        shipping(home, *words),
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
        env={**os.environ, **(env or {})},
        cwd=home,
    )


def shipping(home: Path, *words: object) -> list[str]:
    return [sys.executable, "-m", "branchline", "ship", "--directory", str(home / "journal"), *map(str, words)]


def document(ran: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(ran.stdout)
    return found


def cursors(home: Path) -> list[dict[str, Any]]:
    return [orjson.loads(path.read_bytes()) for path in sorted(home.glob("journal/cursors/*/*/cursor.json"))]


def sums(home: Path) -> dict[str, int]:
    """
    What all cursors say became of the spans.
    """
    places = [process.get("traces", {}) for cursor in cursors(home) for process in cursor["processes"].values()]
    return {name: sum(place.get(name, 0) for place in places) for name in ("delivered", "rejected", "damaged")}


def answers(ended: Ended) -> list[list[str]]:
    return [line.split() for line in ended.out.splitlines()]


# ── healthy ───────────────────────────────────────────────────────────────────────────────────────


def test_a_healthy_endpoint(tmp_path, endpoint):
    """
    Everything arrives, once, and a flush is true; nothing is said and nothing is left.
    """
    ended = run(
        tmp_path, CONFIGURE + "record(range(2000)); told(bl.flush(60)); told(bl.shutdown(60))", endpoint.url,
        env=endpoint.env,
    )  # fmt: skip

    assert (ended.code, ended.err) == (0, "")
    assert answers(ended) == [["True", "2000", "2000", "0", "0", "0"]] * 2
    assert arrived(endpoint) == recorded(tmp_path)
    assert (len(arrived(endpoint)), duplicates(endpoint)) == (2000, 0)
    assert not endpoint.received.logs


def test_a_burst_against_a_slow_endpoint(tmp_path, http):
    """
    An endpoint that takes its time gets what it can; the rest waits, and nothing is lost or sent twice.
    """
    http.behave(delay_seconds=1.0)
    ended = run(tmp_path, CONFIGURE + "record(range(50_000))", http.url)
    http.behave()
    shipped = ship(tmp_path, "--json")

    assert ended.code == 0
    assert shipped.returncode == 0
    assert arrived(http) == recorded(tmp_path)
    assert len(arrived(http)) == 50_000
    # A request that was under way when the application ended may have arrived: one batch at most.
    assert duplicates(http) <= 20_000
    assert balances(tmp_path) == []


# ── down, then up ─────────────────────────────────────────────────────────────────────────────────


def test_down_for_the_whole_run(tmp_path, endpoint):
    """
    An endpoint that is down costs the application nothing but one line at the end; `branchline ship` delivers it all,
    once, and finds nothing to do the second time.
    """
    endpoint.behave("down")
    ended = run(
        tmp_path, CONFIGURE + "record(range(1204)); told(bl.flush(0.5)); told(bl.shutdown())", endpoint.url,
        env=endpoint.env,
    )  # fmt: skip
    waiting = document(ship(tmp_path, "--dry-run", "--json"))
    failed = ship(tmp_path, "--timeout", "0")
    endpoint.behave()
    shipped = ship(tmp_path, "--json")
    again = ship(tmp_path, "--json")

    assert (ended.code, answers(ended)) == (0, [["False", "1204", "0", "1204", "0", "0"]] * 2)
    assert ended.complaints == [
        "branchline: 1,204 spans wait in journal; `branchline ship --directory journal` sends them"
    ]
    assert waiting["runs"][0]["waiting"]["traces"] == 1204
    assert (failed.returncode, "1,204 spans" in failed.stdout) == (1, True)
    assert (shipped.returncode, document(shipped)["runs"][0]["delivered"]["traces"]) == (0, 1204)
    assert (again.returncode, document(again)["runs"][0]["delivered"]) == (0, {})
    assert arrived(endpoint) == recorded(tmp_path)
    assert duplicates(endpoint) == 0
    assert sums(tmp_path) == {"delivered": 1204, "rejected": 0, "damaged": 0}


OUTAGES: dict[str, dict[str, Any]] = {
    "down": {"kind": "down"},
    "503": {"kind": "status", "status": 503},
    "429": {"kind": "status", "status": 429, "retry_after": "1"},
    "reset": {"kind": "reset"},
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_in_the_middle(tmp_path, endpoint, outage):
    """
    After an outage the application itself delivers everything, once, and a flush is true again.
    """
    source = """
record(range(500)); told(bl.flush(60))
print("sick", flush=True)
while not ledger[0]: time.sleep(0.01)
record(range(500, 1500)); told(bl.flush(0.3))
ledger[1] = 1
while not ledger[2]: time.sleep(0.01)
told(bl.flush(60))
"""
    with Child(tmp_path, CONFIGURE + source, endpoint.url, env=endpoint.env) as child:
        while "sick" not in (tmp_path / "out").read_text():
            time.sleep(0.01)
        endpoint.behave(**OUTAGES[outage])
        child.ledger[0] = 1
        child.wait_until(1, 1)
        endpoint.behave()
        child.ledger[2] = 1
        ended = child.wait()

    assert (ended.code, ended.complaints) == (0, [])
    assert [line for line in answers(ended) if len(line) == 6] == [
        ["True", "500", "500", "0", "0", "0"],
        ["False", "1500", "500", "1000", "0", "0"],
        ["True", "1500", "1500", "0", "0", "0"],
    ]
    assert arrived(endpoint) == recorded(tmp_path)
    assert duplicates(endpoint) == 0


def test_answers_that_are_lost(tmp_path, endpoint):
    """
    What arrived without an answer is sent again: there are duplicates, by id, and no loss.
    """
    endpoint.behave("lost answer")
    ended = run(
        tmp_path, CONFIGURE + "record(range(500)); told(bl.flush(0.5)); told(bl.shutdown(0.5))", endpoint.url,
        env=endpoint.env,
    )  # fmt: skip
    endpoint.behave()
    ship(tmp_path)

    assert answers(ended) == [["False", "500", "0", "500", "0", "0"]] * 2
    assert arrived(endpoint) == recorded(tmp_path)
    assert duplicates(endpoint) >= 500
    assert sums(tmp_path)["delivered"] == 500


def test_the_next_process_delivers_what_was_left(tmp_path, http):
    """
    What a run could not deliver, the next process with the same endpoint does, beside its own work; also when the
    first one was killed.
    """
    http.behave("down")
    run(tmp_path, CONFIGURE + "record(range(300)); bl.flush(0.2); os.kill(os.getpid(), signal.SIGKILL)", http.url)
    run(tmp_path, CONFIGURE + "record(range(300, 400))", http.url)
    http.behave()
    with Child(
        tmp_path, CONFIGURE + "record(range(400, 450)); bl.flush(60)\nwhile not ledger[0]: time.sleep(0.01)", http.url
    ) as child:
        deadline = time.monotonic() + LONG
        while len(arrived(http)) < 450 and time.monotonic() < deadline:
            time.sleep(0.05)
        child.ledger[0] = 1
        last = child.wait()

    assert (last.code, last.complaints) == (0, [])
    assert disk(tmp_path).counts("s") == dict.fromkeys(range(450), 1)
    assert arrived(http) == recorded(tmp_path)
    assert duplicates(http) == 0


# ── refused ───────────────────────────────────────────────────────────────────────────────────────

REFUSALS: dict[str, dict[str, Any]] = {
    "401": {"kind": "status", "status": 401},
    "400": {"kind": "status", "status": 400},
    "500": {"kind": "status", "status": 500},
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refused(tmp_path, endpoint, refusal):
    """
    What an endpoint refuses is never counted as delivered; it is said at once, once, and kept with the answer.
    """
    endpoint.behave(**REFUSALS[refusal], body="not this")
    ended = run(
        tmp_path, CONFIGURE + "record(range(300)); told(bl.flush(60)); record(range(300, 310)); told(bl.flush(60))",
        endpoint.url, env=endpoint.env,
    )  # fmt: skip

    assert answers(ended) == [["False", "300", "0", "0", "300", "0"], ["False", "310", "0", "0", "310", "0"]]
    [complaint] = ended.complaints
    assert "refused 300 spans: " in complaint
    assert "not this" in complaint
    assert sums(tmp_path) == {"delivered": 0, "rejected": 310, "damaged": 0}
    assert dead(tmp_path) == {"refused": recorded(tmp_path)}
    assert not arrived(endpoint)


def test_refused_and_sent_again(tmp_path, endpoint):
    """
    When the cause is removed, `branchline ship --refused` delivers what was refused, and the books say so; what is
    refused again stays where it was.
    """
    endpoint.behave("status", status=400)
    source = "record(range(300)); bl.flush(60); record(range(300, 310))"
    run(tmp_path, CONFIGURE + source, endpoint.url, env=endpoint.env)
    not_asked = ship(tmp_path, "--json")
    again = ship(tmp_path, "--refused", "--json")
    before = sums(tmp_path), dead(tmp_path)
    endpoint.behave()
    shipped = ship(tmp_path, "--refused", "--json")
    nothing = ship(tmp_path, "--refused", "--json")

    assert (not_asked.returncode, document(not_asked)["runs"][0]["rejected"]) == (0, {})
    assert (again.returncode, document(again)["runs"][0]["rejected"]["traces"]) == (1, 310)
    assert before == ({"delivered": 0, "rejected": 310, "damaged": 0}, {"refused": recorded(tmp_path)})
    assert (shipped.returncode, document(shipped)["runs"][0]["delivered"]["traces"]) == (0, 310)
    assert (nothing.returncode, document(nothing)["runs"][0]["delivered"]) == (0, {})
    assert sums(tmp_path) == {"delivered": 310, "rejected": 0, "damaged": 0}
    assert not list(tmp_path.rglob("dead-letters-*"))
    assert arrived(endpoint) == recorded(tmp_path)
    assert duplicates(endpoint) == 0


def test_a_redirect(tmp_path, http):
    """
    A redirect is not followed, and is no success.
    """
    http.behave("status", status=302)
    ended = run(
        tmp_path, CONFIGURE + "record(range(10)); told(bl.flush(60))", http.url, env={"OTEL_METRICS_EXPORTER": "none"}
    )

    assert answers(ended) == [["False", "10", "0", "0", "10", "0"]]
    assert (http.request_count, arrived(http)) == (1, set())


def test_partial_success(tmp_path, endpoint):
    """
    Of a partial success, what was refused is counted as rejected, and the batch is kept.
    """
    endpoint.behave("partial", rejected=7)
    ended = run(tmp_path, CONFIGURE + "record(range(100)); told(bl.flush(60))", endpoint.url, env=endpoint.env)

    assert answers(ended) == [["False", "100", "93", "0", "7", "0"]]
    assert "refused 7 spans: some were not good enough" in ended.complaints[0]
    assert dead(tmp_path) == {"partial": recorded(tmp_path)}


def test_too_large(tmp_path, endpoint):
    """
    Requests that are too large are divided until they are taken; nothing is lost or sent twice.
    """
    endpoint.behave("too large", limit=20_000)
    ended = run(tmp_path, CONFIGURE + "record(range(3000)); told(bl.flush(60))", endpoint.url, env=endpoint.env)

    assert answers(ended) == [["True", "3000", "3000", "0", "0", "0"]]
    assert arrived(endpoint) == recorded(tmp_path)
    assert duplicates(endpoint) == 0


def test_json_is_not_taken(tmp_path, http):
    """
    A server that takes no JSON gets protobuf, and that is said.
    """
    http.behave("no json")
    ended = run(tmp_path, CONFIGURE + "record(range(100)); told(bl.flush(60))", http.url)

    assert answers(ended) == [["True", "100", "100", "0", "0", "0"]]
    assert ["protobuf" in line for line in ended.complaints] == [True]
    assert arrived(http) == recorded(tmp_path)


def dead(home: Path) -> dict[str, set[str]]:
    """
    The ids of the spans among the dead letters, by what was answered.
    """
    found: dict[str, set[str]] = {}
    for path in home.rglob("dead-letters-*.jsonl"):
        for letter in map(orjson.loads, path.read_bytes().splitlines()):
            for resource in letter["line"].get("resourceSpans", ()):
                for scope in resource["scopeSpans"]:
                    names = {f"{span['traceId']}-{span['spanId']}" for span in scope["spans"]}
                    found.setdefault(letter["answer"]["kind"], set()).update(names)
    return found


# ── the end of the process ────────────────────────────────────────────────────────────────────────

SICK: dict[str, dict[str, Any]] = {
    "down": {"kind": "down"},
    "black hole": {"kind": "black hole"},
    "slow": {"delay_seconds": 30.0},
    "503": {"kind": "status", "status": 503},
    "dripping": {"kind": "drip"},
}
ENDS = {
    "exit": "",
    "shutdown": "bl.shutdown()",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("sick", SICK)
def test_the_end_is_bounded(tmp_path, http, sick, end):
    """
    A sick endpoint costs the end of the process no more than ``exit_timeout``; what waits is said, in one line.
    """
    http.behave(**SICK[sick])
    source = f"""
bl.configure("delivery", directory=directory, console=False, otlp=URL, exit_timeout=0.5)
record(range(100))
time.sleep(1)
ledger[0] = 1
{ENDS[end]}
"""
    with Child(tmp_path, RECORD + source, http.url) as child:
        child.wait_until(0, 1)
        began = time.monotonic()
        ended = child.wait()
        took = time.monotonic() - began
    http.behave()
    ship(tmp_path)

    assert ended.code in (0, -15)
    assert [line.split(";")[0] for line in ended.complaints] == ["branchline: 100 spans wait in journal"]
    # The bound, and what a busy machine needs for the rest of an interpreter's end.
    assert took < 0.5 + 4
    assert arrived(http) == recorded(tmp_path)


def test_a_flush_is_bounded(tmp_path, http):
    """
    A flush against an endpoint that says nothing returns in its time, and is false.
    """
    http.behave("black hole")
    ended = run(
        tmp_path,
        CONFIGURE
        + """
record(range(10))
began = time.monotonic()
told(bl.flush(0.5))
print(time.monotonic() - began < 0.5 + 2)
""",
        http.url,
    )

    assert answers(ended) == [["False", "10", "0", "10", "0", "0"], ["True"]]


# ── processes ─────────────────────────────────────────────────────────────────────────────────────


def test_forks_in_the_middle_of_a_delivery(tmp_path, http):
    """
    Children that are forked while the parent delivers neither hang nor send anything of the parent's again; what they
    record is delivered, once, by whoever has the run.
    """
    http.behave(delay_seconds=0.05)
    source = """
stop = []
def work():
    n = 0
    while not stop:
        record([n], "parent")
        n += 1
        ledger[0] = n
        time.sleep(0.001)
thread = threading.Thread(target=work); thread.start()
children = []
for child in range(20):
    pid = os.fork()
    if not pid:
        record(range(child * 10, child * 10 + 10), "child")
        bl.flush(60)
        os._exit(0)
    children.append(pid)
    time.sleep(0.02)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
stop.append(1); thread.join()
told(bl.flush(60))
print(codes == [0] * 20)
"""
    ended = run(tmp_path, CONFIGURE + source, http.url)

    found = disk(tmp_path)
    assert (ended.code, ended.complaints) == (0, [])
    assert answers(ended)[-1] == ["True"]
    assert found.counts("child") == dict.fromkeys(range(200), 1)
    assert answers(ended)[0][0] == "True"
    assert arrived(http) == recorded(tmp_path)
    assert duplicates(http) == 0


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_pools(tmp_path, http, method):
    """
    What the workers of a pool record arrives, once, however they are started.
    """
    source = f"""
import multiprocessing

def work(n):
    with bl.step("s", n=n):
        pass

if __name__ == "__main__":
    bl.configure("delivery", directory=directory, console=False, otlp=URL)
    with multiprocessing.get_context({method!r}).Pool(3) as pool:
        pool.map(work, range(300))
        pool.close()
        pool.join()
    told(bl.flush(60))
"""
    ended = run(tmp_path, RECORD + source, http.url)

    assert (ended.code, ended.complaints) == (0, [])
    assert disk(tmp_path).counts("s") == dict.fromkeys(range(300), 1)
    assert arrived(http) == recorded(tmp_path)
    assert duplicates(http) == 0


def test_a_child_goes_on_when_its_parent_is_gone(tmp_path, http):
    """
    When the process that delivered is killed, a child that lives on delivers the rest of both.
    """
    source = """
record(range(100)); bl.flush(60)
pid = os.fork()
if not pid:
    while not ledger[0]: time.sleep(0.01)
    record(range(100, 200))
    told(bl.flush(60))
    ledger[1] = 1
    os._exit(0)
record(range(200, 250))
os.kill(os.getpid(), signal.SIGKILL)
"""
    with Child(tmp_path, CONFIGURE + source, http.url) as child:
        child.wait()
        child.ledger[0] = 1
        deadline = time.monotonic() + LONG
        while not child.ledger[1] and time.monotonic() < deadline:
            time.sleep(0.01)
    ship(tmp_path)

    assert disk(tmp_path).counts("s") == dict.fromkeys(range(250), 1)
    assert arrived(http) == recorded(tmp_path)


def test_reconfigured_again_and_again(tmp_path, http):
    """
    Setting up twenty times loses nothing, sends nothing twice, and leaves no threads or files behind.
    """
    source = """
def open_files():
    return len(os.listdir("/proc/self/fd"))

for n in range(20):
    bl.configure(f"service {n}", directory=directory, console=False, otlp=URL)
    record([n])
    if n == 1:
        bl.flush(60)
        before = threading.active_count(), open_files()
bl.flush(60)
time.sleep(0.5)
print(threading.active_count() <= before[0] + 1, open_files() <= before[1] + 3)
told(bl.shutdown())
print(threading.active_count())
"""
    ended = run(tmp_path, RECORD + source, http.url)

    assert (ended.code, ended.complaints) == (0, [])
    assert answers(ended)[0] == ["True", "True"]
    assert disk(tmp_path).counts("s") == dict.fromkeys(range(20), 1)
    assert arrived(http) == recorded(tmp_path)
    assert duplicates(http) == 0


# ── shippers ──────────────────────────────────────────────────────────────────────────────────────


def left(home: Path, endpoint: Server, count: int = 20_000) -> None:
    """
    Leave a run that was not delivered.
    """
    endpoint.behave("down")
    run(home, CONFIGURE + f"record(range({count}))", endpoint.url)
    endpoint.behave()


def test_a_shipper_that_is_killed(tmp_path, http):
    """
    However often a shipper is killed in the middle, everything arrives, and each time at most one batch twice.
    """
    left(tmp_path, http)
    http.behave(delay_seconds=0.2)
    kills = 0
    for attempt in range(6):
        process = subprocess.Popen(shipping(tmp_path), stdout=subprocess.DEVNULL, cwd=tmp_path)
        time.sleep(0.45 + 0.11 * attempt)
        process.send_signal(signal.SIGKILL)
        kills += process.wait(LONG) == -9
    http.behave()
    shipped = ship(tmp_path, "--json")

    size = (tmp_path / "journal").rglob("traces-*.jsonl")
    per_batch = 20_000 * 4_000_000 / sum(path.stat().st_size for path in size)
    assert shipped.returncode == 0
    assert kills
    assert arrived(http) == recorded(tmp_path)
    assert duplicates(http) <= kills * (per_batch + 64)
    assert sums(tmp_path) == {"delivered": 20_000, "rejected": 0, "damaged": 0}


def test_an_application_that_is_killed_while_it_delivers(tmp_path, http):
    """
    The application may be killed at any moment: what had finished arrives, by whoever comes next.
    """
    http.behave(delay_seconds=0.05)
    source = "n = 0\nwhile True:\n    record([n]); n += 1; ledger[0] = n\n"
    with Child(tmp_path, CONFIGURE + source, http.url) as child:
        child.wait_until(0, 20_000)
        child.kill()
        finished = child.ledger[0]
    http.behave()
    shipped = ship(tmp_path)

    counts = disk(tmp_path).counts("s")
    assert shipped.returncode == 0
    assert {n for n in range(finished) if counts[n] != 1} == set()
    assert arrived(http) == recorded(tmp_path)


def test_two_shippers_at_once(tmp_path, http):
    """
    Two shippers of one directory do not deliver the same run twice.
    """
    left(tmp_path, http, 10_000)
    http.behave(delay_seconds=0.3)
    both = [
        subprocess.Popen(shipping(tmp_path, "--json"), stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=LONG)[0] for process in both]

    runs = [orjson.loads(text)["runs"][0] for text in said]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(found["delivered"].get("traces", 0) for found in runs) == 10_000
    assert arrived(http) == recorded(tmp_path)
    assert duplicates(http) == 0


def test_a_sidecar(tmp_path, http):
    """
    With ``--follow`` a shipper beside an application that does not deliver sends what that records, until it ends.
    """
    source = """
bl.configure("delivery", directory=directory, console=False, run_id="followed")
for n in range(50):
    record([n]); time.sleep(0.05)
"""
    with Child(tmp_path, RECORD + source, http.url) as child:
        while not list(tmp_path.glob("journal/runs/followed/*/traces-*.jsonl")):
            time.sleep(0.01)
        ran = ship(tmp_path, "followed", "--follow", "--to", http.url)
        child.wait()
        ran_again = ship(tmp_path, "--all", "--to", http.url)

    assert (ran.returncode, ran_again.returncode) == (0, 0)
    assert arrived(http) == recorded(tmp_path)
    assert (len(arrived(http)), duplicates(http)) == (50, 0)


def test_ship_with_nowhere_to_go(tmp_path):
    """
    Without an endpoint, a run or a journal, one line says what is missing.
    """
    source = 'bl.configure("x", directory=os.path.join(HOME, "journal"), console=False)\nwith bl.step("s"): pass\n'
    empty = ship(tmp_path, "--to", "http://127.0.0.1:1")
    run(tmp_path, source)
    nowhere = ship(tmp_path)
    nothing = ship(tmp_path, "none", "--to", "http://127.0.0.1:1")
    wrong = ship(tmp_path, "--to", "ftp://x")

    for ran in (empty, nowhere, nothing, wrong):
        assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (1, "", 1)
    assert "there is no" in empty.stderr
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in nowhere.stderr
    assert "no run 'none'" in nothing.stderr
    assert "is not accepted" in wrong.stderr


# ── files ─────────────────────────────────────────────────────────────────────────────────────────


def damage_a_line(file: Path) -> None:
    content = bytearray(file.read_bytes())
    second = content.index(b"\n") + 1
    # Where it is no JSON any more, wherever that is: a damaged character of a text is still text to some servers.
    content[content.index(b'"spans":[', second) + 8] ^= 0xFF
    file.write_bytes(bytes(content))


def tear_the_tail(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def put_something_else_in_front(file: Path) -> None:
    file.write_bytes(b'{"some": "thing"}\n{"resourceLogs": []}\n\xff\xfe\n' + file.read_bytes())


def pad_with_zeros(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0" * 5000)


def pack(file: Path) -> None:
    seal(file)


def pack_and_cut(file: Path) -> None:
    seal(file)
    packed = file.with_name(file.name + ".gz")
    packed.write_bytes(packed.read_bytes()[:-300])


DAMAGES = {
    "a damaged line": (damage_a_line, 1),
    "a torn tail": (tear_the_tail, 1),
    "foreign lines": (put_something_else_in_front, 3),
    "zeros": (pad_with_zeros, 0),
    "sealed": (pack, 0),
    "sealed and cut": (pack_and_cut, 1),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_journals(tmp_path, http, kind):
    """
    Of a damaged journal everything that can be read arrives, once; what cannot is counted, and nothing is refused.
    """
    left(tmp_path, http, 640)
    [file] = (tmp_path / "journal").rglob("traces-*.jsonl")
    spoil, count = DAMAGES[kind]
    spoil(file)
    # A tail that may still be written is no damage yet.
    for path in file.parent.iterdir():
        os.utime(path, (time.time() - 60,) * 2)
    shipped = document(ship(tmp_path, "--json"))
    again = ship(tmp_path, "--json")

    expected = set() if kind == "sealed and cut" else recorded(tmp_path)
    assert shipped["runs"][0]["damaged_lines"] == count
    assert document(again)["runs"][0]["delivered"] == {}
    assert again.returncode == 0
    assert expected <= arrived(http)
    assert 200 < len(arrived(http)) <= 640
    assert duplicates(http) == 0
    assert sums(tmp_path) == {"delivered": len(arrived(http)), "rejected": 0, "damaged": count}


def test_a_cursor_ahead_of_its_file(tmp_path, http):
    """
    A cursor that points behind the end of its file is of another one: the file is delivered again rather than not.
    """
    left(tmp_path, http, 100)
    ship(tmp_path)
    [file] = (tmp_path / "journal").glob("cursors/*/*/cursor.json")
    cursor = orjson.loads(file.read_bytes())
    for process in cursor["processes"].values():
        process["traces"]["offset"] += 1_000_000
    file.write_bytes(orjson.dumps(cursor))

    assert ship(tmp_path).returncode == 0
    assert arrived(http) == recorded(tmp_path)
    assert duplicates(http) == 100


@pytest.mark.skipif(mounting() is not None, reason=str(mounting()))
def test_a_disk_that_is_full_when_the_cursor_is_saved(tmp_path, http):
    """
    While the cursor cannot be saved, one batch is delivered and no more: a restart would send that one again. When
    there is room, delivery goes on, and nothing is sent twice.
    """
    source = """
ballast = os.path.join(directory, "cursors", "ballast")
record(range(100)); told(bl.flush(60))
with open(ballast, "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
record(range(100, 200)); told(bl.flush(60))
record(range(200, 300)); told(bl.flush(0.5))
os.unlink(ballast)
told(bl.flush(60))
bl.shutdown()
"""
    mounts = "mkdir -p journal/cursors; mount -t tmpfs -o size=64k tmpfs journal/cursors"
    with Child(tmp_path, CONFIGURE + source, http.url, env={"OTEL_METRICS_EXPORTER": "none"}, mounts=mounts) as child:
        ended = child.wait()

    assert (ended.code, answers(ended)) == (
        0,
        [
            ["True", "100", "100", "0", "0", "0"],
            ["True", "200", "200", "0", "0", "0"],
            ["False", "300", "200", "100", "0", "0"],
            ["True", "300", "300", "0", "0", "0"],
        ],
    )
    assert (len(arrived(http)), duplicates(http)) == (300, 0)


def test_a_run_that_is_removed_while_it_is_recorded(tmp_path, http):
    """
    When somebody removes the run under the application's hands, delivery goes on with what is recorded afterwards.
    """
    ended = run(
        tmp_path,
        CONFIGURE
        + """
import shutil
record(range(100)); bl.flush(60)
shutil.rmtree(directory)
record(range(100, 200)); told(bl.flush(60))
""",
        http.url,
    )

    assert ended.code == 0
    assert len(arrived(http)) == 200
    assert duplicates(http) == 0


def test_the_books_of_killed_processes(tmp_path, http):
    """
    For each process, what it journaled is what was delivered and rejected, notes aside, also when it was killed.
    """
    source = """
record(range(500)); bl.flush(60)
for child in range(3):
    pid = os.fork()
    if not pid:
        record(range(500)); bl.flush(60); bl.stamp("loose")
        os.kill(os.getpid(), signal.SIGKILL) if child else os._exit(0)
    os.waitpid(pid, 0)
record(range(500, 600))
"""
    run(tmp_path, CONFIGURE + source, http.url)
    ship(tmp_path)

    [cursor] = cursors(tmp_path)
    counters = {state["process"]: state["counters"] for state in states(tmp_path)}
    for signal_name, kind in (("traces", "spans"), ("logs", "logs"), ("metrics", "metrics")):
        places = {name: places.get(signal_name, {}) for name, places in cursor["processes"].items()}
        taken = {name: place.get("delivered", 0) + place.get("rejected", 0) for name, place in places.items()}
        counted = {name: one.get(kind, {"journaled": 0}) for name, one in counters.items()}
        assert taken == {name: one["journaled"] - one.get("notes", 0) for name, one in counted.items()}
    assert arrived(http) == recorded(tmp_path)
    assert balances(tmp_path) == []
