"""A capture: what is recorded for a test, beside whatever run there is."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import DEFAULT_ON

from .._journal import layout
from .._pipeline.options import for_children, options_of
from .._pipeline.pipeline import Pipeline
from .._pipeline.writer import Writer
from ..branches import shadows
from ..config import Config
from ..current import PIPELINE_KEY, RUN_KEY, SETTINGS_KEY
from ..prices import Prices
from ..recording import EventTaker, Recorder
from .measures import RunMeasures
from .progress import beat, leave


CAPTURED_LEVEL: Final = logging.INFO


class Capturing:
    """A recording into a folder that only its maker looks at."""

    def __init__(self, directory: Path) -> None:
        """Made by ``capturing``."""
        self.directory = directory
        self.run_id = layout.new_run_id()
        self.config = Config(
            service_name="capture", directory=directory, sampler=DEFAULT_ON, capture_logs=CAPTURED_LEVEL
        )
        self.pipeline = Pipeline(
            options_of(self.config, self.run_id, layout.runs_directory(directory) / self.run_id, ()), Writer
        )
        self.pipeline.beat = beat
        self.prices = Prices()
        self.measures = RunMeasures(self.pipeline)
        self.settings = for_children(self.config, directory, self.run_id)
        self.recorder: Recorder | None = None
        self.events: EventTaker | None = None

    @property
    def shows_progress(self) -> bool:
        """Whether it shows what is worked on: it shows nothing."""
        return False

    @property
    def context(self) -> Context:
        """The context that everything inside is recorded in: nothing of what was current outside."""
        run = (self.run_id, str(self.directory))
        return Context({PIPELINE_KEY: self.pipeline, RUN_KEY: run, SETTINGS_KEY: self.settings})

    def flush(self) -> None:
        """Write what was recorded so far."""
        self.pipeline.flush(10.0)

    def wait(self) -> None:
        """Wait for what runs behind somebody's back: it belongs to the capture."""
        shadows.drain()

    def close(self) -> None:
        """Write what was recorded, and what is still open as interrupted."""
        leave(self.run_id)
        self.pipeline.close_open()
        self.pipeline.flush(10.0)
        self.measures.finish(10.0)
        self.pipeline.close(10.0, reason="captured")
