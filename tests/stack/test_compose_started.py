"""What docker-compose.yml tells the collector, Jaeger and Prometheus, told to the real programs."""

from __future__ import annotations

import os
import subprocess

import pytest
from build import program
from servers import CONFIGS, Server, free_port

from compose import services


pytestmark = pytest.mark.stack
COLLECTORS = [
    (profile, name)
    for profile, names in (("", ["collector"]), ("mlflow", ["collector"]), ("scale", ["ingest", "sink"]))
    for name in names
]


def arguments(service, folder):
    """Return the arguments of a *service*, with its configuration where it is here, and its data in *folder*."""
    [mounted] = [volume.split(":") for volume in service["volumes"] if volume.startswith("./collector-config/")]
    source, target, _ = mounted
    here = str(CONFIGS / source.removeprefix("./collector-config/"))
    return [word.replace(target, here).replace("=/prometheus", f"={folder}") for word in service["command"]]


def validated(part, name, service, tmp_path, **more):
    environment = {**os.environ, **{key: str(value) for key, value in service["environment"].items()}, **more}
    return subprocess.run(
        [program(part, name), "validate", *arguments(service, tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("profile", "name"), COLLECTORS)
def test_collectors_understand_it(profile, name, tmp_path):
    """
    The collector takes its configuration with what compose says in the environment, and calls nothing deprecated.
    """
    done = validated("collector", "otelcol", services(profile)[name], tmp_path, CLICKHOUSE_PASSWORD="x")

    assert (done.returncode, "deprecated" in done.stderr.lower()) == (0, False), done.stderr


def test_jaeger_understands_it(tmp_path):
    """
    Jaeger takes its configuration with what compose says in the environment.
    """
    done = validated("jaeger", "jaeger", services("")["jaeger"], tmp_path)

    assert done.returncode == 0, done.stderr


def test_prometheus_understands_it(tmp_path):
    """
    Prometheus starts with the arguments that compose gives it, and none of them is one to be given up.
    """
    port = free_port()
    command = [str(program("prometheus", "prometheus")), *arguments(services("")["prometheus"], tmp_path / "series")]
    command.append(f"--web.listen-address=127.0.0.1:{port}")

    with Server(tmp_path, "prometheus", command, f"http://127.0.0.1:{port}/-/ready", {}) as prometheus:
        assert prometheus.said("deprecated") == []
