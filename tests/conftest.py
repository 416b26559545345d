"""What every test starts from: an environment that says nothing about telemetry, and no servers of others."""

from __future__ import annotations

import os

import pytest


for name in [name for name in os.environ if name.startswith(("BRANCHLINE_", "OTEL_"))]:
    del os.environ[name]
for name in ("TRACEPARENT", "TRACESTATE", "BAGGAGE"):
    os.environ.pop(name, None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs the real collector unless it was asked for: it takes minutes, and a build before."""
    if "stack" in config.option.markexpr:
        return
    for item in items:
        if item.get_closest_marker("stack"):
            item.add_marker(pytest.mark.skip(reason="needs the real collector: `make test-stack` builds and runs it"))
