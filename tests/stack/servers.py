"""The real programs on free ports of loopback, run with the configurations that are shipped, and what they answer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from build import program


CONFIGS = Path(__file__).parent.parent.parent / "collector-config"
# Nothing here takes a tenth of it, however busy the machine: who reaches it hangs.
WATCHDOG_SECONDS = 120.0

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
Found = TypeVar("Found")


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def get(url: str, **query: str) -> Any:
    """Return the JSON that *url* answers with."""
    where = f"{url}?{urllib.parse.urlencode(query)}" if query else url
    with _DIRECT.open(where, timeout=30) as answer:
        return json.load(answer)


def eventually(
    look: Callable[[], Found], is_right: Callable[[Found], bool], seconds: float = WATCHDOG_SECONDS
) -> Found:
    """Return what *look* finds once *is_right* says so, or what it found last."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = look()
        except (OSError, ValueError):
            if time.monotonic() > deadline:
                raise
        else:
            if is_right(found) or time.monotonic() > deadline:
                return found
        time.sleep(0.2)


class Server:
    """A program that serves; killed when the test leaves the block. It may be ended and started again before."""

    def __init__(self, home: Path, name: str, command: Sequence[str], ready: str, env: Mapping[str, str]) -> None:
        """Prepare to run *command* in *home*; it is ready when *ready* answers."""
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.log = home / f"{name}.log"
        self.env = dict(env)
        self._command = list(command)
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it, and return when it is ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self.env,
                cwd=self.home,
            )
        deadline = time.monotonic() + WATCHDOG_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self._command} is not ready:\n{self.log.read_text()[-6000:]}")
            time.sleep(0.1)
        return self

    def _answers(self) -> bool:
        try:
            with _DIRECT.open(self._ready, timeout=5):
                return True
        except (OSError, urllib.error.URLError):
            return False

    def kill(self) -> None:
        """Kill it, at once."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as an operator does."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(WATCHDOG_SECONDS)
            self._process = None

    def said(self, words: str) -> list[str]:
        """Return the lines of its log with these *words* in them, in whatever case."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if words in line.lower()]

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.kill()


class Collector(Server):
    """The real collector with shipped configurations."""

    def __init__(self, home: Path, *configs: str | Path, health: int, env: Mapping[str, object]) -> None:
        """Run *configs*, names of shipped ones or paths of overlays."""
        paths = [str(CONFIGS / config) if isinstance(config, str) else str(config) for config in configs]
        command = [str(program("collector", "otelcol")), *(f"--config={path}" for path in paths)]
        texts = {name: str(value) for name, value in env.items()}
        super().__init__(home, "collector", command, f"http://127.0.0.1:{health}/", texts)
        self.is_up_to_date = True

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        # A name that is going out of use warns for a few releases, and is then an error.
        if raised == (None, None, None) and self.is_up_to_date:
            assert self.said("deprecated") == []


class Gateway(Collector):
    """``gateway.yaml``, with overlays behind it."""

    def __init__(self, home: Path, *overlays: str | Path, **env: object) -> None:
        """Prepare one that keeps its queue and its archive in *home*."""
        self.grpc, self.http, self.health, self.metrics = (free_port() for _ in range(4))
        self.archive = home / "archive"
        places = {
            "GATEWAY_GRPC": f"127.0.0.1:{self.grpc}",
            "GATEWAY_HTTP": f"127.0.0.1:{self.http}",
            "GATEWAY_HEALTH": f"127.0.0.1:{self.health}",
            "GATEWAY_METRICS_PORT": self.metrics,
            "GATEWAY_QUEUE": home / "queue",
            "GATEWAY_ARCHIVE": self.archive,
            "GATEWAY_SPAN_METRICS_EVERY": "1s",
        }
        super().__init__(home, "gateway.yaml", *overlays, health=self.health, env=places | env)

    def endpoint(self, protocol: str) -> str:
        """Return the URL for a *protocol*."""
        return f"http://127.0.0.1:{self.grpc if protocol == 'grpc' else self.http}"

    def refused_or_dropped(self) -> dict[str, float]:
        """Return its own counters of what it refused, failed to send or could not queue."""
        with _DIRECT.open(f"http://127.0.0.1:{self.metrics}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        told = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        words = ("refused", "send_failed", "enqueue_failed")
        return {name: float(value) for name, _, value in told if any(word in name for word in words) and float(value)}


class Jaeger(Server):
    """The real Jaeger with ``jaeger.yaml``."""

    def __init__(self, home: Path, prometheus: str = "http://127.0.0.1:9") -> None:
        """Prepare one that keeps its traces in *home*."""
        page, grpc, http, query, health, metrics = (free_port() for _ in range(6))
        self.otlp = f"127.0.0.1:{grpc}"
        self.page = f"http://127.0.0.1:{page}"
        env = {
            "JAEGER_PAGE_PORT": str(page),
            "JAEGER_OTLP_GRPC_PORT": str(grpc),
            "JAEGER_OTLP_HTTP_PORT": str(http),
            "JAEGER_QUERY_GRPC_PORT": str(query),
            "JAEGER_HEALTH_PORT": str(health),
            "JAEGER_METRICS_PORT": str(metrics),
            "JAEGER_DATA": str(home / "badger"),
            "JAEGER_PROMETHEUS": prometheus,
        }
        command = [str(program("jaeger", "jaeger")), f"--config={CONFIGS / 'jaeger.yaml'}"]
        super().__init__(home, "jaeger", command, f"http://127.0.0.1:{health}/status", env)

    def spans(self, trace_id: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Return the spans of a trace with their resources, as its API tells them."""
        try:
            answer = get(f"{self.page}/api/v3/traces/{trace_id}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return []
            raise
        return [
            (span, resource["resource"])
            for resource in answer["result"]["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]

    def ids(self, trace_id: str) -> list[str]:
        """Return the ids of a trace's spans, sorted; one that came twice is there twice."""
        return sorted(span["spanId"] for span, _ in self.spans(trace_id))


class Prometheus(Server):
    """The real Prometheus with ``prometheus.yml``."""

    def __init__(self, home: Path) -> None:
        """Prepare one that keeps its series in *home*."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.otlp = f"{self.url}/api/v1/otlp"
        command = [
            str(program("prometheus", "prometheus")),
            f"--config.file={CONFIGS / 'prometheus.yml'}",
            f"--storage.tsdb.path={home / 'series'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-otlp-receiver",
            "--enable-feature=exemplar-storage",
        ]
        super().__init__(home, "prometheus", command, f"{self.url}/-/ready", {})

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """Return the series that *expression* gives, now or *at* a time."""
        when = {} if at is None else {"time": f"{at:.3f}"}
        answer = get(f"{self.url}/api/v1/query", query=expression, **when)
        return list(answer["data"]["result"])
