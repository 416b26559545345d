"""The documentation: its programs run, and it mentions everything that there is."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

import branchline
from branchline.cli import main
from branchline.config import OPTIONS, Config, load_config
from branchline.links import VARIABLES


ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
COMMANDS = set(main.list_commands(click.Context(main)))
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)

_PIECE = re.compile(r"^<!-- new program -->$|^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OPTION = re.compile(r"^\| `(\w+)` \|(.*?)\|(.*?)\|.*\|$", re.MULTILINE)


def programs(page: Path) -> list[str]:
    """
    The python blocks of a page, joined: one program, or several where the page says ``<!-- new program -->``.
    """
    found = [""]
    for piece in _PIECE.finditer(page.read_text(encoding="utf-8")):
        if piece[1] is None:
            found.append("")
        else:
            found[-1] += piece[1] + "\n\n"
    return [program for program in found if program]


def all_programs() -> Iterator[pytest.ParameterSet]:
    for page in PAGES:
        for number, program in enumerate(programs(page), start=1):
            yield pytest.param(page, program, id=f"{page.stem}-{number}")


@pytest.mark.parametrize(("page", "program"), list(all_programs()))
def test_programs_run(tmp_path, page, program):
    """
    Every program runs as it stands and says on stderr only what its page shows; pytest runs those with tests in them.
    """
    script = tmp_path / "test_page.py"
    script.write_text(program, encoding="utf-8")
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"] if "\ndef test_" in program else []

    ran = subprocess.run(
        [sys.executable, *command, script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )

    shown = page.read_text(encoding="utf-8").splitlines()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert [line for line in ran.stderr.splitlines() if line not in shown] == []


def test_there_are_programs():
    """
    The blocks are found: README and every page but that of the command line have a program.
    """
    assert [page.stem for page in PAGES if not programs(page)] == ["cli"]


def test_every_public_name_is_mentioned():
    """
    Whatever `import branchline` offers is in the documentation.
    """
    assert [name for name in branchline.__all__ if not re.search(rf"\b{name}\b", TEXT)] == []


def test_every_command_is_mentioned():
    """
    Every command is on the page of the command line, and no other.
    """
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")

    assert set(re.findall(r"^\| `branchline (\w+)", page, re.MULTILINE)) == COMMANDS


def test_every_command_shown_exists():
    """
    A command that a page tells to type is there.
    """
    assert set(re.findall(r"^\$ branchline (\w+)", TEXT, re.MULTILINE)) <= COMMANDS


def test_every_make_target_shown_exists():
    """
    A make target that a page tells to type is there.
    """
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert [
        name for name in re.findall(r"\bmake ([a-z-]+)`?$", TEXT, re.MULTILINE) if f"\n{name}:" not in makefile
    ] == []


def test_every_option_is_on_its_page():
    """
    The page on configuration has every option with its variable and its default, and no other.
    """
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    described = {name: (variable.strip("` "), default.strip("` ")) for name, variable, default in _OPTION.findall(page)}
    defaults = {name: ast.literal_eval(text) for name, (_, text) in described.items() if name != "service_name"}

    assert {name: variable for name, (variable, _) in described.items()} == {
        name: option.variable or "" for name, option in OPTIONS.items()
    }
    assert load_config(defaults, env={}, script="x.py") == Config(service_name="x")


def test_the_options_of_an_endpoint():
    """
    The page on configuration has every option of an OTLP endpoint, and no other, each with its variable.
    """
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    section = page.partition("## An OTLP endpoint")[2].partition("\n## ")[0]
    described = re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE)

    assert [name for name, _ in described] == [entry.name for entry in fields(branchline.OTLP)]
    assert {name for name, variable in described if variable != f"`OTEL_EXPORTER_OTLP_{name.upper()}`"} == {
        "signals",
        "lifecycle",
    }


def test_the_links_to_viewers():
    """
    The page on configuration has every key of the links, and no other, each with its variable.
    """
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    section = page.partition("## Links to viewers")[2].partition("\n## ")[0]

    assert dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", section, re.MULTILINE)) == VARIABLES


def test_links_lead_somewhere():
    """
    A link to another page or file leads to one that is there.
    """
    links = [
        (page, link) for page in PAGES for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    ]

    assert [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()] == []
