"""Links: from a run to its traces in Jaeger, Grafana and MLflow."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner
from rich.console import Console

from branchline._journal.seen import Seen, Summary
from branchline.cli import main
from branchline.cli.viewers import viewer_lines
from branchline.config import load_config, load_links
from branchline.errors import ConfigError
from branchline.exporters.console.picture import Picture
from branchline.exporters.console.summary import summary_rows
from branchline.exporters.console.text import UNICODE, plain
from branchline.links import NOWHERE, VARIABLES, Links, Trace
from branchline.read import open_runs
from journals import BEGIN, SECOND, TRACE, journal, span


OTHER = "b" * 32
JAEGER = "http://localhost:16686"
EVERYWHERE = Links(jaeger=JAEGER, grafana="http://localhost:3000", mlflow="http://localhost:5000")


def file(folder: Path, text: str) -> Path:
    path = folder / "pyproject.toml"
    path.write_text(f"[tool.branchline.links]\n{text}\n")
    return path


def test_what_leads_to_a_trace():
    """
    Jaeger has the trace in the path; MLflow its own id of it; Grafana a pane of Explore, a minute wider than the trace.
    """
    links = Links(
        jaeger=f"{JAEGER}/jaeger/ui",
        grafana="https://grafana.example.org",
        grafana_datasource="traces",
        mlflow="http://localhost:5000",
        mlflow_experiment="7",
    )

    found = links.to(Trace(TRACE, 1_700_000_000 * SECOND, 1_700_000_010 * SECOND))

    grafana = urlsplit(found.pop("grafana"))
    said = parse_qs(grafana.query)
    assert found == {
        "jaeger": f"{JAEGER}/jaeger/ui/trace/{TRACE}",
        "mlflow": f"http://localhost:5000/#/experiments/7/traces?selectedEvaluationId=tr-{TRACE}&traceId=tr-{TRACE}",
    }
    assert (grafana.netloc, grafana.path, said["schemaVersion"]) == ("grafana.example.org", "/explore", ["1"])
    assert json.loads(said["panes"][0]) == {
        "trace": {
            "datasource": "traces",
            "queries": [
                {
                    "refId": "A",
                    "datasource": {"type": "tempo", "uid": "traces"},
                    "queryType": "traceql",
                    "query": TRACE,
                }
            ],
            "range": {"from": "1699999940000", "to": "1700000070000"},
        }
    }


def test_a_trace_that_goes_on_is_shown_until_now():
    """
    As long as a trace has no end, Grafana shows it until now.
    """
    url = EVERYWHERE.to(Trace(TRACE, SECOND))["grafana"]

    assert json.loads(parse_qs(urlsplit(url).query)["panes"][0])["trace"]["range"]["to"] == "now"


@pytest.mark.parametrize(
    "trace_id", ["", "0" * 32, TRACE[:-1], TRACE.upper().replace("0", "A"), f"{TRACE}/../x", "\x1b[31m"]
)
def test_only_ids_become_links(trace_id):
    """
    What is no trace id, in a file of whoever, leads nowhere.
    """
    assert EVERYWHERE.to(Trace(trace_id, 0)) == {}
    assert EVERYWHERE.compared([Trace(trace_id, 0), Trace(TRACE, 0)]) is None


def test_jaeger_compares():
    """
    Two traces are compared, more can be chosen from, each once and ten at most; one alone cannot be.
    """
    ids = [f"{number:032x}" for number in range(1, 13)]

    assert Links(jaeger=JAEGER).compared([Trace(TRACE, 0), Trace(OTHER, 0), Trace(TRACE, 0)]) == (
        f"{JAEGER}/trace/{TRACE}...{OTHER}?cohort={TRACE}&cohort={OTHER}"
    )
    assert Links(jaeger=JAEGER).compared(Trace(one, 0) for one in ids) == (
        f"{JAEGER}/trace/{ids[0]}...{ids[1]}?{'&'.join(f'cohort={one}' for one in ids[:10])}"
    )
    assert EVERYWHERE.compared([Trace(TRACE, 0), Trace(TRACE, 0)]) is None
    assert NOWHERE.compared([Trace(TRACE, 0), Trace(OTHER, 0)]) is None


def test_where_it_is_said(tmp_path):
    """
    A variable counts before [tool.branchline.links], each for itself; an empty one is not set; a last slash is none.
    """
    path = file(tmp_path, 'jaeger = "http://a:1/"\ngrafana = "http://b:2/grafana/"\nmlflow_experiment = "7"')
    env = {"BRANCHLINE_JAEGER_URL": " http://c:3 ", "BRANCHLINE_GRAFANA_URL": " "}

    expected = Links(jaeger="http://c:3", grafana="http://b:2/grafana", mlflow_experiment="7")
    assert load_links(env=env, pyproject=path) == expected
    assert load_config({}, env=env, pyproject=path).links == expected
    assert load_links(env={}) == NOWHERE
    assert set(VARIABLES) == set(Links.__dataclass_fields__)


def test_reading_minds_nothing_but_links(tmp_path):
    """
    Whoever only reads is not stopped by an option that only recording has.
    """
    path = tmp_path / "pyproject.toml"
    path.write_text('[tool.branchline]\nverbosity = "LOUD"\nlinks = {jaeger = "http://a:1"}\n')

    assert load_links(env={}, pyproject=path) == Links(jaeger="http://a:1")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "localhost:16686",
            "ftp://a",
            "http://",
            "http://:80",
            "http://a:port",
            "http://a:99999",
            "javascript:alert(1)",
        ),
        *(
            "http://a/?x=1",
            "http://a/#x",
            "http://a b",
            "http://a\n",
            "http://ä",
            'http://a/"',
            "http://a/\x1b[1m",
            7,
            True,
        ),
    ],
)
def test_only_urls_are_accepted(url, tmp_path):
    """
    An address that no viewer can have is an error that names the value, its source and what is accepted.
    """
    path = tmp_path / "pyproject.toml"
    path.write_text(f"[tool.branchline.links]\njaeger = {json.dumps(url)}\n")

    with pytest.raises(ConfigError) as raised:
        load_links(env={}, pyproject=path)

    assert str(raised.value) == (
        f"links.jaeger={url!r} ([tool.branchline.links] in {path}) is not accepted; accepted: a URL such as "
        '"http://localhost:16686", without a user, a password, or anything after the path'
    )


def test_a_password_is_not_repeated():
    """
    A URL with a password is refused, without being shown.
    """
    with pytest.raises(ConfigError) as raised:
        load_links(env={"BRANCHLINE_GRAFANA_URL": "http://admin:hunter2@localhost:3000"})

    assert "links.grafana='…' (environment variable BRANCHLINE_GRAFANA_URL) is not accepted" in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("text", ['jeager = "http://a"', ""])
def test_unknown_keys_are_refused(text, tmp_path):
    """
    A name with a slip in it, and something that is no table, are errors that say which there are.
    """
    path = tmp_path / "pyproject.toml"
    path.write_text(f"[tool.branchline.links]\n{text}\n" if text else "[tool.branchline]\nlinks = 1\n")

    with pytest.raises(ConfigError, match="jaeger, grafana, grafana_datasource, mlflow, mlflow_experiment"):
        load_links(env={}, pyproject=path)


# ── branchline show ───────────────────────────────────────────────────────────────────────────────
def shown(home: Path, *words: str, **env: str) -> str:
    result = CliRunner().invoke(main, ["show", "--directory", str(home), *words], env=env, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def root(number: int, trace_id: str, name: str, kind: str = "branch") -> dict[str, Any]:
    return span(number, name, kind=kind, parent=None, trace=trace_id)


def test_show_leads_to_the_trace(tmp_path):
    """
    With one trace, its URLs are the last lines; without an address nothing is there.
    """
    journal(tmp_path).spans(root(1, TRACE, "search", "experiment"))
    address = {"BRANCHLINE_JAEGER_URL": JAEGER, "BRANCHLINE_MLFLOW_URL": "http://localhost:5000"}

    assert shown(tmp_path, **address).splitlines()[-3:] == [
        "",
        f"  jaeger   {JAEGER}/trace/{TRACE}",
        f"  mlflow   http://localhost:5000/#/experiments/0/traces?selectedEvaluationId=tr-{TRACE}&traceId=tr-{TRACE}",
    ]
    assert "http" not in shown(tmp_path)


def test_a_url_is_never_cut(tmp_path):
    """
    However narrow the terminal is, a URL is there as a whole, in one line.
    """
    journal(tmp_path).spans(root(1, TRACE, "search", "experiment"))

    lines = shown(tmp_path, BRANCHLINE_GRAFANA_URL="http://localhost:3000", COLUMNS="40").splitlines()

    [line] = [line for line in lines if "grafana" in line]
    assert line.startswith("  grafana  http://localhost:3000/explore?schemaVersion=1&panes=%7B")
    assert line.endswith("%7D%7D")


def test_show_leads_to_the_comparison(tmp_path):
    """
    Of many traces three are listed, by name, and the branches among them are compared; --all lists every one.
    """
    ids = [f"{number:032x}" for number in range(1, 6)]
    journal(tmp_path).spans(*(root(number, ids[number - 1], f"branch {number}") for number in range(1, 6)))
    compared = f"  compare  {JAEGER}/trace/{ids[0]}...{ids[1]}?{'&'.join(f'cohort={one}' for one in ids)}"

    lines = [f"  jaeger   branch branch {number}  {JAEGER}/trace/{ids[number - 1]}" for number in range(1, 6)]
    assert shown(tmp_path, BRANCHLINE_JAEGER_URL=JAEGER).splitlines()[-5:] == [
        *lines[:3],
        compared,
        "  … 2 more traces; --all shows them",
    ]
    assert shown(tmp_path, "--all", BRANCHLINE_JAEGER_URL=JAEGER).splitlines()[-6:] == [*lines, compared]


def test_show_json_has_them(tmp_path):
    """
    `--json` has the URLs of each trace, and an empty list where there is nobody to show them.
    """
    journal(tmp_path).spans(root(1, TRACE, "search", "experiment"))

    found = json.loads(shown(tmp_path, "--json", BRANCHLINE_JAEGER_URL=JAEGER))["viewers"]

    assert found == [{"trace_id": TRACE, "kind": "experiment", "name": "search", "jaeger": f"{JAEGER}/trace/{TRACE}"}]
    assert json.loads(shown(tmp_path, "--json"))["viewers"] == []


def test_hyperlinks_on_terminals_only(tmp_path):
    """
    A terminal gets a hyperlink, whose text is the URL; a pipe and a terminal that knows nothing get the text alone.
    """
    journal(tmp_path).spans(root(1, TRACE, "search", "experiment"))
    [run] = open_runs(tmp_path, recover=False)
    url = f"{JAEGER}/trace/{TRACE}"

    def drawn(*, is_terminal: bool, term: str) -> str:
        stream = io.StringIO()
        console = Console(file=stream, force_terminal=is_terminal, width=200, _environ={"TERM": term})
        console.print(*viewer_lines(run, Links(jaeger=JAEGER)), soft_wrap=True)
        return stream.getvalue()

    terminal = drawn(is_terminal=True, term="xterm-256color")
    assert "\x1b]8;" in terminal
    assert f";{url}\x1b\\" in terminal
    assert drawn(is_terminal=False, term="xterm") == f"  jaeger   {url}\n"
    assert drawn(is_terminal=True, term="dumb") == f"  jaeger   {url}\n"


def test_a_bad_address_is_one_line(tmp_path):
    """
    A wrong address stops `show` with one line.
    """
    journal(tmp_path).spans(root(1, TRACE, "search", "experiment"))

    result = CliRunner().invoke(main, ["show", "-d", str(tmp_path)], env={"BRANCHLINE_JAEGER_URL": "jaeger"})

    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    assert "links.jaeger='jaeger' (environment variable BRANCHLINE_JAEGER_URL) is not accepted" in result.output


# ── the end of a run ──────────────────────────────────────────────────────────────────────────────
def seen(number: int, trace_id: str) -> Seen:
    return Seen(
        name=f"branch {number}",
        kind="branch",
        trace_id=trace_id,
        span_id=number,
        parent_id=None,
        start_unix_nano=BEGIN,
        end_unix_nano=BEGIN + SECOND,
        outcome="success",
        error=None,
        stamps=(),
        branch_name=f"branch {number}",
        experiment_name=None,
        status="success",
        attributes={},
    )


def last_rows(*spans: Seen, links: Links) -> list[str]:
    picture = Picture(levels=2)
    picture.take(spans, ())
    picture.settle(is_over=True)
    summary = Summary(
        run_id="r",
        directory=".branchline/runs/r",
        service_name="s",
        spans=len(spans),
        logs=0,
        dropped={},
        oddities={},
        seconds=1.0,
    )
    rows = [plain(row) for row in summary_rows(summary, picture, UNICODE, links)]
    return rows[rows.index("  next      branchline show r") + 1 :]


def test_the_summary_leads_to_the_trace():
    """
    The summary of a run with one trace says where it is, of several where they are compared, and else nothing.
    """
    links = Links(jaeger=JAEGER)

    assert last_rows(seen(1, TRACE), links=links) == [f"  jaeger    {JAEGER}/trace/{TRACE}"]
    assert last_rows(seen(1, TRACE), seen(2, OTHER), links=links) == [
        f"  compare   {JAEGER}/trace/{TRACE}...{OTHER}?cohort={TRACE}&cohort={OTHER}"
    ]
    assert last_rows(seen(1, TRACE), seen(2, TRACE), links=links) == [f"  jaeger    {JAEGER}/trace/{TRACE}"]
    assert last_rows(seen(1, TRACE), links=NOWHERE) == []
    assert last_rows(links=links) == []
