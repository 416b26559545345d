"""Keeping MLflow to itself: laying out a database, it says a lot, and older releases set up all logging anew."""

from __future__ import annotations

import logging
import logging.config
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final


_TALKATIVE: Final = ("mlflow.store.db.utils", "alembic.runtime.migration")
# What is replaced is replaced for all threads, if only for a moment, and must be put back in order.
_turn: Final = threading.Lock()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let this thread connect to a database, and leave the logging of the process as it is."""
    here = threading.get_ident()
    configure = logging.config.fileConfig

    def configure_for_others(*arguments: Any, **options: Any) -> None:
        if threading.get_ident() != here:
            configure(*arguments, **options)

    def is_worth_saying(record: logging.LogRecord) -> bool:
        return record.thread != here or record.levelno >= logging.WARNING

    with _turn:
        loggers = [logging.getLogger(name) for name in _TALKATIVE]
        for logger in loggers:
            logger.addFilter(is_worth_saying)
        # The migrations of MLflow before 3 call it, which takes away the handlers that the application has set.
        logging.config.fileConfig = configure_for_others
        try:
            yield
        finally:
            logging.config.fileConfig = configure
            for logger in loggers:
                logger.removeFilter(is_worth_saying)
