"""Periods: where a day, a week and a month begin, whatever the clock does there."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from branchline.periods import Bounds, bounds, day_of


SECOND = 1_000_000_000
BERLIN = ZoneInfo("Europe/Berlin")


def nano(text: str) -> int:
    """Return the moment that *text* says, in UTC where it says no offset."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * SECOND


def between(start: str, end: str) -> Bounds:
    return Bounds(nano(start), nano(end))


@pytest.mark.parametrize(
    ("period", "moment", "expected"),
    [
        ("daily", "2026-11-21T16:00", ("2026-11-21", "2026-11-22")),
        ("weekly", "2026-11-21T16:00", ("2026-11-16", "2026-11-23")),
        ("monthly", "2026-11-21T16:00", ("2026-11-01", "2026-12-01")),
        ("weekly", "2027-01-01T00:00", ("2026-12-28", "2027-01-04")),
        ("monthly", "2024-02-29T23:59:59", ("2024-02-01", "2024-03-01")),
        ("monthly", "2026-02-28T23:59:59", ("2026-02-01", "2026-03-01")),
        ("monthly", "2026-12-31T23:59:59", ("2026-12-01", "2027-01-01")),
    ],
)
def test_calendar(period, moment, expected):
    """
    Days begin at midnight, weeks on Monday, months on their first day, over the ends of months and years.
    """
    assert bounds(period, nano(moment), UTC) == between(*expected)


@pytest.mark.parametrize("moment", ["2026-03-31T21:59:59", "2026-03-31T22:00:00"])
def test_a_month_ends_at_midnight_there(moment):
    """
    A month ends at midnight of its time zone: at 22:00 UTC in Berlin's summer, to the second.
    """
    april = between("2026-03-31T22:00", "2026-04-30T22:00")

    assert (nano(moment) in april) == (moment == "2026-03-31T22:00:00")
    assert (bounds("monthly", nano(moment), BERLIN) == april) == (moment == "2026-03-31T22:00:00")


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00+02:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00+01:00", 25),
        ("Asia/Beirut", "2026-03-29T12:00+03:00", 23),  # at midnight it becomes one o'clock
        ("America/Havana", "2026-11-01T12:00-05:00", 25),  # midnight comes twice
        ("Australia/Lord_Howe", "2026-04-05T12:00+10:30", 24.5),
        ("Asia/Kolkata", "2026-03-29T12:00+05:30", 24),
    ],
)
def test_the_clock_is_set(zone, day, hours):
    """
    A day on which the clock is set is as long as it is, and the next one begins where it ends.
    """
    found = bounds("daily", nano(day), ZoneInfo(zone))

    assert (found.end - found.start) / SECOND / 3600 == hours
    assert bounds("daily", found.start, ZoneInfo(zone)) == found
    assert bounds("daily", found.end - 1, ZoneInfo(zone)) == found
    assert bounds("daily", found.end, ZoneInfo(zone)).start == found.end


def test_yesterday_once_more():
    """
    Where a clock was set back over midnight, the hour that shows yesterday's date again belongs to today.
    """
    zone = ZoneInfo("America/Goose_Bay")  # in 2010 at one minute past midnight, by an hour
    first_midnight = nano("2010-11-07T00:00-03:00")
    repeated = first_midnight + 30 * 60 * SECOND

    assert datetime.fromtimestamp(repeated // SECOND, zone).date() == date(2010, 11, 6)
    assert bounds("daily", repeated, zone).start == first_midnight
    assert day_of(repeated, zone) == date(2010, 11, 7)


def test_every_moment_is_in_one_period():
    """
    Over two years of hours, each is in the bounds found for it, and these follow each other without a gap.
    """
    for zone in (BERLIN, ZoneInfo("America/Havana"), ZoneInfo("Asia/Beirut"), ZoneInfo("Pacific/Apia")):
        for period in ("daily", "weekly", "monthly"):
            last = None
            for moment in range(nano("2025-01-01T00:30"), nano("2027-01-01"), 3600 * SECOND):
                found = bounds(period, moment, zone)

                assert moment in found
                assert last is None or found == last or found.start == last.end
                last = found


def test_the_machines_own_time_zone():
    """
    Without a time zone, the one of the machine counts, its changes of the clock included.
    """
    program = """
import time
from branchline.periods import bounds
found = bounds("daily", 1774738800 * 10**9, None)  # noon of 2026-03-29 in Berlin
print(found.start // 10**9, (found.end - found.start) // 10**9)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], env={"TZ": "Europe/Berlin"}, capture_output=True, text=True, check=True
    )

    assert ran.stdout.split() == [str(nano("2026-03-29T00:00+01:00") // SECOND), str(23 * 3600)]
