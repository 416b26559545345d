"""Builds the real Collector, Jaeger, Prometheus and a Kafka from the Go module proxy, once, outside of the tree.

``python tests/stack/build.py`` builds what is not there yet and says how long it took, or why nothing can be built.
What there is, is kept in ``${XDG_CACHE_HOME:-~/.cache}/branchline-stack``, by what it was made from. With ``--can`` it
builds nothing, and its exit code says whether it could.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path


HERE = Path(__file__).parent
COLLECTOR_VERSION = "0.158.0"
VERSIONS = {"collector": COLLECTOR_VERSION, "jaeger": "2.13.0", "prometheus": "3.15.0", "kafka": "kfake of 2026-04-21"}

_LEAST_GO = (1, 26)
_FLAGS = ("-trimpath", "-ldflags=-s -w")
_JAEGER = "github.com/jaegertracing/jaeger"
_BUILDER = f"go.opentelemetry.io/collector/cmd/builder@v{COLLECTOR_VERSION}"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One thing to build: *programs* by *build* in an empty folder, anew when a file in *sources* changes."""

    name: str
    sources: tuple[str, ...]
    programs: tuple[str, ...]
    build: Callable[[Path], None]

    @property
    def folder(self) -> Path:
        """Where its programs are, or will be."""
        known = hashlib.sha256(_go("env", "GOVERSION", "GOARCH", "GOOS").encode())
        for source in self.sources:
            for path in sorted((HERE / source).iterdir() if (HERE / source).is_dir() else [HERE / source]):
                known.update(path.name.encode() + b"\0" + path.read_bytes())
        return cache() / f"{self.name}-{known.hexdigest()[:16]}"

    @property
    def is_there(self) -> bool:
        """Whether everything of it has been built."""
        return all((self.folder / program).exists() for program in self.programs)


def cache() -> Path:
    """Return the folder of everything that is built."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "branchline-stack"


def _collector(folder: Path) -> None:
    # The builder writes the sources; the modules are those noted here, so that nothing is resolved anew.
    shutil.copy(HERE / "collector" / "builder.yaml", folder)
    _run(folder, "go", "run", _BUILDER, "--config=builder.yaml", "--skip-get-modules", "--skip-compilation")
    sources = folder / "_build"
    for name in ("go.mod", "go.sum"):
        shutil.copy(HERE / "collector" / name, sources)
    schema = sources / "schema"
    schema.mkdir()
    shutil.copy(HERE / "schema" / "schema.go", schema)
    shutil.copy(sources / "components.go", schema)
    _run(sources, "go", "build", *_FLAGS, "-tags=grpcnotrace", "-o", str(folder / "otelcol"), ".")
    _run(sources, "go", "build", *_FLAGS, "-tags=grpcnotrace", "-o", str(folder / "schema"), "./schema")


def _jaeger(folder: Path) -> None:
    # What Jaeger is made of is known to packages below its command alone: the schema is compiled in a copy, there.
    sources = folder / "_build"
    sources.mkdir()
    for name in ("go.mod", "go.sum"):
        shutil.copy(HERE / "jaeger" / name, sources)
    _run(sources, "go", "build", *_FLAGS, "-o", str(folder / "jaeger"), f"{_JAEGER}/cmd/jaeger")
    copied = folder / "_jaeger"
    shutil.copytree(_go("list", "-m", "-f", "{{.Dir}}", _JAEGER, at=sources), copied)
    _run(folder, "chmod", "-R", "u+w", str(copied))
    schema = copied / "cmd" / "jaeger" / "schema"
    schema.mkdir()
    shutil.copy(HERE / "schema" / "schema.go", schema)
    shutil.copy(HERE / "jaeger" / "components.go", schema)
    _run(sources, "go", "mod", "edit", f"-replace={_JAEGER}={copied}")
    _run(sources, "go", "build", *_FLAGS, "-o", str(folder / "schema"), f"{_JAEGER}/cmd/jaeger/schema")
    shutil.rmtree(copied)


def _prometheus(folder: Path) -> None:
    # Nothing is discovered here: without the clients of every cloud it is a third smaller.
    program = "github.com/prometheus/prometheus/cmd/prometheus"
    _module(folder, "prometheus", "-tags=remove_all_sd", "-o", str(folder / "prometheus"), program)


def _kafka(folder: Path) -> None:
    _module(folder, "kafka", "-o", str(folder / "kafka"), ".")


def _module(folder: Path, name: str, *arguments: str) -> None:
    sources = folder / "_build"
    shutil.copytree(HERE / name, sources)
    _run(sources, "go", "build", *_FLAGS, *arguments)


PARTS = (
    Part(name="collector", sources=("collector", "schema"), programs=("otelcol", "schema"), build=_collector),
    Part(name="jaeger", sources=("jaeger", "schema"), programs=("jaeger", "schema"), build=_jaeger),
    Part(name="prometheus", sources=("prometheus",), programs=("prometheus",), build=_prometheus),
    Part(name="kafka", sources=("kafka",), programs=("kafka",), build=_kafka),
)


def program(part: str, name: str) -> Path:
    """Return where the program called *name* of a *part* is."""
    [found] = [known for known in PARTS if known.name == part]
    return found.folder / name


def why_not() -> str | None:
    """Return why nothing can be built here, or None where it can."""
    if shutil.which("go") is None:
        return "Go builds the collector, Jaeger and Prometheus, and there is no `go` here"
    found = _go("env", "GOVERSION").removeprefix("go")
    if tuple(int(part) for part in re.findall(r"\d+", found)[:2]) < _LEAST_GO:
        return f"the collector, Jaeger and Prometheus need Go {'.'.join(map(str, _LEAST_GO))}, and here is {found}"
    return None


def build(parts: Iterable[Part]) -> None:
    """Build *parts*, each in a folder of its own that gets its name when it is whole."""
    for part in parts:
        began = time.monotonic()
        folder = part.folder
        making = folder.with_name(f".{folder.name}.{os.getpid()}")
        making.mkdir(parents=True)
        try:
            part.build(making)
            shutil.rmtree(making / "_build", ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
            making.replace(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        print(f"built {part.name} {VERSIONS[part.name]} in {time.monotonic() - began:.0f} s", flush=True)


def _run(folder: Path, *command: str) -> None:
    environment = {
        # As it is noted, whatever the machine's own settings are.
        "GOFLAGS": "-mod=mod -buildvcs=false",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
    }
    subprocess.run(command, cwd=folder, env=os.environ | environment, check=True)


def _go(*arguments: str, at: Path = HERE) -> str:
    environment = os.environ | {"GOFLAGS": "-mod=mod -buildvcs=false", "GOTOOLCHAIN": "local"}
    return subprocess.run(
        ["go", *arguments], cwd=at, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def main() -> int:
    """Build what is not there yet."""
    reason = why_not()
    if "--can" in sys.argv:
        return 0 if reason is None else 1
    if reason is not None:
        print(f"skipped: {reason}")
        return 0
    build(part for part in PARTS if not part.is_there)
    print(f"{', '.join(f'{part.name} {VERSIONS[part.name]}' for part in PARTS)} in {cache()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
