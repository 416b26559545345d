"""A real MLflow server on loopback, and what stands between it and its clients: a proxy that answers late, or not."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self


# Nothing here takes a tenth of it, however busy the machine: who reaches it hangs.
WATCHDOG_SECONDS = 240.0
# Nothing of MLflow's leaves this machine, and nothing of it is printed where somebody reads.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


@contextlib.contextmanager
def mlflow_server(home: Path, *, python: str = sys.executable) -> Iterator[str]:
    """Run a server of the MLflow of *python* that keeps everything in *home*; gives its URL."""
    port, log = free_port(), home / "server.log"
    store, artifacts = f"sqlite:///{home / 'server.db'}", str(home / "artifacts")
    command = [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store, "--artifacts-destination", artifacts]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | QUIET, cwd=home, start_new_session=True
        )
    try:
        deadline = time.monotonic() + WATCHDOG_SECONDS
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        # It has workers of its own, in the session that it leads.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(WATCHDOG_SECONDS)


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=5):
            return True
    except OSError:
        return False


class Proxy:
    """Passes requests on to *target*; what *look* raises as OSError, breaks the connection.

    *look* is called twice with the path of each: with False before it is passed on, with True when it was answered.
    """

    def __init__(self, target: str, look: Callable[[str, bool], object]) -> None:
        """Listen on a port of loopback."""
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        address = target.removeprefix("http://")
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._pass_on()

            do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815  # as the library calls them

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.paths.append(self.path.partition("?")[0])
                proxy.headers.append(dict(self.headers))
                connection = http.client.HTTPConnection(address, timeout=WATCHDOG_SECONDS)
                try:
                    look(self.path, False)
                    connection.request(self.command, self.path, body, dict(self.headers) | {"Host": address})
                    answer = connection.getresponse()
                    content = answer.read()
                    look(self.path, True)
                except OSError:
                    self.close_connection = True
                    return
                finally:
                    connection.close()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
