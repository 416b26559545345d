"""Nothing secret leaves: whatever is planted, wherever, no byte of it is in a file, on a console or in a request."""

from __future__ import annotations

import base64
import gzip
import http.server
import json
import os
import pty
import random
import re
import signal
import socketserver
import string
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

import branchline as bl
from branchline.errors import ConfigError
from branchline.read import open_runs
from endpoints import HttpEndpoint
from planted import ENTRANCES


PROGRAM = Path(__file__).with_name("planted.py")

# ── what is planted ───────────────────────────────────────────────────────────────────────────────

_MIXED = string.ascii_letters + string.digits
_LOWER, _UPPER = string.ascii_lowercase, string.ascii_uppercase + string.digits
_HEX = "0123456789abcdef"

Made = tuple[str, str]


def _kind(text: str, alphabet: str = _MIXED, length: int = 24) -> Callable[[Random], Made]:
    """Return what makes one of a kind: the whole *text*, and what must not be found in place of its ``{}``."""

    def made(chance: Random) -> Made:
        # Never a word: that could be somewhere else.
        secret = "".join(chance.choices(alphabet, k=length - 3)) + ("q7Z" if alphabet is _MIXED else alphabet[-3:])
        return text.replace("{}", secret), secret

    return made


def _basic(chance: Random) -> Made:
    secret = base64.b64encode(f"ann:{''.join(chance.choices(_MIXED, k=18))}".encode()).decode()
    return f"sent Basic {secret}", secret


def _card(chance: Random) -> Made:
    digits = [4, *chance.choices(range(10), k=14)]
    total = sum(sum(divmod(2 * digit, 10)) if place % 2 == 0 else digit for place, digit in enumerate(digits))
    number = "".join(map(str, [*digits, -total % 10]))
    return f"paid with {number}.", number


def _social_security_number(chance: Random) -> Made:
    number = f"{chance.randrange(100, 600)}-{chance.randrange(10, 99)}-{chance.randrange(1000, 9999)}"
    return f"it is {number}.", number


KINDS: dict[str, Callable[[Random], Made]] = {
    "OpenAI key": _kind("sk-{}", length=48),
    "OpenAI project key": _kind("with sk-proj-{}, now", length=60),
    "Anthropic key": _kind("sk-ant-api03-{}", length=80),
    "AWS access key id": _kind("AKIA{}", _UPPER, 16),
    "AWS secret key": _kind("aws_secret_access_key={}", length=40),
    "Google key": _kind("AIza{}", length=35),
    "Google token": _kind("ya29.{}", length=60),
    "GitHub token": _kind("ghp_{}", length=36),
    "GitHub fine-grained token": _kind("github_pat_11{}", length=60),
    "GitLab token": _kind("glpat-{}", length=20),
    "Hugging Face token": _kind("hf_{}", length=34),
    "Slack token": _kind("xoxb-123456789012-{}"),
    "Slack webhook": _kind("https://hooks.slack.com/services/T012/B034/{}"),
    "Stripe key": _kind("sk_live_{}"),
    "npm token": _kind("npm_{}", length=36),
    "PyPI token": _kind("pypi-AgEIcHlwaS5vcmc{}", length=60),
    "Databricks token": _kind("dapi{}", _HEX, 32),
    "SendGrid key": _kind("SG.{}.abcdefghijklmnopqrstuvwxyz0123456789"),
    "Vault token": _kind("hvs.{}"),
    "Replicate token": _kind("r8_{}", length=37),
    "NVIDIA key": _kind("nvapi-{}", length=64),
    "Perplexity key": _kind("pplx-{}", length=48),
    "DigitalOcean token": _kind("dop_v1_{}", _HEX, 64),
    "Shopify token": _kind("shpat_{}", _HEX, 32),
    "Docker token": _kind("dckr_pat_{}", length=27),
    "Grafana token": _kind("glsa_{}_0123abcd", length=32),
    "Atlassian token": _kind("ATATT3xFfGF0{}", length=60),
    "Linear key": _kind("lin_api_{}", length=40),
    "Postman key": _kind("PMAK-{}", length=24),
    "age key": _kind("AGE-SECRET-KEY-1{}", _UPPER, 58),
    "web token": _kind("eyJhbGciOiJIUzI1NiJ9.{}.c2ln", length=60),
    "bearer": _kind("sent Bearer {} to it"),
    "bearer header": _kind("Authorization: Bearer {}"),
    "basic": _basic,
    "cookie": _kind("Cookie: sid={}; theme=dark"),
    "set-cookie": _kind("Set-Cookie: sid={}; Path=/"),
    "database URL": _kind("postgresql://app:{}@db.example.com:5432/app"),
    "Redis URL": _kind("redis://:{}@localhost:6379/0"),
    "URL in a sentence": _kind("could not reach amqp://ann:{}@mq/, trying again"),
    "SQL Server": _kind("Server=db;Uid=sa;Pwd={};Timeout=3"),
    "storage account": _kind("DefaultEndpointsProtocol=https;AccountName=a;AccountKey={}==;EndpointSuffix=x"),
    "service bus": _kind("Endpoint=sb://a.example.com/;SharedAccessKeyName=Root;SharedAccessKey={}="),
    "JDBC": _kind("jdbc:postgresql://db/app?user=ann&password={}&ssl=true"),
    "signed URL": _kind("https://a.example.com/blob?sv=2024&sig={}&se=2026"),
    "query token": _kind("GET /v1/items?page=1&access_token={} HTTP/1.1"),
    "private key": _kind("-----BEGIN RSA PRIVATE KEY-----\nMIIE{}\n-----END RSA PRIVATE KEY-----", length=64),
    "OpenSSH key": _kind("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----", length=70),
    "service account": _kind('{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\\n{}\\n"}'),
    "password": _kind("login with user=ann password={}, ok", _LOWER, 12),
    "JSON": _kind('{"user": "ann", "password": "{}", "n": 1}', _LOWER, 12),
    "YAML": _kind("user: ann\nclient_secret: {}\nrate: 1"),
    "environment": _kind("export OPENAI_API_KEY={}"),
    "flag": _kind("run.py --api-key {} --rate 1", _LOWER, 12),
    "printed header": _kind("[(b'host', b'x'), (b'authorization', b'{}')]"),
    "printed list": _kind("{'passwords': ['{}', 'x'], 'rate': 1}", _LOWER, 14),
    "card": _card,
    "social security number": _social_security_number,
    "mail address": _kind("ask {}@mail.example.com", _LOWER, 16),
}


# Whatever a secret may be a part of.
_WORDS = re.compile(rb"[A-Za-z0-9+/=_.-]{8,}")


class Plants:
    """One secret of every kind for every entrance, and where each belongs."""

    def __init__(self) -> None:
        self.told: dict[str, tuple[list[str], str]] = {}
        self.owners: dict[bytes, tuple[str, str]] = {}
        for entrance in (*ENTRANCES, "resource"):
            texts = []
            for kind, make in KINDS.items():
                text, secret = make(random.Random(f"{entrance} {kind}"))
                self._own(secret, entrance, kind)
                texts.append(text)
            _, word = _kind("{}", _LOWER, 20)(random.Random(entrance))
            self._own(word, entrance, "by key")
            self.told[entrance] = (texts, word)

    def _own(self, secret: str, entrance: str, kind: str) -> None:
        # As it is, and as it is within what is written in base64, which has three ways to begin.
        self.owners[secret.encode()] = (entrance, kind)
        for skipped in range(3):
            inner = base64.b64encode(b"\0" * skipped + secret.encode())[4 if skipped else 0 : -4]
            self.owners[inner] = (entrance, kind)

    def found(self, places: Mapping[str, bytes]) -> list[tuple[str, str, str]]:
        """Return where there is something of a secret: the place, the entrance, and the kind."""
        # Each word once: most of what is written is the same again and again.
        words = {place: b"\n".join({*_WORDS.findall(content)}) for place, content in places.items()}
        everything = b"\n".join(words.values())
        there = [(needle, owner) for needle, owner in self.owners.items() if needle in everything]
        return sorted(
            (place, *owner) for place, content in words.items() for needle, owner in there if needle in content
        )


PLANTS = Plants()
ENVIRONMENT = {"OPENAI_API_KEY": PLANTS.told["arguments"][1], "DATABASE_URL": PLANTS.told["arguments"][0][0]}


def files(directory: Path) -> dict[str, bytes]:
    """Return every file below *directory*, unpacked, by its path; what goes away meanwhile is left out."""
    found = {}
    for path in sorted(directory.rglob("*")):
        with suppress(FileNotFoundError):
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                found[str(path.relative_to(directory))] = gzip.decompress(content) if path.suffix == ".gz" else content
    return found


# ── where it could go ─────────────────────────────────────────────────────────────────────────────


class Bytes:
    """A TCP and an HTTP server on loopback that keep every byte of what they get."""

    def __init__(self) -> None:
        self.got: dict[str, bytes] = {"tcp": b"", "http": b""}
        outer = self

        class Lines(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    outer.got["tcp"] += line

        class Bodies(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.got["http"] += self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Lines)
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bodies)
        for server in (self.tcp, self.http):
            server.daemon_threads = True
            server.block_on_close = False
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def close(self) -> None:
        for server in (self.tcp, self.http):
            server.shutdown()
            server.server_close()


@pytest.fixture
def others() -> Iterator[Bytes]:
    found = Bytes()
    yield found
    found.close()


def bodies(endpoint: HttpEndpoint) -> dict[str, bytes]:
    """Return what came to *endpoint*, by signal."""
    found: dict[str, bytes] = {}
    for request in endpoint.requests:
        found[request.path] = found.get(request.path, b"") + orjson.dumps(request.content)
    return found


def environment(directory: Path) -> dict[str, str]:
    return {**os.environ, **ENVIRONMENT, "BRANCHLINE_DIR": str(directory / "journal")}


@contextmanager
def started(directory: Path, *, terminal: int | None = None, **told: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start the program that plants, and tell it what and how."""
    directory.mkdir()
    texts, word = PLANTS.told["arguments"]
    command: list[str | Path] = [sys.executable, PROGRAM, directory, "--api-key", word, *texts]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if terminal is None else terminal,
        env=environment(directory),
    ) as program:
        try:
            assert program.stdin is not None
            program.stdin.write(json.dumps({"plants": PLANTS.told, **told}).encode())
            program.stdin.close()
            program.stdin = None
            yield program
        finally:
            program.kill()


# ── and where it does not ─────────────────────────────────────────────────────────────────────────


def test_there_are_enough_kinds_and_all_of_them_are_told_apart() -> None:
    """
    What is planted can be found again: the search sees every secret of every kind, as it is and in base64.
    """
    seen = {
        entrance: " ".join(texts).encode() + word.encode() + b" " + base64.b64encode(texts[0].encode())
        for entrance, (texts, word) in PLANTS.told.items()
    }
    expected = sorted((entrance, entrance, kind) for entrance in PLANTS.told for kind in (*KINDS, "by key"))

    assert len(KINDS) >= 30
    assert sorted(set(PLANTS.found(seen))) == expected


def test_nothing_leaves_a_run(tmp_path: Path, others: Bytes) -> None:
    """
    Of 60 kinds of secrets at 24 entrances nothing is in the journal, in log files, on stdout, on stderr, at an OTLP
    endpoint, at a TCP server, at an HTTP server, or in what waits for one that is away.
    """
    with (
        HttpEndpoint() as endpoint,
        started(
            tmp_path / "run",
            otlp=endpoint.url,
            header=f"Bearer {PLANTS.told['resource'][1]}",
            tcp=f"tcp://127.0.0.1:{others.tcp.server_address[1]}",
            http=f"http://127.0.0.1:{others.http.server_address[1]}/logs",
            nobody=f"http://ann:{PLANTS.told['fields'][1]}@127.0.0.1:9/logs?token={PLANTS.told['errors'][1]}",
        ) as program,
    ):
        out, err = program.communicate(timeout=240)
        places = {**files(tmp_path / "run"), **bodies(endpoint), **others.got, "stdout": out, "stderr": err}
    places["to_dict"] = orjson.dumps(open_runs(tmp_path / "run" / "journal")["planted"].to_dict())

    assert program.returncode == 0, err.decode()[-3000:]
    assert PLANTS.found(places) == []
    # And it was all there to be searched.
    assert {name: len(content) > 1000 for name, content in places.items() if "/v1/" in name or name in others.got} == {
        "/v1/traces": True,
        "/v1/logs": True,
        "/v1/metrics": True,
        "tcp": True,
        "http": True,
    }
    logs = (
        *("json.log", "text.log", "made.log", "callable.txt", "handler.txt", "everything.log", "structured.txt"),
        *(
            "updates.txt",
            "error_event.txt",
            "experiments/experiment.jsonl",
            "branch.txt",
            "metadata.json",
            "alerts.txt",
        ),
    )
    assert [name for name in (*logs, "stdout", "stderr", "to_dict") if len(places[name]) < 1000] == []
    assert [name for name in places if name.startswith("journal/backlog/") and len(places[name]) > 1000] != []


def test_nothing_is_shown_on_a_terminal(tmp_path: Path) -> None:
    """
    The live tree, drawn again and again, and the summary below it show nothing secret either.
    """
    outer, inner = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        with suppress(OSError):
            while some := os.read(outer, 65536):
                shown.append(some)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    with started(tmp_path / "run", terminal=inner) as program:
        os.close(inner)
        out, _ = program.communicate(timeout=240)
        reader.join(20)
    os.close(outer)
    places = {"terminal": b"".join(shown), "stdout": out}

    assert program.returncode == 0
    assert PLANTS.found(places) == []
    assert b"errors" in places["terminal"]
    assert len(places["terminal"]) > 1000


@pytest.mark.parametrize("ring", ["disk", "memory"])
def test_nothing_is_left_by_a_kill(tmp_path: Path, ring: str) -> None:
    """
    While a program runs, after it was killed, and after it was recovered, no file of the run has a secret: neither the
    ring, where that is on the disk, nor what comes out of one in shared memory, which is for its owner alone and goes.
    """
    with started(tmp_path / "run", ring=ring, end="kill") as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"planted\n"
        running = files(tmp_path / "run")
        info = json.loads(next(content for name, content in running.items() if name.endswith("process.json")))
        place = Path(info["ring"])
        modes = [oct(path.stat().st_mode & 0o777) for path in (place, place.parent)]
        assert program.wait(60) == -signal.SIGKILL
    killed = files(tmp_path / "run")
    run = open_runs(tmp_path / "run" / "journal")["planted"]
    outcomes = {step.name: step.outcome for step in run.steps if step.name in ("open", "kept")}
    recovered = files(tmp_path / "run")

    assert (modes, place.exists()) == (["0o600", "0o700"], False)
    is_there = [any(Path(name).name == place.name and "runs" in name for name in each) for each in (running, killed)]
    assert is_there == [ring == "disk"] * 2
    assert [PLANTS.found(found) for found in (running, killed, recovered)] == [[], [], []]
    assert outcomes == {"open": "interrupted", "kept": "success"}


def test_nothing_is_in_dead_letters(tmp_path: Path) -> None:
    """
    What an endpoint refuses is kept without secrets, and so is what it answers, even if it says whom it knows.
    """
    secrets = " ".join(PLANTS.told["events"][0])
    with HttpEndpoint() as endpoint:
        endpoint.behave("status", status=400, body=f"not for {secrets}")
        with started(tmp_path / "run", otlp=endpoint.url, header="Bearer x") as program:
            out, err = program.communicate(timeout=240)
    places = {**files(tmp_path / "run"), "stdout": out, "stderr": err}

    assert program.returncode == 0, err.decode()[-3000:]
    assert PLANTS.found(places) == []
    letters = [content for name, content in places.items() if "dead-letters" in name]
    assert (len(letters) >= 1, all(b"not for" in content for content in letters)) == (True, True)


def test_what_only_looks_like_a_secret_survives(tmp_path: Path) -> None:
    """
    Words that have `token`, `author` or `pass` in them are names of something else, and keep their values.
    """
    with started(tmp_path / "run") as program:
        program.communicate(timeout=240)
    run = open_runs(tmp_path / "run" / "journal")["planted"]
    [step] = [step for step in run.steps if step.name == "kept"]
    [line] = [line for line in run.logs if line.message == "kept"]

    assert dict(step.attributes) == {
        "input_tokens": 5,
        "token_count": 12,
        "author": "Jane Austen",
        "passenger": "Mr. Darcy",
    }
    assert dict(line.attributes) == {
        "input_tokens": 5,
        "token_count": 12,
        "author": "Jane Austen",
        "passenger": "Darcy",
    }


@pytest.mark.parametrize(
    "options",
    [
        {"log_file": "ftp://ann:hunter22@h/x"},
        {"log_file": {"sink": "http://ann:hunter22@h:99999/x?token=hunter22"}},
        {"log_file": {"sink": "tcp://ann:hunter22@h:1", "rotation": 5}},
        {"log_file": {"sink": "x.log", "archive": {"after": "1 day", "to": "ftp://ann:hunter22@h"}}},
        {"log_file": {"sink": "x.log", "integrity": "hunter22"}},
        {"otlp": "ftp://ann:hunter22@h"},
        {"otlp": "http://ann:hunter22@h:99999"},
    ],
)
def test_no_message_quotes_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    """
    What is refused is shown without the passwords in it, and leaves nothing on the disk.
    """
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        bl.configure("x", console=False, **options)

    assert "hunter22" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
