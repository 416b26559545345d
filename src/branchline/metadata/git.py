"""What git says of the code that runs: its commit, where it comes from, and what was changed since.

Git runs nobody else's program for this: no hook, pager, filter, or tool that a configuration names, and no network.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .git_files import Head


# A working tree of a million files takes longer; nobody is to wait for it.
GIT_SECONDS: Final = 5.0

# What git may take from the environment: where its own configuration is, and nothing about this repository.
_ENVIRONMENT: Final = ("PATH", "HOME", "XDG_CONFIG_HOME", "USERPROFILE", "SYSTEMROOT", "GIT_CEILING_DIRECTORIES")
_QUIET: Final = {
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_PAGER": "cat",
}
_SETTINGS: Final = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.untrackedCache": "false",
    "diff.external": "",
    "protocol.allow": "never",
}
# The same patch has the same text, whatever somebody likes to see in a terminal.
_DIFF: Final = (
    *("diff", "HEAD", "--patch", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames"),
    *(f"-O{os.devnull}", "--unified=3", "--diff-algorithm=myers", "--ignore-submodules=dirty"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--"),
)
_FILTER: Final = r"(?s)filter\.(?P<name>.*)\.(?:clean|smudge|process|required)"
_CHUNK_BYTES: Final = 64 * 1024


def code_document(head: Head, env: Mapping[str, str], *, seconds: float = GIT_SECONDS) -> dict[str, Any]:
    """Return what git says, within *seconds*, of the code whose *head* was found.

    ``commit``, ``branch`` and ``remote``, a URL without anything secret; ``is_dirty``: whether files that git tracks
    were changed since the commit; ``patch_checksum`` and ``patch_bytes`` of these changes; ``unknown``: why nothing is
    known of them. What is not known is left out.
    """
    known: dict[str, Any] = {"commit": head.commit, "branch": head.branch}
    program = _program(env, head.root)
    if program is None:
        known["unknown"] = "there is no git"
        return _told(known)
    git = _Git(program, head.root, env, time.monotonic() + seconds)
    try:
        settings = git.settings()
        known |= {"commit": head.commit or git.commit(), "remote": _remote(settings, head.branch)}
        known |= git.changes(_disabled_filters(settings)) if known["commit"] else {"unknown": "there is no commit yet"}
    except _GitFailed as failed:
        known["unknown"] = str(failed)
    return _told(known)


def _told(known: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in known.items() if value is not None}


def _program(env: Mapping[str, str], root: Path) -> str | None:
    """Return git's own path: of no folder that depends on where we are, and of none that the repository brings."""
    name = "git.exe" if os.name == "nt" else "git"
    for folder in map(Path, env.get("PATH", "").split(os.pathsep)):
        program = folder / name
        if folder.is_absolute() and not folder.is_relative_to(root) and os.access(program, os.X_OK):
            return str(program)
    return None


class _GitFailed(Exception):
    """Git could not say."""


class _Git:
    """Git in one working tree, until a deadline."""

    def __init__(self, program: str, root: Path, env: Mapping[str, str], deadline: float) -> None:
        self._program = program
        self._root = root
        self._env = {name: env[name] for name in _ENVIRONMENT if name in env} | _QUIET
        self._deadline = deadline

    def settings(self) -> dict[str, str]:
        """Return the configuration that holds here; of what is said several times, the last."""
        entries = self._said(("config", "--null", "--list")).split(b"\0")
        pairs = (entry.decode("utf-8", "surrogateescape").partition("\n") for entry in entries if entry)
        return {key: value for key, _, value in pairs}

    def commit(self) -> str | None:
        """Return what is checked out, where it is in no file of its own."""
        try:
            return self._said(("rev-parse", "--verify", "--quiet", "HEAD^{commit}")).decode().strip() or None
        except _GitFailed:
            return None

    def changes(self, disabled: Mapping[str, str]) -> dict[str, Any]:
        """Return what was changed in tracked files, looked at with settings *disabled*."""
        digest, length = hashlib.sha256(), 0
        with self._started(_DIFF, disabled) as process:
            stop = self._killer(process)
            try:
                assert process.stdout is not None
                while chunk := process.stdout.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    length += len(chunk)
            finally:
                stop.cancel()
        self._judge(process.wait())
        if not length:
            return {"is_dirty": False}
        return {"is_dirty": True, "patch_checksum": f"sha256:{digest.hexdigest()}", "patch_bytes": length}

    def _said(self, arguments: tuple[str, ...]) -> bytes:
        with self._started(arguments, {}) as process:
            stop = self._killer(process)
            try:
                said, _ = process.communicate()
            finally:
                stop.cancel()
        self._judge(process.returncode)
        return said

    def _started(self, arguments: tuple[str, ...], disabled: Mapping[str, str]) -> subprocess.Popen[bytes]:
        settings = [word for name, value in (_SETTINGS | dict(disabled)).items() for word in ("-c", f"{name}={value}")]
        try:
            return subprocess.Popen(  # noqa: S603  # a path that was looked up, and words of our own
                [self._program, "--no-pager", "--no-optional-locks", *settings, *arguments],
                cwd=self._root,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            msg = f"git cannot be run: {error.strerror}"
            raise _GitFailed(msg) from None

    def _killer(self, process: subprocess.Popen[bytes]) -> threading.Timer:
        stop = threading.Timer(max(self._deadline - time.monotonic(), 0), process.kill)
        stop.daemon = True
        stop.start()
        return stop

    def _judge(self, status: int) -> None:
        if time.monotonic() >= self._deadline:
            msg = "git took too long"
            raise _GitFailed(msg)
        if status:
            msg = f"git ended with {status}"
            raise _GitFailed(msg)


def _disabled_filters(settings: Mapping[str, str]) -> dict[str, str]:
    """Return what takes away each program that files would go through on their way to be compared."""
    found = {match["name"] for key in settings if (match := re.fullmatch(_FILTER, key))}
    if any("=" in name for name in found):
        msg = "a filter of this repository cannot be turned off"
        raise _GitFailed(msg)
    off = {"clean": "", "smudge": "", "process": "", "required": "false"}
    return {f"filter.{name}.{key}": value for name in sorted(found) for key, value in off.items()}


def _remote(settings: Mapping[str, str], branch: str | None) -> str | None:
    upstream = settings.get(f"branch.{branch}.remote", "origin")
    url = settings.get(f"remote.{upstream}.url") or settings.get("remote.origin.url")
    return None if url is None else without_user(url)


_HOST_FIRST: Final = r"[^/@:]+(?::\d+)?/"


def without_user(url: str) -> str:
    """Return the *url* of a repository without the user, the password or the token in it, and without a query."""
    scheme, separator, rest = url.rpartition("://")
    if not separator:
        user, at, place = url.rpartition("@")
        # `git@github.com:team/project.git`: everybody is called so there.
        return url if not at or user == "git" else place
    if not re.match(_HOST_FIRST, rest):
        rest = rest.rpartition("@")[2]
    return f"{scheme}://{re.split('[?#]', rest, maxsplit=1)[0]}"
