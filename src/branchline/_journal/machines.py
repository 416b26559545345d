"""Whose process ids mean what: what tells a machine, and a container on it, from others of the same name."""

from __future__ import annotations

from pathlib import Path
from typing import Final


_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE: Final = Path("/proc/self/ns/pid")


def pid_space() -> str:
    """Return the same as every process that sees the same process ids, and no other; nothing where nobody can tell."""
    try:
        return f"{_BOOT.read_text(encoding='ascii').strip()}:{_NAMESPACE.stat().st_ino}"
    except (OSError, ValueError):
        return ""
