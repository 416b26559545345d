"""A real server and database files of MLflow, for all tests with it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys

import environment
import pytest
from mlflow_servers import QUIET, mlflow_server


@pytest.fixture(scope="session", autouse=True)
def _quiet():
    os.environ.update(QUIET)
    yield
    for name in QUIET:
        del os.environ[name]


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The URL of a real server: of the release that is tested or, where that has none, of the newest."""
    try:
        importlib.metadata.version("mlflow")
    except importlib.metadata.PackageNotFoundError:
        python = str(environment.python_of("newest"))
    else:
        python = sys.executable
    with mlflow_server(tmp_path_factory.mktemp("server"), python=python) as url:
        yield url


@pytest.fixture(scope="session")
def laid_out(tmp_path_factory):
    """A database file with its tables: laying them out takes a while."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("laid-out") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def store(tmp_path, monkeypatch, laid_out):
    """The URI of a database file of this test's own; artifacts go to its folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(laid_out, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"
