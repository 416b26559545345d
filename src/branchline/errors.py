"""Errors: what branchline raises, one type per thing a caller can do about it."""

from __future__ import annotations


class BranchlineError(Exception):
    """Anything that branchline raises on purpose."""


class ConfigError(BranchlineError, ValueError):
    """A setting that cannot be; raised at set-up, never while recording."""


class JournalError(BranchlineError):
    """A journal that cannot be opened, written or understood."""


class ArchiveError(BranchlineError):
    """An archive, or a file in one, that cannot be read or must not be trusted."""


class MissingExtraError(BranchlineError, ImportError):
    """An optional package that is not installed; the message names the extra that brings it."""


def missing_extra(feature: str, /, *, extra: str, package: str) -> MissingExtraError:
    """Return the error to raise when *feature* needs *package*, which comes with *extra*."""
    msg = f"{feature} needs {package!r}, which is not installed; try: pip install 'branchline[{extra}]'"
    return MissingExtraError(msg, name=package)
