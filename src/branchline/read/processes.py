"""What is known of the processes of a run, and whether they still live."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .._journal import layout
from .._journal.machines import pid_space
from .values import SECOND, ProcessInfo


# A process of another machine or container cannot be asked; one that has said nothing for so long is taken for dead.
SILENCE_SECONDS: Final = 60.0
# Clocks are read apart: a process may seem to have begun a little before it was started.
_CLOCK_SECONDS: Final = 5.0


def process_info(folder: Path) -> ProcessInfo:
    """Return what *folder* says about its process."""
    known = layout.read_json(folder / "process.json") or {}
    return ProcessInfo(
        name=folder.name,
        pid=_integer(known, "pid"),
        parent_pid=_integer(known, "parent_pid"),
        host=_text(known, "host") or "",
        state=_state(known),
        started_unix_nano=_integer(known, "started_unix_nano"),
        ended_unix_nano=_integer(known, "ended_unix_nano") or None,
        exit=_text(known, "exit"),
        metadata=_mapping(known, "metadata"),
        counters=_mapping(known, "counters"),
        oddities={kind: count for kind, count in _mapping(known, "oddities").items() if isinstance(count, int)},
    )


def _state(known: Mapping[str, Any]) -> str:
    state = known.get("state")
    if state == "running":
        return "running" if is_alive(known) else "killed"
    return "killed" if state == "recovered" else "ended"


def is_alive(known: Mapping[str, Any]) -> bool:
    """Whether the process that wrote *known* and has not said goodbye still runs."""
    ring = _text(known, "ring")
    is_locked = _is_locked(ring) if ring else None
    if is_locked is not None:
        return is_locked
    started = _integer(known, "started_unix_nano") / SECOND
    if not _is_here(known):
        heard = max(started, _integer(known, "heartbeat_unix_nano") / SECOND)
        return time.time() - heard < SILENCE_SECONDS
    pid = _integer(known, "pid")
    if pid <= 0:
        return False
    begun = _begun(pid)
    if begun is not None:
        return begun < started + _CLOCK_SECONDS
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _is_here(known: Mapping[str, Any]) -> bool:
    """Whether the process ids of *known* are ours: containers and machines may well have the same name."""
    theirs, ours = _text(known, "pid_space"), pid_space()
    return known.get("host") == socket.gethostname() and (not theirs or not ours or theirs == ours)


def _is_locked(ring: str) -> bool | None:
    """Whether the owner of *ring* holds its lock: in any pid namespace, that is to live. None without such a ring."""
    try:
        # Locks are POSIX; looking at a copied run is not.
        import fcntl

        descriptor = os.open(ring, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError, ImportError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _begun(pid: int) -> float | None:
    """Return when *pid* began (never, for a zombie: infinity); None where the system does not say."""
    try:
        # The name of the program comes second, in parentheses, and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = next(line for line in Path("/proc/stat").read_bytes().splitlines() if line.startswith(b"btime "))
        if fields[0] in {b"Z", b"X"}:
            return float("inf")
        return int(boot.split()[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _integer(known: Mapping[str, Any], key: str) -> int:
    value = known.get(key)
    return value if isinstance(value, int) else 0


def _text(known: Mapping[str, Any], key: str) -> str | None:
    value = known.get(key)
    return value if isinstance(value, str) else None


def _mapping(known: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = known.get(key)
    return value if isinstance(value, dict) else {}
