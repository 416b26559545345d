"""Encryption of log files: what is rotated away is for who has the key, and nobody changes it unseen (MX-4, LT-63)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import branchline as bl
from branchline._files.compression import unpacked
from branchline._files.encryption import Key, encrypt, key_of
from branchline._files.rotated import Rotated, rotated_files
from branchline.cli import main
from branchline.errors import ArchiveError, ConfigError
from branchline.logs import LoggerConfig, find_leaks, setup_logging, verify_lines
from branchline.logs.registry import LOGGERS


SECRET = "a secret of more than sixteen signs"


@pytest.fixture(autouse=True)
def _afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRANCHLINE_LOG_KEY", raising=False)
    Path("key").write_text(f"{SECRET}\n")
    Path("other").write_text("another secret of some length")
    yield
    LOGGERS.close()


def called(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def written(count: int = 20, **more: object) -> list[Rotated]:
    """
    Log *count* lines to a file that is rotated every few of them; return what was rotated away.
    """
    sizes = {"rotation": 1000, "retention": None, "compression": "gz", "encryption": SECRET}
    log = bl.get_logger("app", {"log_dir": "logs", "stdout": False, **sizes, **more})
    for number in range(count):
        log.info("treasure %d", number)
    assert log.close()
    return rotated_files(Path("logs/app.log"))


def messages(*words: object) -> list[str]:
    return [json.loads(line)["message"] for line in called("logs", "logs", "--json", *words).output.splitlines()]


@pytest.mark.parametrize("compression", ["gz", "bz2", "zip", "zst", None])
def test_what_was_rotated_away_is_encrypted(compression: str | None) -> None:
    """
    Each rotated file is compressed and then encrypted, private, and says nothing without the key; with it, every line
    is there once, in order. Reading, counting, verifying and looking for secrets all take the key.
    """
    files = written(compression=compression, integrity=True)
    expected = [f"treasure {number}" for number in range(20)]
    verified = called("logs", "logs", "--verify", "--key-file", "key")

    assert {file.suffix for file in files} == {f".{compression}.enc" if compression else ".enc"}
    assert {file.path.stat().st_mode & 0o777 for file in files} == {0o600}
    assert not [file for file in files if b"treasure" in file.path.read_bytes()]
    assert messages("--key-file", "key") == expected
    assert verify_lines("logs/app.log", encryption=SECRET).sealed == 20
    assert list(find_leaks("logs/app.log", encryption=SECRET)) == []
    assert (verified.exit_code, verified.output) == (0, f"{len(files) + 1} files, {len(files) + 1} as written\n")


def test_the_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    BRANCHLINE_LOG_KEY is the key where no file is said.
    """
    written()
    monkeypatch.setenv("BRANCHLINE_LOG_KEY", SECRET)

    assert len(messages()) == 20


@pytest.mark.parametrize(
    ("words", "why"), [((), "needs its key"), (("--key-file", "other"), "was encrypted with another key")]
)
def test_without_the_key(words: tuple[str, ...], why: str) -> None:
    """
    Without the key, or with another one, each command says so of a file, in one line, and fails; nothing is shown.
    """
    files = written(integrity=True)
    first = files[0].path.name
    read = called("logs", "logs", *words)
    verified = called("logs", "logs", "--verify", *words)
    moved = called("archive", "logs", "--to", "shelf", *words)

    assert (read.exit_code, read.output) == (1, f"branchline: {first} {why}\n")
    assert (verified.exit_code, verified.output.count(why)) == (1, len(files))
    assert (moved.exit_code, moved.output) == (1, f"branchline: {first} {why}\n")
    assert rotated_files(Path("logs/app.log")) == files
    with pytest.raises(ArchiveError, match=why):
        verify_lines("logs/app.log", encryption=Path(words[1]).read_text() if words else None)


def test_an_archive_of_encrypted_files() -> None:
    """
    A sink's archive has the files encrypted and knows what is in them; they come back with the key, and only with it.
    """
    written(archive={"after": "0 s", "to": "shelf"})
    shelf = [path for path in Path("shelf").iterdir() if path.name.startswith("app.log")]
    listed = json.loads(called("restore", "shelf", "--list", "--json", "--level", "INFO").output)
    refused = [called("restore", "shelf", "--to", "back", *words) for words in ((), ("--key-file", "other"))]
    restored = called("restore", "shelf", "--to", "back", "--key-file", "key")
    back = [json.loads(line)["message"] for path in Path("back").iterdir() for line in path.read_text().splitlines()]

    assert not [path for path in shelf if b"treasure" in path.read_bytes()]
    assert len(listed) == len(shelf) > 2
    assert sum(entry["lines"] for entry in listed) == len(back) > 10
    assert [ended.exit_code for ended in refused] == [1, 1]
    assert ("needs its key" in refused[0].output, "with another key" in refused[1].output) == (True, True)
    assert restored.exit_code == 0
    assert sorted(back, key=lambda message: int(message.split()[1])) == [f"treasure {n}" for n in range(len(back))]
    assert called("restore", "shelf", "--verify").exit_code == 0


def test_archiving_encrypts_what_is_not() -> None:
    """
    ``branchline archive`` with a key encrypts what is not encrypted yet.
    """
    files = written(encryption=None)
    ended = called("archive", "logs", "--to", "shelf", "--key-file", "key", "--json")

    assert json.loads(ended.output)["archived"] == [f"{file.path.name}.enc" for file in files]
    assert called("restore", "shelf", "--to", "back", "--key-file", "key").exit_code == 0
    assert len(list(Path("back").iterdir())) == len(files)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:70_000] + bytes([data[70_000] ^ 1]) + data[70_001:],
        lambda data: data[:-1],
        lambda data: data[: 64 + 65_552],
        lambda data: data[:64] + data[64 + 65_552 : 64 + 2 * 65_552] + data[64 : 64 + 65_552] + data[64 + 2 * 65_552 :],
        lambda data: data[:64] + data[64 + 65_552 :],
        lambda data: data + b"x",
        lambda data: data[:40],
        lambda data: b"",
    ],
)
def test_whatever_is_changed_is_found_out(change: Callable[[bytes], bytes]) -> None:
    """
    A byte that is another one, a block that is gone, doubled or elsewhere, an end that is cut off: each is an error.
    """
    plain = Path("app.log.20260101_120000")
    plain.write_bytes(os.urandom(200_000))
    key = Key(SECRET.encode())
    packed = encrypt(plain, key)
    packed.write_bytes(change(packed.read_bytes()))
    with pytest.raises(ValueError, match=r"changed|cut off"), unpacked(packed, key) as file:
        file.read()


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072])
def test_any_size_comes_back(size: int) -> None:
    """
    What is as large as a block, smaller or larger by a byte, or empty, comes back as it was, with its time.
    """
    plain = Path("app.log.20260101_120000")
    data = os.urandom(size)
    plain.write_bytes(data)
    os.utime(plain, (1e9, 1e9))
    key = Key(SECRET.encode())
    packed = encrypt(plain, key)
    with unpacked(packed, key_of(SECRET)) as file:
        found = file.read()

    assert (found, plain.exists(), packed.stat().st_mtime) == (data, False, 1e9)


@pytest.mark.parametrize("said", ["too short", 5, True, "", b"short"])
def test_what_is_no_key(said: object) -> None:
    """
    A key is a text or bytes of some length; what is none is refused at once, and is in no message.
    """
    with pytest.raises(ConfigError, match="encryption is not accepted; accepted: a secret text") as refused:
        bl.get_logger("app", {"log_dir": "logs", "encryption": said})

    assert repr(said) not in str(refused.value)
    with pytest.raises(ConfigError, match=r"^encryption is for files"):
        bl.get_logger("app").add_handler({"sink": "stderr", "encryption": SECRET})


def test_the_key_is_nowhere() -> None:
    """
    The key is in no file, no record of a change, and no repr.
    """
    with bl.configure("x", console=False, capture_logs="DEBUG", log_file={"sink": "all.log", "encryption": SECRET}):
        written()
        bl.get_logger("app").add_handler({"sink": "b.log", "encryption": SECRET})
    with bl.configure("y", console=False, capture_logs="DEBUG", log_file={"sink": "c.log", "encryption": SECRET * 2}):
        pass
    config = LoggerConfig(enable_encryption=True, encryption_key=SECRET)

    assert not [
        path
        for path in Path().rglob("*")
        if path.is_file() and path.name != "key" and SECRET.encode() in path.read_bytes()
    ]
    assert SECRET not in f"{config!r} {config.digest} {config.sinks()}"


def test_a_whole_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    MX-4: `enable_encryption` takes its key from the configuration or the environment, and is refused without one.
    """
    with pytest.raises(ConfigError, match="enable_encryption needs encryption_key, or BRANCHLINE_LOG_KEY"):
        LoggerConfig(enable_encryption=True)
    monkeypatch.setenv("BRANCHLINE_LOG_KEY", SECRET)
    config = LoggerConfig(enable_encryption=True, log_to_console=False, max_bytes=300, json_logging=True)
    result = setup_logging(config)
    for number in range(10):
        bl.get_logger("expert").info("treasure %d", number)
    LOGGERS.close()

    assert "encryption" in result.processors
    assert {file.suffix for file in rotated_files(Path("logs/expert.log"))} == {".enc"}
    assert (
        config.digest
        == LoggerConfig(
            enable_encryption=True, encryption_key=SECRET * 2, log_to_console=False, max_bytes=300, json_logging=True
        ).digest
    )


def test_kills_in_the_middle_of_encrypting_lose_nothing() -> None:
    """
    A process that is killed while files are compressed and encrypted leaves each line in one file, plain, compressed
    or encrypted, and what comes after it encrypts what is left.
    """
    program = """
    import sys, branchline as bl
    log = bl.get_logger("app", {"log_dir": "logs", "stdout": False, "rotation": 600, "retention": None,
                                "compression": "gz", "encryption": sys.argv[2]})
    number = int(sys.argv[1])
    while True:
        log.info("treasure %d", number)
        print(number, flush=True)
        number += 1
    """
    said: list[str] = []
    for start in (0, 10_000, 20_000, 30_000):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(start), SECRET], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            said += [process.stdout.readline() for _ in range(200)]
            process.send_signal(signal.SIGKILL)
            said += process.stdout.readlines()
    written(count=1)
    found = messages("--key-file", "key")

    assert [message for message in found if found.count(message) > 1] == ["treasure 0", "treasure 0"]
    assert {f"treasure {number}" for line in said if (number := line.strip())} <= set(found)
    assert {file.suffix for file in rotated_files(Path("logs/app.log"))} == {".gz.enc"}
