"""The compose file as the tests look at it: services by profile, with what is mounted into them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML


ROOT: Final = Path(__file__).parent.parent
COMPOSE: Final = ROOT / "docker-compose.yml"
_VARIABLE: Final = re.compile(r"(?<!\$)\$\{(\w+)(?:(:?[-?])([^}]*))?\}")


def document(path: Path) -> Any:
    """Return what is in a YAML or JSON file; fail for two keys of one name."""
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_repeats)
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def compose() -> dict[str, Any]:
    """Return the compose file, with the default of each variable in its place."""
    interpolated: dict[str, Any] = _interpolated(document(COMPOSE))
    return interpolated


def services(profile: str | None = None) -> dict[str, dict[str, Any]]:
    """Return the services that run with *profile*; with None those of every profile."""
    found = compose()["services"]
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
    for name, sign, rest in _VARIABLE.findall(text):
        yield name, sign, rest


def mounts(service: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield source, target and mode of what is mounted into *service*."""
    for volume in service.get("volumes", ()):
        source, target, *mode = volume.split(":")
        yield source, target, mode[0] if mode else "rw"


def mounted_files(service: Mapping[str, Any]) -> list[Path]:
    """Return the files of ours that *service* sees."""
    paths = [ROOT / source for source, _, _ in mounts(service) if source.startswith(".")]
    return [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]


def strings(value: object) -> Iterator[str]:
    """Yield every text in *value*, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def _interpolated(value: Any) -> Any:
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: found[3] or "", value).replace("$$", "$")
    if isinstance(value, dict):
        return {key: _interpolated(item) for key, item in value.items()}
    return [_interpolated(item) for item in value] if isinstance(value, list) else value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), f"a key is there twice: {[key for key, _ in pairs]}"
    return found
