"""Which script a process runs, and what its service is called when nobody says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def default_service_name(script: str | None, env: Mapping[str, str]) -> str:
    """Return what the program *script* is called: its file, its package, or its notebook."""
    path = Path(script or "")
    if path.stem == "ipykernel_launcher":
        return Path(env.get("JPY_SESSION_NAME", "")).stem or "notebook"
    if path.stem == "__main__":
        return path.parent.name or "python"
    return "python" if path.name in {"", "-", "-c", "-m"} else path.stem


def script_of(command: Sequence[str]) -> str:
    """Return the script that *command* runs: its program, and for Python what that is given to run."""
    program, *words = command
    if not Path(program).name.startswith("python"):
        return program
    rest = iter(words)
    for word in rest:
        if word == "-m":
            return f"{next(rest, '').rpartition('.')[2]}.py"
        if word in {"-W", "-X", "--check-hash-based-pycs"}:
            next(rest, None)
        elif word.startswith("-c") or not word.startswith("-"):
            return word
    return "-"
