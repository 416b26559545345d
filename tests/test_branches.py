"""Branches: their model, their ids and names, and the spans of experiments and branches."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import contextvars
import dataclasses
import hashlib
import http
import json
import pathlib
import pickle
import subprocess
import sys
import textwrap
import threading
import time
import types

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

import branchline as bl
from branchline.branches import Branch, BranchContainer, ExceptionInfo, config_id
from branchline.redaction import Redactor
from branchline.testing import capture


CONFIG = {"chunk": 512, "rerank": True}


def outline(text):
    return textwrap.dedent(text).strip()


def statuses(branches):
    return [(branch.name, branch.status) for branch in branches]


def told(branch):
    """What the branch says about its exception."""
    assert branch.exception_info is not None
    return branch.exception_info


class Unprintable:
    def __str__(self):
        msg = "no text"
        raise ValueError(msg)

    __repr__ = __str__


class Boom(Exception):
    pass


# ── the model ─────────────────────────────────────────────────────────────────────────────────────
def test_fields():
    """
    SP-20: a branch has these fields, in this order, and starts as pending.
    """
    branch = Branch("id", CONFIG, 5.0)

    fields = ("config_id", "config", "start_ts", "end_ts", "status", "output", "exception_info")
    assert [getattr(branch, name) for name in fields] == ["id", CONFIG, 5.0, None, "pending", None, None]


def test_start_is_wall_clock():
    """
    SP-21: a branch starts at a time since the epoch, that other processes understand too.
    """
    before = time.time()

    started = Branch.start("id", CONFIG)

    assert before <= started.start_ts <= time.time()


def test_success():
    """
    SP-22: success sets the end, the status and the output.
    """
    branch = Branch.start("id", CONFIG)

    branch.mark_success({"accuracy": 0.9})

    assert (branch.status, branch.output, branch.exception_info) == ("success", {"accuracy": 0.9}, None)
    assert (branch.end_ts or 0.0) >= branch.start_ts


def test_success_keeps_an_output():
    """
    SP-22: a success without an output leaves the one that was set before.
    """
    branch = Branch.start("id", CONFIG)
    branch.output = 3

    branch.mark_success()

    assert branch.output == 3


def test_failure():
    """
    SP-22, SP-23: failure keeps the name of the exception's class, its message and the whole traceback.
    """
    branch = Branch.start("id", CONFIG)
    try:
        raise Boom("Ünïcode 💥")
    except Boom as error:
        branch.mark_failure(error)

    assert (branch.status, told(branch)["type"], told(branch)["message"]) == (
        "failed",
        "Boom",
        "Ünïcode 💥",
    )
    assert told(branch)["traceback"].startswith("Traceback (most recent call last)")
    assert told(branch)["traceback"].rstrip().endswith("Boom: Ünïcode 💥")


def test_skipped():
    """
    SP-22, SP-23: a skipped branch keeps its reason, under the type Skipped.
    """
    branch = Branch.start("id", CONFIG)

    branch.mark_skipped("too slow")

    expected: ExceptionInfo = {"type": "Skipped", "message": "too slow", "traceback": ""}
    assert (branch.status, branch.exception_info) == ("skipped", expected)


def test_cancelled():
    """
    SP 1.3 (5): a branch can end as cancelled.
    """
    branch = Branch.start("id", CONFIG)

    branch.mark_cancelled("deadline")

    expected = {"type": "Cancelled", "message": "deadline", "traceback": ""}
    assert (branch.status, branch.exception_info) == ("cancelled", expected)


def test_interrupted():
    """
    SP 1.3 (5): a branch can end as interrupted, and says by what.
    """
    branch = Branch.start("id", CONFIG)

    branch.mark_interrupted(KeyboardInterrupt())

    expected = {"type": "KeyboardInterrupt", "message": "", "traceback": "KeyboardInterrupt\n"}
    assert (branch.status, branch.exception_info) == ("interrupted", expected)


ENDINGS = {
    "success": lambda branch: branch.mark_success(1),
    "failed": lambda branch: branch.mark_failure(Boom("boom")),
    "skipped": lambda branch: branch.mark_skipped("why"),
    "cancelled": lambda branch: branch.mark_cancelled(),
    "interrupted": lambda branch: branch.mark_interrupted(KeyboardInterrupt()),
}


@pytest.mark.parametrize("second", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize(("status", "first"), ENDINGS.items(), ids=ENDINGS)
def test_ends_once(status, first, second):
    """
    SP-22: a second ending is refused, whichever it is, and changes nothing.
    """
    branch = Branch.start("id", CONFIG)
    first(branch)
    before = branch.to_dict()

    with pytest.raises(RuntimeError) as refused:
        second(branch)

    expected = f"Branch already finalized with status '{status}'. Cannot change status after finalization."
    assert str(refused.value) == expected
    assert branch.to_dict() == before


def test_unprintable_exception():
    """
    SP-23: an exception that cannot be printed still says its type.
    """
    branch = Branch.start("id", CONFIG)

    class Silent(Exception):
        __str__ = Unprintable.__str__

    branch.mark_failure(Silent())

    assert (told(branch)["type"], told(branch)["message"]) == ("Silent", "<unprintable Silent>")


def test_duration():
    """
    SP-24: the duration is from start to end, and None before the end.
    """
    running, ended = Branch("id", CONFIG, 5.0), Branch("id", CONFIG, 5.0, 7.5, "success")

    assert (running.duration, ended.duration) == (None, 2.5)


def test_duration_of_a_real_branch():
    """
    SP-24: the duration is what lies between the two times.
    """
    branch = Branch.start("id", CONFIG)
    branch.mark_success()

    assert branch.duration == (branch.end_ts or 0.0) - branch.start_ts


@pytest.mark.parametrize("step_seconds", [-3_600, 3_600])
def test_duration_is_monotonic(step_seconds):
    """
    SP-21, SP-24: a wall clock that is set while the branch runs changes nothing about how long it took.
    """
    branch = Branch.start("id", CONFIG)
    branch.start_ts -= step_seconds

    branch.mark_success()

    assert 0 <= (branch.duration or 0.0) < 60


def test_to_dict():
    """
    SP-25: the dictionary has these keys, and the values as they are.
    """
    output = object()
    branch = Branch("id", CONFIG, 5.0, 7.5, "success", output)

    assert branch.to_dict() == {
        "config_id": "id",
        "config": CONFIG,
        "start_ts": 5.0,
        "end_ts": 7.5,
        "status": "success",
        "output": output,
        "exception_info": None,
        "duration": 2.5,
    }


def test_to_dict_redacted():
    """
    SP-25: with *redact* no secret is left, in the config, in the output or in the exception, and it is fit for JSON.
    """
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"
    config = {"model": {"api_key": secret, "name": "m"}, "path": pathlib.Path("data")}
    branch = Branch.start("id", config, name="m")
    branch.output = {"password": "hunter2", "rows": 3}
    branch.mark_failure(Boom(f"refused {secret}"))

    redacted = branch.to_dict(redact=True)

    assert redacted["config"] == {"model": {"api_key": "[redacted]", "name": "m"}, "path": "data"}
    assert redacted["output"] == {"password": "[redacted]", "rows": 3}
    assert secret not in json.dumps(redacted)
    assert secret in json.dumps(branch.to_dict(), default=str)


def test_to_dict_with_a_redactor():
    """
    SP-25: whoever has a redactor of their own can use it here.
    """
    branch = Branch("id", {"patient": "Ada", "rows": 3}, 5.0)

    assert branch.to_dict(redact=Redactor(extra_keys=("patient",)))["config"] == {"patient": "[redacted]", "rows": 3}


def test_to_logging_params():
    """
    SP-26: a flat config is its own logging parameters, types kept, in another dictionary.
    """
    config = {"chunk": 512, "rerank": True, "sizes": [1, 2], "rate": 0.1}
    branch = Branch.start("id", config)

    params = branch.to_logging_params()

    assert params == config
    assert params is not config


def test_to_logging_params_nested():
    """
    SP-26: what is nested is under dotted keys, and keys that meet there both stay.
    """
    branch = Branch.start("id", {"model": {"name": "m", "layers": {"count": 3}}, "a.b": 1, "a": {"b": 2}, "e": {}})

    assert branch.to_logging_params() == {
        "model.name": "m",
        "model.layers.count": 3,
        "a.b": 1,
        "a.b#3": 2,
        "e": {},
    }


def test_branch_can_be_pickled():
    """
    A branch that failed travels between processes, without the exception object.
    """
    branch = Branch.start("id", CONFIG, name="a")
    branch.mark_failure(Boom(threading.Lock()))

    copied = pickle.loads(pickle.dumps(branch))

    assert copied.to_dict() == branch.to_dict()


def test_repr():
    """
    A branch and a container say how things are.
    """
    good, bad = Branch.start("1", CONFIG, name="a"), Branch.start("2", {})
    good.mark_success()
    bad.mark_failure(Boom())

    assert repr(BranchContainer([good, bad])) == "<BranchContainer of 2 branch(es), 1 success, 1 failed>"
    assert (repr(good), repr(bad)) == ("<Branch 'a' success>", "<Branch '2' failed>")


# ── containers ────────────────────────────────────────────────────────────────────────────────────
def test_container():
    """
    SP-27: a container iterates, counts, indexes, slices, adds, filters and finds.
    """
    good, bad, open_ = (Branch.start(each, {}) for each in "abc")
    good.mark_success()
    bad.mark_failure(Boom())
    container = BranchContainer([good, bad])

    container.add(open_)

    assert (list(container), len(container)) == ([good, bad, open_], 3)
    assert (container[0], container[-1], list(container[1:])) == (good, open_, [bad, open_])
    assert (container.successful(), container.failed()) == ([good], [bad])
    assert (container.by_config_id("b"), container.by_config_id("z")) == (bad, None)


def test_container_owns_its_list():
    """
    SP-27: adding to a container does not change the list it was made from.
    """
    branches: list[Branch] = []

    BranchContainer(branches).add(Branch.start("a", {}))

    assert branches == []


# ── ids ───────────────────────────────────────────────────────────────────────────────────────────
def test_config_id():
    """
    SP-28: the id is 16 hex digits of the sha256 of the sorted JSON, without the id itself.
    """
    text = json.dumps({"path": pathlib.Path("x"), "b": 1, "a": [1, {"z": None}]}, sort_keys=True, default=str)

    assert (
        config_id({"a": [1, {"z": None}], "b": 1, "path": pathlib.Path("x"), "config_id": None})
        == (hashlib.sha256(text.encode()).hexdigest()[:16])
    )


@pytest.mark.parametrize(("chosen", "expected"), [("mine", "mine"), (7, "7")])
def test_chosen_config_id(chosen, expected):
    """
    SP-28: the id that the config has wins.
    """
    assert config_id({"chunk": 512, "config_id": chosen}) == expected


def test_config_id_does_not_depend_on_order():
    """
    SP-28: the order of the keys does not matter.
    """
    assert config_id({"a": 1, "b": 2}) == config_id({"b": 2, "a": 1})


def test_config_id_is_the_same_in_every_process():
    """
    SP-28: another process, with other hashes and addresses, finds the same id.
    """
    program = """
from branchline.branches import config_id
print(config_id({"tags": {"red", "green", "blue"}, "model": object(), "f": print, 1: frozenset({"a", "b"})}))
"""
    ids = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in "123"
    }

    assert len(ids) == 1


@dataclasses.dataclass
class Model:
    name: str = "m"


@dataclasses.dataclass
class Settings:
    chunk: int = 512
    model: Model = dataclasses.field(default_factory=Model)


class Pydantic(pydantic.BaseModel):
    chunk: int = 512
    model: dict[str, str] = {"name": "m"}


@pytest.mark.parametrize(
    "config",
    [
        Settings(),
        Pydantic(),
        argparse.Namespace(chunk=512, model={"name": "m"}),
        types.SimpleNamespace(chunk=512, model={"name": "m"}),
        types.MappingProxyType({"chunk": 512, "model": {"name": "m"}}),
    ],
    ids=lambda config: type(config).__name__,
)
def test_kinds_of_configs(config):
    """
    A dataclass, a pydantic model, a Namespace and any mapping count by their values.
    """
    expected = {"chunk": 512, "model": {"name": "m"}}

    with bl.branch(config) as branch:
        pass

    assert (branch.config, branch.config_id, config_id(config)) == (expected, config_id(expected), config_id(expected))


def recursive():
    config: dict[str, object] = {"chunk": 512}
    config["self"] = config
    return config


ODD = {
    "keys of two types": {1: "a", "b": 2},
    "odd keys": {(1, 2): "a", None: 1, "": 2, "\ud800": 3},
    "recursive": recursive(),
    "unprintable": {"bad": Unprintable(), "good": 1},
    "unprintable key": {Unprintable(): 1, "good": 1},
    "not finite": {"a": float("nan"), "b": float("-inf")},
    "huge number": {"a": 2**80, "b": 10**5_000},
    "huge text": {"prompt": "x" * 10_000_000},
    "many": {str(number): number for number in range(20_000)},
    "deep": json.loads('{"a":' * 500 + "1" + "}" * 500),
    "bytes": {"a": b"\xff", "b": bytearray(b"x"), "c": memoryview(b"y")},
    "surrogate": {"a": "\ud800"},
    "unprintable id": {"config_id": Unprintable()},
    "unprintable name": {"name": Unprintable()},
    "enum": {"a": http.HTTPStatus.OK},
    "nothing": None,
    "empty": {},
    "number": 5,
    "list": [1, 2],
    "text": "sweep/a",
    "function": print,
    "class": Settings,
    "empty text": "",
}


@pytest.mark.parametrize("config", ODD.values(), ids=ODD)
def test_odd_configs(config):
    """
    SP-28: any config at all has an id, the same each time, and can be the config of a branch.
    """
    with bl.branch(config) as branch:
        pass

    assert (branch.status, branch.config_id) == ("success", config_id(config))
    assert branch.config_id
    assert branch.name
    json.dumps(branch.to_dict(redact=True), default=str)
    branch.to_logging_params()


texts = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(texts | st.integers(), inner) | st.sets(texts),
    max_leaves=10,
)


# How long it takes to think of one depends on what else the machine does.
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(texts, values))
def test_any_config(config):
    """
    Whatever is in a config, a branch of it has an id and a name, and ends well.
    """
    with bl.branch(config) as branch:
        pass

    assert (branch.status, branch.config_id) == ("success", config_id(config))
    assert branch.name


# ── names ─────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"chunk": 512, "rerank": True}, "chunk=512 rerank=True"),
        ({"chunk": 512, "config_id": "mine"}, "chunk=512"),
        ({"name": "baseline", "chunk": 512}, "baseline"),
        ({"name": 5, "chunk": 512}, "chunk=512"),
        ("sweep/a", "sweep/a"),
        ({"model": {"name": "m", "size": 7}}, "model.name=m model.size=7"),
        ({"layers": [64, 32], "seed": None, "tags": ()}, "layers=[64,32] seed=None tags=[]"),
        ({"layers": [{"size": 7}], "config_id": "0123456789"}, "0123456789"),
        ({"chunk": 512, "prompt": "You are a helpful assistant", "config_id": "0123456789"}, "chunk=512 …012345"),
        ({"chunk": 512, "api_key": "abc", "config_id": "0123456789"}, "chunk=512 …012345"),
        ({f"parameter_{n}": n for n in range(9)} | {"config_id": "0123456789"}, None),
        ({"config_id": "0123456789"}, "0123456789"),
        ({"prompt": "You are a helpful assistant", "config_id": "0123456789"}, "0123456789"),
        ({}, "44136fa355b3678a"),
    ],
)
def test_default_name(config, expected):
    """
    A branch is called by its config's name, else by its values, without secrets and long texts, else by its id.
    """
    with bl.branch(config) as branch:
        pass

    assert branch.name == (expected or "parameter_0=0 parameter_1=1 parameter_2=2 …012345")
    assert len(branch.name or "") <= 60


def test_given_name_and_id():
    """
    A name and an id that are given win over those of the config.
    """
    with bl.branch({"name": "theirs", "config_id": "theirs"}, name="mine", config_id="my-id") as branch:
        pass

    assert (branch.name, branch.config_id) == ("mine", "my-id")


# ── blocks, whether anybody records or not ────────────────────────────────────────────────────────
@pytest.fixture(params=["recording", "not configured"])
def maybe_recording(request):
    if request.param == "recording":
        with capture() as captured:
            yield captured
    else:
        yield None


RAISED = {
    "failed": Boom("boom"),
    "cancelled": asyncio.CancelledError(),
    "interrupted": KeyboardInterrupt(),
}


def test_block_succeeds(maybe_recording):
    """
    SP-22: a block that ends well is a success, with its output and times.
    """
    with bl.branch(CONFIG) as branch:
        assert branch.status == "pending"
        branch.output = {"accuracy": 0.9}

    assert (branch.status, branch.output, branch.config) == ("success", {"accuracy": 0.9}, CONFIG)
    assert (branch.duration or 0.0) >= 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Boom("boom"), "failed"),
        (asyncio.CancelledError(), "cancelled"),
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(1), "interrupted"),
        (SystemExit("usage"), "interrupted"),
        (SystemExit(0), "success"),
        (SystemExit(None), "success"),
        (GeneratorExit(), "interrupted"),
    ],
    ids=repr,
)
def test_block_raises(maybe_recording, error, status):
    """
    SP 1.3 (5): however a block ends, its branch has the status for it, and the very exception goes on.
    """
    with pytest.raises(type(error)) as raised:
        with bl.branch(CONFIG) as branch:
            raise error

    assert raised.value is error
    assert branch.status == status
    assert (branch.exception_info or {"type": None})["type"] == (None if status == "success" else type(error).__name__)


def test_block_skips(maybe_recording):
    """
    `skip` ends a branch as skipped when its block ends, and raises nothing.
    """
    with bl.branch(CONFIG) as branch:
        branch.skip("cached")
        still = branch.status

    assert (still, branch.status, told(branch)["message"]) == ("pending", "skipped", "cached")


def test_failing_after_skip(maybe_recording):
    """
    A block that fails has failed, whatever it wanted to skip.
    """
    with contextlib.suppress(Boom), bl.branch(CONFIG) as branch:
        branch.skip("cached")
        raise Boom

    assert branch.status == "failed"


@pytest.mark.parametrize(("status", "finish"), ENDINGS.items(), ids=ENDINGS)
def test_ended_by_hand(maybe_recording, status, finish):
    """
    A branch that is ended by hand keeps that status at the end of its block, even if that raises.
    """
    with contextlib.suppress(Boom), bl.branch(CONFIG) as branch:
        finish(branch)
        raise Boom

    assert branch.status == status


def test_block_frees_the_exception():
    """
    The branch of a failed block keeps nothing alive that its frames hold.
    """
    with pytest.raises(Boom):
        with bl.branch(CONFIG) as branch:
            raise Boom

    assert branch.error is None


async def test_async_block(maybe_recording):
    """
    `async with` does what `with` does.
    """
    async with bl.experiment("sweep") as sweep:
        async with sweep.branch({"a": 1}) as branch:
            await asyncio.sleep(0)

    assert statuses(sweep.branches) == [("a=1", "success")]
    assert branch is sweep.branches[0]


async def test_cancelled_task(maybe_recording):
    """
    SP 1.3 (5): the branch of a task that is cancelled ends as cancelled.
    """
    branches = BranchContainer()

    async def work():
        async with bl.branch(CONFIG) as branch:
            branches.add(branch)
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert (task.cancelled(), statuses(branches)) == (True, [("chunk=512 rerank=True", "cancelled")])


def test_current_branch(maybe_recording):
    """
    Code knows the branch it is in, and after a block the one around it again.
    """
    seen = [bl.current_branch()]
    with bl.branch("outer") as outer:
        seen.append(bl.current_branch())
        with bl.branch("inner") as inner:
            seen.append(bl.current_branch())
        seen.append(bl.current_branch())
    seen.append(bl.current_branch())

    assert seen == [None, outer, inner, outer, None]


async def test_current_branch_in_tasks(maybe_recording):
    """
    Branches in tasks beside each other do not mix.
    """

    async def work(number):
        async with bl.branch({"number": number}) as branch:
            for _ in range(5):
                await asyncio.sleep(0)
                assert bl.current_branch() is branch
        return bl.current_branch()

    assert await asyncio.gather(*(work(number) for number in range(20))) == [None] * 20


def test_current_branch_in_threads(maybe_recording):
    """
    A function that is carried into a thread is in the branch that it was carried from.
    """
    seen = []

    def look():
        seen.append(bl.current_branch())

    with bl.branch("a") as branch:
        thread = threading.Thread(target=bl.carry(look))
        thread.start()
        thread.join()

    assert seen == [branch]


async def test_left_in_another_task(maybe_recording, caplog):
    """
    A block that is left in another task than it was entered in ends as it should, without a word.
    """
    block = bl.branch(CONFIG)

    async def enter():
        return block.__enter__()

    async def leave():
        block.__exit__(None, None, None)

    branch = await asyncio.create_task(enter())
    await asyncio.create_task(leave())

    assert (branch.status, bl.current_branch(), caplog.messages) == ("success", None, [])


async def test_left_in_a_task_inside(maybe_recording, caplog):
    """
    A block that a task inside it leaves ends as it should, without a word.
    """
    block = bl.branch(CONFIG)

    async def leave():
        block.__exit__(None, None, None)

    async def run():
        branch = block.__enter__()
        await asyncio.create_task(leave())
        return branch

    branch = await asyncio.create_task(run())

    assert (branch.status, bl.current_branch(), caplog.messages) == ("success", None, [])


def test_left_in_another_order(maybe_recording, caplog):
    """
    Blocks that are left in the order in which they were entered end as they should, without a word.
    """
    outer, inner = bl.branch("outer"), bl.branch("inner")
    branches = []

    def run():
        branches.extend([outer.__enter__(), inner.__enter__()])
        outer.__exit__(None, None, None)
        inner.__exit__(None, None, None)

    # A context of its own: OpenTelemetry cannot tell which one to go back to here, and leaves a stale one behind.
    contextvars.copy_context().run(run)

    assert (statuses(branches), caplog.messages) == ([("outer", "success"), ("inner", "success")], [])


def test_experiment_collects_its_branches(maybe_recording):
    """
    SP-27: an experiment has the branches that were opened inside it, or for it, in the order of their start.
    """
    with bl.experiment("sweep") as sweep:
        with bl.branch("inside"):
            pass
        with sweep.branch("of it"):
            pass
    with bl.branch("elsewhere"):
        pass
    with bl.branch("named", experiment="sweep"):
        pass
    with bl.branch("given", experiment=sweep):
        pass

    assert statuses(sweep.branches) == [("inside", "success"), ("of it", "success"), ("given", "success")]
    assert repr(sweep) == "<Experiment 'sweep' of 3 branch(es)>"


def test_branches_of_a_failing_experiment(maybe_recording):
    """
    The exception that ends an experiment goes on untouched, and the branches before it stay.
    """
    error = Boom()
    caught = None
    try:
        with bl.experiment("sweep") as sweep:
            with bl.branch("good"):
                pass
            raise error
    except Boom as passed_on:
        caught = passed_on

    assert caught is error
    assert statuses(sweep.branches) == [("good", "success")]


def test_same_block_twice(maybe_recording):
    """
    A block can be opened again: that is another branch of the same config.
    """
    with bl.experiment("sweep") as sweep:
        block = sweep.branch("again")
        with block, block:
            pass
        with block:
            pass

    assert statuses(sweep.branches) == [("again", "success")] * 3


# ── what is recorded ──────────────────────────────────────────────────────────────────────────────
def test_span_names_are_plain():
    """
    SP-60: the spans of an experiment and its branches are called what the user called them.
    """
    with capture() as captured:
        with bl.experiment("sweep") as sweep:
            with sweep.branch({"chunk": 256}):
                with bl.step("load"):
                    pass
            with sweep.branch({"chunk": 512}) as branch:
                branch.skip("too slow")

    assert captured.tree() == outline("""
        experiment sweep
        ├── branch chunk=256  success
        │   └── step load  success
        └── branch chunk=512  skipped  too slow
    """)


def test_branch_attributes_keep_their_types():
    """
    SP-60, SP 1.3 (6): the config and the output of a branch are recorded with their types, the experiment's
    attributes too.
    """
    config = {"n": 5, "rate": 0.1, "rerank": True, "model": {"name": "m", "sizes": [1, 2]}}
    with capture() as captured:
        with bl.experiment("sweep", seed=3, dry=False) as sweep:
            with sweep.branch(config) as branch:
                branch.output = 0.9

    [recorded] = captured.branches
    assert recorded.config == {"n": 5, "rate": 0.1, "rerank": True, "model": {"name": "m", "sizes": (1, 2)}}
    assert (recorded.output, recorded.config_id, recorded.status) == (0.9, config_id(config), "success")
    assert [type(value) for value in recorded.config.values()] == [int, float, bool, dict]
    assert [experiment.attributes for experiment in captured.experiments] == [{"seed": 3, "dry": False}]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("text", "text"),
        (3, 3),
        (False, False),
        (None, None),
        ({"rows": 3, "names": ["a"]}, {"rows": 3, "names": ("a",)}),
        (b"abc", "<3 bytes>"),
        (Unprintable(), "<unprintable Unprintable>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_output(output, expected):
    """
    SP-60: an output is recorded as it is where that can be.
    """
    with capture() as captured:
        with bl.branch("a") as branch:
            branch.output = output

    assert captured.branches[0].output == expected


def test_large_output():
    """
    SP 1.3 (3): an output of any size and kind does no harm: what is recorded of it is short, and has no secrets.
    """
    with capture() as captured:
        with bl.branch("a") as branch:
            branch.output = {"password": "hunter2", "rows": list(range(100_000)), "lock": threading.Lock()}

    output = str(captured.branches[0].output)
    assert output.startswith('{"password": "[redacted]", "rows": [0, 1, 2')
    assert len(output) < 5_000


def test_identity_is_on_everything_inside():
    """
    The name of the experiment, and id and name of the branch, are on every step inside, at any depth.
    """
    with capture() as captured:
        with bl.experiment("sweep") as sweep:
            with bl.step("prepare"):
                pass
            with sweep.branch({"a": 1}, config_id="one"):
                with bl.step("outer"), bl.step("inner"):
                    pass
        with bl.step("outside"):
            pass

    assert {step.name: (step.experiment_name, step.branch_id, step.branch_name) for step in captured.steps} == {
        "prepare": ("sweep", None, None),
        "outer": ("sweep", "one", "a=1"),
        "inner": ("sweep", "one", "a=1"),
        "outside": (None, None, None),
    }


def test_identity_from_a_name():
    """
    A branch can name its experiment without being inside it.
    """
    with capture() as captured:
        with bl.branch("a", experiment="nightly"):
            pass

    assert [(branch.name, branch.experiment_name) for branch in captured.branches] == [("a", "nightly")]


def test_failed_branch():
    """
    SP 1.3 (6): a failed branch's span is an ERROR, with the exception on it exactly once.
    """
    with capture() as captured:
        with pytest.raises(ValueError, match="bad data"), bl.branch("a"), bl.step("train"):
            raise ValueError("bad data")

    assert captured.tree() == outline("""
        branch a  failed  ValueError: bad data
        └── step train  failed  ValueError: bad data
    """)


def test_exception_once_on_the_span():
    """
    SP 1.3 (6): OpenTelemetry sees one exception event and the status ERROR, also for a branch ended by hand.
    """
    with capture():
        with contextlib.suppress(Boom):
            with bl.branch("a") as branch:
                span = trace.get_current_span()
                try:
                    raise Boom
                except Boom as error:
                    branch.mark_failure(error)
                    raise

    assert isinstance(span, ReadableSpan)
    assert [event.name for event in span.events] == ["exception"]
    assert span.status.status_code is trace.StatusCode.ERROR


@pytest.mark.parametrize(("outcome", "error"), RAISED.items(), ids=RAISED)
def test_outcomes(outcome, error):
    """
    SP 1.3 (5): the spans of a branch and of its experiment have the outcome that belongs to the exception.
    """
    with capture() as captured:
        with pytest.raises(type(error)):
            with bl.experiment("sweep"), bl.branch("a"):
                raise error

    assert [captured.branches[0].outcome, captured.experiments[0].outcome] == [outcome, outcome]
    assert captured.branches[0].status == outcome


@pytest.mark.parametrize(("status", "finish"), ENDINGS.items(), ids=ENDINGS)
def test_outcome_of_a_branch_ended_by_hand(status, finish):
    """
    A branch that is ended by hand has that status, and the outcome for it, on its span.
    """
    with capture() as captured:
        with bl.branch("a") as branch:
            finish(branch)

    assert [(branch.status, branch.outcome) for branch in captured.branches] == [(status, status)]


def test_parent_is_the_current_span():
    """
    SP-61: the parent of a branch is the span that is current, the user's own included.
    """
    with capture() as captured:
        with trace.get_tracer("theirs").start_as_current_span("request"):
            with bl.branch("a"):
                with trace.get_tracer("theirs").start_as_current_span("query"):
                    with bl.step("parse"):
                        pass

    assert captured.tree() == outline("""
        span request  success
        └── branch a  success
            └── span query  success
                └── step parse  success
    """)


def test_branch_of_an_experiment_in_another_thread():
    """
    SP-61, SP 1.3 (6): a branch of an experiment lies below it, also in a thread that knows nothing of it.
    """
    with capture() as captured:
        with bl.experiment("sweep") as sweep:

            def work():
                with sweep.branch("a"):
                    with bl.step("train"):
                        pass

            thread = threading.Thread(target=contextvars.Context().run, args=(work,))
            thread.start()
            thread.join()

    assert captured.tree() == outline("""
        experiment sweep
        └── branch a  success
            └── step train  success
    """)


def test_new_trace():
    """
    SP-61: a branch can begin a trace of its own, and still belongs to its experiment.
    """
    with capture() as captured:
        with bl.experiment("sweep"):
            with bl.branch("a", new_trace=True):
                pass

    [experiment], [branch] = captured.experiments, captured.branches
    assert (branch.parent_id, branch.experiment_name) == (None, "sweep")
    assert branch.trace_id != experiment.trace_id


def test_get_traces():
    """
    SP-62: what was recorded comes back as values with name, ids, times, attributes, status and parent.
    """
    with capture() as captured:
        with bl.experiment("sweep"):
            with bl.branch({"a": 1}):
                pass

    [experiment], [branch] = captured.experiments, captured.branches
    assert (branch.name, branch.parent_id, branch.status, branch.config) == (
        "a=1",
        experiment.span_id,
        "success",
        {"a": 1},
    )
    times = (experiment.start_unix_nano, branch.start_unix_nano, branch.end_unix_nano, experiment.end_unix_nano)
    assert list(times) == sorted(time for time in times if time is not None)


async def test_branches_beside_each_other():
    """
    SP 1.3 (1): 50 branches in one `gather` keep their steps, identities and outputs apart.
    """

    async def work(sweep, number):
        async with sweep.branch({"number": number}) as branch:
            await asyncio.sleep(0)
            async with bl.step("train"):
                await asyncio.sleep(0)
                bl.stamp("trained", number=number)
            branch.output = number

    with capture() as captured:
        async with bl.experiment("sweep") as sweep:
            await asyncio.gather(*(work(sweep, number) for number in range(50)))

    assert {
        (branch.config["number"], branch.output, step.branch_name, step.stamps[0].attributes["number"])
        for branch in captured.branches
        for step in branch.children
    } == {(number, number, f"number={number}", number) for number in range(50)}


@pytest.mark.parametrize("config", ODD.values(), ids=ODD)
def test_odd_configs_are_recorded(config):
    """
    Whatever a branch is configured by, it is recorded, and the step inside it too.
    """
    with capture() as captured:
        with bl.branch(config, name="odd"):
            with bl.step("inside"):
                pass

    assert captured.tree() == outline("""
        branch odd  success
        └── step inside  success
    """)


@pytest.mark.parametrize("name", [None, "", b"raw", 2**80, "\ud800", Unprintable()])
def test_odd_experiment_names(name):
    """
    Whatever an experiment is called, and whatever its attributes, it is recorded.
    """
    with capture() as captured:
        with bl.experiment(name, **{"": Unprintable()}) as experiment:
            pass

    assert [recorded.name for recorded in captured.experiments] == [experiment.name]


def test_on_the_provider_of_the_application():
    """
    Without `configure()`, experiments, branches and stamps are spans and events of the application's own provider.
    """
    program = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import branchline as bl

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
with bl.experiment("sweep"), bl.branch({"a": 1}) as branch:
    bl.stamp("loaded", rows=3)
    branch.output = 0.9
for span in exporter.get_finished_spans():
    print(span.name, dict(span.attributes), [(event.name, dict(event.attributes)) for event in span.events])
"""
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout

    attributes = {
        "branchline.config.a": 1,
        "branchline.branch.status": "success",
        "branchline.branch.output": 0.9,
    }
    assert printed == f"a=1 {attributes} [('loaded', {{'rows': 3}})]\nsweep {{}} []\n"
