"""Events on somebody else's logger provider: the OpenTelemetry API and nothing more."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .. import log_api, names
from ..values import freeze, freeze_key, freeze_name


class ForeignEvents:
    """Gives events to whatever logger provider the application has set."""

    def __init__(self, provider: Any) -> None:  # noqa: ANN401  # of anybody's
        """Give them to *provider*."""
        self._logger = provider.get_logger(names.SCOPE, names.VERSION)

    def event(
        self,
        name: str,
        attributes: Mapping[str, object],
        *,
        number: int,
        text: str,
        body: object,
        time_unix_nano: int | None = None,
    ) -> None:
        """Say an event, belonging to the span that is current; never raises."""
        now = time.time_ns()
        try:
            log_api.emit(
                self._logger,
                event_name=freeze_name(name),
                time_unix_nano=now if time_unix_nano is None else time_unix_nano,
                observed_unix_nano=now,
                severity_number=number,
                severity_text=text,
                body=freeze(body),
                attributes={freeze_key(key): freeze(value) for key, value in attributes.items()},
            )
        except Exception:  # another provider's failure must not become the application's
            return


def events() -> ForeignEvents | None:
    """Return what takes events for the provider that the application has set, or None where there is none."""
    provider = log_api.provider_if_loaded()
    try:
        return None if provider is None else ForeignEvents(provider)
    except Exception:  # a provider that makes no loggers
        return None
