"""What every record of a process says of where it comes from, as OpenTelemetry's resource attributes."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from pathlib import PurePath
from typing import Final

from .. import names
from ..redaction import Redactor
from .gathering import Origin
from .runtime import detect_runtime


_CLOUDS: Final = {
    "lambda": ("aws", "aws_lambda"),
    "sagemaker": ("aws", None),
    "cloud_functions": ("gcp", "gcp_cloud_functions"),
    "cloud_run": ("gcp", "gcp_cloud_run"),
    "azure_functions": ("azure", "azure_functions"),
    "fabric": ("azure", None),
    "synapse": ("azure", None),
    "azureml": ("azure", None),
}
# Of all details, what OpenTelemetry has a name for.
_CONVENTIONAL: Final = ("k8s.", "faas.", "cicd.")

Attributes = Mapping[str, str | tuple[str, ...]]


def resource_of(found: Origin, redactor: Redactor) -> Attributes:
    """Return what is quickly known of the process whose origin was *found*."""
    runtime = detect_runtime(found.env)
    provider, cloud = next((_CLOUDS[fact] for fact in _CLOUDS if fact in runtime), (None, None))
    head = found.head
    known = {
        names.OS_VERSION: platform.release(),
        names.PROCESS_EXECUTABLE: PurePath(sys.executable or "").name,
        names.PROCESS_COMMAND: redactor.text(found.arguments[0]) if found.arguments else "",
        names.VCS_COMMIT: head and head.commit,
        names.VCS_BRANCH: head and head.branch and redactor.text(head.branch),
        names.VCS_TYPE: head and head.branch and "branch",
        names.CLOUD_PROVIDER: provider,
        names.CLOUD_PLATFORM: cloud,
        names.RUNTIME: tuple(sorted(runtime)),
        **{name: redactor.text(value) for name, value in runtime.details.items() if name.startswith(_CONVENTIONAL)},
    }
    return {name: value for name, value in known.items() if value}
