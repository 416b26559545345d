"""What ``make check`` knows of the programs is what they are."""

from __future__ import annotations

import subprocess

import pytest
from build import HERE, program
from servers import CONFIGS, Gateway


pytestmark = pytest.mark.stack


@pytest.mark.parametrize("part", ["collector", "jaeger"])
def test_the_schema_is_what_was_built(part):
    """
    The schema that is kept is, byte by byte, what the components' own types say.
    """
    ran = subprocess.run([program(part, "schema")], capture_output=True, text=True, check=True)

    assert (HERE / "schemas" / f"{part}.json").read_text(encoding="utf-8") == ran.stdout


@pytest.mark.parametrize(
    "configs",
    [
        ["gateway.yaml"],
        ["gateway.yaml", "gateway-secure.yaml"],
        ["gateway.yaml", "gateway-sampling.yaml"],
        ["gateway.yaml", "gateway-secure.yaml", "gateway-sampling.yaml"],
        ["agent.yaml"],
        ["scale-ingest.yaml"],
        ["scale-sink.yaml"],
        ["jaeger.yaml"],
    ],
)
def test_the_programs_accept_what_is_shipped(configs, tmp_path):
    """
    The real program finds every configuration valid, and no name in it out of date.
    """
    part, name = ("jaeger", "jaeger") if configs == ["jaeger.yaml"] else ("collector", "otelcol")
    flags = [f"--config={CONFIGS / config}" for config in configs]
    env = {
        "GATEWAY_QUEUE": str(tmp_path),
        "AGENT_STATE": str(tmp_path),
        "CLICKHOUSE_USER": "u",
        "CLICKHOUSE_PASSWORD": "p",
    }

    ran = subprocess.run(
        [program(part, name), "validate", *flags], capture_output=True, text=True, env=env, check=False
    )

    assert ran.returncode == 0, ran.stderr
    assert "deprecated" not in ran.stdout + ran.stderr


def test_a_name_out_of_use_is_seen(tmp_path):
    """
    The collector says that a name is deprecated in words that fail every other test here.
    """
    overlay = tmp_path / "old.yaml"
    overlay.write_text("exporters: {otlp/old: {endpoint: '127.0.0.1:9'}}\n")
    with Gateway(tmp_path, overlay, GATEWAY_TRACES_TO="[otlp/old]") as gateway:
        gateway.is_up_to_date = False

    assert "alias is deprecated" in gateway.said("deprecated")[0]
