"""Metadata: what a piece of work was told, has read and took, in schema 1.0."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from branchline.metadata import (
    DataSource,
    GenerationMetadata,
    MetadataRecorder,
    calculate_checksum,
    data_source,
    record_metadata,
)


SHA256_OF_HELLO = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# ── checksums ─────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("content", ["hello", b"hello"])
def test_checksum(content):
    """
    PE-68: the checksum of a text or of bytes is `sha256:` and 64 hexadecimal digits.
    """
    assert calculate_checksum(content) == SHA256_OF_HELLO


def test_checksum_of_text_that_no_encoding_has():
    """
    A text with half a character in it has a checksum as well.
    """
    assert calculate_checksum("\ud800") != calculate_checksum("\ud801")


# ── the recorder ──────────────────────────────────────────────────────────────────────────────────
def test_schema():
    """
    PE-67: the document has every key of schema 1.0, filled with what was said.
    """
    Path("data.csv").write_bytes(b"hello")
    recorder = MetadataRecorder(experiment_id="exp-1", run_id="run-1")
    recorder.start()
    recorder.set_config(model="gpt-4o", provider="openai", persona_count=4, temperature=0.2, top_k=5)
    recorder.add_data_source("data.csv", tokens=3)
    recorder.set_costs(input_tokens=1000, output_tokens=200, total_cost_usd=0.05)
    recorder.add_checksum("prompt", calculate_checksum("hello"))
    recorder.record_seed("numpy", 7)
    recorder.add_error("one failed")
    recorder.add_warning("slow")
    said = recorder.finish().to_dict()

    assert {key: said[key] for key in ("metadata_version", "configuration", "costs", "checksums", "seeds")} == {
        "metadata_version": "1.0",
        "configuration": {
            "model": "gpt-4o",
            "provider": "openai",
            "persona_count": 4,
            "complexity": "moderate",
            "detail_level": "standard",
            "temperature": 0.2,
            "max_tokens": 4096,
            "top_k": 5,
        },
        "costs": {
            "input_tokens": 1000,
            "output_tokens": 200,
            "total_cost_usd": 0.05,
            "cost_per_persona": 0.0125,
        },
        "checksums": {"prompt": SHA256_OF_HELLO},
        "seeds": {"numpy": 7},
    }
    assert (said["errors"], said["warnings"]) == (["one failed"], ["slow"])
    sources = said["data_sources"]
    assert {key: sources[key] for key in ("files", "total_files", "total_tokens", "total_bytes", "checksums")} == {
        "files": ["data.csv"],
        "total_files": 1,
        "total_tokens": 3,
        "total_bytes": 5,
        "checksums": {"data.csv": SHA256_OF_HELLO},
    }
    assert set(said["generation"]) == {
        *("experiment_id", "run_id", "timestamp_start", "timestamp_end", "duration_seconds"),
    }
    assert (said["generation"]["experiment_id"], said["generation"]["run_id"]) == ("exp-1", "run-1")


def test_environment():
    """
    PE-61, weakness 2.3 (8): Python, the platform, the time zone, the host's name, packages, arguments and the machine.
    """
    said = MetadataRecorder().get_metadata().to_dict()

    environment = said["environment"]
    assert {key: environment[key] for key in ("python_version", "platform", "platform_version", "hostname")} == {
        "python_version": platform.python_version(),
        "platform": sys.platform,
        "platform_version": platform.release(),
        "hostname": platform.node(),
    }
    assert environment["timezone"]
    assert said["packages"]["versions"]["pytest"] == pytest.__version__
    assert said["packages"]["count"] == len(said["packages"]["versions"])
    assert said["process"]["argv"][0] == sys.argv[0]
    assert said["machine"]["cpu_count"] == os.cpu_count()


def test_environment_of_a_user(monkeypatch):
    """
    Of the environment there is what changes results, by name; whatever else is there is not.
    """
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-0123456789abcdefghijABCDEFGHIJ")
    monkeypatch.setenv("SOMETHING_OF_MINE", "private")

    variables = MetadataRecorder().get_metadata().environment.variables

    assert {"PYTHONHASHSEED": "0", "CUDA_VISIBLE_DEVICES": "0,1"}.items() <= variables.items()
    assert "private" not in json.dumps(dict(variables))
    assert not {"OPENAI_API_KEY", "SOMETHING_OF_MINE", "HOME", "USER"} & set(variables)


def test_finish_without_start():
    """
    PE-60: what was never started has no beginning and took no time.
    """
    metadata = MetadataRecorder().finish()

    assert (metadata.timestamp_start, metadata.duration_seconds) == ("", 0.0)
    assert datetime.fromisoformat(metadata.timestamp_end).utcoffset() == UTC.utcoffset(None)


def test_a_clock_that_is_set_back(monkeypatch):
    """
    PE-65: a duration is never negative, whatever becomes of the clock.
    """
    recorder = MetadataRecorder()
    recorder.start()
    monkeypatch.setattr(time, "time", lambda: 0.0)

    assert recorder.finish().duration_seconds >= 0


@pytest.mark.parametrize("config", [{}, {"model": "m", "top_k": 5, "stop": ["a", "b"], "nested": {"deep": [1, [2]]}}])
def test_round_trip(config):
    """
    PE-69: what was written as JSON reads back as the same, with all that it was told beyond the schema.
    """
    Path("data.csv").write_bytes(b"hello")
    recorder = MetadataRecorder("exp", "run")
    recorder.start()
    if config:
        recorder.set_config(**config)
    recorder.add_data_source("data.csv")
    recorder.record_seed("python", [1, 2, 3])
    metadata = recorder.finish()

    assert GenerationMetadata.from_dict(json.loads(json.dumps(metadata.to_dict()))) == metadata


def test_a_document_of_another_writer():
    """
    PE-67, PE-69: a document by whom we do not know reads, and what is only there is kept.
    """
    document = {
        "metadata_version": "1.0",
        "generation": {"experiment_id": "e", "run_id": "r", "timestamp_start": "t", "duration_seconds": 2.5},
        "configuration": {"model": "m", "flavour": "vanilla"},
        "data_sources": {"files": ["a.md"], "total_files": 1, "checksums": {"a.md": "sha256:00"}},
        "environment": {"persona_version": "0.9.0", "python_version": "3.12.1"},
        "costs": {"total_cost_usd": 0.5, "currency": "USD"},
        "lineage": {"parent": "x"},
    }

    metadata = GenerationMetadata.from_dict(document)

    assert metadata.configuration.extra == {"flavour": "vanilla"}
    assert metadata.environment.extra == {"persona_version": "0.9.0"}
    assert metadata.data_sources.sources == (DataSource(path="a.md", checksum="sha256:00"),)
    assert metadata.costs.extra == {"currency": "USD"}
    assert metadata.extra == {"lineage": {"parent": "x"}}
    assert GenerationMetadata.from_dict(metadata.to_dict()) == metadata


def test_save():
    """
    PE-60: `save` writes indented JSON in one step, into folders that it makes.
    """
    recorder = MetadataRecorder("exp", "run")
    path = recorder.save(Path("deep/er/metadata.json"))

    text = path.read_text(encoding="utf-8")
    assert text.startswith('{\n  "metadata_version": "1.0",\n  "generation": {\n    "experiment_id": "exp"')
    assert [entry.name for entry in path.parent.iterdir()] == ["metadata.json"]


def test_save_where_nothing_can_be():
    """
    A file that cannot be written is an error, and nothing is left behind.
    """
    Path("taken").write_text("a file")

    with pytest.raises(OSError, match="taken"):
        MetadataRecorder().save("taken/metadata.json")
    assert [entry.name for entry in Path().iterdir()] == ["taken"]


def test_record_metadata():
    """
    PE-70: all in one call.
    """
    Path("data.csv").write_bytes(b"hello")

    metadata = record_metadata("exp", "run", {"model": "m", "k": 1}, ["data.csv"], costs={"total_cost_usd": 0.5})

    assert (metadata.experiment_id, metadata.run_id, metadata.configuration.model) == ("exp", "run", "m")
    assert metadata.configuration.extra == {"k": 1}
    assert metadata.data_sources.checksums == {"data.csv": SHA256_OF_HELLO}
    assert metadata.costs.total_cost_usd == 0.5
    assert metadata.timestamp_start <= metadata.timestamp_end


def test_odd_input():
    """
    Whatever it is given, recording does not raise, and what can be kept is.
    """
    recorder = MetadataRecorder(3, None)  # type: ignore[arg-type]
    recorder.set_config(model=object, persona_count="many", f=float("nan"), b=b"\xff", s={1})  # type: ignore[arg-type]
    recorder.set_costs(-1, "x", "much")  # type: ignore[arg-type]
    recorder.add_data_source(None)  # type: ignore[arg-type]
    recorder.add_data_source("nul\0l")
    recorder.add_checksum(1, 2)  # type: ignore[arg-type]
    recorder.record_seed(object(), object())  # type: ignore[arg-type]
    recorder.add_error(ValueError("boom"))
    record_metadata("e", "r", {"self": 1, 2: 3}, [], costs={"no": 1})  # type: ignore[dict-item]
    metadata = recorder.finish()

    assert json.loads(json.dumps(metadata.to_dict(), allow_nan=False))["errors"] == ["ValueError: boom"]
    assert (metadata.experiment_id, metadata.costs.input_tokens, metadata.checksums) == ("3", 0, {"1": "2"})
    assert metadata.configuration.extra["b"] == "\\xff"


def test_as_context_manager():
    """
    A `with` block is started and finished, and what it fails with is among the errors.
    """
    recorder = MetadataRecorder("exp")
    with pytest.raises(ValueError, match="boom"), recorder:
        raise ValueError("boom")

    metadata = recorder.get_metadata()
    assert (metadata.errors, bool(metadata.timestamp_start), bool(metadata.timestamp_end)) == (
        ("ValueError: boom",),
        True,
        True,
    )


# ── sources of data ───────────────────────────────────────────────────────────────────────────────
def test_a_file():
    """
    PE-63, weakness 2.3 (8): a file is read, hashed, and its size and time looked at.
    """
    Path("data.csv").write_bytes(b"hello")
    os.utime("data.csv", (1_000_000_000, 1_000_000_000))

    assert data_source("data.csv") == DataSource(
        path="data.csv",
        kind="file",
        files=1,
        size_bytes=5,
        checksum=SHA256_OF_HELLO,
        modified="2001-09-09T01:46:40+00:00",
    )


def test_a_large_file():
    """
    A file larger than what is read at once has the checksum of all of it.
    """
    content = bytes(range(256)) * 12_000
    Path("large").write_bytes(content)

    assert data_source("large").checksum == f"sha256:{hashlib.sha256(content).hexdigest()}"


def listing(**contents):
    """What `sha256sum` prints for these, in order of their bytes."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items()]
    return "".join(sorted(lines)).encode()


def test_a_folder():
    """
    A folder is all files below it, hashed as the list that `sha256sum` makes of them; empty ones and links do no harm.
    """
    Path("data/deep").mkdir(parents=True)
    Path("data/empty").mkdir()
    Path("data/a").write_bytes(b"one")
    Path("data/deep/b").write_bytes(b"two")
    Path("data/round").symlink_to(".", target_is_directory=True)
    os.mkfifo("data/pipe")

    found = data_source("data")

    expected = hashlib.sha256(listing(**{"a": b"one", "deep/b": b"two"})).hexdigest()
    assert (found.kind, found.files, found.size_bytes, found.checksum) == ("directory", 2, 6, f"sha256:{expected}")


def test_a_pattern():
    """
    A pattern is the files that it names.
    """
    for name in ("a.csv", "b.csv", "c.txt"):
        Path(name).write_bytes(name.encode())

    found = data_source("*.csv")

    expected = hashlib.sha256(listing(**{"a.csv": b"a.csv", "b.csv": b"b.csv"})).hexdigest()
    assert (found.kind, found.files, found.checksum) == ("glob", 2, f"sha256:{expected}")


def test_a_renamed_file_in_a_folder():
    """
    The checksum of a folder changes with a name as it does with a byte.
    """
    Path("data").mkdir()
    Path("data/a").write_bytes(b"one")
    first = data_source("data").checksum
    Path("data/a").rename("data/b")
    second = data_source("data").checksum
    Path("data/b").write_bytes(b"two")

    assert len({first, second, data_source("data").checksum}) == 3


@pytest.mark.parametrize("path", ["nothing", "*.nothing", "nothing/at/all"])
def test_nothing_there(path):
    """
    What is not there is recorded as that, and raises nothing.
    """
    assert data_source(path) == DataSource(path=path, kind="missing")


def test_what_the_user_knows_better():
    """
    PE-63: what is said of a source counts: its size, its tokens, its checksum, with which it is not even read.
    """
    recorder = MetadataRecorder()
    recorder.add_data_source("s3://bucket/data.parquet", tokens=10, size_bytes=20, checksum="sha256:abcdef01")

    assert recorder.get_metadata().data_sources.to_dict() == {
        "files": ["s3://bucket/data.parquet"],
        "total_files": 1,
        "total_tokens": 10,
        "total_bytes": 20,
        "checksums": {"s3://bucket/data.parquet": "sha256:abcdef01"},
        "sources": [
            {
                "path": "s3://bucket/data.parquet",
                "kind": "missing",
                "files": 1,
                "size_bytes": 20,
                "tokens": 10,
                "checksum": "sha256:abcdef01",
                "modified": "",
            }
        ],
    }


# ── secrets ───────────────────────────────────────────────────────────────────────────────────────
def test_secrets_in_what_is_said(tmp_path):
    """
    No secret in a configuration, an error, a path or a checksum reaches the file; what only sounds like one does.
    """
    key = "sk-proj-0123456789abcdefghijABCDEFGHIJ"
    Path("session").write_bytes(b"hello")
    recorder = MetadataRecorder()
    recorder.set_config(
        model="m", max_tokens=7, api_key="hunter2hunter2", nested={"password": "hunter3"}, header=f"Bearer {key}"
    )
    recorder.add_data_source("session")
    recorder.add_data_source("https://ann:hunter4@example.org/data.csv")
    recorder.add_error(f"refused: {key}")
    recorder.add_checksum("note", f"token={key}")
    recorder.record_seed("numpy", 7)
    text = recorder.save("metadata.json").read_text()

    assert [secret for secret in (key, "hunter") if secret in text] == []
    said = json.loads(text)
    assert said["data_sources"]["checksums"]["session"] == SHA256_OF_HELLO
    assert (said["configuration"]["max_tokens"], said["seeds"]) == (7, {"numpy": 7})
