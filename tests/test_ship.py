"""``branchline ship`` and ``branchline doctor``: what a person sees, and what a program gets."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.filesize import decimal

from branchline._journal import cursors
from branchline._journal.claims import claimed
from branchline._journal.cursors import Cursor
from branchline.cli import main
from branchline.destinations import OTLP
from branchline.exporters.checkup import look_at_destination
from branchline.exporters.otlp.destination import OtlpDestination
from endpoints import HttpEndpoint
from journals import Journal, journal, log, span


@pytest.fixture
def endpoint() -> Iterator[HttpEndpoint]:
    with HttpEndpoint() as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)


def called(*words: object) -> Result:
    """Run the command with *words* as its arguments."""
    return CliRunner().invoke(main, [str(word) for word in words])


def run(name: str, *spans: str, start: float = 0.0) -> Journal:
    """Leave a run with these spans."""
    made = journal(Path(".branchline"), run=name, process="p", start=start)
    for number, title in enumerate(spans, start=1):
        made.spans(span(number, title, trace=f"{len(name):032x}"))
    return made


def registered(endpoint: HttpEndpoint, *names: str) -> Path:
    """Note that these runs were to go to *endpoint*, as their followers would have."""
    destination = OtlpDestination(OTLP(endpoint.url), {})
    folder = cursors.follower_folder(".branchline", destination.name)
    cursors.describe(folder, "otlp", destination.settings)
    for name in names:
        cursors.save(folder / name, Cursor())
    return folder


# ── which runs, and where to ──────────────────────────────────────────────────────────────────────


def test_what_was_to_go_there_and_the_last_run(endpoint):
    """
    Without more words, what runs have left for the endpoint is delivered, and the last run; other runs are not.
    """
    run("aaa", "old", start=1)
    run("bbbb", "never meant", start=2)
    run("ccccc", "last", start=3)
    registered(endpoint, "aaa")

    shipped = called("ship", "--to", endpoint.url)

    assert (shipped.exit_code, shipped.stdout.splitlines()[:2]) == (
        0,
        ["✓ aaa  1 span delivered", "✓ ccccc  1 span delivered"],
    )
    assert shipped.stdout.splitlines()[2].startswith(f"delivered 2 spans to {endpoint.url} in ")
    assert called("ship", "--to", endpoint.url).stdout == f"nothing is left to deliver to {endpoint.url}\n"
    assert len(endpoint.received.spans) == 2


def test_all_runs(endpoint):
    """
    With ``--all``, every run is delivered; with its name, one.
    """
    run("aaa", "a", start=1)
    run("bbbb", "b", start=2)
    run("ccccc", "c", start=3)

    one = called("ship", "bb", "--to", endpoint.url, "--json")
    every = called("ship", "--all", "--to", endpoint.url, "--json")

    assert [found["id"] for found in json.loads(one.stdout)["runs"]] == ["bbbb"]
    assert [(found["id"], found["delivered"]) for found in json.loads(every.stdout)["runs"]] == [
        ("aaa", {"traces": 1}),
        ("bbbb", {}),
        ("ccccc", {"traces": 1}),
    ]
    assert called("ship", "aaa", "--all").exit_code == 1


def test_the_endpoint_of_the_environment(endpoint, monkeypatch):
    """
    What the environment names is where it goes, with its headers.
    """
    run("aaa", "a")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=abc")

    assert called("ship").exit_code == 0
    assert [request.headers["x-token"] for request in endpoint.requests] == ["abc"]


def test_the_endpoint_that_the_journal_notes(endpoint):
    """
    Where nobody names an endpoint, a run goes to where it was to go; headers are not noted.
    """
    run("aaa", "a")
    folder = registered(endpoint, "aaa")

    assert called("ship").exit_code == 0
    assert len(endpoint.received.spans) == 1
    assert "headers" not in (folder / "destination.json").read_text()


def test_several_endpoints(endpoint):
    """
    Runs that were to go to several places go to all of them, each with its own cursor.
    """
    run("aaa", "a")
    registered(endpoint, "aaa")
    with HttpEndpoint() as other:
        registered(other, "aaa")
        shipped = called("ship", "--json")

        assert [len(found["runs"]) for found in json.loads(shipped.stdout)] == [1, 1]
        assert (len(endpoint.received.spans), len(other.received.spans)) == (1, 1)


def test_a_note_that_nobody_understands(endpoint):
    """
    A note of a destination that is damaged is passed over; one with strange settings is named.
    """
    run("aaa", "a")
    folder = registered(endpoint, "aaa")
    (folder / "destination.json").write_text("{")
    damaged = called("ship")
    (folder / "destination.json").write_text('{"kind": "otlp", "settings": {"colour": "red"}}')
    strange = called("ship")

    assert (damaged.exit_code, "there is no endpoint" in damaged.stderr) == (1, True)
    assert (strange.exit_code, "destination.json cannot be understood" in strange.stderr) == (1, True)


# ── how it goes ───────────────────────────────────────────────────────────────────────────────────


def test_a_rehearsal(endpoint):
    """
    A dry run counts what would be delivered, by signal, without branchline's own notes, and delivers nothing.
    """
    run("aaa", "a", "b").logs(log("hello"), log(name="branchline.run.started"))

    drawn = called("ship", "--dry-run", "--to", endpoint.url)
    size = decimal(sum(path.stat().st_size for path in Path(".branchline").rglob("*.jsonl"))).split()
    told = json.loads(called("ship", "--dry-run", "--to", endpoint.url, "--json").stdout)

    assert [line.split() for line in drawn.stdout.splitlines()[1::2]] == [
        ["run", "spans", "log", "records", "data", "points", "size"],
        ["aaa", "2", "1", *size],
    ]
    assert told["runs"][0]["waiting"] == {"traces": 2, "logs": 1}
    assert endpoint.request_count == 0


def test_an_endpoint_that_is_down(endpoint):
    """
    What cannot be delivered waits, with the reason, and the exit code says so.
    """
    run("aaa", "a", "b")
    endpoint.behave("down")

    shipped = called("ship", "--to", endpoint.url, "--timeout", 0)

    assert shipped.exit_code == 1
    assert shipped.stdout.splitlines() == [
        f"✗ aaa  2 spans waiting  {endpoint.url}: Connection refused",
        "2 spans wait; the same command goes on",
    ]


def test_an_endpoint_that_refuses(endpoint):
    """
    What is refused is said, and where to look.
    """
    run("aaa", "a", "b")
    endpoint.behave("status", status=401)

    shipped = called("ship", "--to", endpoint.url)

    assert shipped.exit_code == 1
    assert shipped.stdout.splitlines() == [
        "✗ aaa  2 spans refused",
        "2 spans refused: `branchline doctor` says why",
    ]


def test_a_run_that_somebody_else_delivers(endpoint):
    """
    What another process delivers just now is left to it.
    """
    run("aaa", "a")
    claim = claimed(registered(endpoint, "aaa") / "aaa")

    shipped = called("ship")

    assert claim is not None
    assert (shipped.exit_code, shipped.stdout.splitlines()[0]) == (
        0,
        "▸ aaa  another process delivers it just now",
    )


def test_damaged_lines(endpoint):
    """
    What nobody can read is passed over, and said.
    """
    run("aaa", "a").raw(b"{torn\n").raw(b"{torn\n")

    assert called("ship", "--to", endpoint.url).stdout.splitlines()[0] == (
        "✓ aaa  1 span delivered  2 damaged lines passed over"
    )


def test_a_cursor_of_a_later_version(endpoint):
    """
    What a later version delivers is left to that, and said.
    """
    run("aaa", "a")
    file = registered(endpoint, "aaa") / "aaa" / "cursor.json"
    file.write_text('{"version": 2}')

    shipped = called("ship")

    assert (shipped.exit_code, "written by a later version" in shipped.stdout) == (1, True)
    assert file.read_text() == '{"version": 2}'


# ── doctor ────────────────────────────────────────────────────────────────────────────────────────


def findings(*words: object) -> tuple[int, list[tuple[str, str, str]]]:
    """Return the exit code, and what the doctor found: health, text and advice."""
    asked = called("doctor", "--json", *words)
    return asked.exit_code, [(found["health"], found["text"], found["advice"]) for found in json.loads(asked.stdout)]


def test_all_is_well(endpoint):
    """
    Where nothing is wrong, everything that was looked at is named, and the exit code is 0.
    """
    run("aaa", "a")
    called("ship", "--to", endpoint.url)

    asked = called("doctor", "--to", endpoint.url)

    lines = asked.stdout.splitlines()
    assert asked.exit_code == 0
    assert lines[0] == "journal"
    assert lines[1].startswith("  ✓ 1 run, ")
    assert lines[2:4] == ["  ✓ no dead process has anything left in memory", "  ✓ no damaged lines"]
    assert lines[4] == endpoint.url
    assert lines[5].startswith("  ✓ answers in ")
    assert lines[6:] == [
        "  ✓ takes spans, log records, data points",
        "  ✓ its clock and ours agree",
        "  ✓ all is delivered: 1 span",
        "all is well",
    ]
    assert len(endpoint.received.spans) == 1


def test_nothing_is_there():
    """
    Without a journal and an endpoint, that is all there is to say.
    """
    code, found = findings()

    assert (code, [health for health, _, _ in found]) == (0, ["fair", "good"])
    assert "nothing has been recorded here" in found[0][1]
    assert "none is configured" in found[1][1]


def test_an_endpoint_that_does_not_answer(endpoint):
    """
    What waits for an endpoint that is down is counted, and nothing is lost.
    """
    run("aaa", "a")
    registered(endpoint, "aaa")
    endpoint.behave("down")

    code, found = findings()

    assert code == 1
    assert ("bad", f"does not answer: {endpoint.url}: Connection refused") in [each[:2] for each in found]
    assert [each for each in found if "wait to be delivered" in each[1]] == [
        (
            "fair",
            "497 bytes of 1 run wait to be delivered",
            "`branchline ship` delivers them; `--dry-run` says what it is",
        )
    ]


REFUSALS = {401: "OTEL_EXPORTER_OTLP_HEADERS", 404: "OTEL_LOGS_EXPORTER=none", 400: "the server's own log"}


@pytest.mark.parametrize("status", REFUSALS)
def test_an_endpoint_that_refuses_everything(endpoint, status):
    """
    What the server says to nothing at all is what it will say to everything, and there is advice.
    """
    endpoint.behave("status", status=status)

    code, found = findings("--to", endpoint.url)

    refused = [(text, advice) for _, text, advice in found if text.startswith("does not take log records")]
    assert (code, len(refused)) == (1, 1)
    assert refused[0][0].startswith(f"does not take log records: {status} ")
    assert REFUSALS[status] in refused[0][1]


def test_dead_letters(endpoint):
    """
    What was refused is counted, with the last answer and what to do.
    """
    run("aaa", "a", "b")
    endpoint.behave("status", status=401, body="who are you?")
    called("ship", "--to", endpoint.url)
    endpoint.behave()

    code, found = findings("--to", endpoint.url)
    [(text, advice)] = [(text, advice) for _, text, advice in found if text.startswith("refused")]

    assert code == 1
    assert text.startswith("refused: 2 spans; the last at ")
    assert text.endswith("401 Unauthorized: who are you?")
    assert "`branchline ship --refused`" in advice


def test_a_journal_that_is_not_well(endpoint):
    """
    Damaged lines and dropped records are found, with advice.
    """
    made = journal(
        Path(".branchline"), run="aaa", process="p", counters={"spans": {"dropped": {"queue_full": 7}}, "odd": 1}
    )
    made.spans(span(1, "a")).raw(b"{torn\n")

    _, found = findings("--to", endpoint.url)

    assert ("fair", "dropped before they reached the journal: 7 (queue full)") in [each[:2] for each in found]
    assert ("fair", "1 damaged line, the newest in run aaa") in [each[:2] for each in found]


def test_a_disk_with_little_room(monkeypatch, endpoint):
    """
    Little room is said while there is some, and no room is wrong.
    """
    run("aaa", "a")
    free = {"fair": 500 * 1000**2, "bad": 1000**2}

    for health, size in free.items():
        usage = shutil.disk_usage(".")._replace(free=size)
        monkeypatch.setattr("branchline.exporters.checkup.shutil.disk_usage", lambda path, usage=usage: usage)
        assert findings("--to", endpoint.url)[1][0][0] == health


def test_a_clock_that_is_wrong(endpoint):
    """
    A server whose clock is far from ours is told from one whose is near.
    """
    destination = OtlpDestination(OTLP(endpoint.url), {})

    *_, early = look_at_destination(destination, now=lambda: time.time() - 3600)
    *_, late = look_at_destination(destination, now=lambda: time.time() + 3600)

    around = range(3590, 3610)
    assert early.text in {f"its clock is {seconds:,} s ahead of ours" for seconds in around}
    assert late.text in {f"its clock is {seconds:,} s behind ours" for seconds in around}
    assert (early.health, late.health) == ("fair", "fair")


def test_a_directory_that_cannot_be_written_to(endpoint, monkeypatch):
    """
    Where nobody may write, that is said before anything is lost.
    """
    run("aaa", "a")

    def mkstemp(**how):
        # As root, who runs some of these tests, nothing but the disk itself refuses.
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("branchline.exporters.checkup.tempfile.mkstemp", mkstemp)
    code, found = findings("--to", endpoint.url)

    assert code == 1
    assert found[0][:2] == ("bad", "cannot write to .branchline: Read-only file system")
