"""What a run's own redactor knows as secret is in nothing that it tells: no alert, no bar, no word on stderr."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from branchline.read import open_runs


# Words that no other redactor takes for secret: by its key, and by its look.
BY_KEY, BY_LOOK = "blueheron", "CUST-482913"

PROGRAM = """
import json, logging, sys, time
from pathlib import Path
import branchline as bl
from branchline.events import ErrorEvent, ExperimentLogger, EventType
from branchline.metadata import MetadataRecorder
from branchline.monitor import LogChannel, PerformanceMonitor, Threshold, WebhookChannel
from opentelemetry import metrics

told = json.load(sys.stdin)
said = told["said"]
mine = bl.Redactor(extra_keys=["customer_id"], extra_patterns=["CUST-[0-9]{6}"])
directory = Path("left")
directory.mkdir()
handler = logging.FileHandler(directory / "alerts.log")
handler.setFormatter(logging.Formatter("%(message)s %(alert)s"))
logging.getLogger("branchline.alerts").addHandler(handler)
channel = WebhookChannel(told["url"])
bl.configure("own", directory=directory / "journal", redact=mine, exit_timeout=30, console=told["console"])

def keep(alert):
    with (directory / "alerts.txt").open("a") as file:
        file.write(f"{alert} {alert.to_dict()}\\n")

threshold = Threshold("watched", above=0.5, cooldown=0, severity="CRITICAL")
with PerformanceMonitor(threshold, interval=0.2, system=False, channels=[channel, LogChannel(), keep]):
    bl.record_metric("watched", 1, what=said, customer_id=told["word"])
    bl.flush(20)

for item in bl.track([1, 2, 3], said):
    assert item
try:
    for item in bl.track([1, 2, 3], f"a second {said}"):
        raise ValueError(said)
except ValueError:
    pass

# What goes wrong inside is said on stderr, and quotes others.
def fail(*_):
    raise RuntimeError(said)

metrics.get_meter("x").create_observable_gauge("odd", [fail])
with bl.subscribe(fail):
    with bl.step("heard"):
        pass
    bl.flush(20)

events = ExperimentLogger(directory / "experiments", "e", "r")
events.info(EventType.EXPERIMENT_STARTED, {"what": said, "customer_id": told["word"]})
events.close()
(directory / "error.txt").write_text(json.dumps(ErrorEvent.of(RuntimeError(said)).to_dict()))
with MetadataRecorder() as recorder:
    recorder.set_config(what=said, customer_id=told["word"])
    recorder.add_error(said)
    recorder.save(directory / "metadata.json")
with bl.branch({"what": said, "customer_id": told["word"]}) as branch:
    branch.output = {"customer_id": told["word"], "text": said * 500}
bl.shutdown(30)
"""


class Bodies:
    """A server on loopback that keeps what is posted to it."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        got = self.got

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                got.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/alerts"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.parametrize("console", [True, "auto"])
def test_what_the_run_knows_as_secret_is_nowhere(tmp_path: Path, console: object) -> None:
    """
    What only the redactor of ``configure`` takes for secret is in no alert, in no line of progress, with the console of
    a run or without, in no notice on stderr and in no file.
    """
    bodies = Bodies()
    said = f"for {BY_LOOK}, customer_id={BY_KEY}"
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps({"said": said, "word": BY_KEY, "url": bodies.url, "console": console}).encode(),
        capture_output=True,
        cwd=tmp_path,
        timeout=240,
        check=False,
    )
    bodies.close()
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    places = {**files, "stderr": ran.stderr, "stdout": ran.stdout, "posted": b"\n".join(bodies.got)}

    assert ran.returncode == 0, ran.stderr.decode()
    assert [name for name, content in places.items() if BY_KEY.encode() in content or BY_LOOK.encode() in content] == []
    # And it was all there to be searched.
    lines = ran.stderr.decode().splitlines()
    shown = [line for line in lines if "for [redacted], customer_id=[redacted]" in line]
    words = ("3/3", "a second", "callback", "subscriber")
    assert [word for word in words if not any(word in line for line in shown)] == []
    held = ("posted", "left/alerts.txt", "left/alerts.log", "left/error.txt", "left/metadata.json")
    assert [name for name in held if b"for [redacted]" not in places[name]] == []
    assert open_runs(tmp_path / "left" / "journal").last.logs != ()


def test_afterwards_the_default_one_stands(tmp_path: Path) -> None:
    """
    With the end of the run, what it knew as secret is none any more.
    """
    program = """
    import branchline as bl
    mine = bl.Redactor(extra_keys=["customer_id"])
    for number in range(2):
        list(bl.track([1], f"{number} customer_id=blueheron, before"))
        with bl.configure("own", redact=mine):
            list(bl.track([1], f"{number} customer_id=blueheron, inside"))
    list(bl.track([1], "password=hunter2, customer_id=blueheron, after"))
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, cwd=tmp_path, timeout=120, check=True
    )

    assert [line.partition("...")[0] for line in ran.stderr.decode().splitlines()] == [
        "[INFO] 0 customer_id=blueheron, before",
        "[INFO] 0 customer_id=[redacted], inside",
        "[INFO] 1 customer_id=blueheron, before",
        "[INFO] 1 customer_id=[redacted], inside",
        "[INFO] password=[redacted], customer_id=blueheron, after",
    ]
