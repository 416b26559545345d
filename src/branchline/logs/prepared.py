"""Loggers below one name, prepared with one word: how much is said on the terminal, and whether a file has it too."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from ..errors import ConfigError
from .configured import Wish
from .levels import VERBOSITIES
from .logger import Logger
from .registry import LOGGERS, get_logger


ROOT: Final = "RT"

_ON_TERMINALS: Final = "[+{elapsed:.3f} s] {logger_name} : {level:<8} - {message}"
IN_FILES: Final = "{asctime} {level} - {message}"


def get_rt_logger(name: str | None = None) -> Logger:
    """Return the Logger ``RT``, or ``RT.<name>``, whose records go where those of ``RT`` go: nowhere at first."""
    # Those below have the level of the one above, whichever is asked for first.
    root = get_logger(ROOT)
    if not root.handlers:
        # A library is silent until its application wants to hear it.
        root.addHandler(logging.NullHandler())
    return root if not name else get_logger(f"{ROOT}.{name}")


def prepare_logger(*, setting: str = "REGULAR", path: str | os.PathLike[str] | None = None) -> Logger:
    """Show records of ``RT`` and of all below it on stderr, and append them to the file *path*.

    *setting* is ``VERBOSE`` (from DEBUG on), ``REGULAR`` (INFO), ``QUIET`` (WARNING) or ``NONE`` (nothing, until it is
    prepared again). Preparing it again replaces what was there. The file has INFO and above.

    Raises:
        ConfigError: for any other setting.
    """
    if setting not in VERBOSITIES:
        msg = f"Invalid log level setting: setting={setting!r}; accepted: one of {', '.join(VERBOSITIES)}"
        raise ConfigError(msg)
    terminal: dict[str, object] = {"sink": "stderr", "format": _ON_TERMINALS}
    sinks = [terminal] if path is None else [terminal, {"sink": Path(path), "format": IN_FILES, "level": "INFO"}]
    return LOGGERS.logger(
        ROOT, Wish(said={"setting": setting, "path": path}, level=VERBOSITIES[setting], sinks=tuple(sinks)), {}
    )
