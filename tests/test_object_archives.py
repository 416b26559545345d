"""Archives in object storage, against a server that speaks S3."""

from __future__ import annotations

import json
import logging
import os
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from moto.server import ThreadedMotoServer

from branchline._files.archive import Archiving, archive, verified
from branchline._files.object_store import ObjectStore
from branchline._files.restore import restore
from branchline._files.stores import store_of
from branchline.cli.app import main
from branchline.errors import ArchiveError, ConfigError, MissingExtraError
from branchline.logs.handlers import Handlers
from branchline.logs.records import Record


URL = "s3://logs/app"


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedMotoServer]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    made = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def _bucket(server: ThreadedMotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "wonderful",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for method, path in (("POST", "/moto-api/reset"), ("PUT", "/logs")):
        urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}{path}", method=method), timeout=10).close()


def rotated(folder: Path, name: str = "app.log.20260101_120000", said: str = "first") -> Path:
    """
    Return a rotated file of one line.
    """
    folder.mkdir(exist_ok=True)
    line = {"timestamp": "2026-01-01T12:00:00+00:00", "level": "INFO", "run_id": "a", "message": said}
    (folder / name).write_text(json.dumps(line) + "\n")
    os.utime(folder / name, (86_400.0, 86_400.0))
    return folder / name


def test_there_and_back(tmp_path: Path) -> None:
    """
    A file goes to the bucket, compressed, with an entry of the manifest, and comes back as it was.
    """
    path = rotated(tmp_path / "logs")
    before = path.read_bytes()
    store = store_of(URL)
    assert Archiving(after_seconds=0, store=store).move_all([path]) == [f"{path.name}.gz"]
    [entry] = store.entries()
    back = restore(store, entry, tmp_path / "back")

    assert not path.exists()
    assert (entry["name"], entry["lines"], entry["runs"], entry["levels"]) == (
        f"{path.name}.gz",
        1,
        ["a"],
        {"INFO": 1},
    )
    assert [wrong for _, wrong in verified(store)] == [None]
    assert (back.name, back.read_bytes(), back.stat().st_mtime) == (path.name, before, 86_400.0)


def test_a_sink_archives_to_a_bucket(tmp_path: Path) -> None:
    """
    What a sink rotates is in the bucket, and every record is there or in the file, once.
    """
    handlers = Handlers()
    handlers.add(
        {
            "sink": tmp_path / "app.log",
            "format": "{message}",
            "rotation": 100,
            "archive": {"after": "0 s", "to": URL},
        }
    )
    for n in range(200):
        handlers.handle(Record.of(logging.LogRecord("app", 20, "app.py", 1, str(n), None, None)))
    handlers.close()
    store = store_of(URL)
    folder = tmp_path / "back"
    archived = [restore(store, entry, folder).read_text().split() for entry in store.entries()]
    left = [path.read_text().split() for path in tmp_path.glob("app.log*") if not path.name.startswith(".")]
    assert len(archived) > 3
    assert sorted(int(n) for part in (*archived, *left) for n in part) == list(range(200))


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    """
    Two files of one name from two machines are both there; the same file twice is there once.
    """
    store = store_of(URL)
    [first] = archive([rotated(tmp_path / "one")], store, now=1.0)
    [again] = archive([rotated(tmp_path / "two")], store, now=2.0)
    [other] = archive([rotated(tmp_path / "three", said="other")], store, now=3.0)
    assert (first == again, first == other) == (True, False)
    assert sorted(entry["name"] for entry in store.entries()) == sorted({first, other})


def test_machines_at_once(tmp_path: Path) -> None:
    """
    Of several who archive different files under one name at the same moment none loses anything.
    """
    paths = [rotated(tmp_path / str(n), said=str(n)) for n in range(8)]

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda path: archive([path], store_of(URL), now=1.0)[0], paths))
    store = store_of(URL)
    said = {json.loads(restore(store, entry, tmp_path / "back").read_text())["message"] for entry in store.entries()}
    assert (len(set(names)), said) == (8, {str(n) for n in range(8)})


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"bytes": 10}, {"plain_bytes": 3}])
def test_what_is_not_as_the_manifest_says(tmp_path: Path, change: dict[str, object]) -> None:
    """
    An object that is another one than the manifest says is refused, and nothing of it is left.
    """
    store = store_of(URL)
    archive([rotated(tmp_path / "logs")], store, now=1.0)
    [entry] = store.entries()
    with pytest.raises(ArchiveError):
        restore(store, {**entry, **change}, tmp_path / "back")
    assert list((tmp_path / "back").glob("**/*")) == []


def test_an_object_that_is_gone(tmp_path: Path) -> None:
    """
    An entry without its object is told of by verify, and cannot be restored.
    """
    store = store_of(URL)
    store.note({"name": "app.log.gz", "sha256": "0", "bytes": 1, "plain_bytes": 1})
    [entry] = store.entries()
    assert [wrong for _, wrong in verified(store)] == ["is not there"]
    with pytest.raises(ArchiveError, match=r"app\.log\.gz is not in the archive"):
        restore(store, entry, tmp_path)


def test_a_bucket_that_is_not_there(tmp_path: Path) -> None:
    """
    Where nothing can be stored the file stays, whole, and the error says where it was to go.
    """
    path = rotated(tmp_path / "logs")
    text = path.read_bytes()
    with pytest.raises(OSError, match="s3://nowhere/app: "):
        archive([path], store_of("s3://nowhere/app"), now=1.0)
    [left] = (tmp_path / "logs").iterdir()
    assert left.read_bytes() == text


def test_the_command_line(tmp_path: Path) -> None:
    """
    ``archive`` and ``restore`` take the URL of a bucket.
    """
    path = rotated(tmp_path / "logs")
    line = path.read_text()
    moved = CliRunner().invoke(main, ["archive", str(tmp_path / "logs"), "--to", URL])
    back = CliRunner().invoke(main, ["restore", URL, "--to", str(tmp_path / "back")])
    assert (moved.exit_code, back.exit_code) == (0, 0), (moved.output, back.output)
    assert f"1 file moved to {URL}" in moved.output
    assert (tmp_path / "back" / path.name).read_text() == line


def test_an_archive_is_searched_where_it_is(tmp_path: Path) -> None:
    """
    ``branchline logs`` takes the URL of an archive: what is in it is searched, counted and verified.
    """
    for name, said in (("app.log.20260101_120000", "first"), ("app.log.20260102_120000", "second")):
        rotated(tmp_path / "logs", name, said)
    assert CliRunner().invoke(main, ["archive", str(tmp_path / "logs"), "--to", URL]).exit_code == 0
    shown = CliRunner().invoke(main, ["logs", URL, "--grep", "second", "--json"])
    totals = CliRunner().invoke(main, ["logs", URL, "--totals", "--json"])
    verified = CliRunner().invoke(main, ["logs", URL, "--verify"])
    followed = CliRunner().invoke(main, ["logs", URL, "--follow"])

    assert [json.loads(line)["message"] for line in shown.output.splitlines()] == ["second"]
    assert json.loads(totals.output)["total"] == 2
    assert verified.output == "2 files, 2 as they were archived\n"
    assert (followed.exit_code, "--follow is for runs" in followed.output) == (1, True)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://", "it names no bucket"),
        ("s3://somebody:wonderful@logs/app", "credentials belong into the environment"),
        ("ftp://host/logs", "accepted: a folder, or a URL such as"),
    ],
)
def test_urls_that_are_not_accepted(url: str, told: str) -> None:
    """
    A URL that leads nowhere is refused at once, without its password in the message.
    """
    with pytest.raises(ConfigError, match=told) as refused:
        store_of(url)
    assert "wonderful" not in str(refused.value)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without obstore the message names the extra.
    """
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'branchline\[object\]'"):
        ObjectStore(URL)
