"""Changes of role of two sites: what is lost, what travels, who writes, and how both come to one story again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lance
import pytest

from isthmus.app.recovery import roles
from isthmus.app.recovery.site import RecoverySite
from isthmus.core.errors import Busy, InputError, Refused
from isthmus.recovery import publications
from isthmus.recovery.barrier import moment_of
from isthmus.recovery.eligibility import opt_in, opted
from isthmus.recovery.objects import Object
from isthmus.warehouse import fence as fences
from recovery_pair import INTERVAL_S, SCHEMA, Two, batch, full, open_site

KILO = 1 << 10
THINGS = "main.fleet.things"


def in_soak(*steps: str) -> list[Any]:
    """Take these only in the soak."""
    return [pytest.param(step, marks=pytest.mark.soak) for step in steps]


class Died(BaseException):
    """Stands for the end of a process at a step."""


def dies_at(site: RecoverySite, name: str) -> None:
    """Let a site die at a step; reopen it to go on."""

    def step(told: str) -> None:
        if told == name:
            raise Died(name)

    site.step = step


def same(two: Two) -> None:
    """Both sites show the same tables, and these are sound."""
    left, right = two.tables(two.a), two.tables(two.b)
    kept = {name for name in (*left, *right) if ".quarantine." in name}
    assert {name: rows for name, rows in left.items() if name not in kept} == {
        name: rows for name, rows in right.items() if name not in kept
    }


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Two:
    """Two sites that hold the same: a is the primary of things (one, two) and words (w)."""
    made = Two(tmp_path_factory.mktemp("settled"))
    made.add(made.a, "things", "one", "two")
    made.add(made.a, "words", "w")
    made.settle()
    same(made)
    assert made.roles() == ("primary", "standby")
    made.close()
    return made


@pytest.fixture
def two(settled: Two, tmp_path: Path) -> Iterator[Two]:
    """A copy of the two sites."""
    made = Two(tmp_path, like=settled)
    yield made
    made.close()


def apart(two: Two) -> None:
    """Cut the link, let b take over, and let both write."""
    two.cut_link()
    two.add(two.a, "things", "lost")
    two.fail_over(two.b)
    two.add(two.b, "things", "new")


def test_a_switchover_loses_nothing_and_goes_there_and_back(two: Two) -> None:
    two.add(two.a, "things", "just before")
    two.switch_over(two.a)
    assert two.roles() == ("standby", "primary")
    assert two.rows(two.b, "things") == ["just before", "one", "two"]
    two.add(two.b, "things", "at b")
    two.settle()
    same(two)
    two.add(two.b, "words", "v")
    two.switch_over(two.b)
    assert two.roles() == ("primary", "standby")
    assert two.a.pair.fence.epoch == 3
    two.add(two.a, "things", "at a")
    two.settle()
    same(two)
    assert two.rows(two.b, "things") == ["at a", "at b", "just before", "one", "two"]
    assert two.rows(two.b, "words") == ["v", "w"]


def test_a_site_that_hands_back_within_the_second_does_not_take_over_from_its_own_round(two: Two) -> None:
    two.switch_over(two.a)
    two.carry()
    handed, none = two.a.backup.rounds()[-1].key, two.b.backup.rounds()
    assert not none
    two.clock.at = moment_of(handed)  # rounds that come faster than a second each are named ahead of the clock
    two.switch_over(two.b)
    assert two.b.backup.rounds()[-1].key == handed
    two.settle()
    assert two.roles() == ("primary", "standby")
    same(two)


def test_writers_are_refused_while_a_switchover_lasts_and_then_let_in_at_the_other_side(two: Two) -> None:
    two.a.turnover.hand_over()
    with pytest.raises(Refused, match=r"things is not written now: a switchover hands the tables over"):
        two.add(two.a, "things", "late")
    with pytest.raises(Refused, match="replicated from a and read-only here"):
        two.add(two.b, "things", "early")
    two.settle()
    assert two.roles() == ("standby", "primary")
    with pytest.raises(Refused, match="replicated from b and read-only here"):
        two.add(two.a, "things", "late")
    two.add(two.b, "things", "in time")
    two.settle()
    assert two.rows(two.a, "things") == ["in time", "one", "two"]


def test_a_switchover_needs_a_standby_that_follows_and_tells_what_is_wrong(two: Two) -> None:
    with pytest.raises(Refused, match="this site is standby: only a primary hands over"):
        two.switch_over(two.b)
    apart(two)
    two.mend_link()
    with pytest.raises(Refused, match="a does not follow this site now"):
        two.switch_over(two.b)


def test_a_switchover_that_nobody_answers_goes_on_by_itself_later(two: Two) -> None:
    two.cut_link()
    two.add(two.a, "things", "three")
    with pytest.raises(Busy, match="b has not taken over yet"):
        roles.switch_over(two.a, 0.0, lambda said: None, lambda seconds: None)
    assert two.roles() == ("yielding", "standby")
    two.mend_link()
    two.settle()
    assert two.roles() == ("standby", "primary")
    assert two.rows(two.b, "things") == ["one", "three", "two"]


def test_a_switchover_is_given_up_before_its_round_has_left_and_not_after(two: Two) -> None:
    two.a.turnover.hand_over()
    two.a.turnover.give_up()
    two.add(two.a, "things", "let in again")
    two.settle()
    assert two.roles() == ("primary", "standby")
    two.cut_link()
    two.a.turnover.hand_over()
    two.turn(two.a)
    with pytest.raises(Refused, match=r"round \d{8}_\d{6} hands the tables over and may have arrived"):
        two.a.turnover.give_up()
    two.mend_link()
    two.settle()
    assert two.roles() == ("standby", "primary")
    assert two.rows(two.b, "things") == ["let in again", "one", "two"]


@pytest.mark.parametrize("step", ["switchover sealed", *in_soak("outbound recorded", "gate renamed")])
def test_a_round_that_was_sealed_before_a_crash_cannot_be_given_up(two: Two, step: str) -> None:
    two.a.turnover.hand_over()
    dies_at(two.a, step)
    with pytest.raises(Died):
        two.turn(two.a)
    two.reopen(two.a)
    with pytest.raises(Refused, match="hands the tables over"):
        two.a.turnover.give_up()
    two.settle()
    assert two.roles() == ("standby", "primary")
    same(two)


def test_where_the_successor_is_lost_the_site_that_yielded_takes_its_tables_back(two: Two) -> None:
    two.a.turnover.hand_over()
    two.turn(two.a)
    two.turn(two.b)  # b takes over, and its report is lost with it
    assert two.roles() == ("yielding", "primary")
    shutil.rmtree(two.folder / "b" / "out")
    (two.folder / "b" / "out").mkdir()
    for report in (two.folder / "a" / "in").glob("*report*"):
        report.unlink()
    assert "primary of epoch 3" in two.fail_over(two.a)
    two.add(two.a, "things", "back")
    two.settle()
    assert two.roles() == ("primary", "fenced")
    two.fail_back(two.b)
    two.settle()
    same(two)


def test_a_failover_loses_what_came_after_the_last_round_and_says_so(two: Two) -> None:
    shown = two.b.landing.barrier()
    assert shown is not None
    apart(two)
    assert two.rows(two.b, "things") == ["new", "one", "two"]
    said = next(row for row in two.b.audit.entries() if row.act == "failover").detail
    assert said.startswith(f"it goes on from {shown.key}, taken {shown.at:%Y-%m-%d %H:%M:%S} UTC; later writes")


def test_a_failover_names_the_rounds_it_knows_of_and_never_shows_half_of_one(tmp_path: Path) -> None:
    two = Two(tmp_path, "part_mb = 0.01")
    two.add(two.a, "things", "one")
    two.add(two.a, "words", "w")
    two.settle()
    two.add(two.a, "things", *(f"big {number}" for number in range(40)), bulk=KILO)
    two.add(two.a, "words", "v")
    two.cut_link()
    two.a.pair.back_up()
    parts = sorted(two.folder.glob("a/out/*.tar"))[-4:]
    assert len(parts) == 4 and all("snapshot" not in part.name for part in parts)
    for part in parts[1:-1]:  # the first and the last part are still on their way
        shutil.copy(part, two.folder / "b" / "in")
    for report in two.folder.glob("a/out/*report*"):
        shutil.copy(report, two.folder / "b" / "in")
    two.turn(two.b)
    loss = roles.loss_of(two.b)
    assert loss.behind and loss.unfinished == 2 and loss.latest > loss.shown
    assert re.search(
        r"\d+ parts are known that were sent after it \(2 had come\); the primary is known to have", str(loss)
    )
    two.fail_over(two.b)
    assert two.tables(two.b) == {"main.fleet.things": ["one"], "main.fleet.words": ["w"]}
    two.add(two.b, "things", "new")
    two.mend_link()
    two.settle()
    assert two.roles() == ("fenced", "primary")
    two.fail_back(two.a)
    two.settle()
    assert two.rows(two.a, "things") == two.rows(two.b, "things") == ["new", "one"]


def test_a_site_to_which_no_round_ever_came_does_not_take_over(tmp_path: Path) -> None:
    two = Two(tmp_path)
    two.add(two.a, "things", "one")
    two.cut_link()
    two.settle()
    with pytest.raises(Refused, match="no round had come whole"):
        two.fail_over(two.b)
    with pytest.raises(Refused, match="this site is the primary already"):
        two.fail_over(two.a)


def test_the_old_primary_writes_until_it_hears_of_the_epoch_and_then_no_more(two: Two) -> None:
    apart(two)
    two.turn(two.a)
    two.add(two.a, "things", "still")
    two.mend_link()
    two.turn(two.b)
    two.turn(two.a)
    with pytest.raises(Refused, match=r"another site took over .*: main.fleet.things is not written"):
        two.add(two.a, "things", "late")
    with pytest.raises(InputError, match="this site is fenced: it takes no rounds"):
        two.a.pair.back_up()
    two.settle()
    assert two.rows(two.b, "things") == ["new", "one", "two"]


def test_a_failback_keeps_aside_what_the_old_primary_had_alone(two: Two) -> None:
    apart(two)
    two.mend_link()
    two.settle()
    found = two.fail_back(two.a)
    assert [str(one.name) for one, _ in found] == ["main.fleet.things"]
    kept = str(found[0][1])
    assert kept.startswith("main.quarantine.fleet_things_")
    two.settle()
    same(two)
    assert two.rows(two.a, "things") == ["new", "one", "two"]
    assert two.rows(two.a, kept) == ["lost", "one", "two"]
    assert kept not in two.tables(two.b)
    two.add(two.a, kept, "a table like any other")


def test_a_failback_waits_for_a_primary_and_for_what_it_holds(two: Two) -> None:
    with pytest.raises(Refused, match="b was not heard of as the primary of a later epoch"):
        two.fail_back(two.a)
    apart(two)
    two.mend_link()
    two.turn(two.b)
    for file in (two.folder / "a" / "in").glob("*inventory*"):
        file.unlink()
    with pytest.raises(Refused, match="the inventory of b has not come"):
        two.fail_back(two.a)


def written_alone(two: Two, site: RecoverySite, table: str, before: set[Path]) -> int:
    """Bytes of the files of a table that were not there before."""
    folder = Path(site.catalog.uri(full(table)).removeprefix("file://"))
    return sum(file.stat().st_size for file in set(folder.rglob("*")) - before if file.is_file())


def test_a_failback_moves_the_divergence_alone(tmp_path: Path) -> None:
    two = Two(tmp_path)
    two.add(two.a, "things", *(f"old {number}" for number in range(400)), bulk=4 * KILO)
    two.add(two.a, "words", *(f"word {number}" for number in range(200)), bulk=4 * KILO)
    two.settle()
    apart(two)
    before = set(two.folder.glob("b/warehouse/**/*"))
    two.add(two.b, "things", *(f"new {number}" for number in range(50)), bulk=4 * KILO)
    two.mend_link()
    two.settle()
    divergence = written_alone(two, two.b, "things", before)
    sent = two.sent["b"]
    two.fail_back(two.a)
    two.settle()
    same(two)
    travelled = two.sent["b"] - sent
    (row,) = two.b.backup.rounds()
    assert row.full and row.bytes <= 1.1 * divergence
    assert 50 * 4 * KILO < travelled <= 1.1 * divergence + 64 * KILO, (travelled, divergence)


def test_a_second_failback_keeps_aside_what_was_alone_then(two: Two) -> None:
    kept = []
    for turn in range(2):
        two.cut_link()
        two.add(two.a, "things", f"lost {turn}")
        two.fail_over(two.b)
        two.add(two.b, "things", f"new {turn}")
        two.mend_link()
        two.settle()
        dies_at(two.a, "follow fenced")
        with pytest.raises(Died):
            two.fail_back(two.a)
        two.reopen(two.a)
        two.settle()
        kept = [name for name in two.tables(two.a) if ".quarantine." in name]
        assert len(kept) == turn + 1
        two.switch_over(two.b)
        assert two.roles() == ("primary", "standby")
    assert two.rows(two.a, kept[1]) == ["lost 1", "new 0", "one", "two"]
    same(two)


def test_failover_again_and_again_each_time_from_the_site_that_is_left(two: Two) -> None:
    for turn in range(2):
        for dead, left in ((two.a, two.b), (two.b, two.a)):
            two.cut_link()
            two.fail_over(left)
            two.add(left, "things", f"{left.config.site.name} {turn}")
            two.mend_link()
            two.settle()
            assert dead.pair.fence.role == "fenced"
            assert two.fail_back(dead) == []
            two.settle()
            same(two)
    assert two.a.pair.fence.epoch == two.b.pair.fence.epoch == 5
    assert len(two.rows(two.b, "things")) == 6


def test_two_primaries_of_one_epoch_are_fenced_until_a_person_decides(two: Two) -> None:
    apart(two)
    fences.write(two.a.root, replace(two.a.pair.fence, epoch=2))  # as no command makes it
    for site in (two.a, two.b):
        two.turn(site)  # both say that they are the primary before they hear of each other
    two.mend_link()
    two.carry()
    two.cut_link()
    for site in (two.a, two.b):
        two.turn(site)
        with pytest.raises(Refused, match="another site took over"):
            two.add(site, "things", "nobody's")
    two.mend_link()
    two.settle()
    assert two.roles() == ("fenced", "fenced")
    assert "what the other site wrote since it took over is not here" in str(roles.loss_of(two.a))
    two.fail_over(two.a)
    assert len(publications.publications(two.a.store)[0].objects) == 1
    two.settle()
    assert two.roles() == ("primary", "fenced")
    found = two.fail_back(two.b)
    two.settle()
    same(two)
    assert two.rows(two.b, "things") == ["lost", "one", "two"]
    assert two.rows(two.b, str(found[0][1])) == ["new", "one", "two"]
    assert two.rows(two.b, "words") == ["w"]


def test_two_failovers_at_once_end_with_the_later_epoch_and_nothing_overwritten(two: Two) -> None:
    apart(two)
    two.mend_link()
    two.turn(two.b)
    two.turn(two.a)
    assert two.roles() == ("fenced", "primary")
    two.cut_link()
    two.fail_over(two.a)
    two.add(two.a, "things", "a again")
    two.add(two.b, "things", "b still")
    two.mend_link()
    two.settle()
    assert two.roles() == ("primary", "fenced")
    ((_, kept),) = two.fail_back(two.b)
    two.settle()
    same(two)
    assert two.rows(two.a, "things") == ["a again", "lost", "one", "two"]
    assert two.rows(two.b, str(kept)) == ["b still", "new", "one", "two"]


def put_back(two: Two, name: str, saved: Path) -> None:
    """Let a site's disk be what it was when it was saved."""
    getattr(two, name).close()
    for part in ("warehouse", "state"):
        shutil.rmtree(two.folder / name / part)
        shutil.copytree(saved / part, two.folder / name / part)
    setattr(two, name, open_site(two.folder, name, two.clock))


def saved(two: Two, name: str) -> Path:
    """Copy a site's disk."""
    place = two.folder / f"{name}-saved"
    for part in ("warehouse", "state"):
        shutil.copytree(two.folder / name / part, place / part)
    return place


def test_a_primary_put_back_to_an_old_disk_does_not_overwrite_what_the_standby_has(two: Two) -> None:
    disk = saved(two, "a")
    two.add(two.a, "things", "three")
    two.settle()
    put_back(two, "a", disk)
    two.add(two.a, "things", "other")
    two.settle()
    assert two.roles() == ("fenced", "standby")
    assert any("which was never sent from here" in said for said in two.told)
    assert two.rows(two.b, "things") == ["one", "three", "two"]
    two.fail_over(two.b)
    two.settle()
    ((_, kept),) = two.fail_back(two.a)
    two.settle()
    same(two)
    assert two.rows(two.a, "things") == ["one", "three", "two"]
    assert two.rows(two.a, str(kept)) == ["one", "other", "two"]


def test_an_old_primary_that_comes_back_after_two_changes_of_role_is_fenced(two: Two) -> None:
    disk = saved(two, "a")
    two.switch_over(two.a)
    two.settle()
    two.switch_over(two.b)
    two.add(two.a, "things", "three")
    two.settle()
    put_back(two, "a", disk)  # epoch 1, where b follows epoch 3
    two.settle()
    assert two.roles() == ("fenced", "standby")
    two.fail_over(two.b)
    two.settle()
    two.fail_back(two.a)
    two.settle()
    same(two)
    assert two.rows(two.a, "things") == ["one", "three", "two"]


def test_a_standby_put_back_to_an_old_disk_catches_up(two: Two) -> None:
    disk = saved(two, "b")
    for name in ("three", "four"):
        two.add(two.a, "things", name)
        two.settle()
    put_back(two, "b", disk)
    two.add(two.a, "things", "five")
    two.settle()
    two.settle()
    assert two.roles() == ("primary", "standby")
    same(two)


def test_a_primary_whose_standby_became_primary_on_an_old_disk_is_told_of_it(two: Two) -> None:
    disk = saved(two, "b")
    two.cut_link()
    two.fail_over(two.b)
    two.add(two.b, "things", "first life")
    two.mend_link()
    two.settle()
    two.fail_back(two.a)
    two.settle()
    put_back(two, "b", disk)
    assert str(roles.loss_of(two.b)).endswith(
        "a holds more than this site, which was put back: let it take over instead"
    )
    put_back(two, "b", disk)  # so that it forgets what it just heard
    two.cut_link()
    for report in (two.folder / "b" / "in").iterdir():
        report.unlink()  # nothing tells it of what has been
    two.fail_over(two.b)  # epoch 2 once more, of another history
    two.add(two.b, "things", "second life")
    two.mend_link()
    two.settle()
    assert two.roles() == ("standby", "fenced")
    assert two.rows(two.a, "things") == ["first life", "one", "two"]
    two.fail_over(two.a)
    two.settle()
    two.fail_back(two.b)
    two.settle()
    same(two)


def test_leaving_needs_both_to_have_stopped_and_makes_all_writable(two: Two) -> None:
    with pytest.raises(Refused, match="the rounds have not been stopped: this site is primary"):
        roles.leave(two.a)
    with pytest.raises(Refused, match="the rounds have not been stopped: this site is standby"):
        roles.leave(two.b)
    two.a.notes.put(**{"backup stopped": "yes"})
    two.b.notes.put(**{"restore stopped": "yes"})
    roles.leave(two.b)
    roles.leave(two.a)
    assert two.roles() == ("independent", "independent")
    two.add(two.a, "things", "a's")
    two.add(two.b, "things", "b's")
    for site in (two.a, two.b):
        left = [file for file in site.folder.rglob("*") if file.is_file() and not file.name.startswith(".")]
        assert [file for file in left if file.suffix not in (".sqlite", "")] == []
    assert not list(two.folder.glob("a/warehouse/**/_refs/tags/*.json"))
    two.settle()
    assert two.roles() == ("independent", "independent")
    roles.leave(two.a)
    two.a.notes.put(left="")
    with pytest.raises(InputError, match="this site is independent already"):
        roles.leave(two.a)


def test_a_pair_that_parted_comes_together_again_and_overwrites_nothing(two: Two) -> None:
    two.a.notes.put(**{"backup stopped": "yes"})
    two.b.notes.put(**{"restore stopped": "yes"})
    roles.leave(two.b)
    roles.leave(two.a)
    two.add(two.b, "things", "b's")
    for site in (two.a, two.b):
        site.notes.put(**{"backup stopped": "", "restore stopped": "", "left": ""})
    two.settle()
    assert two.roles() == ("primary", "standby")
    same(two)
    assert two.rows(two.b, "things") == ["one", "two"]
    (kept,) = [one.what for one in two.b.landing.holding.findings() if (one.kind, one.name) == ("kept", THINGS)]
    assert sorted(lance.dataset(kept.partition("kept in ")[2]).to_table()["name"].to_pylist()) == [
        "b's",
        "one",
        "two",
    ]


def test_a_site_does_not_become_a_primary_beside_one_that_it_hears_of(two: Two) -> None:
    apart(two)
    two.mend_link()
    two.settle()
    roles.leave(two.a)  # fenced as it is
    two.a.notes.put(left="")
    with pytest.raises(Refused, match="the other site is the primary of epoch 2"):
        two.turn(two.a)
    assert two.roles() == ("independent", "primary")


def altered(two: Two, site: RecoverySite) -> None:
    """Make, rename, drop, and drop and make again: a table of each."""
    two.add(site, "fresh", "f")
    site.catalog.rename(full("words"), full("verbs"))
    two.add(site, "verbs", "v")
    site.catalog.drop(full("gone"))
    site.catalog.drop(full("again"))
    two.add(site, "again", "second")


def with_more(folder: Path) -> Two:
    """Two sites that hold the same four tables; what leaves the publication is dropped at the standby."""
    two = Two(folder, 'desync = "drop-desync-table"')
    for table, row in (("things", "one"), ("words", "w"), ("gone", "g"), ("again", "first")):
        two.add(two.a, table, row)
    two.settle()
    return two


@pytest.mark.parametrize("how", ["switchover", *in_soak("failover")])
def test_tables_made_renamed_and_dropped_between_come_along(tmp_path: Path, how: str) -> None:
    two = with_more(tmp_path)
    altered(two, two.a)
    if how == "switchover":
        two.switch_over(two.a)
    else:
        two.settle()
        two.cut_link()
        two.fail_over(two.b)
        two.mend_link()
        two.settle()
        assert two.fail_back(two.a) == []
    two.add(two.b, "again", "third")
    two.settle()
    same(two)
    assert two.tables(two.b) == {
        "main.fleet.again": ["second", "third"],
        "main.fleet.fresh": ["f"],
        "main.fleet.things": ["one"],
        "main.fleet.verbs": ["v", "w"],
    }
    two.switch_over(two.b)
    two.add(two.a, "verbs", "u")
    two.settle()
    same(two)


def test_tables_made_renamed_and_dropped_at_the_old_primary_alone_end_as_the_new_one_has_them(
    tmp_path: Path,
) -> None:
    two = with_more(tmp_path)
    two.cut_link()
    altered(two, two.a)
    two.fail_over(two.b)
    two.add(two.b, "gone", "h")
    two.add(two.b, "fresh", "of b")
    of_b = publications.publications(two.b.store)[0].name
    publications.alter(two.b.store, two.b.catalog, of_b, [Object.parse("main.fleet.fresh")])
    two.mend_link()
    two.settle()
    found = {str(one.name): str(kept) for one, kept in two.fail_back(two.a)}
    assert sorted(found) == ["main.fleet.again", "main.fleet.fresh", "main.fleet.verbs"]
    two.settle()
    same(two)
    assert two.tables(two.b) == {
        "main.fleet.again": ["first"],
        "main.fleet.fresh": ["of b"],
        "main.fleet.gone": ["g", "h"],
        "main.fleet.things": ["one"],
        "main.fleet.words": ["w"],
    }
    alone = {"main.fleet.again": ["second"], "main.fleet.fresh": ["f"], "main.fleet.verbs": ["v", "w"]}
    assert {name: two.rows(two.a, kept) for name, kept in found.items()} == alone


def test_publications_go_along_so_that_new_tables_are_published_wherever_the_primary_is(two: Two) -> None:
    publications.create(two.a.store, two.a.catalog, "words", [Object.parse("main.fleet.words")])
    two.b.catalog.create(full("own"), SCHEMA)
    opt_in(two.b.store, two.b.catalog, str(full("own")))  # and nothing publishes it there
    two.switch_over(two.a)
    assert [one.name for one in publications.publications(two.b.store)] == ["everything", "words"]
    assert str(full("own")) not in opted(two.b.store)
    two.add(two.b, "fresh", "f")
    two.settle()
    assert two.rows(two.a, "fresh") == ["f"]
    publications.drop(two.b.store, ["words"])
    two.settle()
    two.cut_link()
    two.fail_over(two.a)
    assert [one.name for one in publications.publications(two.a.store)] == ["everything"]
    assert full("own") in two.b.catalog.names() and full("own") not in two.a.catalog.names()


def test_a_table_that_is_not_published_stays_with_its_site_through_all_changes(two: Two) -> None:
    for site in (two.a, two.b):
        site.catalog.create(full("own"), SCHEMA)
        site.catalog.open(full("own")).append([batch(site.config.site.name)])
    two.switch_over(two.a)
    two.settle()
    apart_from_b = two.rows(two.b, "own")
    two.cut_link()
    two.fail_over(two.a)
    two.mend_link()
    two.settle()
    two.fail_back(two.b)
    two.settle()
    assert two.rows(two.a, "own") == ["a"] and two.rows(two.b, "own") == apart_from_b == ["b"]


@pytest.mark.parametrize(
    "step",
    ["landing collision placed", *in_soak("landing data placed", "landing manifest placed", "landing flipped")],
)
def test_a_failover_after_a_crash_in_the_middle_of_a_round_goes_on_from_the_whole_one(two: Two, step: str) -> None:
    two.add(two.a, "again", "first")
    two.settle()
    before = two.tables(two.b)
    two.a.catalog.drop(full("again"))
    two.add(two.a, "again", "second")
    two.add(two.a, "things", "three")
    two.a.catalog.rename(full("words"), full("verbs"))
    after = two.tables(two.a)
    two.clock.forward(INTERVAL_S)
    two.turn(two.a)
    dies_at(two.b, step)
    with pytest.raises(Died):
        two.turn(two.b)
    two.reopen(two.b)
    two.cut_link()
    two.fail_over(two.b)
    assert two.tables(two.b) in (before, after)
    two.add(two.b, "again", "new")
    two.add(two.b, "things", "new")
    two.mend_link()
    two.settle()
    two.fail_back(two.a)
    two.settle()
    same(two)


@pytest.mark.parametrize(
    "step", ["takeover noted", *in_soak("takeover rewound", "takeover fenced", "takeover settled")]
)
def test_a_takeover_that_is_cut_short_ends_by_turns_alone(two: Two, step: str) -> None:
    two.add(two.a, "things", "three")
    two.a.turnover.hand_over()
    two.turn(two.a)
    dies_at(two.b, step)
    with pytest.raises(Died):
        two.turn(two.b)
    two.reopen(two.b)
    two.settle()
    assert two.roles() == ("standby", "primary")
    two.add(two.b, "words", "v")
    two.settle()
    same(two)
    assert two.rows(two.a, "words") == ["v", "w"]
