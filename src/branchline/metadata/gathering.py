"""Gathering: the facts of a process and of its code, in a thread of their own; nobody waits for git."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from .. import metadata_documents as documents
from ..redaction import Redactor
from .environment import code_places, environment_document, process_document
from .git_files import Head, head_of
from .runtime import detect_runtime


Facts = Mapping[str, Any]


class Origin(NamedTuple):
    """What the facts are of, as it was when somebody asked: all of it may change while they are gathered."""

    arguments: tuple[str, ...]
    orig_arguments: tuple[str, ...]
    directory: str
    head: Head | None
    path: tuple[str, ...]
    env: Mapping[str, str]


def origin() -> Origin:
    """Return what there is now."""
    try:
        directory = os.getcwd()  # noqa: PTH109  # text, of a folder that may be gone
    except OSError:
        directory = ""
    arguments = tuple(map(str, getattr(sys, "argv", ())))
    return Origin(
        arguments=arguments,
        orig_arguments=tuple(sys.orig_argv),
        directory=directory,
        head=next(filter(None, map(head_of, code_places(arguments, directory))), None),
        path=tuple(map(str, sys.path)),
        env=dict(os.environ),
    )


def _environment(found: Origin, redactor: Redactor) -> Facts:
    return {
        documents.ENVIRONMENT: environment_document(found.env, redactor),
        documents.PROCESS: process_document(found.arguments, found.orig_arguments, found.directory, redactor),
        documents.RUNTIME: detect_runtime(found.env).to_dict(),
    }


def _checked_out(found: Origin, _: Redactor) -> Facts:
    head = found.head
    return {documents.CODE: head and {"commit": head.commit, "branch": head.branch}}


# From here on what is needed is imported where it is: in the thread, beside an application that wants to begin. No
# class there may be one that Python makes of text (a NamedTuple, a dataclass): made while an interrupted program ends,
# it lets the interpreter forget what interrupted it.


def _packages(found: Origin, _: Redactor) -> Facts:
    from .packages import packages_document

    return {documents.PACKAGES: packages_document(found.path)}


def _machine(_: Origin, __: Redactor) -> Facts:
    from .machine import machine_document

    return {documents.MACHINE: machine_document()}


def _changed(found: Origin, _: Redactor) -> Facts:
    from .git import code_document

    return {documents.CODE: found.head and code_document(found.head, found.env)}


def _gpus(_: Origin, __: Redactor) -> Facts:
    from .machine import gpu_documents

    gpus = gpu_documents()
    return {documents.MACHINE: {"gpus": gpus} if gpus else None}


Part = Callable[[Origin, Redactor], Facts]
QUICK: Final[tuple[Part, ...]] = (_environment, _checked_out, _packages, _machine)
SLOW: Final[tuple[Part, ...]] = (_changed, _gpus)


def facts_of(found: Origin, redactor: Redactor, parts: tuple[Part, ...]) -> dict[str, Any]:
    """Return what *parts* have to say of what was *found*, without what is secret in it.

    Each by itself: what goes wrong with one costs none of the others.
    """
    told: list[Facts] = []
    for part in parts:
        try:
            facts = {section: content for section, content in part(found, redactor).items() if content}
            told.append(documents.redacted(facts, redactor))
        except Exception:  # noqa: S112  # a fact that cannot be had is none; recording never raises
            continue
    return documents.merged(told)


class Gathering:
    """Facts that are being gathered."""

    def __init__(self, found: Origin, redactor: Redactor, hear: Callable[[Facts], None] = lambda _: None) -> None:
        """Begin; *hear* is told of the facts twice, in the thread that gathers them: without git, and with it."""
        self._origin = found
        self._redactor = redactor
        self._hear = hear
        self._facts: Facts = {}
        self._thread = threading.Thread(target=self._gather, name="branchline-metadata", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            # No more threads, as at the interpreter's exit: what is quickly known will do.
            self._facts = facts_of(self._origin, redactor, QUICK)
            hear(self._facts)

    def _gather(self) -> None:
        self._facts = quick = facts_of(self._origin, self._redactor, QUICK)
        self._hear(quick)
        self._facts = documents.merged((quick, facts_of(self._origin, self._redactor, SLOW)))
        self._hear(self._facts)

    def facts(self, timeout: float) -> Facts:
        """Return the facts, all of them or after *timeout* seconds those that are known."""
        if self._thread.is_alive():
            self._thread.join(timeout)
        return self._facts
