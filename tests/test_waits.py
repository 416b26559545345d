"""How long a recording call waits for the writer."""

from __future__ import annotations

import pytest

from branchline._pipeline import waiting


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by what is slept, and by *late* more each time."""

    class Clock:
        now = 100.0
        late = 0.0
        naps = 0

        def sleep(self, seconds):
            self.now += seconds + self.late
            self.naps += 1

    made = Clock()
    monkeypatch.setattr(waiting, "monotonic", lambda: made.now)
    monkeypatch.setattr(waiting, "sleep", made.sleep)
    return made


def waited_out(wait):
    while wait.nap(0.001):
        pass


def test_a_wait_takes_its_time(clock):
    """Where the machine has time for this process, a call waits for as long as it was told."""
    waited_out(waiting.Wait(0.05))

    assert clock.now == pytest.approx(100.05, abs=0.0011)


def test_a_wait_does_not_count_the_time_of_others(clock):
    """A process that is not run, a second at a time, gives its writer ten turns in a wait of 48 ms, not one."""
    clock.late = 1.0

    waited_out(waiting.Wait(0.048))

    assert clock.naps == 10


def test_a_wait_of_nothing(clock):
    """Who is told not to wait does not sleep."""
    waited_out(waiting.Wait(0.0))

    assert clock.naps == 0
