"""MLflow as what a follower delivers to: its name, what it takes, and who tells it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import orjson

from ..._journal.claims import Claim
from ..._journal.cursors import told_in
from ..._journal.layout import Signal
from ..._journal.payloads import without_notes
from ..._mlflow.client import Client
from ..._mlflow.failures import MLflowFailure
from ...destinations import MLflow, shown_url
from ...errors import MissingExtraError, missing_extra
from ..otlp.answers import Answer
from ..underway import DeliveryOptions, Tell
from .delivery import RunDelivery, Scope
from .health import UNREACHABLE, Health
from .reporter import Place, Reporter
from .teller import GoneError, batch_from, is_passing
from .told import told_from
from .trace_reporter import TraceReporter
from .traces import Traces, requests_in, traces_for


_UNSAFE: Final = re.compile(r"[^a-z0-9.]+")
# In this order: what a process took belongs to experiments that are known by then.
_SIGNALS: Final[tuple[Signal, ...]] = ("traces", "logs", "metrics")


class MlflowDestination:
    """One MLflow: a server, a database file, or what a platform has."""

    kind = "mlflow"
    gets_notes = False
    signals = _SIGNALS

    def __init__(self, options: MLflow, environment: Mapping[str, str]) -> None:
        """Deliver to the place of *options*, completed by *environment*; MLflow itself is loaded when it is needed.

        Raises:
            MissingExtraError: where it is not installed.
        """
        if find_spec("mlflow") is None:
            feature = "delivering runs to MLflow"
            raise missing_extra(feature, extra="mlflow", package="mlflow")
        self._uri = uri_of(options, environment)
        self._place = _place_of(options, environment)
        self._options = options
        self._environment = environment
        self._client: Client | None = None
        self._another_chance: set[str] = set()
        self._health = Health(self._uri)
        self.shown = shown_url(self._uri) if "@" in self._uri else self._uri
        self.name = folder_name(self._uri, options.experiment)
        # Where a user or a password is in it, nobody else is told.
        said = {"uri": self._uri, "experiment": options.experiment, "traces": options.traces}
        self.settings: Mapping[str, object] = {} if "@" in self._uri else said

    def __repr__(self) -> str:
        return f"<MlflowDestination {self.shown}>"

    def prepared(self, signal: Signal, line: bytes) -> tuple[bytes, int]:
        """Return *line* without branchline's own notes, and how many of them these were."""
        return without_notes(line) if signal == "logs" else (line, 0)

    def delivery(self, run: Path, folder: Path, claim: Claim, *, tell: Tell, options: DeliveryOptions) -> RunDelivery:
        """Return the delivery of one run. Raises JournalError for a cursor that a later version has written."""
        traces = TraceReporter(run.name, self._traces) if self._options.traces else None
        self._another_chance.clear()
        reporter = Reporter(folder, self._known_client, self._health, self._place, traces, self._another_chance)
        return RunDelivery(
            Scope(run=run, folder=folder, signals=self.signals), reporter, claim, tell=tell, options=options
        )

    def has_more(self, folder: Path) -> bool:
        """Whether MLflow may lack something of the run of *folder*, though all of it was read."""
        return told_from(told_in(folder)).is_unfinished

    def deliver(self, signal: Signal, lines: Sequence[bytes]) -> Answer:
        """Say once more what MLflow has refused, which *lines* of dead letters are; never raises."""
        try:
            for line in lines:
                self._said_again(orjson.loads(line))
        except MLflowFailure as failure:
            if is_passing(failure):
                return Answer(kind="retry", message=str(failure))
            message = str(failure)
        except (MissingExtraError, GoneError) as error:
            message = str(error)
        except (ValueError, KeyError, TypeError) as error:
            message = f"not a letter to MLflow: {error}"
        else:
            return Answer(kind="accepted")
        # Which of them it is, one half of them or the other tells.
        return Answer(kind="too_large" if len(lines) > 1 else "refused", message=message)

    def _said_again(self, said: Mapping[str, Any]) -> None:
        client, run_id = self._known_client(), str(said["run"])
        if "entity" in said:
            # Whoever delivers the run has all of it.
            self._another_chance.add(str(said["entity"]))
        elif "file" in said:
            client.write_text(run_id, said["file"], said["text"])
        elif "trace_id" in said:
            self._traces(client).send(requests_in(said))
        elif "status" in said:
            client.end_run(run_id, said["status"], said["end_ms"])
        else:
            client.log(run_id, batch_from(said))

    def asked(self) -> str:
        """Return the name and version of what answers there, once it has.

        Raises:
            MissingExtraError: where MLflow cannot be imported here.
            MLflowFailure: where nothing good comes of it.
        """
        complaint = self._health.complaint()
        if complaint is not None:
            failure = MLflowFailure("retry", complaint, UNREACHABLE)
            raise failure
        return self._known_client().asked()

    def reason_for_no_traces(self) -> str:
        """Return why branches do not become traces there; empty where they do. Raises what `asked` does."""
        if self._options.traces is False:
            return "switched off"
        return self._traces(self._known_client()).reason

    def interrupt(self) -> None:
        """Nothing: a call of MLflow's client cannot be broken off, and nobody waits for its thread."""

    def close(self) -> None:
        """Nothing: MLflow's client keeps its connections to itself."""

    def _traces(self, client: Client) -> Traces:
        said = self._options.traces
        endpoint = said if isinstance(said, str) else None
        return traces_for(client, endpoint=endpoint, headers=self._options.headers, environment=self._environment)

    def _known_client(self) -> Client:
        if self._client is None:
            self._client = Client(self._uri)
        return self._client


def uri_of(options: MLflow, environment: Mapping[str, str]) -> str:
    """Return where MLflow is: as said, as ``MLFLOW_TRACKING_URI`` says, or in a database file in this folder."""
    said = options.uri or environment.get("MLFLOW_TRACKING_URI", "").strip() or "sqlite:///mlflow.db"
    scheme, separator, path = said.partition("///")
    if separator and scheme == "sqlite:" and not path.startswith("/"):
        # Whoever delivers the rest may do so from another folder.
        return f"sqlite:///{Path(path).absolute()}"
    return said if ":" in said or said == "databricks" else str(Path(said).absolute())


def folder_name(uri: str, experiment: str | None) -> str:
    """Return what the folder of the destination is called: readable, and its own."""
    readable = _UNSAFE.sub("-", shown_url(uri).partition("://")[2].lower() or uri.lower()).strip("-.")[-64:].strip("-.")
    place = uri if experiment is None else f"{uri} {experiment}"
    return f"mlflow-{readable or 'place'}-{hashlib.blake2b(place.encode(), digest_size=4).hexdigest()}"


def _place_of(options: MLflow, environment: Mapping[str, str]) -> Place:
    named = options.experiment or environment.get("MLFLOW_EXPERIMENT_NAME")
    return Place(
        experiment=named or None, experiment_id=None if named else environment.get("MLFLOW_EXPERIMENT_ID") or None
    )
