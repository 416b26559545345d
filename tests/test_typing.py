"""The types of the public API, as mypy sees them in a user's program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


ROOT = Path(__file__).parent.parent


def test_the_api_is_typed():
    """
    A program that uses everything passes the strict type checker, and what it must not do is refused.
    """
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", "tests/typing_api.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


def test_types_are_shipped():
    """
    The package says that it is typed.
    """
    assert (ROOT / "src" / "branchline" / "py.typed").exists()
