"""The machine: its processors, its memory, its GPUs, and what a container leaves of them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final


_ROOT: Final = Path("/")
_GPU_SECONDS: Final = 3.0
_QUERY: Final = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits")
_MODEL: Final = r"(?m)^(?:model name|Model|cpu model)\s*:\s*(.+)$"
_GPU_MODEL: Final = r"(?m)^Model:\s*(.+)$"
_MEBIBYTE: Final = 1024 * 1024


def machine_document(root: Path = _ROOT) -> dict[str, Any]:
    """Return what there is to know of the machine without asking anybody; what is not known is left out."""
    found = {
        "architecture": platform.machine(),
        "cpu_model": _cpu_model(root),
        "cpu_count": os.cpu_count(),
        "cpu_usable": _usable(),
        "cpu_limit": _cpu_limit(root),
        "memory_bytes": _memory(),
        "memory_limit_bytes": _memory_limit(root),
    }
    return {name: value for name, value in found.items() if value}


def _cpu_model(root: Path) -> str | None:
    match = re.search(_MODEL, _text(root / "proc/cpuinfo"))
    return match[1].strip() if match else platform.processor() or None


def _usable() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _memory_limit(root: Path) -> int | None:
    text = _text(root / "sys/fs/cgroup/memory.max") or _text(root / "sys/fs/cgroup/memory/memory.limit_in_bytes")
    # Without a limit, version 1 of cgroups says a number that no machine has.
    return int(text) if text.isdecimal() and int(text) < 1 << 60 else None


def _cpu_limit(root: Path) -> float | None:
    quota, _, period = _text(root / "sys/fs/cgroup/cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def gpu_documents(root: Path = _ROOT) -> list[dict[str, Any]]:
    """Return the GPUs, within a few seconds; where no driver is loaded, no program is asked."""
    if not (root / "proc/driver/nvidia").is_dir() and not (root / "usr/lib/wsl/lib/nvidia-smi").exists():
        return _amd(root)
    return _asked() or [{"name": name} for name in _listed(root)]


def _asked() -> list[dict[str, Any]]:
    program = shutil.which("nvidia-smi")
    if program is None or not Path(program).is_absolute():
        return []
    try:
        said = subprocess.run(  # noqa: S603  # the driver's own program, and words of our own
            [program, *_QUERY], stdin=subprocess.DEVNULL, capture_output=True, timeout=_GPU_SECONDS, check=True
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError):
        return []
    return list(_gpus(said.splitlines()))


def _gpus(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for line in lines:
        name, _, rest = line.rpartition(",")[0].rpartition(",")
        memory, driver = rest.strip(), line.rpartition(",")[2].strip()
        if name:
            size = {"memory_bytes": int(memory) * _MEBIBYTE} if memory.isdecimal() else {}
            yield {"name": name.strip(), **size, "driver": driver}


def _listed(root: Path) -> Iterable[str]:
    for path in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        match = re.search(_GPU_MODEL, _text(path))
        if match:
            yield match[1].strip()


def _amd(root: Path) -> list[dict[str, Any]]:
    found = []
    for device in sorted((root / "sys/class/drm").glob("card*/device")):
        size = _text(device / "mem_info_vram_total")
        if _text(device / "vendor") == "0x1002" and size.isdecimal():
            found.append({"name": _text(device / "product_name") or "AMD", "memory_bytes": int(size)})
    return found


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(16 * 1024).decode("utf-8", "replace").strip()
    except OSError:
        return ""
