"""The compose file: valid, pinned, limited, reachable from this machine only, and whole in every profile."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft7Validator

from compose import (
    COMPOSE,
    ROOT,
    compose,
    document,
    mounted_files,
    mounts,
    profiles,
    services,
    strings,
    told,
    unset,
    variables,
)


# Who is not what all the others are, and why.
MAY_BE_ROOT = {"volumes": "gives new volumes, which belong to root, to those who write into them, and ends"}
MAY_WRITE = {"kafka": "its image writes configuration and logs beside its programs when it starts"}
MAY_CHOWN = {"volumes": "the same"}
ASKED_BY = {"collector": "collector-health", "ingest": "ingest-health", "sink": "sink-health"}
WITHOUT_GO = {"busybox", "ghcr.io/mlflow/mlflow", "apache/kafka", "clickhouse/clickhouse-server"}
# What is in collector-config/scale.env, which is not in the repository.
SECRETS = {"CLICKHOUSE_PASSWORD", "CLICKHOUSE_VIEWER_PASSWORD"}

_BYTES = {"m": 2**20, "g": 2**30, "MiB": 2**20, "GiB": 2**30}
_SECRET = re.compile(r"password|passwd|secret|token|api_?key", re.IGNORECASE)
_HOST = re.compile(r"(?<![\w.$-])([a-z][a-z0-9-]*):(\d{4,5})(?!\d)")


def size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([a-zA-Z]+)", text).groups()  # type: ignore[union-attr]
    return int(number) * _BYTES[unit]


def each_service() -> dict[str, dict[str, Any]]:
    found = services()
    assert len(found) > 10
    return found


def environment(service: dict[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in service.get("environment", {}).items()}


def is_named(path: str) -> bool:
    return not path.startswith((".", "/"))


def test_it_is_a_compose_file():
    """
    It is what the JSON schema of the Compose Specification (https://compose-spec.io, Apache-2.0) asks for.
    """
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text("utf-8"))

    problems = [
        f"{'/'.join(map(str, error.path))}: {error.message}" for error in Draft7Validator(schema).iter_errors(compose())
    ]

    assert problems == []


@pytest.mark.parametrize("profile", profiles())
def test_compose_itself_takes_it(profile, tmp_path):
    """
    `docker compose config`, where there is one, finds nothing wrong, in each profile.
    """
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("there is no `docker compose` here")
    shutil.copy(COMPOSE, tmp_path)
    shutil.copytree(ROOT / "collector-config", tmp_path / "collector-config", symlinks=True)
    (tmp_path / "collector-config" / "scale.env").write_text("".join(f"{name}=x\n" for name in sorted(SECRETS)))

    done = subprocess.run(
        ["docker", "compose", "--profile", profile or "none", "config", "--services"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.split()) == sorted(services(profile))


def test_images_are_pinned():
    """
    An image names a version, so that the same is started tomorrow.
    """
    images = {name: service["image"] for name, service in each_service().items()}

    assert [
        image for image in images.values() if not re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?(@sha256:\w{64})?$", image)
    ] == []


def test_ports_are_on_this_machine_only():
    """
    Nobody else's machine reaches a port, and none is taken twice in a profile.
    """
    ports = {name: service["ports"] for name, service in each_service().items() if "ports" in service}

    assert {"collector", "jaeger", "grafana", "mlflow"} <= set(ports)
    assert [port for published in ports.values() for port in published if not port.startswith("127.0.0.1:")] == []
    for profile in profiles():
        taken = [port.rpartition(":")[0] for one in services(profile).values() for port in one.get("ports", ())]
        assert sorted(set(taken)) == sorted(taken)


def test_everything_is_limited():
    """
    Memory, processors, processes and the size of logs have a limit; what is written in Go knows that of its memory.
    """
    for name, service in each_service().items():
        assert set(service) >= {"mem_limit", "cpus", "pids_limit"}, name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
    for name, service in each_service().items():
        if service["image"].rpartition(":")[0] in WITHOUT_GO:
            continue
        assert 0.75 <= size(environment(service)["GOMEMLIMIT"]) / size(service["mem_limit"]) <= 0.85, name


def test_nobody_is_root():
    """
    Every service runs as a user with a number, which is not root's; who is it all the same, is named here.
    """
    users = {name: service["user"] for name, service in each_service().items()}

    assert [user for user in users.values() if not re.fullmatch(r"\d+:\d+", user)] == []
    assert {name for name, user in users.items() if user.startswith("0:")} == set(MAY_BE_ROOT)


def test_nothing_is_allowed_that_is_not_needed():
    """
    No capability, no new privilege, nothing of the host, and nothing to write to but volumes and memory.
    """
    found = each_service()

    assert {name for name, service in found.items() if not service["read_only"]} == set(MAY_WRITE)
    assert {name: service["cap_add"] for name, service in found.items() if "cap_add" in service} == {
        name: ["CHOWN"] for name in MAY_CHOWN
    }
    for name, service in found.items():
        assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"]), name
        assert not {"privileged", "devices", "pid", "ipc", "userns_mode"} & set(service), name
        assert service.get("network_mode", "none").partition(":")[0] in {"none", "service"}, name
        outside = [source for source, _, mode in mounts(service) if not is_named(source) and mode != "ro"]
        assert outside == [], name


def test_volumes_are_named():
    """
    What is kept is in a named volume; each that is declared is used, and the other way round.
    """
    used = {source for service in each_service().values() for source, _, _ in mounts(service) if is_named(source)}

    assert used == set(compose()["volumes"])


def test_mounted_files_are_there():
    """
    What is mounted exists, is inside the repository, and is YAML, JSON or XML that parses.
    """
    for name, service in each_service().items():
        sources = [source for source, _, _ in mounts(service) if not is_named(source)]
        for source in sources:
            path = (ROOT / source).resolve()
            assert path.exists(), f"{name}: {source}"
            assert path.is_relative_to(ROOT), f"{name}: {source}"
        for file in mounted_files(service):
            if file.suffix in {".yaml", ".yml", ".json"}:
                assert document(file), file
            elif file.suffix == ".xml":
                assert len(ET.parse(file).getroot()), file
            else:
                assert file.suffix == ".sql", file


def test_what_somebody_waits_for_comes():
    """
    Whoever is waited for until it is well can be asked; whoever until it is done, ends; and runs in the same profile.
    """
    for profile in profiles():
        found = services(profile)
        for name, service in found.items():
            for other, said in service.get("depends_on", {}).items():
                wanted = {
                    "service_healthy": "healthcheck" in found[other],
                    "service_completed_successfully": found[other]["restart"] == "no",
                    "service_started": True,
                }
                assert wanted[said["condition"]], f"{name} waits for {other}"


def test_everybody_is_asked_how_it_is():
    """
    What goes on running has a health check: its own, or that of another service which runs beside it.
    """
    running = {name: service for name, service in each_service().items() if service["restart"] != "no"}

    assert {name for name, service in running.items() if "healthcheck" not in service} == set(ASKED_BY)
    for name, other in ASKED_BY.items():
        assert running[other]["network_mode"] == f"service:{name}"


def test_variables_have_a_default():
    """
    No variable is silently empty: it has a default, says what to do, or adds something; docs/viewing.md names it.
    """
    documented = (ROOT / "docs" / "viewing.md").read_text(encoding="utf-8")
    found = list(variables(COMPOSE.read_text(encoding="utf-8")))

    assert found
    assert [name for name, sign, rest in found if sign not in {":-", ":?", ":+"} or not rest] == []
    assert [name for name in {*SECRETS, *(name for name, _, _ in found)} if f"`{name}`" not in documented] == []


def test_what_it_takes_is_documented():
    """
    docs/viewing.md says how many services each profile has, and what they take at most.
    """
    documented = (ROOT / "docs" / "viewing.md").read_text(encoding="utf-8")
    said = re.findall(r"^\| `?(\w+)`? \| (\d+) \| ([\d.]+) GiB \|$", documented, re.MULTILINE)

    assert {name: (int(count), float(memory)) for name, count, memory in said} == {
        name or "default": (
            len(services(name)),
            round(sum(size(service["mem_limit"]) for service in services(name).values()) / 2**30, 1),
        )
        for name in profiles()
    }


def test_what_has_no_default_is_given():
    """
    What a mounted configuration asks of the environment and has no default for, its service gets: secrets from a file.
    """
    asked = {
        name: {variable for file in mounted_files(service) for variable in unset(service, file)}
        for name, service in each_service().items()
    }

    assert {name: variables for name, variables in asked.items() if variables} == {"sink": {"CLICKHOUSE_PASSWORD"}}
    assert {name for name, service in each_service().items() if "env_file" in service} == {
        "sink",
        "clickhouse",
        "grafana-scale",
    }


def test_no_password_is_in_the_open():
    """
    Neither the compose file nor what is mounted holds a password: they name a variable or a file that has it.
    """
    said = {
        f"{name}: {key}": value
        for name, service in each_service().items()
        for key, value in environment(service).items()
        if _SECRET.search(key) and value not in {"true", "false"}
    }
    texts = [COMPOSE, *(file for service in each_service().values() for file in mounted_files(service))]

    assert said == {}
    for path in texts:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"://[^/\s:@]+:[^/\s@]+@", text), path
        literal = re.findall(r"(?im)^[^#\n]*\b\w*(?:password|api_?key):\s*[\"']?([^\s\"'$,}][^\s,}]*)", text)
        assert literal == [], path


@pytest.mark.parametrize("profile", profiles())
def test_a_profile_is_whole(profile):
    """
    Every host that a service is told about runs in the same profile, has that port, and shares a network with it.
    """
    found = services(profile)
    ports = {
        name: {port.rpartition(":")[2] for port in (*service.get("ports", ()), *service.get("expose", ()))}
        for name, service in found.items()
    }
    checked = 0
    for name, service in found.items():
        said = [*strings(service.get("environment", {})), *strings(service.get("command", []))]
        for file in mounted_files(service):
            if file.suffix in {".yaml", ".yml"}:
                said += strings(told(service, file))
        for host, port in {pair for text in said for pair in _HOST.findall(text)}:
            if host == "localhost":
                continue
            assert host in found, f"{name} is told about {host}:{port}, which is not in profile {profile or 'default'}"
            assert port in ports[host], f"{name} is told about {host}:{port}, which is none of its ports"
            assert host == name or set(service["networks"]) & set(found[host]["networks"]), f"{name} cannot see {host}"
            checked += 1
    assert checked


def test_what_is_started_is_what_is_tested():
    """
    The collector, Jaeger and Prometheus are of the versions that the stack's tests build.
    """
    built = runpy.run_path(str(ROOT / "tests" / "stack" / "build.py"), run_name="build")["VERSIONS"]
    programs = {"opentelemetry-collector-contrib": "collector", "jaeger": "jaeger", "prometheus": "prometheus"}

    named = {tuple(service["image"].rpartition("/")[2].split(":")) for service in each_service().values()}

    started = {(programs[image], tag.removeprefix("v")) for image, tag in named if image in programs}
    assert started == {(program, built[program]) for program in programs.values()}
