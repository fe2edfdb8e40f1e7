"""Recovery where things break: disks, lines, clocks, and people who write where they should not.

Each ends in a named error or alarm, what is shown stays as it was, and at most one round later all is well.
"""

from __future__ import annotations

import errno
import os
from datetime import timedelta
from pathlib import Path

import lance
import pytest

from isthmus.core.errors import Busy, IsthmusError, Refused
from recovery_pair import INTERVAL_S, Two, batch, full, open_site
from small_disk import small_disk
from transfer_doubles import HandClock

BULK = 40_000


def following(folder: Path) -> Two:
    """Make a pair whose standby shows two tables of its primary."""
    two = Two(folder)
    two.add(two.a, "things", "one", "two", bulk=BULK)
    two.add(two.a, "marks", "x")
    two.settle()
    assert two.tables(two.b) == two.tables(two.a)
    return two


def alarms(two: Two) -> list[str]:
    return [alarm.kind.name for alarm in (*two.b.inbound.status().alarms, *two.a.outbound.status().alarms)]


def test_a_full_disk_at_the_standby_is_an_alarm_and_the_round_goes_on_once_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 96) as disk:
        two = Two(tmp_path / "sites")
        toml = two.folder / "b" / "isthmus.toml"
        two.b.close()
        text = toml.read_text().replace('name = "b"', f'name = "b"\nstate = "{disk.folder / "state"}"', 1)
        toml.write_text(text + f'[warehouse]\nroot = "{disk.folder / "warehouse"}"\n')
        two.b = open_site(two.folder, "b", two.clock)
        two.add(two.a, "things", "one", bulk=BULK)
        two.settle()
        before = two.tables(two.b)
        assert before == {"main.fleet.things": ["one"]}
        two.add(two.a, "things", "two", bulk=8 * BULK)
        disk.fill()
        _refusing(two)
        assert two.b.catalog.open(full("things")).count() == 1
        disk.empty()
        two.settle()
        assert two.tables(two.b) == {"main.fleet.things": ["one", "two"]}
        assert alarms(two) == []


def _refusing(two: Two) -> None:
    """Let both sites take turns while the disk of b takes nothing: an alarm, or an error that names the disk."""
    two.clock.forward(INTERVAL_S)
    named = False
    for _ in range(3):
        two.turn(two.a)
        try:
            named |= any("DISK" in event for event in two.turn(two.b))
        except OSError as error:
            named |= error.errno == errno.ENOSPC
        except IsthmusError as error:
            named |= "full" in str(error) or "disk" in str(error)
    assert named


def test_a_disk_that_does_not_sync_shows_nothing_new_and_is_an_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = following(tmp_path)
    before = two.tables(two.b)
    two.add(two.a, "things", "three", bulk=BULK)
    two.clock.forward(INTERVAL_S)
    two.turn(two.a)

    def fails(handle: int) -> None:
        raise OSError(errno.EIO, "the disk does not sync")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fails)
        with pytest.raises(OSError, match="does not sync"):
            two.turn(two.b)  # the report cannot be written either
        assert two.tables(two.b) == before
        assert "DISK" in alarms(two)
        two.clock.forward(INTERVAL_S)
        two.add(two.a, "marks", "y")
        with pytest.raises(OSError, match="does not sync"):
            two.turn(two.a)
        assert two.a.backup.rounds()[-1].state == "DROPPED"
        assert "does not sync" in two.a.backup.rounds()[-1].error
    two.settle()
    assert two.tables(two.b) == two.tables(two.a)
    assert two.rows(two.b, "marks") == ["x", "y"]
    assert alarms(two) == []


def test_a_cut_line_is_caught_up_with_once_it_is_mended(tmp_path: Path) -> None:
    two = following(tmp_path)
    two.cut_link()
    for number in range(3):
        two.add(two.a, "things", f"n{number}")
        two.settle()
    assert two.rows(two.b, "things") == ["one", "two"]
    two.mend_link()
    two.settle()
    assert two.tables(two.b) == two.tables(two.a)
    assert len(two.rows(two.b, "things")) == 5
    assert alarms(two) == []


class Jumping(HandClock):
    """The clock of a site, which a person set wrong by `off`."""

    def __init__(self, right: HandClock, off: timedelta) -> None:
        super().__init__()
        self._right, self._off = right, off

    def now(self):  # type: ignore[no-untyped-def]
        return self._right.now() + self._off


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize("name", ["a", "b"])
def test_a_clock_that_jumps_by_an_hour_costs_at_most_one_round(tmp_path: Path, name: str, hours: int) -> None:
    two = following(tmp_path)
    getattr(two, name).close()
    setattr(two, name, open_site(two.folder, name, Jumping(two.clock, timedelta(hours=hours))))
    two.add(two.a, "things", "after the jump")
    for _ in range(2):
        two.settle()
    assert two.tables(two.b) == two.tables(two.a)
    assert alarms(two) == []
    rounds = two.a.backup.rounds()
    assert [row.key for row in rounds] == sorted({row.key for row in rounds}), "keys go on growing"
    two.reopen(getattr(two, name))  # set right again
    two.add(two.a, "things", "after the mending")
    for _ in range(2):
        two.settle()
    assert two.tables(two.b) == two.tables(two.a)
    two.fail_over(two.b)
    two.add(two.b, "things", "at the new primary")
    two.settle()
    two.fail_back(two.a)
    two.settle()
    assert two.tables(two.a)["main.fleet.things"] == two.rows(two.b, "things")


def test_a_write_behind_the_fence_is_set_aside_and_never_shown(tmp_path: Path) -> None:
    two = following(tmp_path)
    before = two.tables(two.b)
    with pytest.raises(Refused, match="read-only here"):
        two.add(two.b, "things", "by the rules")
    dataset = lance.dataset(two.b.catalog.uri(full("things")))
    dataset.insert(batch("rogue"))
    dataset.delete("name = 'one'")
    assert two.tables(two.b) == before, "what is shown is a version, not the latest"
    told = two.settle()
    assert any("somebody wrote to the replica" in event for event in told), told
    two.add(two.a, "things", "three")
    two.settle()
    assert two.rows(two.b, "things") == ["one", "three", "two"] == two.rows(two.a, "things")
    lance.dataset(two.b.catalog.uri(full("things"))).insert(batch("rogue"))
    two.fail_over(two.b)
    assert two.rows(two.b, "things") == ["one", "three", "two"], "a rogue row does not come in by a failover"


def test_a_table_of_the_standbys_own_under_a_published_name_is_never_taken_away(tmp_path: Path) -> None:
    two = following(tmp_path)
    two.add(two.b, "own", "mine")
    two.add(two.a, "own", "theirs")
    two.clock.forward(INTERVAL_S)
    two.turn(two.a)
    for _ in range(3):
        with pytest.raises(Busy, match=r"main\.fleet\.own of this site is not the one that a replicates"):
            two.turn(two.b)
    assert two.rows(two.b, "own") == ["mine"]
    assert two.rows(two.b, "things") == ["one", "two"], "what was shown stays shown"
    two.b.catalog.rename(full("own"), full("kept"))
    two.settle()
    two.settle()
    assert two.rows(two.b, "own") == ["theirs"]
    assert two.rows(two.b, "kept") == ["mine"]
    assert alarms(two) == []


def test_two_primaries_never_write_one_history(tmp_path: Path) -> None:
    two = following(tmp_path)
    two.cut_link()
    two.fail_over(two.b)
    two.add(two.a, "things", "at a")
    two.add(two.b, "things", "at b")
    for site in (two.a, two.b):
        two.clock.forward(INTERVAL_S)
        two.turn(site)
    assert two.roles() == ("primary", "primary")
    two.mend_link()
    two.settle()
    assert two.roles() == ("fenced", "primary")
    with pytest.raises(Refused, match="another site took over"):
        two.add(two.a, "things", "more")
    (parted, kept) = two.fail_back(two.a)[0]
    two.settle()
    assert (str(parted.name), two.rows(two.a, str(kept))) == ("main.fleet.things", ["at a", "one", "two"])
    assert two.rows(two.a, "things") == two.rows(two.b, "things") == ["at b", "one", "two"]
