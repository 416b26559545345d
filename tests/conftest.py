"""What every test starts from: an environment that says nothing about telemetry, and no servers of others."""

from __future__ import annotations

import os
import signal

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
