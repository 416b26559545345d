"""What every test starts from: an environment that says nothing about telemetry."""

from __future__ import annotations

import os


for name in [name for name in os.environ if name.startswith(("BRANCHLINE_", "OTEL_"))]:
    del os.environ[name]
for name in ("TRACEPARENT", "TRACESTATE", "BAGGAGE"):
    os.environ.pop(name, None)
