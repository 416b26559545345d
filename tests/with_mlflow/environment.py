"""Makes an environment with MLflow, once, outside of the tree: nearly a hundred packages that no other test needs.

``python tests/with_mlflow/environment.py`` prints the path of its Python. It is kept in
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
from pathlib import Path


ROOT = Path(__file__).parent.parent.parent
TOOLS = ("pytest", "pytest-asyncio")


def requirements(pyproject: Path) -> list[str]:
    """Return what branchline needs with the extra ``mlflow``, and what its tests need."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    tools = [line for line in extras["dev"] if line.partition(">")[0] in TOOLS]
    return [*project["dependencies"], *extras["mlflow"], *tools]


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
    installing = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
    subprocess.run([*making, str(folder)], check=True, stdout=sys.stderr)
    subprocess.run([*installing, "--quiet", *needed], check=True, stdout=sys.stderr)
    (folder / "whole").touch()


def main() -> int:
    """Make the environment unless it is there, and print the path of its Python."""
    needed = requirements(ROOT / "pyproject.toml")
    folder = folder_for(needed)
    if not (folder / "whole").exists():
        began = time.monotonic()
        make(folder, needed)
        print(f"made {folder} in {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(folder / "bin" / "python")
    return 0


if __name__ == "__main__":
    sys.exit(main())
