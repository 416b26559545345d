"""Sinks on other machines: never in the way, and what cannot be delivered now is delivered later, once, or counted."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import http.server
import ipaddress
import logging
import re
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from branchline._files.backlog import Backlog
from branchline.errors import ConfigError
from branchline.logs.handlers import Handlers, reports
from branchline.logs.records import Record


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    """
    The folder in which backlogs are.
    """
    monkeypatch.setenv("BRANCHLINE_DIR", str(tmp_path / "bl"))
    return tmp_path / "bl" / "backlog"


@pytest.fixture
def handlers():
    found = Handlers()
    yield found
    found.close(5)


def record(message: object, level: int = logging.INFO) -> Record:
    return Record.of(logging.LogRecord("app", level, "app.py", 1, message, None, None))


def log(handlers: Handlers, numbers) -> None:
    for n in numbers:
        handlers.handle(record(str(n)))


def only(handlers: Handlers):
    [handler] = handlers._handlers
    return handler


def until(is_true, seconds: float = 20.0) -> bool:
    """
    Wait until something is true; the time is for a machine that is very busy.
    """
    deadline = time.monotonic() + seconds
    while not is_true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(is_true())


class Lines:
    """A TCP server that keeps the lines it gets, and can go away and come back at the same place."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.got: list[str] = []
        self.port = 0
        self.open()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                if self._tls is not None:
                    try:
                        connection = self._tls.wrap_socket(connection, server_side=True)
                    except OSError:
                        # Whoever came does not trust us.
                        continue
                self._connections.append(connection)
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection.makefile("r") as file:
            for line in file:
                self.got.append(line.rstrip("\n"))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


@pytest.fixture
def lines():
    server = Lines()
    yield server
    server.close()


class Requests:
    """An HTTP server that keeps the lines of requests that it answers with 200."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.got: list[str] = []
        self.seen: list[tuple[str, str | None, str | None]] = []
        self.headers: list[dict[str, str]] = []
        self.answer = lambda body: 200
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                body = (gzip.decompress(data) if self.headers["Content-Encoding"] == "gzip" else data).decode()
                outer.headers.append(dict(self.headers))
                status = outer.answer(body)
                outer.seen.append((self.path, self.headers["Content-Type"], self.headers["Authorization"]))
                if status == 200:
                    outer.got += body.splitlines()
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format, *args):
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def requests():
    server = Requests()
    yield server
    server.close()


# ── each kind ─────────────────────────────────────────────────────────────────────────────────────


def test_tcp_gets_a_line_for_each_record(handlers, lines):
    """
    A TCP destination gets the lines in order, each once, and newlines in them escaped.
    """
    handlers.add({"sink": f"tcp://127.0.0.1:{lines.port}", "format": "{message}"})
    log(handlers, range(5000))
    handlers.handle(record("two\nlines"))
    account = only(handlers).account
    is_complete = handlers.flush(20)

    assert until(lambda: len(lines.got) == 5001)
    assert lines.got == [*map(str, range(5000)), r"two\nlines"]
    assert (is_complete, account.written, account.dropped) == (True, 5001, {})


def test_udp_gets_a_datagram_for_each_record(handlers):
    """
    A UDP destination gets a datagram for each record; one that is too large for any is counted.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        handlers.add({"sink": f"udp://127.0.0.1:{server.getsockname()[1]}", "format": "{message}"})
        handlers.handle(record("one"))
        handlers.handle(record("x" * 70_000))
        handlers.handle(record("two"))
        got = [server.recv(65_536).decode() for _ in range(2)]
        account = only(handlers).account
        handlers.flush(10)

    assert got == ["one", "two"]
    assert (account.written, account.dropped) == (2, {"refused": 1})


@pytest.mark.parametrize("kind", ["unix", "udp", "tcp"])
def test_syslog_gets_messages_of_its_protocol(handlers, kind, tmp_path):
    """
    A syslog destination gets messages with priority, time, host, program and process; over TCP with their length.
    """
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as server:
        server.settimeout(10)
        server.bind(str(tmp_path / "log") if kind == "unix" else ("127.0.0.1", 0))
        if kind == "unix":
            url = f"syslog://{tmp_path / 'log'}"
        else:
            url = f"syslog{'+tcp' if kind == 'tcp' else ''}://127.0.0.1:{server.getsockname()[1]}"
        if kind == "tcp":
            server.listen()
        handlers.add({"sink": url, "format": "{message}"})
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
            handlers.handle(record("hello", level))
        if kind == "tcp":
            connection, _ = server.accept()
            data = b""
            while data.count(b"hello") < 5:
                data += connection.recv(65_536)
            connection.close()
            got = []
            while data:
                size, _, data = data.partition(b" ")
                got.append(data[: int(size)].decode())
                data = data[int(size) :]
        else:
            got = [server.recv(65_536).decode() for _ in range(5)]
    pattern = r"<(\d+)>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ \S+ \d+ - - hello"

    found = [re.fullmatch(pattern, message) for message in got]

    assert [match and match[1] for match in found] == ["15", "14", "12", "11", "10"]


def test_http_gets_batches(handlers, requests):
    """
    An HTTP destination gets requests of many lines each, with the user of the URL, who is nowhere else to be seen.
    """
    handlers.add({"sink": f"http://me:s3cret@127.0.0.1:{requests.port}/logs?k=s3cret", "format": "{message}"})
    log(handlers, range(5000))
    is_complete = handlers.flush(20)
    folder = only(handlers).sink.backlog.folder

    assert (is_complete, requests.got) == (True, [*map(str, range(5000))])
    assert set(requests.seen) == {("/logs?k=s3cret", "application/x-ndjson", "Basic bWU6czNjcmV0")}
    assert len(requests.seen) < 100
    assert "s3cret" not in f"{folder} {only(handlers)}"


@pytest.mark.parametrize(
    "url", ["tcp://host", "udp://:5", "ftp://host/x", "http://", "tcp://me:s3cret@host:x", "syslog://"]
)
def test_what_is_no_destination(handlers, url):
    """
    A URL that is none of ours is refused when it is added, without the password in it.
    """
    with pytest.raises(ConfigError, match="is not accepted") as refused:
        handlers.add({"sink": url})

    assert "s3cret" not in str(refused.value)


# ── outages ───────────────────────────────────────────────────────────────────────────────────────


def test_an_outage_loses_nothing(handlers, lines, directory, capsys):
    """
    While the other side is away, what is logged waits on the disk, privately; when it is back, all of it arrives, in
    order and once, and nothing is left behind. It is said once that it is away, and once that it is back.
    """
    handlers.add({"sink": f"tcp://127.0.0.1:{lines.port}", "format": "{message}"})
    log(handlers, range(1000))
    assert handlers.flush(20)
    assert until(lambda: len(lines.got) == 1000)
    lines.close()
    log(handlers, range(1000, 2000))
    assert not handlers.flush(20)
    log(handlers, range(2000, 3000))
    assert until(lambda: list(directory.glob("*/*.lines")))
    modes = {path.stat().st_mode & 0o777 for path in directory.glob("*/*")}
    lines.open()
    assert until(lambda: handlers.flush(1))
    account = only(handlers).account

    assert until(lambda: len(lines.got) == 3000)
    assert lines.got == [*map(str, range(3000))]
    assert (account.written, account.dropped, modes) == (3000, {}, {0o600})
    assert list(directory.glob("*/*")) == []
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_the_next_process_delivers_what_is_left(lines, directory):
    """
    What a process could not deliver, the next one that has the same sink does, though it logs nothing itself.
    """
    lines.close()
    first = Handlers()
    first.add({"sink": f"tcp://127.0.0.1:{lines.port}", "format": "{message}"})
    log(first, range(1000))
    account = only(first).account
    is_complete = first.close(5)
    lines.open()
    second = Handlers()
    second.add({"sink": f"tcp://127.0.0.1:{lines.port}", "format": "{message}"})
    assert until(lambda: second.flush(1))
    later = only(second).account
    second.close()

    assert until(lambda: len(lines.got) == 1000)
    assert lines.got == [*map(str, range(1000))]
    assert (is_complete, account.written, account.kept, account.dropped) == (True, 0, 1000, {})
    assert (later.created, later.written, later.caught_up) == (0, 0, 1000)
    assert list(directory.glob("*/*")) == []


PROGRAM = """
import logging, os, sys, time
from branchline.logs.handlers import Handlers, reports
from branchline.logs.records import Record

handlers = Handlers()
handlers.add({"sink": sys.argv[1], "format": "{message}"})
def log(numbers):
    for n in numbers:
        handlers.handle(Record.of(logging.LogRecord("app", 20, "app.py", 1, str(n), None, None)))
"""


def run(source, *arguments):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + source, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("ending", ["", "os._exit(1)", "os.kill(os.getpid(), 9)"])
def test_a_process_that_dies_in_an_outage_leaves_it_to_the_next(lines, ending):
    """
    What waits on the disk outlives the process, however that ends; and the end is not delayed by who is away.
    """
    lines.close()
    url = f"tcp://127.0.0.1:{lines.port}"
    run(f"log(range(1000)); handlers.flush(2); time.sleep(1); {ending}", url)
    lines.open()
    ended = run("while not handlers.flush(1): time.sleep(0.01)", url)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert until(lambda: len(lines.got) == 1000)
    assert lines.got == [*map(str, range(1000))]


def test_a_forked_child_is_heard(lines):
    """
    What a forked child logs arrives, even if it ends at once; its parent delivers what it left.
    """
    ended = run(
        """
log(range(100))
for k in range(1, 4):
    child = os.fork()
    if child == 0:
        log(range(1000 * k, 1000 * k + 100))
        os._exit(0)
    os.waitpid(child, 0)
log(range(100, 200))
while not handlers.flush(1):
    time.sleep(0.01)
time.sleep(2)
""",
        f"tcp://127.0.0.1:{lines.port}",
    )
    expected = [*range(200), *(1000 * k + n for k in (1, 2, 3) for n in range(100))]

    assert (ended.returncode, ended.stderr) == (0, "")
    assert until(lambda: len(lines.got) >= 500)
    assert sorted(map(int, lines.got)) == expected


def test_a_backlog_is_bounded_and_counted(handlers, lines, directory):
    """
    Beyond its size a backlog loses the oldest, and counts them: what arrives in the end and what was dropped is all.
    """
    lines.close()
    handlers.add({"sink": f"tcp://127.0.0.1:{lines.port}", "format": "{message}", "backlog": "3 MiB"})
    for start in range(0, 50_000, 1000):
        for n in range(start, start + 1000):
            handlers.handle(record(f"{n} {'x' * 200}"))
        handlers.flush(0.05)
    size = 0
    for path in directory.glob("*/*.lines"):
        # The thread that writes may be dropping one just now.
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size
    lines.open()
    assert until(lambda: handlers.flush(1), 60)
    account = only(handlers).account

    assert until(lambda: len(lines.got) == account.written)
    assert size <= 3 * 1024 * 1024
    assert account.written + account.dropped["backlog_full"] == 50_000
    assert len(set(lines.got)) == len(lines.got) > 5000


@pytest.mark.parametrize("status", [500, 503, 429, 401, 302])
def test_what_a_server_may_yet_take_is_offered_again(handlers, requests, status):
    """
    Answers that say something of the moment, or of the set-up, cost nothing: it all arrives, once, when they end.
    """
    answers = iter([status, status])
    requests.answer = lambda body: next(answers, 200)
    handlers.add({"sink": f"http://127.0.0.1:{requests.port}/", "format": "{message}"})
    log(handlers, range(1000))

    assert until(lambda: handlers.flush(1))
    assert requests.got == [*map(str, range(1000))]


def test_what_a_server_refuses_for_good_costs_its_neighbours_nothing(handlers, requests):
    """
    A record that a server refuses is found, dropped and counted; all others arrive.
    """
    requests.answer = lambda body: 400 if "77\n" in body else 200
    handlers.add({"sink": f"http://127.0.0.1:{requests.port}/", "format": "{message}"})
    log(handlers, [*range(70), 77, *range(100, 170)])
    account = only(handlers).account

    assert handlers.flush(20)
    assert requests.got == [*map(str, [*range(70), *range(100, 170)])]
    assert (account.written, account.dropped) == (140, {"refused": 1})


def test_a_sink_that_hangs_holds_nobody_up(handlers):
    """
    A destination that accepts connections and never reads does not keep anybody from logging, or from ending.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        handlers.add({"sink": f"tcp://127.0.0.1:{server.getsockname()[1]}", "format": "{message}"})
        for n in range(20_000):
            handlers.handle(record(f"{n} {'x' * 1000}"))
        account = only(handlers).account
        handlers.close(0.5)

    assert account.created == 20_000
    assert account.dropped == {}


# ── the backlog itself ────────────────────────────────────────────────────────────────────────────


def test_a_backlog_survives_what_a_death_leaves(tmp_path):
    """
    A torn last line, a damaged place and a foreign file cost nothing but the torn line.
    """
    first = Backlog(tmp_path / "b")
    first.append([b"one", b"two"])
    [segment] = (tmp_path / "b").glob("*.lines")
    with segment.open("ab") as file:
        file.write(b"thr")
    segment.with_suffix(".at").write_text("nonsense")
    (tmp_path / "b" / "foreign.txt").write_text("theirs")
    first.close()
    second = Backlog(tmp_path / "b")
    portion = second.next(10, 1000)
    assert portion is not None
    second.done(portion)

    assert portion.lines == [b"one", b"two"]
    assert second.next(10, 1000) is None
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["foreign.txt"]


def test_a_backlog_is_delivered_by_one_at_a_time(tmp_path):
    """
    What one has, another one does not get while the first lives; and it goes on where the first stopped.
    """
    first, second = Backlog(tmp_path / "b"), Backlog(tmp_path / "b")
    first.append([b"one", b"two", b"three"])
    taken = first.next(2, 1000)
    assert taken is not None
    meanwhile = second.next(10, 1000)
    first.done(taken)
    first.close()
    later = second.next(10, 1000)
    assert later is not None

    assert (taken.lines, meanwhile, later.lines) == ([b"one", b"two"], None, [b"three"])


@pytest.mark.slow
def test_what_several_processes_leave_is_found_whole(tmp_path):
    """
    Processes that come and go leave lines in a backlog while another one empties it all the time: it gets each line,
    once.
    """
    program = """
import sys
from pathlib import Path
from branchline._files.backlog import Backlog
for n in range(200):
    backlog = Backlog(Path(sys.argv[1]))
    backlog.append([b"%s %d" % (sys.argv[2].encode(), n)])
    backlog.forget_threads()  # as one does who dies
"""
    (tmp_path / "b").mkdir()
    children = [subprocess.Popen([sys.executable, "-c", program, tmp_path / "b", str(k)]) for k in range(4)]
    got: list[bytes] = []
    backlog = Backlog(tmp_path / "b")
    deadline = time.monotonic() + 60
    while (backlog.is_waiting or any(child.poll() is None for child in children)) and time.monotonic() < deadline:
        portion = backlog.next(10, 1000)
        if portion is not None:
            got += portion.lines
            backlog.done(portion)

    assert sorted(got) == sorted(b"%d %d" % (k, n) for k in range(4) for n in range(200))
    assert [child.returncode for child in children] == [0] * 4
    assert list((tmp_path / "b").iterdir()) == []


# ── how lines are to go ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def certificate(tmp_path):
    """
    A certificate for this machine that nobody but us trusts, with its key, and what a server does with it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


@pytest.mark.parametrize("is_trusted", [True, False])
def test_lines_inside_of_tls(handlers, certificate, is_trusted):
    """
    MX-10: inside of TLS lines go to who has a certificate that is trusted, or to anybody where that is not looked at;
    each once, also after an outage.
    """
    path, context = certificate
    server = Lines(context)
    verify = path if is_trusted else False
    handlers.add({"sink": f"tcp+tls://127.0.0.1:{server.port}", "format": "{message}", "tls_verify": verify})
    log(handlers, range(100))
    # What has arrived there and was not read goes with the server.
    assert until(lambda: handlers.flush(1) and len(server.got) == 100)
    server.close()
    log(handlers, range(100, 200))
    server.open()
    account = only(handlers).account
    # Counted once it is acknowledged, which may be later than it was read.
    assert until(lambda: len(server.got) >= 200 and account.written >= 200)
    server.close()

    assert server.got == [str(n) for n in range(200)]
    assert (account.created, account.written, account.dropped) == (200, 200, {})


def test_syslog_inside_of_tls(handlers, certificate):
    """
    MX-10: syslog inside of TLS (RFC 5425) is syslog by TCP: each message says how long it is.
    """
    path, context = certificate
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
                while data := connection.recv(65_536):
                    got.append(data)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"syslog+tls://127.0.0.1:{listener.getsockname()[1]}"
        handlers.add({"sink": url, "format": "{message}", "tls_verify": path})
        log(handlers, range(3))
        handlers.close(20)
        thread.join(20)

    messages = re.findall(rb"(\d+) (<14>1 \S+ \S+ \S+ \S+ - - \d)", b"".join(got))
    assert [int(length) for length, _ in messages] == [len(message) for _, message in messages]
    assert [message[-1:] for _, message in messages] == [b"0", b"1", b"2"]


def test_nothing_goes_to_whom_nobody_trusts(handlers, certificate):
    """
    MX-10: where the certificate is not trusted nothing is sent; the sink has failed, says why, and keeps the lines.
    """
    _, context = certificate
    server, web = Lines(context), Requests(context)
    for url in (f"tcp+tls://127.0.0.1:{server.port}", f"https://127.0.0.1:{web.port}/"):
        number = handlers.add({"sink": url, "format": "{message}"})
        log(handlers, range(3))
        handlers.flush(5)
        [report] = [each for each in reports() if each.handler_id == number]
        assert report.state == "failed"
        assert report.errors > 0
        assert "cannot deliver" in report.last_error
        handlers.remove(number)
        [report] = [each for each in reports() if each.handler_id == number]
        assert (report.state, report.created, report.written, report.kept) == ("inactive", 3, 0, 3)
    server.close()
    web.close()

    assert (server.got, web.got) == ([], [])


def test_requests_inside_of_tls_compressed_and_with_headers(handlers, certificate):
    """
    MX-10: a request has the headers that were said, and is compressed where that was said.
    """
    path, context = certificate
    web = Requests(context)
    handlers.add(
        {
            "sink": f"https://127.0.0.1:{web.port}/in",
            "format": "{message}",
            "tls_verify": str(path),
            "compression": "gz",
            "headers": {"Authorization": "Bearer t-1", "X-Team": "a"},
        }
    )
    log(handlers, range(50))
    assert handlers.flush(20)
    [report] = [each for each in reports() if each.handler_id == only(handlers).id]
    web.close()

    assert web.got == [str(n) for n in range(50)]
    assert {(each["Authorization"], each["X-Team"], each["Content-Encoding"]) for each in web.headers} == {
        ("Bearer t-1", "a", "gzip")
    }
    assert (report.state, report.errors, report.bytes_written) == ("active", 0, 90)


def test_batches_are_as_large_as_they_are_to_be(handlers, requests):
    """
    MX-10: a request has so many lines at most; fewer wait for others, and go at once when somebody flushes or closes.
    """
    seen: list[int] = []

    def answer(body):
        seen.append(len(body.splitlines()))
        return 200

    requests.answer = answer
    handlers.add({"sink": f"http://127.0.0.1:{requests.port}/", "batch_size": 10, "batch_timeout": "1 h"})
    log(handlers, range(25))
    assert until(lambda: len(requests.got) == 20)
    before = (list(seen), requests.got == [])
    assert handlers.flush(20)
    flushed = list(seen)
    log(handlers, range(3))
    handlers.close(20)

    assert before == ([10, 10], False)
    assert flushed == [10, 10, 5]
    assert seen == [10, 10, 5, 3]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"sink": "tcp://127.0.0.1:9", "tls_verify": False}, "tls_verify is for https, tcp+tls, syslog+tls"),
        ({"sink": "tcp+tls://127.0.0.1"}, "is not accepted"),
        ({"sink": "tcp+tls://127.0.0.1:9", "tls_verify": "/no/such.pem"}, "tls_verify='/no/such.pem' is not accepted"),
        ({"sink": "https://127.0.0.1:9", "tls_verify": "/no/such.pem"}, "tls_verify='/no/such.pem' is not accepted"),
        ({"sink": "https://127.0.0.1:9", "tls_verify": 1}, "tls_verify=1 is not accepted"),
        ({"sink": "udp://127.0.0.1:9", "headers": {"a": "b"}}, "headers is for http, https"),
        ({"sink": "http://127.0.0.1:9", "headers": {"a": "b\r\nc: d"}}, "headers is not accepted; accepted: texts"),
        ({"sink": "http://127.0.0.1:9", "headers": "Bearer x"}, "headers is not accepted; accepted: texts by name"),
        ({"sink": "http://127.0.0.1:9", "compression": "zip"}, "compression='zip' is for files"),
        ({"sink": "tcp://127.0.0.1:9", "compression": "gz"}, "compression is for http, https"),
        ({"sink": "http://127.0.0.1:9", "batch_size": 0}, "batch_size=0 is not accepted"),
        ({"sink": "http://127.0.0.1:9", "batch_timeout": "soon"}, "batch_timeout='soon' is not accepted"),
        ({"sink": "http://127.0.0.1:9", "rotation": 5}, "rotation=5 is for files"),
        ({"sink": "app.log", "backlog": "1 MB"}, "backlog='1 MB' is for other machines, and app.log is none"),
        ({"sink": print, "headers": {"Authorization": "x"}}, "headers is for other machines, and print is none"),
    ],
)
def test_ways_that_are_none(handlers, config, told, tmp_path, monkeypatch):
    """
    MX-10: what is not for a destination, or cannot be, is refused at once; no header is in the message.
    """
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=re.escape(told)) as refused:
        handlers.add(config)

    assert "Bearer" not in str(refused.value).partition("such as")[0]
    assert (len(handlers), list(tmp_path.iterdir())) == (0, [])
