"""The compose file as the tests look at it: services by profile, with what is mounted into them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml


ROOT: Final = Path(__file__).parent.parent
COMPOSE: Final = ROOT / "docker-compose.yml"
_VARIABLE: Final = re.compile(r"(?<!\$)\$\{(\w+)(?:(:?[-?+])([^}]*))?\}")
_COLLECTOR_VARIABLE: Final = re.compile(r"\$\{env:(\w+)(?::-([^}]*))?\}")


def document(path: Path) -> Any:
    """Return what is in a YAML or JSON file."""
    # JSON is YAML, and its own reader is faster.
    read = json.loads if path.suffix == ".json" else yaml.safe_load
    return read(path.read_text(encoding="utf-8"))


def compose(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the compose file with what the *environment* says in it, else the default of each variable."""
    interpolated: dict[str, Any] = _interpolated(document(COMPOSE), environment or {})
    return interpolated


def services(profile: str | None = None) -> dict[str, dict[str, Any]]:
    """Return the services that run with *profile*, asked for as docs/viewing.md says; with None those of all."""
    found = compose({"BRANCHLINE_MLFLOW": "yes"} if profile == "mlflow" else {})["services"]
    return {
        name: service
        for name, service in found.items()
        if profile is None or not service.get("profiles") or profile in service["profiles"]
    }


def profiles() -> list[str]:
    """Return the names of all profiles, the default one first, which has none."""
    return ["", *dict.fromkeys(name for service in services().values() for name in service.get("profiles", ()))]


def variables(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, sign and rest of each variable in *text*: sign is what stands between, such as ``:-``."""
    yield from _VARIABLE.findall(text)


def mounts(service: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield source, target and mode of what is mounted into *service*."""
    for volume in service.get("volumes", ()):
        source, target, *mode = volume.split(":")
        yield source, target, mode[0] if mode else "rw"


def mounted_files(service: Mapping[str, Any]) -> list[Path]:
    """Return the files of ours that *service* sees."""
    paths = [ROOT / source for source, _, _ in mounts(service) if source.startswith(".")]
    return [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]


def told(service: Mapping[str, Any], file: Path) -> Any:
    """Return what *file* tells *service*; of a collector's configuration, what its pipelines make use of."""
    content = document(file)
    if not isinstance(content, dict) or "pipelines" not in content.get("service", {}):
        return content
    environment = service.get("environment", {})
    text = _COLLECTOR_VARIABLE.sub(
        lambda found: str(environment.get(found[1], found[2] or "")), file.read_text(encoding="utf-8")
    )
    content = yaml.safe_load(text)
    pipelines = content["service"]["pipelines"].values()
    used = {name for pipeline in pipelines for names in pipeline.values() for name in names}
    used.update(content["service"]["extensions"])
    return {
        kind: {name: item for name, item in found.items() if name in used}
        for kind, found in content.items()
        if kind != "service"
    }


def unset(service: Mapping[str, Any], file: Path) -> set[str]:
    """Return the variables that a collector's configuration has no default for, and *service* sets none of them."""
    found = _COLLECTOR_VARIABLE.finditer(file.read_text(encoding="utf-8"))
    return {variable[1] for variable in found if variable[2] is None} - set(service.get("environment", {}))


def strings(value: object) -> Iterator[str]:
    """Yield every text in *value*, keys left out; a host and its port, said apart, as one."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        if {"host", "port"} <= set(value):
            yield f"{value['host']}:{value['port']}"
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def _interpolated(value: Any, environment: Mapping[str, str]) -> Any:
    def chosen(found: re.Match[str]) -> str:
        said = environment.get(found[1], "")
        return (found[3] if said else "") if found[2] == ":+" else said or found[3] or ""

    if isinstance(value, str):
        return _VARIABLE.sub(chosen, value).replace("$$", "$")
    if isinstance(value, dict):
        return {key: _interpolated(item, environment) for key, item in value.items()}
    return [_interpolated(item, environment) for item in value] if isinstance(value, list) else value
