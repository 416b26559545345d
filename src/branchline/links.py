"""Links: where a trace can be looked at, in the Jaeger, Grafana and MLflow that somebody has set up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from .errors import ConfigError


VARIABLES: Final[Mapping[str, str]] = {
    "jaeger": "BRANCHLINE_JAEGER_URL",
    "grafana": "BRANCHLINE_GRAFANA_URL",
    "grafana_datasource": "BRANCHLINE_GRAFANA_DATASOURCE",
    "mlflow": "BRANCHLINE_MLFLOW_URL",
    "mlflow_experiment": "BRANCHLINE_MLFLOW_EXPERIMENT",
}

_A_URL: Final = 'a URL such as "http://localhost:16686", without a user, a password, or anything after the path'
_AN_ID: Final = "1 to 128 of the characters A-Z a-z 0-9 . _ -"
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
# Jaeger compares two at a time, and offers these to choose from.
_MOST_COMPARED: Final = 10
# Before and after a trace, for what was logged around it.
_MARGIN_MS: Final = 60_000


class Trace(NamedTuple):
    """What a link has to know of a trace."""

    trace_id: str
    start_unix_nano: int
    end_unix_nano: int | None = None
    """None: it goes on."""


@dataclass(frozen=True, kw_only=True)
class Links:
    """The addresses of those who show traces; None where there is nobody."""

    jaeger: str | None = None
    grafana: str | None = None
    grafana_datasource: str = "tempo"  # the uid of the Tempo data source
    mlflow: str | None = None
    mlflow_experiment: str = "0"  # the id of the experiment that traces go to

    def to(self, trace: Trace) -> dict[str, str]:
        """Return the URL of *trace* at each viewer, by its name; none for an id that no trace can have."""
        if not _TRACE_ID.fullmatch(trace.trace_id):
            return {}
        return {name: url for name, url in self._all(trace) if url is not None}

    def compared(self, traces: Iterable[Trace]) -> str | None:
        """Return the URL at which Jaeger compares the first two of *traces*, and offers the others; None for fewer."""
        ids = list(dict.fromkeys(trace.trace_id for trace in traces if _TRACE_ID.fullmatch(trace.trace_id)))
        if self.jaeger is None or len(ids) < 2:
            return None
        cohort = "&".join(f"cohort={trace_id}" for trace_id in ids[:_MOST_COMPARED])
        return f"{self.jaeger}/trace/{ids[0]}...{ids[1]}?{cohort}"

    def _all(self, trace: Trace) -> Iterator[tuple[str, str | None]]:
        yield "jaeger", self.jaeger and f"{self.jaeger}/trace/{trace.trace_id}"
        yield "grafana", self.grafana and f"{self.grafana}/explore?schemaVersion=1&panes={self._panes(trace)}"
        chosen = f"selectedEvaluationId=tr-{trace.trace_id}&traceId=tr-{trace.trace_id}"
        yield "mlflow", self.mlflow and f"{self.mlflow}/#/experiments/{self.mlflow_experiment}/traces?{chosen}"

    def _panes(self, trace: Trace) -> str:
        source = {"type": "tempo", "uid": self.grafana_datasource}
        query = {"refId": "A", "datasource": source, "queryType": "traceql", "query": trace.trace_id}
        end = trace.end_unix_nano
        shown = {
            "from": str(trace.start_unix_nano // 1_000_000 - _MARGIN_MS),
            "to": "now" if end is None else str(end // 1_000_000 + _MARGIN_MS),
        }
        panes = {"trace": {"datasource": self.grafana_datasource, "queries": [query], "range": shown}}
        return quote(json.dumps(panes, separators=(",", ":")), safe=":,")


NOWHERE: Final = Links()


def read_links(*, env: Mapping[str, str], table: object, described: str) -> Links:
    """Return what the environment says, and where it says nothing, *table*: ``[tool.branchline.links]``, if any.

    Raises:
        ConfigError: for an unknown key and for a value that is not accepted.
    """
    if not isinstance(table, Mapping) or not set(table) <= set(VARIABLES):
        msg = f"links={table!r} ({described}) is not accepted; accepted: a table with some of {', '.join(VARIABLES)}"
        raise ConfigError(msg)
    said = {name: (value, described) for name, value in table.items()}
    # An empty variable counts as not set, as everywhere in OpenTelemetry.
    variables = [(name, variable) for name, variable in VARIABLES.items() if env.get(variable, "").strip()]
    said |= {name: (env[variable].strip(), f"environment variable {variable}") for name, variable in variables}
    return Links(**{name: _read(name, value, source) for name, (value, source) in said.items()})


def _read(name: str, value: object, source: str) -> str:
    is_id = name in {"grafana_datasource", "mlflow_experiment"}
    if isinstance(value, str) and (_ID.fullmatch(value) if is_id else _is_place(value)):
        return value if is_id else value.rstrip("/")
    shown = value if is_id or not isinstance(value, str) or "@" not in value else "…"
    msg = f"links.{name}={shown!r} ({source}) is not accepted; accepted: {_AN_ID if is_id else _A_URL}"
    raise ConfigError(msg)


def _is_place(url: str) -> bool:
    # What stands in it goes to a terminal as it is.
    if not re.fullmatch(r"[!-~]+", url) or not set(url).isdisjoint("\"'<>\\^`{|}@?#"):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
