"""What is wrong in a shipped collector configuration is said with its file and line, without any of the programs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import collector_config
from collector_config import BASES, FOLDER, PAGE, Problem, configurations, documented, everything, problems


STACK = Path(__file__).parent / "stack"
VARIABLES = documented(PAGE.read_text(encoding="utf-8"))


def broken(tmp_path, file, old, new):
    """
    What is wrong in *file* once *old* is *new*, and the line that was changed.
    """
    text = (FOLDER / file).read_text(encoding="utf-8")
    before, found, after = text.partition(old)
    assert found, f"{old!r} is not in {file}"
    path = tmp_path / file
    path.write_text(before + new + after, encoding="utf-8")
    base = FOLDER / BASES[file] if file in BASES else None
    return problems(path, VARIABLES, base), text[: len(before)].count("\n") + 1


def test_what_is_shipped():
    """
    Every configuration is right, and all that there are were looked at.
    """
    assert everything() == []
    assert [path.name for path in configurations()] == [
        "agent.yaml",
        "gateway-sampling.yaml",
        "gateway-secure.yaml",
        "gateway.yaml",
        "jaeger.yaml",
        "scale-ingest.yaml",
        "scale-sink.yaml",
    ]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("gateway.yaml", "queue_size: $", "queue_sise: $", "did you mean queue_size?"),
        ("gateway.yaml", "max_recv_msg_size_mib: 16", "max_recv_msg_mib: 16", "did you mean max_recv_msg_size_mib?"),
        ("gateway.yaml", "  redaction:\n", "  redactoin:\n", "did you mean redaction?"),
        ("gateway.yaml", "  otlp_grpc/tempo:\n", "  otlp/tempo:\n", "unknown key exporters.otlp/tempo"),
        ("gateway.yaml", "  telemetry:\n", "  telemetri:\n", "did you mean telemetry?"),
        ("gateway-secure.yaml", "cert_file:", "certificate_file:", "unknown key"),
        ("gateway-sampling.yaml", "threshold_ms:", "threshold:", "did you mean threshold_ms?"),
        ("agent.yaml", "start_at:", "startat:", "did you mean start_at?"),
        ("scale-ingest.yaml", "required_acks:", "require_acks:", "did you mean required_acks?"),
        ("scale-sink.yaml", "async_insert:", "asynchronous_insert:", "did you mean async_insert?"),
        ("jaeger.yaml", "max_clock_skew_adjust:", "max_clock_skew:", "did you mean max_clock_skew_adjust?"),
    ],
)
def test_an_unknown_key(tmp_path, file, old, new, said):
    """
    A key that the component does not know is said with its line, and the one that was meant.
    """
    found, line = broken(tmp_path, file, old, new)

    # What is merged into several sections is wrong in each of them.
    assert {(problem.file, problem.line) for problem in found if "unknown key" in problem.what} == {(file, line)}
    assert said in found[0].what


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("gateway.yaml", "check_interval: 1s", "check_interval: often", "is 'often'; it takes duration such as 30s"),
        ("gateway.yaml", "limit_percentage: 75", "limit_percentage: most", "is 'most'; it takes integer"),
        ("gateway.yaml", "block_on_overflow: true", "block_on_overflow: sometimes", "it takes boolean"),
        ("gateway.yaml", "detectors: [env]", "detectors: env", "is 'env'; it takes array"),
        ("gateway.yaml", ":-1073741824}", ":-1 GiB}", "is '1 GiB'; it takes integer"),
        ("agent.yaml", "force_flush_period: 0s", "force_flush_period: [0s]", "is a list; it takes duration"),
        ("scale-sink.yaml", "compress: zstd", "compress: {kind: zstd}", "is a mapping; it takes string"),
        ("jaeger.yaml", "ephemeral: false", "ephemeral: 5", "is '5'; it takes boolean"),
    ],
)
def test_a_wrong_type(tmp_path, file, old, new, said):
    """
    A value of another type than the component takes is said with its line, defaults of variables included.
    """
    found, line = broken(tmp_path, file, old, new)

    assert (file, line) in [(problem.file, problem.line) for problem in found]
    assert any(said in problem.what for problem in found)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "${env:JAEGER_OTLP:-jaeger:4317}",
            "${env:NOBODY_KNOWS}",
            "is in no table of docs/collector.md and has no default",
        ),
        ("${env:JAEGER_OTLP:-jaeger:4317}", "${env:NOBODY_KNOWS:-jaeger:4317}", "NOBODY_KNOWS is in no table"),
        ("${env:JAEGER_OTLP:-jaeger:4317}", "${env:JAEGER_OTLP}", "JAEGER_OTLP is None here and 'jaeger:4317'"),
        ("${env:JAEGER_OTLP:-jaeger:4317}", "${JAEGER_OTLP}", "a reference that is not ${env:NAME}"),
    ],
)
def test_a_variable_that_nobody_knows(tmp_path, old, new, said):
    """
    A variable that is not documented, or documented otherwise, is said with its line.
    """
    found, line = broken(tmp_path, "gateway.yaml", old, new)

    assert [(problem.file, problem.line) for problem in found] == [("gateway.yaml", line)]
    assert said in found[0].what


def test_a_pipeline_of_what_there_is_not(tmp_path):
    """
    A pipeline that names an exporter which is not configured is said with its line.
    """
    found, line = broken(
        tmp_path, "gateway.yaml", "GATEWAY_LOGS_TO:-[otlp_http/loki]", "GATEWAY_LOGS_TO:-[otlp_http/lokki]"
    )

    assert (line, "otlp_http/lokki is not among the exporters") in [(problem.line, problem.what) for problem in found]


def test_no_yaml(tmp_path):
    """
    A file that is no YAML is said with the line where that shows.
    """
    path = tmp_path / "gateway.yaml"
    path.write_text("receivers:\n  otlp: {\n", encoding="utf-8")

    [problem] = problems(path, VARIABLES)

    assert str(problem).startswith("gateway.yaml:3: no YAML")


def test_every_documented_variable_is_read():
    """
    The page has no variable that no configuration reads.
    """
    text = "".join(path.read_text(encoding="utf-8") for path in configurations())

    assert [name for name in VARIABLES if not re.search(rf"\$\{{env:{name}\b", text)] == []


def test_the_command_says_file_and_line(tmp_path):
    """
    What `make check` runs prints each problem as file:line, and fails.
    """
    for name in ("collector-config", "docs"):
        shutil.copytree(FOLDER.parent / name, tmp_path / name)
    shutil.copytree(STACK / "schemas", tmp_path / "tests" / "stack" / "schemas")
    shutil.copy(collector_config.__file__, tmp_path / "tests")
    agent = tmp_path / "collector-config" / "agent.yaml"
    agent.write_text(
        agent.read_text(encoding="utf-8").replace("compression: auto", "compresion: auto"), encoding="utf-8"
    )

    ran = subprocess.run(
        [sys.executable, tmp_path / "tests" / "collector_config.py"], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 1
    assert re.fullmatch(
        r"(collector-config/agent\.yaml:\d+: unknown key .*; did you mean compression\?\n)+", ran.stdout
    )


def test_a_problem_reads_as_a_place():
    """
    A problem is shown as an editor and a terminal understand it.
    """
    assert str(Problem(file="gateway.yaml", line=7, what="unknown key")) == "gateway.yaml:7: unknown key"


def test_the_modules_are_those_of_the_manifest():
    """
    What is built are the versions that the manifest names.
    """
    manifest = (STACK / "collector" / "builder.yaml").read_text(encoding="utf-8")
    modules = (STACK / "collector" / "go.mod").read_text(encoding="utf-8")

    named = re.findall(r"gomod: (\S+) (\S+)", manifest)

    assert len(named) == 23
    assert [f"{module} {version}" for module, version in named if f"{module} {version}\n" not in modules] == []


def test_without_go_the_build_says_why_not(tmp_path):
    """
    Where there is no Go, the build of the real programs says so and succeeds.
    """
    ran = subprocess.run(
        [sys.executable, STACK / "build.py"], capture_output=True, text=True, check=False, env={"PATH": str(tmp_path)}
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "skipped: Go builds the collector, Jaeger and Prometheus, and there is no `go` here\n"


def test_what_is_built_is_what_is_used():
    """
    The collector is built from the components that the configurations name, and no others.
    """
    sections = ("extensions", "receivers", "processors", "exporters", "connectors")
    built = {
        (section, pattern.strip("^").removesuffix("(/.+)?$"))
        for section in sections
        for pattern in collector_config.schema_of("gateway.yaml")["properties"][section]["patternProperties"]
    }
    used = {
        (section, name.partition("/")[0])
        for path in configurations()
        if path.name != "jaeger.yaml"
        for section, names in yaml.safe_load(path.read_text(encoding="utf-8")).items()
        if section in sections
        for name in names
    }

    assert used == built
