"""Config: where an option may be said, what counts most, and what is refused."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from branchline.config import NOT_YET, OPTIONS, UNSET, Config, find_pyproject, load_config
from branchline.errors import BranchlineError, ConfigError
from branchline.limits import BudgetConfig
from branchline.redaction import Redactor
from branchline.scripts import default_service_name


class EverySecond:
    """A sampler as OpenTelemetry wants one."""

    def should_sample(self) -> None:
        """Decide."""


def load(
    arguments: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
    pyproject: Path | None = None,
    script: str = "train.py",
) -> Config:
    return load_config(arguments or {}, env=env or {}, pyproject=pyproject, script=script)


def written(tmp_path: Path, options: str) -> Path:
    path = tmp_path / "pyproject.toml"
    path.write_text(f'[project]\nname = "x"\n\n[tool.branchline]\n{options}\n', encoding="utf-8")
    return path


def test_saying_nothing_gives_the_defaults():
    """
    With no argument, variable or file every option has its documented default.
    """
    assert load() == Config(
        service_name="train",
        directory=Path(".branchline"),
        run_id=None,
        console="auto",
        verbosity="REGULAR",
        capture_logs=20,
        capture=False,
        redact=True,
        sampler=None,
        resource={},
        propagate=True,
        durability="crash",
        memory_limit=67_108_864,
        max_wait=0.05,
        retention=timedelta(days=30),
        max_total=5_368_709_120,
        signals=True,
        exit_timeout=2.0,
        disabled=False,
        strict=False,
    )


def test_every_option_is_a_field():
    """
    What can be said is what Config has, apart from two switches that only the environment has, and the links.
    """
    assert {*OPTIONS, "disabled", "strict", "links"} == set(Config.__dataclass_fields__)


def test_arguments_count_more_than_environment_more_than_file(tmp_path):
    """
    The same option said in several places has the value of the nearest one: argument, environment, file.
    """
    pyproject = written(tmp_path, 'verbosity = "QUIET"\ndurability = "batch"\ncapture = "args"')
    env = {"BRANCHLINE_VERBOSITY": "VERBOSE", "BRANCHLINE_DURABILITY": "power"}

    config = load({"verbosity": "NONE", "capture": UNSET}, env, pyproject)

    assert config == replace(load(), verbosity="NONE", durability="power", capture="args")


def test_every_variable_is_read():
    """
    Each option with a variable is set by it, as text.
    """
    config = load(
        env={
            "OTEL_SERVICE_NAME": "pricing",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=dev,team=a%2Cb",
            "OTEL_SDK_DISABLED": "TRUE",
            "BRANCHLINE_DIR": "elsewhere",
            "BRANCHLINE_RUN_ID": "nightly.1",
            "BRANCHLINE_CONSOLE": "off",
            "BRANCHLINE_VERBOSITY": "QUIET",
            "BRANCHLINE_CAPTURE_LOGS": "warning",
            "BRANCHLINE_CAPTURE": "result",
            "BRANCHLINE_REDACT": "no",
            "BRANCHLINE_PROPAGATE": "0",
            "BRANCHLINE_DURABILITY": "power",
            "BRANCHLINE_MEMORY_LIMIT": "1 MiB",
            "BRANCHLINE_MAX_WAIT": "10 ms",
            "BRANCHLINE_RETENTION": "never",
            "BRANCHLINE_MAX_TOTAL": "unlimited",
            "BRANCHLINE_SIGNALS": "false",
            "BRANCHLINE_EXIT_TIMEOUT": "0.5",
            "BRANCHLINE_STRICT": "1",
        }
    )

    assert config == Config(
        service_name="pricing",
        directory=Path("elsewhere"),
        run_id="nightly.1",
        console=False,
        verbosity="QUIET",
        capture_logs=30,
        capture="result",
        redact=False,
        sampler=None,
        resource={"deployment.environment.name": "dev", "team": "a,b"},
        propagate=False,
        durability="power",
        memory_limit=1_048_576,
        max_wait=0.01,
        retention=None,
        max_total=None,
        signals=False,
        exit_timeout=0.5,
        disabled=True,
        strict=True,
    )


def test_an_empty_variable_is_not_set():
    """
    An empty variable counts as not set, as everywhere in OpenTelemetry.
    """
    assert load(env={option.variable: "" for option in OPTIONS.values() if option.variable}) == load()


@pytest.mark.parametrize("name", ["service_name", "run_id", "sampler", "resource"])
def test_none_says_nothing(name):
    """
    None as an argument leaves the option to the environment and the default.
    """
    assert load({name: None}, {"OTEL_SERVICE_NAME": "s"}) == load(env={"OTEL_SERVICE_NAME": "s"})


def test_none_can_be_said_where_it_means_something():
    """
    None as retention and max_total takes the bound away, whatever the environment says.
    """
    env = {"BRANCHLINE_RETENTION": "1 day", "BRANCHLINE_MAX_TOTAL": "1 GB"}

    assert load({"retention": None, "max_total": None}, env) == replace(load(), retention=None, max_total=None)


@pytest.mark.parametrize(
    ("said", "size"),
    [
        (1, 1),
        (5e6, 5_000_000),
        ("1024", 1024),
        ("1b", 1),
        ("500 MB", 500_000_000),
        ("2 kB", 2000),
        ("1.5 KiB", 1536),
        ("64MiB", 67_108_864),
        ("5 GiB", 5_368_709_120),
        ("1 tib", 1_099_511_627_776),
    ],
)
def test_sizes(said, size):
    """
    A size is a number of bytes or a number with a unit; kB is 1000 bytes, KiB is 1024.
    """
    assert load({"memory_limit": said}).memory_limit == size


@pytest.mark.parametrize(
    ("said", "days"),
    [(86_400, 1), ("86400", 1), ("30 days", 30), ("1 day", 1), ("12 h", 0.5), ("2w", 14), (timedelta(days=3), 3)],
)
def test_durations(said, days):
    """
    A duration is seconds, a timedelta, or a number with a unit.
    """
    assert load({"retention": said}).retention == timedelta(days=days)


@pytest.mark.parametrize("run_id", ["a", "2026-01-02T03-04-05.x_Y-9", "x" * 128, "_", "console", "nul-1"])
def test_run_ids(run_id):
    """
    A run id is up to 128 plain characters.
    """
    assert load({"run_id": run_id}).run_id == run_id


@pytest.mark.parametrize(
    "run_id",
    ["", ".", "..", ".hidden", "a/b", "a\\b", "a b", "a\0", "a\n", "é", "x" * 129, "NUL", "con", "aux.txt", "COM1", 7],
)
def test_run_ids_that_are_refused(run_id):
    """
    A run id cannot leave the directory, hide in it, or be a device.
    """
    with pytest.raises(ConfigError, match=r"^run_id="):
        load({"run_id": run_id})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("service_name", "  "),
        ("service_name", 7),
        ("directory", ""),
        ("directory", "a\0b"),
        ("directory", "\udcff"),
        ("directory", 7),
        ("console", "always"),
        ("console", 1),
        ("verbosity", "regular"),
        ("verbosity", "LOUD"),
        ("capture_logs", "LOUD"),
        ("capture_logs", True),
        ("capture", "everything"),
        ("redact", "some"),
        ("sampler", "always_on"),
        ("sampler", EverySecond),
        ("resource", "a=b"),
        ("resource", {1: "x"}),
        ("resource", {"a": {"b": 1}}),
        ("resource", {"a": ["x", 1]}),
        ("propagate", 1),
        ("durability", "none"),
        ("durability", 3),
        ("memory_limit", 0),
        ("memory_limit", -1),
        ("memory_limit", True),
        ("memory_limit", "64 parsecs"),
        ("memory_limit", "9" * 999),
        ("memory_limit", float("inf")),
        ("max_wait", "soon"),
        ("max_wait", float("nan")),
        ("retention", "-1 days"),
        ("retention", timedelta(days=-1)),
        ("retention", 10**12 * 86_400),
        ("max_total", "much"),
        ("signals", "SIGTERM"),
        ("exit_timeout", -0.1),
        ("exit_timeout", 10**400),
    ],
)
def test_bad_values_are_refused_at_once(name, value):
    """
    A value that is not accepted raises at once, and the error names the option, the value and what is accepted.
    """
    with pytest.raises(ConfigError) as raised:
        load({name: value})

    assert f"{name}={value!r} (argument) is not accepted; accepted: {OPTIONS[name].accepted}" == str(raised.value)


def test_a_wrong_verbosity_names_the_four():
    """
    The error of a wrong verbosity is a ValueError that names the four.
    """
    with pytest.raises(ValueError, match="VERBOSE, REGULAR, QUIET, NONE"):
        load({"verbosity": "LOUD"})


def test_the_error_says_which_variable():
    """
    The error of a value from the environment names the variable.
    """
    with pytest.raises(ConfigError) as raised:
        load(env={"BRANCHLINE_DURABILITY": "maybe"})

    assert str(raised.value) == (
        "durability='maybe' (environment variable BRANCHLINE_DURABILITY) is not accepted; "
        "accepted: one of crash, batch, power"
    )


def test_the_error_says_which_file(tmp_path):
    """
    The error of a value from a file names the file.
    """
    path = written(tmp_path, "signals = 3")

    with pytest.raises(ConfigError) as raised:
        load(pyproject=path)

    assert f"signals=3 ([tool.branchline] in {path}) is not accepted" in str(raised.value)


def test_an_unknown_argument_names_the_nearest_right_one():
    """
    An argument with a slip in it is refused with the one that was meant.
    """
    with pytest.raises(ConfigError, match=r"^unknown argument 'verbosty'; did you mean 'verbosity'\?$"):
        load({"verbosty": "QUIET"})


def test_an_unknown_key_in_the_file_names_file_and_nearest_right_one(tmp_path):
    """
    A key with a slip in it is refused with the file it stands in and the key that was meant.
    """
    path = written(tmp_path, 'memory-limit = "1 MB"')

    with pytest.raises(ConfigError) as raised:
        load(pyproject=path)

    assert str(raised.value) == (
        f"unknown option in [tool.branchline] of {path}: 'memory-limit'; did you mean 'memory_limit'?"
    )


@pytest.mark.parametrize("content", [b"[tool.branchline", b"tool = 3", b"\xff", b"[tool]\nbranchline = 3"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    """
    A pyproject.toml that is broken is named, not passed over.
    """
    path = tmp_path / "pyproject.toml"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=re.escape(str(path))):
        load(pyproject=path)


def test_a_missing_file_is_named(tmp_path):
    """
    A file that was asked for and is not there is an error.
    """
    with pytest.raises(ConfigError, match="cannot read"):
        load(pyproject=tmp_path / "pyproject.toml")


def test_a_file_without_our_table_says_nothing(tmp_path):
    """
    A pyproject.toml of a project that does not configure branchline changes nothing.
    """
    path = tmp_path / "pyproject.toml"
    path.write_text('[project]\nname = "x"\n', encoding="utf-8")

    assert load(pyproject=path) == load()


def test_a_directory_in_the_file_is_meant_from_there(tmp_path):
    """
    A relative directory in pyproject.toml lies beside it, wherever the program was started.
    """
    assert load(pyproject=written(tmp_path, 'directory = "runs"')).directory == tmp_path / "runs"


def test_an_object_cannot_stand_in_the_file(tmp_path):
    """
    A sampler in pyproject.toml is refused with the place where it can be said.
    """
    with pytest.raises(ConfigError, match=r"sampler cannot stand in .* argument of configure\(\)"):
        load(pyproject=written(tmp_path, 'sampler = "always_on"'))


def test_the_nearest_file_is_found(tmp_path):
    """
    The nearest pyproject.toml at or above the folder counts.
    """
    path = written(tmp_path, "")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)

    assert find_pyproject(inner) == path.resolve()


@pytest.mark.parametrize("name", NOT_YET)
def test_what_this_version_does_not_have(name):
    """
    None and False are fine for what comes later; anything else is refused, saying so.
    """
    assert load({name: None}) == load({name: False}) == load()

    with pytest.raises(ConfigError, match=f"does not have {name} yet"):
        load({name: True})


def test_a_budget(tmp_path):
    """
    A budget is an argument or a table of the file; False as an argument turns off what the file says.
    """
    path = written(tmp_path, '[tool.branchline.budget]\ndaily = 10.1\ntimezone = "Europe/Berlin"')
    budget = BudgetConfig(daily="10.1", timezone="Europe/Berlin")

    assert load(pyproject=path).budget == load({"budget": budget}).budget == budget
    assert load({"budget": {"daily": 10.1, "timezone": "Europe/Berlin"}}).budget == budget
    assert load({"budget": False}, pyproject=path).budget is None


@pytest.mark.parametrize("said", [True, 5, {"daily": -1}, {"hourly": 1}, "10"])
def test_no_budget(said):
    """
    What is no budget is refused.
    """
    with pytest.raises(ConfigError, match=r"accepted: |known are"):
        load({"budget": said})


def test_a_run_inherited_from_the_parent_process_is_joined():
    """
    Run id and directory that another process exported are taken over.
    """
    env = {"BRANCHLINE_RUN_ID": "r1", "BRANCHLINE_DIR": "/data", "BRANCHLINE_OWNER": str(os.getpid() + 1)}

    assert load(env=env) == replace(load(), run_id="r1", directory=Path("/data"))


def test_our_own_export_is_no_instruction_to_ourselves():
    """
    Run id and directory that this process exported for its children do not decide its own next run.
    """
    env = {"BRANCHLINE_RUN_ID": "r1", "BRANCHLINE_DIR": "/data", "BRANCHLINE_OWNER": str(os.getpid())}

    assert load(env=env) == load()


@pytest.mark.parametrize(
    ("arguments", "env", "name"),
    [
        ({}, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a%20b"}, "a b"),
        ({}, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a", "OTEL_SERVICE_NAME": "b"}, "b"),
        ({"resource": {"service.name": "c"}}, {"OTEL_SERVICE_NAME": "b"}, "c"),
        ({"service_name": "d", "resource": {"service.name": "c"}}, {}, "d"),
    ],
)
def test_the_service_name_may_come_with_the_resource(arguments, env, name):
    """
    service.name among resource attributes names the service unless its source says the name itself.
    """
    assert load(arguments, env) == replace(load(), service_name=name)


def test_resource_attributes_add_up(tmp_path):
    """
    Resource attributes of all sources are joined, key by key the nearest source counting.
    """
    pyproject = written(tmp_path, 'resource = { a = "file", b = "file", c = "file" }')
    env = {"OTEL_RESOURCE_ATTRIBUTES": "b=environment,c=environment,broken"}

    config = load({"resource": {"c": "argument", "d": [1, 2]}}, env, pyproject)

    assert config.resource == {"a": "file", "b": "environment", "c": "argument", "d": (1, 2)}


@pytest.mark.parametrize(
    ("script", "env", "name"),
    [
        ("/jobs/train_model.py", {}, "train_model"),
        ("/usr/bin/pytest", {}, "pytest"),
        ("/jobs/pipeline/__main__.py", {}, "pipeline"),
        ("-c", {}, "python"),
        ("", {}, "python"),
        (None, {}, "python"),
        ("/lib/ipykernel_launcher.py", {}, "notebook"),
        ("/lib/ipykernel_launcher.py", {"JPY_SESSION_NAME": "/home/me/prices.ipynb"}, "prices"),
    ],
)
def test_a_service_is_called_like_its_program(script, env, name):
    """
    Without a name, the service is called like the script, the package or the notebook.
    """
    assert default_service_name(script, env) == name


def test_a_redactor_is_taken_as_it_is():
    """
    Redaction is on, off, or a Redactor.
    """
    redactor = Redactor(extra_keys=("iban",))

    assert load({"redact": redactor}).redact is redactor


def test_a_sampler_is_anything_that_samples():
    """
    A sampler is any object with OpenTelemetry's should_sample.
    """
    sampler = EverySecond()

    assert load({"sampler": sampler}) == replace(load(), sampler=sampler)


def test_capture_logs_can_be_switched_off():
    """
    False as capture_logs means not at all, and a number is a level.
    """
    assert [load({"capture_logs": value}).capture_logs for value in (False, "ERROR", 5)] == [None, 40, 5]


def test_a_config_error_is_ours_and_a_value_error():
    """
    ConfigError can be caught as branchline's error and as a ValueError.
    """
    assert issubclass(ConfigError, BranchlineError)
    assert issubclass(ConfigError, ValueError)
