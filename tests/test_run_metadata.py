"""The metadata of a run: gathered beside the application, in run.json, whatever becomes of the process."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import branchline as bl
from branchline._journal.described import metadata_of
from branchline.cli import main
from branchline.metadata import MetadataRecorder, calculate_checksum
from branchline.read import open_runs


SCHEMA = {
    *("metadata_version", "generation", "configuration", "data_sources", "environment", "costs", "checksums"),
    *("errors", "warnings"),
}
# By where it is put: none of them may be in any file.
PLANTED = {
    "argument": "hunter2hunter2",
    "assigned": "sk-proj-0123456789abcdefghijABCDEFGHIJ",
    "url": "swordfish99",
    "variable": "correct-horse-battery",
    "allowed": "AKIAIOSFODNN7EXAMPLE",
    "remote": "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "branch": "glpat-0123456789abcdefghij",
    "header": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    bl.shutdown()


def only():
    [run] = open_runs(".branchline")
    return run


def environment(**variables):
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("BRANCHLINE_", "OTEL_"))}
    return clean | variables


def run_python(program, *arguments, code=0, cwd=None, **variables):
    script = Path(cwd or ".") / "program.py"
    script.write_text(textwrap.dedent(program))
    ran = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    return ran.stdout


def git(*words, cwd):
    who = {f"GIT_{who}_{what}": "x@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", *words], cwd=cwd, env=os.environ | who, check=True, capture_output=True)


# ── what there is ─────────────────────────────────────────────────────────────────────────────────
def test_a_run_has_metadata():
    """
    PE-67: every run has all keys of schema 1.0 in run.json, filled with what it ran in, whatever it is recorded for.
    """
    with bl.configure("test", run_id="one"):
        pass

    said = json.loads(Path(".branchline/runs/one/run.json").read_text())["metadata"]
    assert set(said) >= SCHEMA
    assert said == only().metadata == metadata_of(Path(".branchline/runs/one"))
    assert said["environment"]["python_version"] == platform.python_version()
    assert said["packages"]["versions"]["pytest"] == pytest.__version__
    assert said["process"]["argv"][0] == sys.argv[0]
    assert (said["generation"]["run_id"], said["generation"]["duration_seconds"] > 0) == ("one", True)
    assert said["generation"]["timestamp_start"] < said["generation"]["timestamp_end"]


def test_while_it_runs():
    """
    The metadata is there before the run has ended; that it has not is seen.
    """
    with bl.configure("test", run_id="one"):
        deadline = time.monotonic() + 30
        while "packages" not in metadata_of(Path(".branchline/runs/one")) and time.monotonic() < deadline:
            time.sleep(0.01)
        said = metadata_of(Path(".branchline/runs/one"))

    assert set(said) >= SCHEMA
    assert said["generation"]["timestamp_end"] == ""


def test_what_recorders_say():
    """
    What a recorder is told while a run is recorded is part of the run's metadata, as soon as it is told.
    """
    Path("data.csv").write_text("hello")
    with bl.configure("test", run_id="one"), bl.experiment("sweep"):
        recorder = MetadataRecorder()
        recorder.set_config(model="m", k=1)
        recorder.add_data_source("data.csv", tokens=3)
        recorder.record_seed("numpy", 7)
        recorder.set_costs(total_cost_usd=0.5)
        recorder.add_warning("odd")
        own = recorder.finish()

    said = only().metadata
    assert (own.experiment_id, own.run_id) == ("sweep", "one")
    assert said["generation"]["experiment_id"] == "sweep"
    assert said["configuration"] == own.configuration.to_dict()
    assert said["data_sources"] == own.data_sources.to_dict()
    assert (said["seeds"], said["warnings"]) == ({"numpy": 7}, ["odd"])
    assert said["costs"]["total_cost_usd"] == 0.5
    assert said["environment"] == own.environment.to_dict()


def test_several_recorders():
    """
    What several recorders are told is joined: costs add up, the same source counts once, the last word on a seed holds.
    """
    Path("data.csv").write_text("hello")
    with bl.configure("test"):
        for number in range(1, 11):
            recorder = MetadataRecorder()
            recorder.set_costs(input_tokens=10, output_tokens=1, total_cost_usd=0.25)
            recorder.set_costs(input_tokens=100, output_tokens=10, total_cost_usd=0.1)
            recorder.add_data_source("data.csv")
            recorder.record_seed("numpy", number)
            recorder.add_error(f"error {number}")

    said = only().metadata
    assert said["costs"] == {"input_tokens": 1000, "output_tokens": 100, "total_cost_usd": 1.0}
    assert (said["data_sources"]["total_files"], said["data_sources"]["total_bytes"]) == (1, 5)
    assert (said["seeds"], said["errors"]) == (
        {"numpy": 10},
        [f"error {number}" for number in range(1, 11)],
    )


def say_a_seed(number):
    recorder = MetadataRecorder()
    recorder.record_seed(f"worker {number}", number)
    with bl.step("work"):
        pass


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_child_processes(method):
    """
    What is said in child processes is part of the run's metadata, which stays that of the process that began it.
    """
    with bl.configure("test"):
        with bl.step("begin"):
            pass
        bl.flush()
        children = [multiprocessing.get_context(method).Process(target=say_a_seed, args=(n,)) for n in (1, 2)]
        for child in children:
            child.start()
        for child in children:
            child.join(60)

    run = only()
    assert len(run.processes) == 3
    assert run.metadata["seeds"] == {"worker 1": 1, "worker 2": 2}
    assert run.metadata["process"]["argv"][0] == sys.argv[0]


def test_another_program_in_the_same_run():
    """
    Who comes to a run that another program has begun leaves its metadata as it is, and adds what it is told.
    """
    program = """
        import sys
        import branchline as bl
        from branchline.metadata import MetadataRecorder
        with bl.configure("test", run_id="shared"):
            MetadataRecorder().record_seed(sys.argv[1], 1)
    """
    run_python(program, "first")
    before = Path(".branchline/runs/shared/run.json").read_bytes()
    run_python(program, "second")

    assert Path(".branchline/runs/shared/run.json").read_bytes() == before
    assert only().metadata["seeds"] == {"first": 1, "second": 1}
    assert only().metadata["process"]["argv"][1:] == ["first"]


def test_a_run_of_an_older_version(tmp_path):
    """
    A run without metadata has none, and neither has a file that somebody else wrote.
    """
    with bl.configure("test", run_id="one"):
        pass
    path = Path(".branchline/runs/one/run.json")
    known = json.loads(path.read_text())
    for content in ({key: known[key] for key in known if key != "metadata"}, {**known, "metadata": [1]}):
        path.write_text(json.dumps(content))
        assert only().metadata == {}
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"resourceSpans":[]}\n')
    [run] = open_runs(lines)
    assert run.metadata == {}


# ── whatever becomes of the process ───────────────────────────────────────────────────────────────
KILLED = """
    import os, signal, sys, time
    import branchline as bl
    from branchline.metadata import MetadataRecorder
    bl.configure("test", console=False)
    with bl.step("x"):
        recorder = MetadataRecorder()
    deadline = time.monotonic() + float(sys.argv[1])
    number = 0
    while time.monotonic() < deadline:
        number += 1
        recorder.record_seed("number", number)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("seconds", [0, 0.002, 0.01, 0.03, 0.1])
def test_killed(seconds):
    """
    A process that is killed at any moment leaves a whole run.json, and no other file beside it that anybody reads.
    """
    run_python(KILLED, str(seconds), code=-signal.SIGKILL)

    [folder] = Path(".branchline/runs").iterdir()
    path = folder / "run.json"
    # As it was left, before anybody recovers what else there is.
    left = json.loads(path.read_text()) if path.exists() else {}
    run = only()
    assert [step.name for step in run.steps] == ["x"]
    assert json.loads(path.read_text())["service_name"] == "test"
    assert run.metadata == left.get("metadata", {})


def test_killed_later():
    """
    Of a process that is killed after a while, what it ran in is known, and what it had said a moment before.
    """
    run_python(KILLED, "1.5", code=-signal.SIGKILL)

    said = only().metadata
    assert set(said) >= SCHEMA | {"packages", "process", "seeds"}
    assert said["seeds"]["number"] > 0


def test_a_disk_that_takes_nothing():
    """
    Where nothing can be written, recorders go on, and nothing is raised.
    """
    Path(".branchline").write_text("in the way")
    with bl.configure("test", verbosity="NONE"):
        recorder = MetadataRecorder()
        recorder.record_seed("numpy", 7)

    assert recorder.get_metadata().seeds == {"numpy": 7}


def test_an_interrupted_program_says_so():
    """
    The exit status of a program that Ctrl-C has ended is that, in the middle of gathering too.
    """
    run_python("import branchline as bl\nbl.configure('test')\nraise KeyboardInterrupt", code=-signal.SIGINT)


def test_after_the_run():
    """
    What is said after the end of a run is kept by the recorder alone.
    """
    with bl.configure("test", run_id="one"):
        recorder = MetadataRecorder()
    before = Path(".branchline/runs/one/run.json").read_bytes()
    recorder.record_seed("numpy", 7)

    assert recorder.get_metadata().seeds == {"numpy": 7}
    assert Path(".branchline/runs/one/run.json").read_bytes() == before


# ── the code, and the resource ────────────────────────────────────────────────────────────────────
def resource_of(run):
    [file] = run.directory.glob("*/logs-*.jsonl*")
    [line, *_] = file.read_text().splitlines()
    attributes = json.loads(line)["resourceLogs"][0]["resource"]["attributes"]
    return {attribute["key"]: attribute["value"] for attribute in attributes}


@pytest.fixture
def repository(tmp_path):
    """A repository with a program in it, and a change that is not committed."""
    place = tmp_path / "repository"
    place.mkdir()
    git("init", "--quiet", "--initial-branch=main", cwd=place)
    (place / "program.py").write_text("before")
    git("add", ".", cwd=place)
    git("commit", "--quiet", "--message=first", cwd=place)
    git("remote", "add", "origin", f"https://ann:{PLANTED['remote']}@example.org/team/project.git", cwd=place)
    return place


def test_the_code_of_the_script(repository, tmp_path):
    """
    The code is that of the script that runs, wherever it was started; the resource has its commit and branch.
    """
    program = "import branchline as bl\nwith bl.configure('test', directory=r'%s'): pass" % (tmp_path / "out")
    (repository / "program.py").write_text(program)
    subprocess.run([sys.executable, repository / "program.py"], cwd=tmp_path, env=environment(), check=True)

    [run] = open_runs(tmp_path / "out")
    head = (repository / ".git/refs/heads/main").read_text().strip()
    said = metadata_of(run.directory)["code"]
    assert said.pop("patch_checksum").startswith("sha256:")
    assert said.pop("patch_bytes") > 0
    assert said == {
        "commit": head,
        "branch": "main",
        "remote": "https://example.org/team/project.git",
        "is_dirty": True,
    }
    resource = resource_of(run)
    assert {key: resource[key] for key in resource if key.startswith("vcs.")} == {
        "vcs.ref.head.revision": {"stringValue": head},
        "vcs.ref.head.name": {"stringValue": "main"},
        "vcs.ref.head.type": {"stringValue": "branch"},
    }


def test_the_resource(monkeypatch):
    """
    The resource has the platform, the program and where it runs; what a user says of these counts more.
    """
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    with bl.configure("test", resource={"faas.name": "mine", "vcs.ref.head.name": "release"}):
        pass

    resource = resource_of(only())
    expected = {
        "os.version": platform.release(),
        "process.executable.name": Path(sys.executable).name,
        "cloud.platform": "aws_lambda",
        "faas.name": "mine",
        "vcs.ref.head.name": "release",
    }
    assert {key: resource[key]["stringValue"] for key in expected} == expected
    facts = [value["stringValue"] for value in resource["branchline.runtime"]["arrayValue"]["values"]]
    assert {"slurm", "lambda"} <= set(facts)


# ── secrets ───────────────────────────────────────────────────────────────────────────────────────
def test_no_secret_reaches_a_file(repository):
    """
    Secrets in arguments, in the environment, in the URL of a remote and in the name of a branch reach no file.
    """
    git("checkout", "--quiet", "-b", f"try-{PLANTED['branch']}", cwd=repository)
    program = """
        import branchline as bl
        from branchline.metadata import MetadataRecorder
        with bl.configure("test", directory="out"), bl.experiment("e"), bl.step("x"):
            MetadataRecorder().save("out/metadata.json")
    """
    run_python(
        program,
        *("--api-key", PLANTED["argument"], f"OPENAI_API_KEY={PLANTED['assigned']}", "--lr=0.1"),
        *(f"postgresql://ann:{PLANTED['url']}@db.example.org/x", "-H", f"Authorization: Bearer {PLANTED['header']}"),
        cwd=repository,
        DB_PASSWORD=PLANTED["variable"],
        XLA_FLAGS=f"--key={PLANTED['allowed']}",
        PYTHONPATH=f"/a?token={PLANTED['variable']}",
    )

    files = {path: path.read_bytes() for path in (repository / "out").rglob("*") if path.is_file()}
    found = {name for name, secret in PLANTED.items() for content in files.values() if secret.encode() in content}
    assert found == set()
    assert len(files) >= 4
    [run] = open_runs(repository / "out")
    assert metadata_of(run.directory)["process"]["argv"][1:] == [
        *("--api-key", "[redacted]", "OPENAI_API_KEY=[redacted]", "--lr=0.1"),
        *("postgresql://ann:[redacted]@db.example.org/x", "-H", "Authorization: [redacted]"),
    ]


def test_a_redactor_of_the_user():
    """
    What the user calls secret is taken out of the metadata too.
    """
    with bl.configure("test", redact=bl.Redactor(extra_keys=("customer_id",), extra_patterns=(r"C-\d+",))):
        recorder = MetadataRecorder()
        recorder.set_config(model="m", customer_id="ann-of-the-river", note="of C-123")

    text = json.dumps(only().metadata)
    assert ("ann-of" in text, "C-123" in text) == (False, False)


def test_packages_with_secret_names(tmp_path, monkeypatch):
    """
    A package whose name sounds like a secret keeps its version.
    """
    (tmp_path / "site" / "google_auth-2.3.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with bl.configure("test"):
        pass

    packages = only().metadata["packages"]
    assert packages["versions"]["google-auth"] == "2.3"
    listing = "".join(f"{name}=={version}\n" for name, version in packages["versions"].items())
    assert packages["checksum"] == calculate_checksum(listing)


# ── whatever there is ─────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "oddity",
    [
        "sys.argv = ['x' * 5000]",
        "sys.argv = []",
        "sys.argv = ['a\\0b', 3, None]",
        "del sys.argv",
        "sys.path.append(3); sys.path.append('x' * 5000)",
        "os.symlink('.git', '.git')",
        "open('.git', 'w').write('gitdir: ' + 'x' * 3000)",
        "open('.git', 'wb').write(b'gitdir: \\0\\xff')",
        "os.environ['PATH'] = ''",
        "os.environ['TZ'] = 'Nowhere/Land'",
        "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    ],
)
def test_odd_processes(oddity, tmp_path):
    """
    However odd a process is, it is set up, and what can be known of it is.
    """
    program = f"""
        import os, sys
        {oddity}
        import branchline as bl
        with bl.configure("test", directory={str(tmp_path / "out")!r}), bl.step("x"):
            pass
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], env=environment(), capture_output=True, text=True, check=False
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    [run] = open_runs(tmp_path / "out")
    assert metadata_of(run.directory)["environment"]["python_version"] == platform.python_version()
    assert [step.name for step in run.steps] == ["x"]


def test_as_a_document():
    """
    `Run.to_dict` has the metadata, with what sounds like a secret and is none.
    """
    with bl.configure("test"):
        MetadataRecorder().set_config(model="m", password="hunter2hunter2")
    run = only()

    said = run.to_dict(redact=True)["metadata"]
    assert said["packages"] == run.metadata["packages"]
    assert said["configuration"]["password"] == "[redacted]"


def test_shown(repository):
    """
    `branchline show` says which code ran.
    """
    run_python("import branchline as bl\nwith bl.configure('test', directory='out'): pass", cwd=repository)
    commit = (repository / ".git/refs/heads/main").read_text()[:12]

    shown = CliRunner().invoke(main, ["show", "-d", str(repository / "out")]).output
    assert f"\n  code {commit} on main, with changes that are not committed\n" in shown
