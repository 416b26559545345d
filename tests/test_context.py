"""Context: what is current travels by hand as well, to threads, callbacks, processes and machines."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from typing import Any

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry import context as otel_context

import branchline as bl
from branchline.context import Identity, current_identity
from branchline.testing import capture


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
attach: Any = bl.attach


@pytest.fixture
def captured():
    with capture() as captured:
        yield captured


def mark(name="x"):
    with bl.step(name):
        pass
    return name


def elsewhere(work):
    """Run *work* in a thread that knows nothing of this context, and return what it returned."""
    future: Any = concurrent.futures.Future()
    context = otel_context.Context(keep_capture())

    def run():
        token = otel_context.attach(context)
        future.set_result(work())
        otel_context.detach(token)

    threading.Thread(target=run).start()
    return future.result(timeout=60)


def keep_capture():
    """What says that this is captured, and nothing else."""
    current = otel_context.get_current()
    return {key: value for key, value in current.items() if key.startswith(("branchline-pipeline", "branchline-run"))}


# ── carrier ───────────────────────────────────────────────────────────────────────────────────────


def test_carrier(captured):
    """
    A carrier is plain text: the trace in W3C's form, and the run, the experiment and the branch.
    """
    with bl.experiment("sweep"), bl.branch({"a": 1}, name="small", config_id="id"), bl.step("x") as step:
        fields = bl.carrier()

    assert fields == {
        "traceparent": f"00-{step.trace_id}-{step.span_id}-03",
        "branchline": f"run={captured.run.id};experiment=sweep;branch.id=id;branch.name=small",
    }


def test_carrier_for_the_environment(captured):
    """
    For a child's environment the names are upper case, and say where the run is.
    """
    with bl.step("x") as step:
        variables = bl.carrier(environ=True)

    assert set(variables) == {
        "TRACEPARENT",
        "BRANCHLINE",
        "BRANCHLINE_RUN_ID",
        "BRANCHLINE_DIR",
        "BRANCHLINE_OWNER",
    }
    assert variables["TRACEPARENT"].split("-")[1:3] == [step.trace_id, step.span_id]
    assert variables["BRANCHLINE_RUN_ID"] == captured.run.id


def test_carrier_of_nothing():
    """
    With nothing that is current a carrier is empty, and harmless.
    """
    assert (bl.carrier(), bl.carrier(environ=True)) == ({}, {})
    with bl.attach(bl.carrier()):
        assert bl.current_step() is None


def test_carrier_with_a_propagator_that_is_not_there(tmp_path):
    """
    A propagator that nobody has installed costs the trace, not the application, and not what is ours of the carrier.
    """
    program = f"""
import branchline as bl
with bl.configure(directory={str(tmp_path)!r}, console=False), bl.branch({{"a": 1}}, name="b"):
    carried = bl.carrier()
with bl.attach(carried | {{"traceparent": "00-{TRACE}-{SPAN}-01"}}):
    print(sorted(carried), bl.carrier()["branchline"])
"""
    environment = os.environ | {"OTEL_PROPAGATORS": "no-such-propagator"}

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("['branchline'] ")
    assert "branch.name=b" in done.stdout


def test_carrier_takes_baggage(captured):
    """
    OpenTelemetry's baggage travels along; experiment and branch are not in it.
    """
    token = otel_context.attach(baggage.set_baggage("team", "blue"))
    with bl.branch({"a": 1}, name="small"):
        fields = bl.carrier()
    otel_context.detach(token)

    assert fields["baggage"] == "team=blue"
    with bl.attach(fields):
        assert baggage.get_all() == {"team": "blue"}


@pytest.mark.parametrize("name", ["a;b=c", "ünï💥", "line\nbreak", "50%", "", "\ud800", "x" * 5000])
def test_any_name_travels(captured, name):
    """
    Names arrive as they were recorded, whatever is in them, in text that any header takes.
    """
    with bl.branch({"a": 1}, name=name):
        fields = bl.carrier()
        sent = current_identity()
    with bl.attach(fields):
        arrived = current_identity()

    assert fields["branchline"].isascii()
    assert fields["branchline"].isprintable()
    assert arrived == sent
    assert arrived.branch_name == captured.branches[0].branch_name


# ── attach ────────────────────────────────────────────────────────────────────────────────────────


def test_attach(captured):
    """
    Inside of attach() everything belongs to where the carrier comes from; afterwards it does not.
    """
    with bl.experiment("sweep"), bl.branch({"a": 1}, name="small"):
        fields = bl.carrier()
    with bl.attach(fields):
        mark("inside")
    mark("outside")

    assert captured.tree() == (
        "experiment sweep\n└── branch small  success\n    └── step inside  success\nstep outside  success"
    )
    inside = captured.one("inside")
    assert (inside.experiment_name, inside.branch_name) == ("sweep", "small")


def test_attach_of_the_environment(captured):
    """
    A carrier is read in any case: headers, and the environment as it stands.
    """
    for fields in ({"Traceparent": f"00-{TRACE}-{SPAN}-01"}, {"TRACEPARENT": f"00-{TRACE}-{SPAN}-01", "PATH": "/bin"}):
        with bl.attach(fields):
            mark()

    assert [(step.trace_id, step.parent_id) for step in captured.steps] == [(TRACE, SPAN)] * 2


class Angry:
    def __str__(self):
        raise ValueError("no text")


@pytest.mark.parametrize(
    "carrier",
    [
        None,
        5,
        "text",
        [],
        {},
        {"traceparent": "nonsense"},
        {"traceparent": None, "branchline": None},
        {"branchline": "nonsense"},
        {"branchline": "branch.id"},
        {"branchline": ";;=;=="},
        {None: None},
        {"branchline": Angry()},
        {"baggage": "\ud800"},
    ],
    ids=range(13),
)
def test_attach_of_anything(captured, carrier):
    """
    What came with a message is no reason to refuse it: what cannot be read is left out, and the work is done.
    """
    with bl.step("around"):
        with attach(carrier):
            mark("inside")
        mark("after")

    assert captured.tree() == "step around  success\n├── step inside  success\n└── step after  success"


def test_attach_of_half(captured):
    """
    A trace without a branch and a branch without a trace are taken as they are.
    """
    with bl.attach({"traceparent": f"00-{TRACE}-{SPAN}-01"}):
        mark("trace")
    with bl.attach({"branchline": "branch.name=small"}):
        mark("branch")

    assert [(step.parent_id, step.branch_name) for step in captured.steps] == [(SPAN, None), (None, "small")]


def test_failing_propagator(captured, monkeypatch):
    """
    A propagator of others that raises harms nobody.
    """

    class Failing:
        fields: frozenset[str] = frozenset()

        def inject(self, *args, **kwargs):
            raise ZeroDivisionError

        extract = inject

    monkeypatch.setattr(propagate, "propagator", Failing())
    with bl.branch({"a": 1}, name="small"):
        fields = bl.carrier()
    with bl.attach(fields):
        mark()

    assert "branch.name=small" in fields["branchline"]
    assert [step.name for step in captured.steps] == ["x"]


def test_attach_left_in_another_task(captured, caplog):
    """
    A block that is left in another task than it was entered in does no harm and says nothing.
    """

    async def fixture():
        with bl.attach({"traceparent": f"00-{TRACE}-{SPAN}-01"}):
            yield

    async def main():
        made = fixture()
        await asyncio.create_task(anext(made))
        await asyncio.create_task(anext(made, None))
        mark("after")

    asyncio.run(main())

    assert captured.one("after").parent_id is None
    assert caplog.messages == []


def test_identity(captured):
    """
    What belongs to which branch can be asked inside of plain spans too.
    """
    with bl.experiment("sweep"), bl.branch({"a": 1}, name="small", config_id="id"):
        with trace.get_tracer("app").start_as_current_span("theirs"):
            inside = current_identity()

    assert (inside, current_identity()) == (Identity("sweep", "id", "small"), Identity())


# ── carry ─────────────────────────────────────────────────────────────────────────────────────────


def test_carry(captured):
    """
    A carried function runs where it was carried from, in any thread, as often as it is called.
    """
    with bl.step("home"):
        carried = bl.carry(mark)

    assert [elsewhere(lambda: carried("a")), elsewhere(lambda: carried(name="b")), carried("c")] == ["a", "b", "c"]
    elsewhere(lambda: mark("not carried"))
    assert captured.tree() == (
        "step home  success\n├── step a  success\n├── step b  success\n└── step c  success\nstep not carried  success"
    )


def test_carried_looks_the_same():
    """
    A carried function has the name and the documentation of the function, and says what it is.
    """
    carried: Any = bl.carry(test_carry)

    assert (carried.__name__, carried.__doc__, carried.__wrapped__) == ("test_carry", test_carry.__doc__, test_carry)
    assert repr(carried) == f"<carried {test_carry!r}>"


def test_carry_exception(captured):
    """
    An exception comes out as it is, and the context is left.
    """
    error = ValueError("no")

    def fails():
        raise error

    with bl.step("home"):
        carried = bl.carry(fails)
    with pytest.raises(ValueError, match="no") as caught:
        carried()

    assert caught.value is error
    assert bl.current_step() is None


def test_carry_coroutine(captured):
    """
    A carried coroutine function is one, and runs where it was carried from.
    """

    async def work():
        await asyncio.sleep(0)
        return mark("inside")

    with bl.step("home"):
        carried = bl.carry(work)

    assert asyncio.iscoroutinefunction(carried)
    assert elsewhere(lambda: asyncio.run(carried())) == "inside"
    assert captured.tree() == "step home  success\n└── step inside  success"


def test_carry_generator(captured):
    """
    A carried generator's body runs where it was carried from, its consumer where it is; both talk as ever.
    """

    @bl.traced_step("generator")
    def items(n):
        got = []
        for i in range(n):
            try:
                got.append((yield i))
            except KeyError as error:
                got.append(error)
            mark(f"body {i}")
        return got

    with bl.step("home"):
        carried = bl.carry(items)
    error = KeyError()
    with bl.step("consumer"):
        made = carried(3)
        answers = [next(made), made.send("sent"), made.throw(error)]
        mark("use")
        with pytest.raises(StopIteration) as stop:
            next(made)

    assert (answers, stop.value.value) == ([0, 1, 2], ["sent", error, None])
    assert captured.tree() == (
        "step home  success\n"
        "└── step generator  success\n"
        "    ├── step body 0  success\n"
        "    ├── step body 1  success\n"
        "    └── step body 2  success\n"
        "step consumer  success\n"
        "└── step use  success"
    )


def test_carry_generator_left_early(captured):
    """
    Left early, a carried generator is closed where it was carried from.
    """

    def items():
        try:
            yield
        finally:
            mark("cleanup")

    with bl.step("home"):
        carried = bl.carry(items)
    for _ in carried():
        break

    assert captured.tree() == "step home  success\n└── step cleanup  success"


def test_carry_async_generator(captured):
    """
    The same for async generators.
    """

    async def items():
        try:
            with bl.step("open"):
                yield 0
                await asyncio.sleep(0)
                mark("body")
                yield 1
        finally:
            mark("cleanup")

    with bl.step("home"):
        carried = bl.carry(items)

    async def main():
        async with contextlib.aclosing(carried()) as made:
            async for item in made:
                mark(f"use {item}")

    asyncio.run(main())

    assert captured.tree() == (
        "step home  success\n"
        "├── step open  success\n"
        "│   └── step body  success\n"
        "└── step cleanup  success\n"
        "step use 0  success\n"
        "step use 1  success"
    )


def test_carry_pickled(captured):
    """
    Pickled, a carried function takes along what it belongs to.
    """
    with bl.branch({"a": 1}, name="small"), bl.step("home"):
        carried = pickle.loads(pickle.dumps(bl.carry(mark)))
    carried("inside")

    assert captured.tree() == "branch small  success\n└── step home  success\n    └── step inside  success"
    assert captured.one("inside").branch_name == "small"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_carry_into_a_process(captured, method):
    """
    In another process a carried function belongs to where it was carried from, not to where it was sent from.
    """
    with bl.step("home"):
        carried = bl.carry(mark)
    with (
        bl.step("send"),
        concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool,
    ):
        pool.submit(carried, "inside").result()

    assert captured.tree() == "step home  success\n└── step inside  success\nstep send  success"


def test_carrier_into_a_program(captured):
    """
    A program that is started with a carrier in its environment belongs to where the carrier was made.
    """
    with bl.branch({"a": 1}, name="small"):
        variables = bl.carrier(environ=True)
    program = "import branchline as bl; bl.configure('child')\nwith bl.step('child'): pass"
    # Not by way of subprocess, which would hand over what is current here.
    with bl.step("beside"):
        code = os.spawnve(os.P_WAIT, sys.executable, [sys.executable, "-c", program], {**os.environ, **variables})

    assert code == 0
    assert captured.tree() == "branch small  success\n└── step child  success\nstep beside  success"
    assert captured.one("child").branch_name == "small"
