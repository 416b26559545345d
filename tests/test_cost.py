"""The commands about money: the same sums everywhere, whatever threads, processes and branches there were."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from click.testing import CliRunner, Result

import branchline as bl
from branchline.cli import main
from branchline.read import Run, open_runs, usage_metrics
from branchline.testing import capture
from measured import latest
from test_usage import Recorded


PRICES = {"small": {"input": "0.37", "output": "1.13", "cached": "0.037"}, "large": {"input": "7.77", "output": "31"}}

PROGRAM = """
import json, multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import branchline as bl


def ask(number):
    with bl.step("ask", number=number) as step:
        step.usage("small", input_tokens=1000 + number, output_tokens=7 * number, cached_tokens=3 * number)
        with bl.step("again"):
            bl.record_usage("large", input_tokens=number, output_tokens=3, latency=number / 8)


if __name__ == "__main__":
    directory, prices = sys.argv[1], json.loads(sys.argv[2])
    multiprocessing.set_start_method(sys.argv[3])
    with bl.configure("sums", directory=directory, console=True, prices=prices), bl.experiment("sums"):
        for name in ("one", "two"):
            with bl.branch({"name": name}, name=name), bl.step("all"):
                with ThreadPoolExecutor(4) as threads:
                    list(threads.map(ask, range(20)))
                with ProcessPoolExecutor(2) as processes:
                    list(processes.map(ask, range(20, 40)))
                bl.record_usage("nobody knows", input_tokens=11)
"""


def called(*words: object) -> Result:
    """Run the command with *words* as its arguments."""
    return CliRunner().invoke(main, [str(word) for word in words])


def printed(*words: object) -> Any:
    """Return what a command prints as JSON."""
    return json.loads(called(*words, "--json").stdout)


def worked_out() -> tuple[int, int, Decimal]:
    """Return the tokens in and out, and the cost, of one branch of the program, by hand."""
    given = made = 0
    millionths = Decimal(0)
    for number in range(40):
        given += 1000 + number + number
        made += 7 * number + 3
        millionths += (1000 - 2 * number) * Decimal("0.37") + 3 * number * Decimal("0.037")
        millionths += 7 * number * Decimal("1.13") + number * Decimal("7.77") + 3 * 31
    return given + 11, made, millionths / 1_000_000


def of_metrics(directory: Path) -> tuple[int, Decimal]:
    """Return the tokens and the cost that the metrics of all processes in the journal come to."""
    tokens, cost = 0, Decimal(0)
    for series in latest(directory).values():
        for (name, _), value in series.items():
            if name == "gen_ai.client.token.usage":
                tokens += round(value[1])
            elif name == "branchline.cost":
                cost += Decimal(repr(value))
    return tokens, cost.quantize(Decimal("1e-12"))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_same_sums_everywhere(tmp_path, method):
    """
    With nested steps, threads, three processes and two branches, the calls themselves, the journal's own totals, the
    command, the console and the metrics have the same tokens and the same money.
    """
    script = tmp_path / "program.py"
    script.write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, script, tmp_path / "journal", json.dumps(PRICES), method]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    run = open_runs(tmp_path / "journal").last
    given, made, cost = worked_out()
    tokens = 2 * (given + made)

    # The calls, and what the reader makes of them.
    assert len(run.usages) == 2 * 81
    assert sum((usage.cost for usage in run.usages if usage.cost is not None), Decimal(0)) == 2 * cost
    assert (run.usage.total_tokens, run.usage.cost) == (tokens, 2 * cost)
    assert [(branch.total_usage.total_tokens, branch.total_usage.cost) for branch in run.branches] == [
        (given + made, cost),
        (given + made, cost),
    ]
    assert run.experiments[0].total_usage == run.usage
    # The command.
    for by in ("step", "branch", "model", "day"):
        found = printed("cost", "--directory", tmp_path / "journal", "--by", by)
        sums = [(row["input_tokens"] + row["output_tokens"], Decimal(row["cost"] or 0)) for row in found["rows"]]
        assert (sum(count for count, _ in sums), sum((money for _, money in sums), Decimal(0))) == (tokens, 2 * cost)
        assert (Decimal(found["total"]["cost"]), found["total"]["calls"]) == (2 * cost, 162)
    # The metrics, of the journal and of the reader.
    assert of_metrics(run.directory) == (tokens, (2 * cost).quantize(Decimal("1e-12")))
    again: dict[str, Any] = {metric.name: metric.series for metric in usage_metrics(run)}
    assert sum(round(series.value.total) for series in again["gen_ai.client.token.usage"]) == tokens
    # The console, which has four digits.
    [shown] = re.findall(r"spans · ([0-9,]+) tokens \$([0-9.]+) \(([0-9]+) % priced\)", ran.stderr)
    assert (int(shown[0].replace(",", "")), shown[1], shown[2]) == (tokens, f"{2 * cost:.4g}", "99")
    for name in ("one", "two"):
        [row] = re.findall(rf"^  {name} .*?([0-9,]+)   +\$([0-9.]+) \+$", ran.stderr, re.MULTILINE)
        assert (int(row[0].replace(",", "")), row[1]) == (given + made, f"{cost:.4g}")


def test_the_journals_own_totals(tmp_path):
    """
    What a process writes on its branches is what a reader works out, where no other process took part.
    """
    with bl.configure("t", directory=tmp_path, console=False, prices=PRICES), bl.branch("b", name="b"):
        for number in range(50):
            with bl.step("ask"):
                bl.record_usage("small", input_tokens=number, output_tokens=1)

    recorded = Recorded(tmp_path)
    [branch] = recorded.run.branches
    said = recorded.said["b"]
    assert Decimal(repr(said["branchline.usage.cost_usd"])) == branch.total_usage.cost
    assert said["branchline.usage.input_tokens"] == branch.total_usage.input_tokens == sum(range(50))


# ── what a person sees ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def run(tmp_path) -> Run:
    with bl.configure("shop", directory=tmp_path, console=False, prices=PRICES), bl.experiment("models"):
        for model in ("small", "large"):
            with bl.branch({"model": model}, name=model), bl.step("ask"):
                bl.record_usage(model, input_tokens=1_000_000, output_tokens=100_000)
        bl.record_usage("nobody knows", input_tokens=100_000)
    return open_runs(tmp_path).last


def test_cost(run, tmp_path):
    """
    The calls of a run as a table, the dearest first, with what is unpriced and the sum.
    """
    shown = called("cost", "--directory", tmp_path, "--by", "model").stdout

    assert [line.rstrip() for line in shown.splitlines()] == [
        "model         calls      input   output  cached     cost  priced",
        "────────────────────────────────────────────────────────────────",
        "large             1  1,000,000  100,000       0   $10.87   100 %",
        "small             1  1,000,000  100,000       0   $0.483   100 %",
        "nobody knows      1    100,000        0       0  unknown     0 %",
        "",
        "total             3  2,100,000  200,000       0   $11.35    95 %",
    ]


def test_show(run, tmp_path):
    """
    The tree has tokens and cost at every step, branch and experiment, and the table that compares branches too.
    """
    shown = called("show", "--directory", tmp_path).stdout

    assert "2,300,000 tokens $11.35 (95 % priced)" in shown.splitlines()[1]
    [row] = [line for line in shown.splitlines() if "branch large" in line]
    assert row.endswith("1,100,000 tokens $10.87")
    [row] = [line for line in shown.splitlines() if line.startswith("large")]
    assert row.split()[-2:] == ["1,100,000", "$10.87"]


def test_show_as_json(run, tmp_path):
    """
    Money is text in JSON, with all of its digits.
    """
    document = printed("show", "--directory", tmp_path)

    assert document["usage"]["cost"] == "11.353"
    assert [usage["cost"] for usage in document["usages"]] == ["0.483", "10.87", None]
    [branch] = [span for span in document["spans"] if span["name"] == "large"]
    assert (branch["total_usage"]["cost"], branch["usage"]["calls"]) == ("10.87", 0)


def test_reprice(run, tmp_path, monkeypatch):
    """
    The calls of a run by the prices of another model; the run stays as it is.
    """
    (tmp_path / "pyproject.toml").write_text("[tool.branchline.prices]\ncheap = { input = 0.01, output = 0.1 }\n")
    monkeypatch.chdir(tmp_path)
    before = run.usage

    found = printed("reprice", "--directory", tmp_path, "--model", "cheap")

    assert found["total"]["recorded"]["cost"] == "11.353"
    assert found["total"]["repriced"]["cost"] == "0.041"
    assert [row["model"] for row in found["rows"]] == ["small", "large", "nobody knows"]
    assert open_runs(tmp_path).last.usage == before


def test_reprice_as_of(tmp_path):
    """
    The prices are those of the day that is asked for: o3 was dearer once.
    """
    with bl.configure("o", directory=tmp_path, console=False):
        bl.record_usage("o3", provider="openai", input_tokens=1000, output_tokens=100)

    costs = [
        printed("reprice", "--directory", tmp_path, "--as-of", day)["total"]["repriced"]["cost"]
        for day in ("2025-06-01", "2025-12-01")
    ]

    assert costs == ["0.014", "0.0028"]


def test_prices():
    """
    What a model costs is what genai-prices says, and where it comes from is said.
    """
    found = printed("prices", "claude-sonnet-4-5")

    one = genai_prices.calc_price(genai_prices.Usage(input_tokens=1_000_000), "claude-sonnet-4-5")
    assert Decimal(found["prices"][-1]["input"]) == one.total_price
    assert (found["provider"], found["source"]) == ("anthropic", f"genai-prices {genai_prices.__version__}")
    assert "cached input" in called("prices", "claude-sonnet-4-5").stdout


def test_a_price_that_nobody_knows():
    """
    An unknown model is one line on stderr that says what to do.
    """
    result = called("prices", "no-such-model")

    assert (result.exit_code, result.stderr) == (
        1,
        "branchline: no price is known of no-such-model: say it in [tool.branchline.prices]\n",
    )


def test_no_calls(tmp_path):
    """
    A run without calls of models says so.
    """
    with bl.configure("empty", directory=tmp_path, console=False), bl.step("s"):
        pass

    assert "no calls of models in run" in called("cost", "--directory", tmp_path).stdout
    assert "no calls of models in run" in called("reprice", "--directory", tmp_path).stdout
    assert "token" not in called("show", "--directory", tmp_path).stdout


@pytest.mark.parametrize(
    ("tier", "context"),
    [
        ("flex", {"service_tier": "flex"}),
        ("priority", {"service_tier": "priority"}),
        ("batch", {"processing": "batch"}),
        ("default", None),
        ("auto", None),
    ],
)
def test_service_tiers(tmp_path, tier, context):
    """
    What the answer says of how it was served decides the price, also when the run is priced again.
    """
    response = {"model": "o3", "service_tier": tier, "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 1000}}
    with bl.configure("tiers", directory=tmp_path, console=False):
        usage = bl.record_usage("o3", provider="openai", response=response)

    tokens = genai_prices.Usage(input_tokens=1_000_000, output_tokens=1000)
    theirs = genai_prices.calc_price(tokens, "o3", provider_id="openai", price_context=context).total_price
    assert (usage.cost, usage.service_tier) == (theirs, tier)
    again = printed("reprice", "--directory", tmp_path)["total"]["repriced"]
    assert Decimal(again["cost"]) == theirs


def test_a_price_list_with_a_slip():
    """
    A price list that is not accepted is said at once, with what is.
    """
    with pytest.raises(bl.ConfigError, match="input, output, cached, cache_write, reasoning"):
        bl.configure("slip", prices={"m": {"inptu": 1}})
    with pytest.raises(bl.ConfigError, match="prices="):
        bl.configure("slip", prices={"m": {"input": -1}})


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5", "gemini-2.5-pro", "o3", "mistral-large-latest"])
@pytest.mark.parametrize("counts", [(1000, 100, 0), (250_000, 20_000, 90_000), (200_000, 1, 0), (7, 0, 7)])
def test_costs_are_those_of_genai_prices(model, counts):
    """
    A cost is what genai-prices works out for the same tokens, to the last digit, long contexts included.
    """
    given, made, cached = counts
    with capture():
        usage = bl.record_usage(model, input_tokens=given, output_tokens=made, cached_tokens=cached)

    theirs = genai_prices.Usage(input_tokens=given, output_tokens=made, cache_read_tokens=cached)
    assert usage.cost == genai_prices.calc_price(theirs, model).total_price
