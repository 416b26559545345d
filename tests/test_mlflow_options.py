"""Which MLflow is meant: options, variables, what was noted, and what is said where it cannot be."""

from __future__ import annotations

import importlib.util
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

import branchline as bl
from branchline._journal import cursors
from branchline._journal.cursors import Cursor
from branchline._mlflow.limits import Batch, Point
from branchline.cli import main
from branchline.config import Config, load_config
from branchline.errors import ConfigError, MissingExtraError
from branchline.exporters.followers import makers_for
from branchline.exporters.mlflow import destination as module
from branchline.exporters.mlflow.destination import MlflowDestination, folder_name, uri_of
from branchline.exporters.mlflow.health import Health, asked
from branchline.exporters.mlflow.teller import as_said, batch_from, halves
from branchline.exporters.places import destinations


@pytest.fixture
def installed(monkeypatch):
    """
    MLflow, as far as setting up looks for it: it is loaded only when there is something to tell.
    """
    monkeypatch.setattr(module, "find_spec", lambda name: object())


# ── options ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (False, False),
        ("off", False),
        (True, bl.MLflow()),
        ("true", bl.MLflow()),
        ("http://localhost:5000", bl.MLflow("http://localhost:5000")),
        ("databricks", bl.MLflow("databricks")),
        ({"uri": "sqlite:///x.db", "experiment": "e"}, bl.MLflow("sqlite:///x.db", experiment="e")),
        (bl.MLflow(traces=False), bl.MLflow(traces=False)),
    ],
)
def test_what_is_said(said, meant):
    """
    ``mlflow`` is a truth, a place, or all of it; the environment and a file say it as text.
    """
    assert load_config({"mlflow": said}, env={}).mlflow == meant
    if isinstance(said, str):
        assert load_config({}, env={"BRANCHLINE_MLFLOW": said}).mlflow == meant


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"uri": "http://"}, "MLflow(uri='http://') is not accepted; accepted: a tracking URI such as"),
        ({"uri": ""}, "MLflow(uri='') is not accepted"),
        ({"experiment": "http://x"}, "accepted: a name of 1 to 500 characters; a place is said as uri"),
        ({"traces": "nowhere"}, "accepted: True, False, or the URL of an OTLP endpoint"),
        ({"headers": {"a b": "c"}}, "MLflow(headers={'a b': '[redacted]'}) is not accepted"),
    ],
)
def test_what_is_refused(said, message):
    """
    What cannot be is refused at once, with what is accepted.
    """
    with pytest.raises(ConfigError) as raised:
        bl.MLflow(**said)
    assert message in str(raised.value)


def test_a_password_is_not_shown(installed):
    """
    A password in a URI is in no text, and in no file; nor is it in the name of the folder.
    """
    options = bl.MLflow("http://me:hunter2@localhost:5000", headers={"authorization": "hunter2"})
    made = MlflowDestination(options, {})

    assert "hunter2" not in f"{options!r} {made!r} {made.shown} {made.name} {made.settings}"
    assert made.settings == {}


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is not None, reason="MLflow is installed here")
def test_mlflow_is_not_installed(tmp_path):
    """
    Where MLflow is missing, setting up says so at once and names the extra, and what went on before goes on.
    """
    with bl.configure("before", directory=tmp_path, console=False) as telemetry:
        with pytest.raises(MissingExtraError, match=r"pip install 'branchline\[mlflow\]'"):
            bl.configure("after", directory=tmp_path, console=False, mlflow=True)
        assert not telemetry.is_down


# ── where it is ───────────────────────────────────────────────────────────────────────────────────


def test_where_it_is(tmp_path, monkeypatch):
    """
    What is said counts more than MLflow's own variable, and that more than a database file in this folder.
    """
    monkeypatch.chdir(tmp_path)
    variable = {"MLFLOW_TRACKING_URI": "http://there"}

    assert uri_of(bl.MLflow("http://here"), variable) == "http://here"
    assert uri_of(bl.MLflow(), variable) == "http://there"
    assert uri_of(bl.MLflow(), {}) == f"sqlite:///{tmp_path}/mlflow.db"
    assert uri_of(bl.MLflow("sqlite:///a/b.db"), {}) == f"sqlite:///{tmp_path}/a/b.db"
    assert uri_of(bl.MLflow("sqlite:////a/b.db"), {}) == "sqlite:////a/b.db"
    assert uri_of(bl.MLflow("databricks"), {}) == "databricks"
    assert uri_of(bl.MLflow("mlruns"), {}) == f"{tmp_path}/mlruns"


def test_folders():
    """
    Each place has a folder of its own, and so has each experiment that was chosen.
    """
    places = ("http://a:1", "http://a:2", "databricks")
    names = [folder_name(uri, experiment) for uri in places for experiment in (None, "e")]

    assert len(set(names)) == 6
    assert names[0].startswith("mlflow-a-1-")
    assert names[4].startswith("mlflow-databricks-")


def test_who_is_followed(installed):
    """
    A configuration that names MLflow has a follower for it, beside that for OTLP.
    """
    _, makers = makers_for(Config(service_name="x", mlflow=bl.MLflow("databricks")), {}, is_guest=True, say=print)
    made = makers["mlflow"]()

    assert (list(makers), made.kind, made.shown, made.signals) == (
        ["mlflow"],
        "mlflow",
        "databricks",
        ("traces", "logs", "metrics"),
    )


def noted(directory: Path, options: bl.MLflow) -> None:
    made = MlflowDestination(options, {})
    folder = cursors.follower_folder(directory, made.name)
    cursors.describe(folder, made.kind, made.settings)
    cursors.save(folder / "run", Cursor())


def test_which_is_shipped_to(tmp_path, installed):
    """
    ``ship --to mlflow`` means the place that is said, else the configured one, else those that runs were to go to,
    else the one that MLflow's own variables name.
    """

    def shown(said: bl.MLflow | None = None, config: bl.MLflow | bool = False, url: str | None = "mlflow") -> list[str]:
        found = destinations(
            tmp_path,
            url=url,
            config=Config(service_name="x", mlflow=config),  # type: ignore[arg-type]  # never True
            environment={"MLFLOW_TRACKING_URI": "http://variable"},
            say=print,
            mlflow=said,
        )
        return [place.shown for place in found]

    assert shown() == ["http://variable"]
    noted(tmp_path, bl.MLflow("http://noted"))
    assert shown() == ["http://noted"]
    assert shown(url=None) == ["http://noted"]
    assert shown(config=bl.MLflow("http://configured")) == ["http://configured"]
    assert shown(bl.MLflow("http://said"), bl.MLflow("http://configured")) == ["http://said"]
    assert shown(bl.MLflow("http://said"), url=None) == ["http://said"]
    assert shown(bl.MLflow(experiment="e")) == ["http://variable"]


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is not None, reason="MLflow is installed here")
def test_commands_without_mlflow(tmp_path):
    """
    The commands say in one line what is missing, and how it is installed.
    """
    with bl.configure("x", directory=tmp_path, console=False), bl.step("work"):
        pass
    for command in ("ship", "doctor"):
        result = CliRunner().invoke(main, [command, "--directory", str(tmp_path), "--to", "mlflow"])

        assert result.exit_code == 1
        assert "pip install 'branchline[mlflow]'" in result.stderr


# ── whether it answers ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("status", "is_well"), [(200, True), (401, True), (404, True), (503, False)])
def test_health(monkeypatch, status, is_well):
    """
    Whatever a server answers, it is there; unless it says itself that it is not well.
    """
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    paths = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/base"
        said = asked(url)
        server.shutdown()
        thread.join()

    assert (said is None, paths) == (is_well, ["/base/health"])
    assert asked(url) is not None


def test_health_is_asked_for_after_failures():
    """
    One that works is not asked again until something fails; a database file is never asked.
    """
    asks: list[str] = []

    def ask(url: str) -> str | None:
        asks.append(url)
        return "down" if len(asks) < 2 else None

    health = Health("http://there/", ask)
    told = [health.complaint(), health.complaint()]
    health.succeeded()
    told.append(health.complaint())
    health.failed()
    told.append(health.complaint())

    assert (told, asks) == (["down", None, None, None], ["http://there"] * 3)
    assert Health("sqlite:///x.db", ask).complaint() is None


# ── what is refused ───────────────────────────────────────────────────────────────────────────────


def test_halves_and_letters():
    """
    What is refused is halved down to single entries, and what a letter has can be said again.
    """
    points = [Point(key="d", value=4.0, timestamp_ms=5)]
    batch = Batch(params=[("a", "1"), ("b", "2")], tags=[("c", "3")], points=points)
    first, second = halves(batch)

    assert (len(first), len(second)) == (2, 2)
    assert [*first.singles(), *second.singles()] == [*batch.singles()]
    assert batch_from(as_said(batch)) == batch
