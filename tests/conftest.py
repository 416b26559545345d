"""What every test starts from: an environment that says nothing about telemetry, and no servers of others."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest


for name in [name for name in os.environ if name.startswith(("BRANCHLINE_", "OTEL_"))]:
    del os.environ[name]
for name in ("TRACEPARENT", "TRACESTATE", "BAGGAGE"):
    os.environ.pop(name, None)

# Whoever runs the tests in the background of a shell may have these ignored, and programs inherit that.
for ending in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(ending) is signal.SIG_IGN:
        signal.signal(ending, signal.SIG_DFL if ending == signal.SIGHUP else signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs the real collector unless it was asked for: it takes minutes, and a build before."""
    if "stack" in config.option.markexpr:
        return
    for item in items:
        if item.get_closest_marker("stack"):
            item.add_marker(pytest.mark.skip(reason="needs the real collector: `make test-stack` builds and runs it"))


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave nothing that says how wide a terminal is: whoever runs tests side by side says so."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(name="home")
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder for a run that measures, with no meter provider there, and leave no run and no instruments."""
    # Only for who measures, and once the environment says nothing.
    from opentelemetry import metrics as otel_metrics
    from opentelemetry.util._once import Once

    import branchline as bl
    from branchline import telemetry
    from branchline._pipeline.meters import Meters
    from branchline.context import CURRENT

    monkeypatch.chdir(tmp_path)
    # Nobody can take an instrument back: the callbacks of one test would be asked in the next.
    monkeypatch.setattr(telemetry._state.providers, "meters", Meters())
    monkeypatch.setattr(otel_metrics._internal, "_METER_PROVIDER", None)
    monkeypatch.setattr(otel_metrics._internal, "_METER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(otel_metrics._internal, "_PROXY_METER_PROVIDER", otel_metrics._internal._ProxyMeterProvider())
    monkeypatch.setattr(CURRENT, "metered", None)
    yield tmp_path
    bl.shutdown()
