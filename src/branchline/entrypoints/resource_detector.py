"""The resource detector ``branchline``: which run a process belongs to.

OpenTelemetry loads it while its SDK is being imported: whatever imports more of the SDK than resources fails here.
"""

from __future__ import annotations

import os

from opentelemetry.sdk.resources import Resource, ResourceDetector


class BranchlineResourceDetector(ResourceDetector):
    """Says which run a process is part of, where whoever began the run has put that into the environment."""

    def detect(self) -> Resource:
        """Return the run, or nothing."""
        run_id = os.environ.get("BRANCHLINE_RUN_ID", "")
        return Resource({"branchline.run.id": run_id} if run_id else {})
