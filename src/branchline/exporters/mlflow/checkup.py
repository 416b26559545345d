"""A check-up of MLflow: whether it can be loaded, whether it answers, and what to do where it does not."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ..._mlflow.failures import MLflowFailure
from ...errors import MissingExtraError
from ..checkup import Finding
from .destination import MlflowDestination


def look_at_mlflow(destination: MlflowDestination) -> Iterator[Finding]:
    """Yield what is to be said of *destination*, which is asked for one experiment."""
    topic = destination.shown
    began = time.monotonic()
    try:
        said = destination.asked()
    except MissingExtraError as error:
        yield Finding(topic=topic, health="bad", text=str(error), advice="until then all is kept in the journal")
    except MLflowFailure as failure:
        text = f"does not answer: {failure}" if failure.kind == "retry" else f"refuses: {failure}"
        advice = "start it, or correct the tracking URI; until then all is kept in the journal"
        yield Finding(topic=topic, health="bad", text=text, advice=advice)
    else:
        took = time.monotonic() - began
        yield Finding(topic=topic, health="good", text=f"{said} answers in {took * 1000:,.0f} ms")
        reason = destination.reason_for_no_traces()
        text = f"takes runs, but no traces: {reason}" if reason else "takes runs and traces"
        yield Finding(topic=topic, health="good", text=text)
