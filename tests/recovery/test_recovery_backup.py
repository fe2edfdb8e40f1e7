from __future__ import annotations

import errno
import os
from datetime import timedelta
from pathlib import Path

import pytest

from isthmus.core.errors import Busy, Diverged, InputError
from isthmus.core.position import Position
from isthmus.recovery import rounds as rows
from isthmus.recovery.backup import BackupSettings, Published, Round
from isthmus.transfer.memory import MemoryCarrier
from primary_kills import (
    CONFIRM,
    FAIL,
    ROUND,
    as_if,
    check_killed_confirmation,
    check_killed_failure,
    check_killed_round,
    really,
)
from primary_site import A, B, Primary, batch, carried, filled, same_rows


def taken(site: Primary, **asked: object) -> Round:
    found = site.backup.round(**asked)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_the_first_round_is_full_and_the_next_lead_on_from_it(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    table = filled(site.catalog, A)
    first = taken(site)
    site.clock.forward(90)
    table.append([batch(range(50, 53))])
    second = taken(site)
    assert (first.full, first.prior, first.key, first.first_seq) == (True, "", "20260301_120000", 2)
    assert (second.full, second.prior, second.key) == (False, first.key, "20260301_120130")
    assert second.first_seq == first.last_seq + 1
    assert (second.tables, second.rows, second.error) == (1, 23, "")
    assert [row.state for row in site.backup.rounds()] == ["SEND", "SEND"]
    assert site.backup.rounds() == [first, second]
    assert site.tags() == [f"recovery-{first.key}", f"recovery-{second.key}"]


def test_where_nothing_changed_a_round_moves_the_moment_and_carries_almost_nothing(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    filled(site.catalog, A)
    sender, receiver = site.pair(MemoryCarrier())
    taken(site)
    assert carried(sender, receiver, site.backup) == []
    site.clock.forward(60)
    second = taken(site)
    assert (second.bytes, second.files, second.last_seq - second.first_seq) == (0, 0, 0)
    assert carried(sender, receiver, site.backup) == []
    assert site.target.barrier is not None
    assert site.target.barrier.at == second.at == site.clock.now()


def test_nothing_published_is_no_round_until_something_was(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    assert site.backup.round() is None
    assert site.backup.rounds() == []
    filled(site.catalog, A)
    taken(site)
    site.published = list
    assert taken(site).tables == 0


def test_a_rename_a_grant_and_a_distribution_carry_no_content(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    table = filled(site.catalog, A, 200)
    sender, receiver = site.pair(MemoryCarrier())
    taken(site)
    site.catalog.rename(A, B)
    renamed = taken(site)
    site.published = lambda: [Published(str(B), "hash(id)", (("ann", "select"),))]
    granted = taken(site)
    assert carried(sender, receiver, site.backup) == []
    assert (renamed.files, renamed.bytes) == (0, 0)
    assert (granted.files, granted.bytes) == (0, 0)
    shown = site.target.barrier
    assert shown is not None
    assert [(one.name, one.distribution, one.grants) for one in shown.tables.values()] == [
        (str(B), "hash(id)", (("ann", "select"),))
    ]
    assert list(shown.tables) == [table.identity]


def test_a_table_dropped_and_made_again_is_another_table(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    old = filled(site.catalog, A)
    sender, receiver = site.pair(MemoryCarrier())
    taken(site)
    site.catalog.drop(A)
    new = filled(site.catalog, A, 30)
    taken(site)
    assert carried(sender, receiver, site.backup) == []
    assert site.target.barrier is not None
    assert list(site.target.barrier.tables) == [new.identity] != [old.identity]
    assert same_rows(site.target.restore(tmp_path / "out")[str(A)], new)


def test_compaction_and_a_small_change_carry_only_new_files(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    table = filled(site.catalog, A, 2000)
    first = taken(site)
    table.append([batch([9000])])
    small = taken(site)
    assert small.bytes < first.bytes / 10
    before = site.backup.barrier()
    table.compact()
    compacted = taken(site)
    after = site.backup.barrier()
    assert before is not None
    assert after is not None
    new = after.contents().keys() - before.contents().keys()
    assert compacted.files == len(new)
    assert compacted.bytes == sum(after.contents()[one] for one in new)


def test_contents_that_the_standby_holds_are_left_out_of_a_full_round(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    table = filled(site.catalog, A, 500)
    sender, receiver = site.pair(MemoryCarrier())
    first = taken(site)
    assert carried(sender, receiver, site.backup) == []
    table.append([batch(range(900, 905))])
    second = taken(site, full=True, known=list(site.target.contents), event="switchover")
    assert second.full
    assert second.bytes < first.bytes / 4
    assert carried(sender, receiver, site.backup) == []
    assert site.target.events == ["", "switchover"]
    assert same_rows(site.target.restore(tmp_path / "out")[str(A)], table)


def test_two_rounds_are_never_taken_at_once(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    filled(site.catalog, A)
    other = Primary(tmp_path)
    refused = []

    def second(told: str) -> None:
        if told == "backup linked":
            with pytest.raises(Busy, match="already under way"):
                other.backup.round()
            refused.append(told)

    site.step = second
    taken(site)
    assert refused
    assert len(site.backup.rounds()) == 1


def test_keys_grow_with_the_rounds_though_the_clock_stands_or_goes_back(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    filled(site.catalog, A)
    keys = [taken(site).key for _ in range(3)]
    site.clock.forward(-1)
    keys += [taken(site).key for _ in range(2)]
    assert keys == [f"20260301_{time}" for time in ("120000", "120001", "120002", "120003", "120004")]


def test_what_the_standby_confirmed_is_let_go(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    table = filled(site.catalog, A)
    rounds = []
    for number in range(3):
        table.append([batch([100 + number])])
        rounds.append(taken(site))
        site.clock.forward(60)
    site.backup.sent(Position(1, rounds[0].last_seq))
    assert [row.state for row in site.backup.rounds()] == ["CONFIRM", "SEND", "SEND"]
    part = site.backup.source.after(site.backup.source.snapshot().until, 1)
    assert part is not None
    site.backup.confirm(site.backup.source.after(part.until, 1).until)  # type: ignore[union-attr]
    assert [row.state for row in site.backup.rounds()] == ["FINISH", "FINISH", "SEND"]
    assert site.staged() == [rounds[2].key]
    assert site.tags() == [f"recovery-{rounds[2].key}"]
    assert all(row.ended == site.clock.now() for row in site.backup.rounds()[:2])
    with pytest.raises(Diverged):
        site.backup.confirm(Position(1, rounds[2].last_seq))
    for order in ((1, 99), (2, 0)):
        with pytest.raises(Diverged):
            site.backup.confirm(Position(*order))
    assert site.staged() == [rounds[2].key]


def test_pins_go_after_their_lease_once_the_carrier_has_the_round(tmp_path: Path) -> None:
    site = Primary(tmp_path, lease_s=100.0)
    filled(site.catalog, A)
    taken(site)
    now = site.clock.now()
    site.backup.expire(now + timedelta(seconds=200))
    assert site.staged()
    site.backup.sent(site.backup.source.position())
    site.backup.expire(now + timedelta(seconds=99))
    assert site.staged()
    site.backup.expire(now + timedelta(seconds=100))
    assert (site.staged(), site.tags()) == ([], [])
    assert taken(site).prior
    forever = Primary(tmp_path, lease_s=0.0)
    forever.backup.sent(forever.backup.source.position())
    forever.backup.expire(now + timedelta(days=9999))
    assert forever.staged()


def test_only_so_many_unconfirmed_rounds_are_kept_and_then_a_full_one_follows(tmp_path: Path) -> None:
    site = Primary(tmp_path, local_reserve=2)
    table = filled(site.catalog, A)
    for number in range(3):
        assert taken(site).full is (number == 0)
        table.append([batch([100 + number])])
    assert [row.state for row in site.backup.rounds()] == ["FINISH", "SEND", "SEND"]
    assert "let go before it was sent" in site.backup.full_due
    assert taken(site).full
    assert [row.state for row in site.backup.rounds()] == ["FINISH", "FINISH", "FINISH", "SEND"]
    assert len(site.staged()) == 1


@pytest.mark.parametrize("reserve", [0, 1, 3, 5])
def test_never_more_rounds_are_kept_than_are_to_be(tmp_path: Path, reserve: int) -> None:
    site = Primary(tmp_path, local_reserve=reserve)
    filled(site.catalog, A)
    for count in range(1, 6):
        taken(site)
        site.backup.sent(site.backup.source.position())
        assert len(site.staged()) == (min(count, reserve) if reserve else count)


def test_the_list_of_rounds_forgets_the_eldest_that_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "REMEMBERED", 2)
    site = Primary(tmp_path)
    table = filled(site.catalog, A)
    for number in range(5):
        table.append([batch([100 + number])])
        last = taken(site)
        site.backup.confirm(site.backup.source.position())
    kept = site.backup.rounds()
    assert [row.state for row in kept] == ["FINISH", "FINISH"]
    assert kept[-1].key == last.key
    with pytest.raises(InputError, match="does not know"):
        site.backup.source.after(Position(1, 2), 1)
    assert taken(site).prior == last.key


def test_rounds_that_the_carrier_has_make_room_without_a_full_one(tmp_path: Path) -> None:
    site = Primary(tmp_path, local_reserve=2)
    table = filled(site.catalog, A)
    for number in range(5):
        assert taken(site).full is (number == 0)
        site.backup.sent(site.backup.source.position())
        table.append([batch([100 + number])])
    assert len(site.staged()) == 2
    assert not site.backup.full_due


def test_an_epoch_begins_at_zero_with_a_full_round(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    table = filled(site.catalog, A)
    sender, receiver = site.pair(MemoryCarrier())
    taken(site)
    taken(site)
    assert carried(sender, receiver, site.backup) == []
    site.backup.begin_epoch(1)
    assert site.backup.source.position().epoch == 1
    site.backup.begin_epoch(3)
    assert site.backup.source.position() == Position(3, 0)
    assert (site.staged(), site.tags()) == ([], [])
    table.append([batch([700])])
    third = taken(site)
    assert (third.full, third.epoch, third.first_seq) == (True, 3, 2)
    assert carried(sender, receiver, site.backup) == []
    assert site.target.standing == site.backup.source.position()
    assert same_rows(site.target.restore(tmp_path / "out")[str(A)], table)
    with pytest.raises(InputError, match="was ended"):
        site.backup.begin_epoch(2)


def test_a_snapshot_asked_for_during_a_round_makes_that_round_a_full_one(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    filled(site.catalog, A)
    first = taken(site)
    site.backup.confirm(Position(1, first.last_seq, site.backup.source.position().digest))
    asked: list[Position] = []

    def ask(told: str) -> None:
        if told == "backup staged" and not asked:
            asked.append(site.backup.source.snapshot().until)

    site.step = ask
    found = taken(site)
    assert found.full
    assert found.first_seq == asked[0].seq + 1
    assert [row.state for row in site.backup.rounds()] == ["FINISH", "DROPPED", "SEND"]
    assert "overtaken" in site.backup.rounds()[1].error
    assert site.staged() == [found.key]


@pytest.mark.parametrize("at", ["backup cut", "backup pinned", "backup linked", "backup proven", "backup staged"])
def test_a_full_disk_fails_the_round_leaves_nothing_and_the_next_succeeds(tmp_path: Path, at: str) -> None:
    site = Primary(tmp_path)
    filled(site.catalog, A)

    def full(told: str) -> None:
        if told == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    site.step = full
    with pytest.raises(OSError, match="No space left"):
        site.backup.round()
    assert (site.staged(), site.tags()) == ([], [])
    (failed,) = site.backup.rounds()
    assert failed.state == "DROPPED"
    assert "No space left" in failed.error
    site.step = lambda told: None
    assert taken(site).full


def test_settings_that_mean_nothing_are_refused() -> None:
    for wrong in ({"part_bytes": 0}, {"local_reserve": -1}, {"lease_s": -1.0}, {"width": 0}, {"most_tries": 0}):
        with pytest.raises(ValueError, match="negative"):
            BackupSettings(**wrong)  # type: ignore[arg-type]


def test_tags_of_others_and_of_another_stream_stay(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    table = filled(site.catalog, A)
    for tag in ("mine", "recovery-x", "other-20260301_120000"):
        table.pin(tag)
    table.pin("recovery-20200101_000000")  # of a round that nobody knows
    taken(site)
    site.backup.confirm(site.backup.source.position())
    assert site.tags() == ["mine", "other-20260301_120000", "recovery-x"]


@pytest.mark.parametrize("at", ROUND)
def test_a_round_that_dies_at_any_step_is_finished_or_rolled_back_by_the_next(tmp_path: Path, at: str) -> None:
    check_killed_round(tmp_path, at, as_if)


@pytest.mark.parametrize("at", CONFIRM)
def test_a_confirmation_that_dies_at_any_step_lets_everything_go_at_last(tmp_path: Path, at: str) -> None:
    check_killed_confirmation(tmp_path, at, as_if)


@pytest.mark.parametrize("at", FAIL)
def test_a_failed_round_that_dies_while_it_is_rolled_back_leaves_nothing(tmp_path: Path, at: str) -> None:
    check_killed_failure(tmp_path, at, as_if)


@pytest.mark.parametrize("at", ["linked#3", "sealed"])
def test_a_round_that_is_killed_is_finished_or_rolled_back_by_the_next(tmp_path: Path, at: str) -> None:
    check_killed_round(tmp_path, at, really)


def test_a_confirmation_that_is_killed_lets_everything_go_at_last(tmp_path: Path) -> None:
    check_killed_confirmation(tmp_path, "unpinned#2", really)


def test_a_failed_round_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    check_killed_failure(tmp_path, "freed", really)
