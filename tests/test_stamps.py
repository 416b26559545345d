"""Stamps: their order, the managers that number them, and where they are recorded."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import multiprocessing
import operator
import os
import pickle
import signal
import textwrap
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

import branchline as bl
from branchline.stamps import Stamp, StampManager
from branchline.testing import capture


EARLY = Stamp(1.0, 0, "early")
LATE = Stamp(2.0, 0, "late")
NEXT = Stamp(0.5, 1, "next")


def outline(text):
    return textwrap.dedent(text).strip()


def steps_and_messages(manager):
    return [(stamp.step, stamp.identifier) for stamp in manager.all_stamps]


# ── one stamp ─────────────────────────────────────────────────────────────────────────────────────
def test_fields():
    """
    RT-50: a stamp has a time, a step and an identifier, in this order.
    """
    assert (EARLY.time, EARLY.step, EARLY.identifier) == (1.0, 0, "early")


def test_id_is_the_identifier():
    """
    RT-50: `id` and `identifier` name the same thing, for making a stamp and for reading it.
    """
    made = Stamp(time=1.0, step=0, id="early")

    assert (made, made.id, EARLY.id) == (EARLY, "early", "early")


@pytest.mark.parametrize("wrong", [{}, {"id": "a", "identifier": "a"}])
def test_one_name_is_needed(wrong):
    """
    RT-50: a stamp with no identifier, or with two, is refused at once.
    """
    with pytest.raises(TypeError, match="either an identifier or an id"):
        Stamp(1.0, 0, **wrong)


def test_frozen():
    """
    RT-50: what has happened does not change.
    """
    with pytest.raises(AttributeError):
        EARLY.step = 2  # type: ignore[misc]  # what is refused


def test_hashable():
    """
    RT-50: equal stamps are one in a set.
    """
    assert {EARLY, LATE} == {EARLY, LATE, Stamp(1.0, 0, "early")}


def test_encode():
    """
    RT-50, RT-58: a stamp encodes to a dictionary of three that is fit for JSON.
    """
    assert json.loads(json.dumps(EARLY.encode())) == {"time": 1.0, "step": 0, "identifier": "early"}


def test_encode_in_full():
    """
    Everything about a stamp can be encoded too.
    """
    stamp = Stamp(1.0, 0, "early", monotonic_ns=7, process="host:1:ab", serial=3, attributes={"rows": 5})

    assert json.loads(json.dumps(stamp.encode(full=True))) == {
        "time": 1.0,
        "step": 0,
        "identifier": "early",
        "id": "early",
        "uid": "host:1:ab/3",
        "process": "host:1:ab",
        "monotonic_ns": 7,
        "attributes": {"rows": 5},
    }


@pytest.mark.parametrize(
    ("compare", "expected"),
    [
        (operator.lt, (True, True, False)),
        (operator.le, (True, True, True)),
        (operator.eq, (False, False, True)),
        (operator.ne, (True, True, False)),
        (operator.ge, (False, False, True)),
        (operator.gt, (False, False, False)),
    ],
)
def test_all_six_orderings(compare, expected):
    """
    RT-50: all six comparisons exist, and go by step and then by time.
    """
    assert expected == (compare(EARLY, LATE), compare(LATE, NEXT), compare(EARLY, Stamp(1.0, 0, "early")))


def test_no_order_with_others():
    """
    A stamp equals nothing else, and has no order with it.
    """
    assert EARLY != 1.0

    with pytest.raises(TypeError):
        _ = EARLY < 1.0


stamps = st.builds(
    Stamp,
    st.sampled_from([0.0, 1.0, 2.0]),
    st.integers(0, 2),
    st.sampled_from("ab"),
    process=st.sampled_from(["", "h:1:a", "h:1:b"]),
    serial=st.integers(0, 2),
    attributes=st.sampled_from([{}, {"rows": 1}]),
)


@given(stamps, stamps)
def test_total_order(one, other):
    """
    Of two stamps exactly one of before, same and after is true, and the same ones have the same hash.
    """
    assert (one < other) + (one == other) + (one > other) == 1
    assert one != other or hash(one) == hash(other)


def test_seconds_between():
    """
    RT 4.3 (5): stamps of one process are apart by the monotonic clock, whatever the wall clock did.
    """
    first = Stamp(100.0, 0, "a", monotonic_ns=1_000_000_000, process="h:1:a")
    second = Stamp(40.0, 1, "b", monotonic_ns=3_500_000_000, process="h:1:a")
    elsewhere = Stamp(101.0, 1, "c", monotonic_ns=5, process="h:2:b")

    assert (second.seconds_since(first), elsewhere.seconds_since(first)) == (2.5, 1.0)


# ── a manager ─────────────────────────────────────────────────────────────────────────────────────
def test_new_manager():
    """
    RT-51: a new manager has no stamps, and one empty step.
    """
    manager = StampManager()

    assert (manager.all_stamps, manager.step_logs) == ([], {0: []})


def test_steps_count_up():
    """
    RT-52: consecutive stamps have the steps 0, 1, 2.
    """
    manager = StampManager()

    made = [manager.create_stamp(message) for message in "abc"]

    assert [(stamp.step, stamp.identifier) for stamp in made] == [(0, "a"), (1, "b"), (2, "c")]
    assert made == manager.all_stamps
    assert manager.step_logs == {0: ["a"], 1: ["b"], 2: ["c"]}


def test_creator_reserves_its_step():
    """
    RT-53: a creator takes its step when it is made, and leaves it empty when it is never called.
    """
    manager = StampManager()

    manager.stamp_creator()
    manager.create_stamp("after")

    assert manager.step_logs == {0: [], 1: ["after"]}


def test_reserved_at_the_end():
    """
    RT-53: a step that is reserved last is there as well, empty.
    """
    manager = StampManager()
    manager.create_stamp("before")

    manager.stamp_creator()

    assert manager.step_logs == {0: ["before"], 1: []}


def test_creators_interleave():
    """
    RT-53: all stamps of a creator share its step, whatever is stamped between them.
    """
    manager = StampManager()
    first, second = manager.stamp_creator(), manager.stamp_creator()

    second("b1")
    first("a1")
    manager.create_stamp("c")
    second("b2")

    assert steps_and_messages(manager) == [(0, "a1"), (1, "b1"), (1, "b2"), (2, "c")]
    assert manager.step_logs == {0: ["a1"], 1: ["b1", "b2"], 2: ["c"]}


def test_sorted():
    """
    RT-54: all stamps come by step, and by time within a step.
    """
    manager = StampManager()
    creator = manager.stamp_creator()
    manager.create_stamp("single")
    creator("one")
    creator("two")

    assert manager.all_stamps == sorted(manager.all_stamps)
    assert [stamp.identifier for stamp in manager.all_stamps] == ["one", "two", "single"]


def test_copies():
    """
    RT-54, RT-55: what one does to the stamps and the steps that a manager gave does nothing to the manager.
    """
    manager = StampManager()
    manager.create_stamp("a", rows={"train": 1})

    rows = manager.all_stamps[0].attributes["rows"]
    assert isinstance(rows, dict)
    rows["train"] = 2
    manager.all_stamps.clear()
    manager.step_logs[0].append("b")

    assert [stamp.attributes for stamp in manager.all_stamps] == [{"rows": {"train": 1}}]
    assert manager.step_logs == {0: ["a"]}


def test_threads():
    """
    RT-56: 8 threads with 500 stamps each use 4,000 steps, each once, and lose nothing.
    """
    manager = StampManager()

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: manager.create_stamp(str(number)), range(4_000)))

    assert sorted(made) == manager.all_stamps
    assert list(range(4_000)) == [stamp.step for stamp in manager.all_stamps]
    assert {str(number) for number in range(4_000)} == {stamp.identifier for stamp in made}


def test_time_never_goes_back():
    """
    RT 4.3 (5): a clock that is set back puts no stamp before the ones that were there.
    """
    readings = iter([100.0, 40.0, 101.0])
    manager = StampManager(clock=lambda: next(readings))
    creator = manager.stamp_creator()

    for message in "abc":
        creator(message)

    assert [(each.identifier, each.time) for each in manager.all_stamps] == [("a", 100.0), ("b", 100.0), ("c", 101.0)]


def test_attributes():
    """
    RT 4.3 (5): a stamp has attributes, as they were when it was made.
    """
    manager = StampManager()
    sizes = [1, 2]

    manager.stamp_creator()("loaded", sizes=sizes)
    sizes.append(3)

    assert [stamp.attributes for stamp in manager.all_stamps] == [{"sizes": (1, 2)}]


def test_who_and_when():
    """
    RT 4.3 (5): a stamp says which process of which host made it, and when by the monotonic clock.
    """
    manager = StampManager()

    first, second = manager.create_stamp("a"), manager.create_stamp("b")

    assert (manager.process, manager.process) == (first.process, second.process)
    assert [os.uname().nodename, str(os.getpid())] == first.process.split(":")[:2]
    assert first.monotonic_ns <= second.monotonic_ns
    assert first.uid != second.uid


def test_bound():
    """
    RT 4.3 (5): with a bound the oldest stamps go first, and are counted.
    """
    manager = StampManager(max_stamps=2)
    creator = manager.stamp_creator()
    for message in "abc":
        manager.create_stamp(message)

    creator("late, at step 0")

    assert steps_and_messages(manager) == [(0, "late, at step 0"), (3, "c")]
    assert manager.step_logs == {0: ["late, at step 0"], 3: ["c"]}
    assert manager.dropped == 2


def test_bound_is_checked():
    """
    A bound that leaves no room is refused, with the value.
    """
    with pytest.raises(ValueError, match=r"at least 1.*got 0"):
        StampManager(max_stamps=0)


@pytest.mark.parametrize("message", [None, "", b"raw", 5, "\ud800", object(), "x" * 10_000])
def test_odd_messages(message):
    """
    A stamp with an odd message is made all the same, and says something.
    """
    assert isinstance(StampManager().create_stamp(message).identifier, str)


def test_from_a_signal_handler():
    """
    A signal handler may stamp while the thread that it interrupted holds the manager's lock.
    """
    inside: list[int] = []

    def interrupted_clock():
        signal.raise_signal(signal.SIGUSR1)
        return 1.0

    def handle(number, frame):
        if not inside:
            inside.append(number)
            manager.create_stamp("handler")

    manager = StampManager(clock=interrupted_clock)
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        manager.create_stamp("main")
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert steps_and_messages(manager) == [(0, "main"), (1, "handler")]
    assert (len({stamp.uid for stamp in manager.all_stamps}), manager.dropped) == (2, 0)


def test_repr():
    """
    A manager says what it has.
    """
    manager = StampManager()
    manager.create_stamp("a")

    assert (
        repr(manager),
        repr(manager.stamp_creator()),
    ) == ("<StampManager of 1 stamp(s), at step 1>", "<StampCreator at step 1>")


# ── copies in other processes ─────────────────────────────────────────────────────────────────────
def test_pickle_round_trip():
    """
    RT-57: a pickled manager comes back with the same stamps and steps, and works.
    """
    manager = StampManager(max_stamps=10)
    manager.create_stamp("a", rows=1)
    manager.stamp_creator()

    copied = pickle.loads(pickle.dumps(manager))

    assert (manager.all_stamps, manager.step_logs, 10) == (copied.all_stamps, copied.step_logs, copied.max_stamps)
    assert copied.all_stamps[0].attributes == {"rows": 1}
    assert copied.create_stamp("b").step == 2


def test_creator_can_be_pickled():
    """
    RT-57: a creator can be pickled, together with its manager.
    """
    creator = StampManager().stamp_creator()
    creator("here")

    copied = pickle.loads(pickle.dumps(creator))
    copied("there")

    assert creator.manager.step_logs == {0: ["here"]}
    assert copied.manager.step_logs == {0: ["here", "there"]}


def test_deepcopy_is_a_branch_too():
    """
    A copy made in this process is told apart as well.
    """
    manager = StampManager()
    copied = copy.deepcopy(manager)

    assert manager.create_stamp("a").uid != copied.create_stamp("a").uid


def test_copies_do_not_collide():
    """
    RT 4.3 (5): two copies that both go on with step 1 keep their stamps apart, and `merge` has all of them.
    """
    manager = StampManager()
    manager.create_stamp("common")
    copied = pickle.loads(pickle.dumps(manager))
    here, there = manager.create_stamp("here"), copied.create_stamp("there")

    manager.merge(copied)

    assert (here.step, there.step) == (1, 1)
    assert manager.step_logs == {0: ["common"], 1: ["here", "there"]}
    assert manager.create_stamp("after both").step == 2


def test_merge_both_ways():
    """
    RT 4.3 (5): merging again changes nothing, and both ways give the same.
    """
    one = StampManager()
    one.create_stamp("common")
    other = pickle.loads(pickle.dumps(one))
    for message in "ab":
        one.create_stamp(message)
        other.stamp_creator()(message)

    one.merge(other)
    other.merge(one)
    once = one.all_stamps
    one.merge(other)
    one.merge(one)

    assert once == one.all_stamps == other.all_stamps
    assert len({stamp.uid for stamp in once}) == 5


def test_bounded_merge():
    """
    A merge under a bound keeps the newest of both, and counts every stamp that has gone once.
    """
    ticks = iter(range(100))
    one = StampManager(max_stamps=3, clock=lambda: float(next(ticks)))
    other = StampManager(max_stamps=3, clock=lambda: float(next(ticks)))
    for number in range(4):
        one.create_stamp(f"one {number}")
        other.create_stamp(f"other {number}")

    one.merge(other)
    one.merge(other)

    assert [stamp.identifier for stamp in one.all_stamps] == ["other 2", "one 3", "other 3"]
    assert one.dropped == 5


def test_fork():
    """
    RT 4.3 (5): a forked child stamps under its own name, even when a thread held the lock at that moment.
    """
    manager = StampManager()
    manager.create_stamp("before")
    read_end, write_end = os.pipe()
    is_held, may_go = threading.Event(), threading.Event()

    def held_clock():
        is_held.set()
        may_go.wait()
        return 1.0

    def hold():
        manager._clock = held_clock
        manager.create_stamp("holder")

    holder = threading.Thread(target=hold)
    holder.start()
    is_held.wait()
    child = os.fork()
    if child == 0:
        try:
            manager._clock = float
            manager.create_stamp("child")
            os.write(write_end, pickle.dumps(manager))
        finally:
            os._exit(0)
    may_go.set()
    holder.join()
    os.waitpid(child, 0)
    manager._clock = float
    manager.merge(pickle.loads(os.read(read_end, 65_536)))
    os.close(read_end)
    os.close(write_end)

    assert {"before", "holder", "child"} == {stamp.identifier for stamp in manager.all_stamps}
    assert len({stamp.uid for stamp in manager.all_stamps}) == 3
    assert {str(os.getpid()), str(child)} == {stamp.process.split(":")[1] for stamp in manager.all_stamps}


def stamped_elsewhere(creator):
    for number in range(3):
        creator(f"worker {number}")
    return creator.manager


def test_process_pool():
    """
    RT-57, RT 4.3 (5): what the workers of a process pool stamp, the managers that they send back bring home.
    """
    manager = StampManager()

    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for returned in pool.map(stamped_elsewhere, [manager.stamp_creator(), manager.stamp_creator()]):
            manager.merge(returned)

    messages = ["worker 0", "worker 1", "worker 2"]
    assert {0: messages, 1: messages} == manager.step_logs


# ── where stamps are recorded ─────────────────────────────────────────────────────────────────────
def test_stamp_lands_on_the_current_step():
    """
    A stamp belongs to the innermost step that is open.
    """
    with capture() as captured:
        with bl.step("outer"):
            with bl.step("inner"):
                bl.stamp("loaded", rows=10)
            bl.stamp("done")

    assert captured.tree() == outline("""
        step outer  success
        · done
        └── step inner  success
            · loaded rows=10
    """)


def test_stamp_lands_on_a_branch_or_experiment():
    """
    With no step open, a stamp belongs to the branch, or to the experiment.
    """
    with capture() as captured:
        with bl.experiment("sweep"):
            bl.stamp("in experiment")
            with bl.branch("a"):
                bl.stamp("in branch")

    assert captured.tree() == outline("""
        experiment sweep
        · in experiment
        └── branch a  success
            · in branch
    """)


def test_stamp_with_no_step():
    """
    A stamp outside of everything belongs to the run, and is not lost.
    """
    with capture() as captured:
        bl.stamp("ready", rows=3)

    assert captured.tree() == "· ready rows=3"


def test_stamp_after_its_step():
    """
    A stamp in a task that outlives its step is not lost.
    """

    async def main():
        async with bl.step("short"):
            task = asyncio.create_task(later())
        await task

    async def later():
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        bl.stamp("late")

    with capture() as captured:
        asyncio.run(main())

    assert captured.tree() == outline("""
        step short  success
        · late
    """)


def test_no_stamp_is_dropped():
    """
    1,000 stamps on one step are 1,000 events.
    """
    with capture() as captured:
        with bl.step("busy"):
            for number in range(1_000):
                bl.stamp("tick", number=number)

    assert list(range(1_000)) == [stamp.attributes["number"] for stamp in captured.one("busy").stamps]


def test_not_configured():
    """
    Without `configure()` a stamp does nothing, and a manager works.
    """
    bl.stamp("nobody sees this", rows=3)

    assert StampManager().create_stamp("but this is kept").step == 0


def test_manager_stamps_are_recorded():
    """
    What a manager makes is a stamp of the current step too, with its number and a unique id.
    """
    manager = StampManager()

    with capture() as captured:
        with bl.step("load"):
            manager.create_stamp("first", rows=1)
            made = manager.stamp_creator()("second")

    stamps = captured.one("load").stamps
    assert [(s.name, s.step, dict(s.attributes)) for s in stamps] == [("first", 0, {"rows": 1}), ("second", 1, {})]
    assert (f"{manager.process}/0", made.uid) == (stamps[0].id, stamps[1].id)


def test_no_log_lines(caplog):
    """
    RT-59: stamping writes no log lines.
    """
    with caplog.at_level(logging.DEBUG):
        with capture():
            with bl.step("load"):
                bl.stamp("a")
                StampManager().create_stamp("b")

    assert caplog.messages == []


@pytest.mark.parametrize("name", [None, "", b"raw", 2**80, "\ud800", "x" * 10_000_000])
def test_odd_names(name):
    """
    Whatever a stamp is called, it is recorded, and its neighbours with it.
    """
    with capture() as captured:
        with bl.step("load"):
            bl.stamp(name, **{"": float("nan")})
            bl.stamp("good")

    odd, good = captured.one("load").stamps
    assert (good.name, min(len(odd.name), 1), dict(odd.attributes)) == ("good", 1, {"<empty>": "NaN"})
