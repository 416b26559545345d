"""The pytest fixture ``telemetry``: what a test recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest


if TYPE_CHECKING:
    from ..testing import Captured


@pytest.fixture
def telemetry() -> Iterator[Captured]:
    """Everything that the test records with branchline or the OpenTelemetry API."""
    # Loaded by the first test that asks: a plugin must not slow down those that do not.
    from ..testing import capture

    with capture() as captured:
        yield captured
