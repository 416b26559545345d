"""Makes environments with MLflow, each once, outside of the tree: nearly a hundred packages that no other test needs.

``python tests/with_mlflow/environment.py newest`` prints the path of its Python. It is kept in
``${XDG_CACHE_HOME:-~/.cache}/branchline-mlflow``, by what it was made from.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final


ROOT = Path(__file__).parent.parent.parent
TOOLS = ("pytest", "pytest-asyncio")

# What stands in the place of the extra ``mlflow``. Old releases do not say which of today's packages they break with:
# 2.9 imports ``pkg_resources``, and neither knows SQLAlchemy 2.1.
PINS: Final[Mapping[str, Sequence[str] | None]] = {
    "newest": None,
    # The first that keeps traces.
    "traces": ("mlflow==3.6.*", "sqlalchemy<2.1"),
    "middle": ("mlflow==2.22.*", "sqlalchemy<2.1"),
    "floor": ("mlflow==2.9.*", "setuptools<81", "sqlalchemy<2.1"),
    "skinny": ("mlflow-skinny>=3.12",),
}


def requirements(pyproject: Path, release: str) -> list[str]:
    """Return what branchline needs with this *release* of MLflow, and what its tests need."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    tools = [line for line in extras["dev"] if line.partition(">")[0] in TOOLS]
    pins = PINS[release]
    return [*project["dependencies"], *(extras["mlflow"] if pins is None else pins), *tools]


def folder_for(needed: list[str]) -> Path:
    """Return where an environment of this Python with what is *needed* is, or will be."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    known = hashlib.sha256(json.dumps([sys.version, sys.base_prefix, *needed]).encode()).hexdigest()
    return Path(home) / "branchline-mlflow" / known[:16]


def make(folder: Path, needed: list[str]) -> None:
    """Make the environment, where it will stay: it cannot be moved."""
    shutil.rmtree(folder, ignore_errors=True)
    python = str(folder / "bin" / "python")
    uv = shutil.which("uv")
    making = [uv, "venv", "--quiet"] if uv else [sys.executable, "-m", "venv"]
    # What is compiled when it is imported is a fifth of what there is.
    installing = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install", "--no-compile"]
    subprocess.run([*making, str(folder)], check=True, stdout=sys.stderr)
    subprocess.run([*installing, "--quiet", *needed], check=True, stdout=sys.stderr)
    (folder / "whole").touch()


def python_of(release: str) -> Path:
    """Return the Python of the environment with this *release*, which is made unless it is there."""
    needed = requirements(ROOT / "pyproject.toml", release)
    folder = folder_for(needed)
    if not (folder / "whole").exists():
        began = time.monotonic()
        make(folder, needed)
        print(f"made {folder} ({release}) in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return folder / "bin" / "python"


def main() -> int:
    """Print the path of the Python with the release of MLflow that is named, else of the newest."""
    print(python_of(sys.argv[1] if len(sys.argv) > 1 else "newest"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
