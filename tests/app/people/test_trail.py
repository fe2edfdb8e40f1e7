from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.app.people.trail import Actor, Trail
from isthmus.core.errors import InputError
from isthmus.state.store import Store
from people_making import Hand

HERE = Actor("ada", "10.0.0.1")
TEXTS = st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=2, max_size=8)
FIELDS = ("at", "who", "act", "subject", "outcome", "address")


def open_for_all(store: Store) -> None:
    """Take away what keeps honest programs from changing the log."""
    with store.transaction() as own:
        own.execute("DROP TRIGGER trail_stays")
        own.execute("DROP TRIGGER trail_holds")


def logged(store: Store, acts: list[tuple[str, str]]) -> Trail:
    trail = Trail(store, Hand())
    for act, subject in acts:
        trail.note(HERE, act, subject)
    return trail


@given(TEXTS, st.data())
def test_a_line_that_is_removed_anywhere_is_found(acts: list[tuple[str, str]], data: st.DataObject) -> None:
    with Store(Path(":memory:")) as store:
        trail = logged(store, acts)
        assert trail.verify().faults == ()
        gone = data.draw(st.integers(1, len(acts)))
        open_for_all(store)
        with store.transaction() as own:
            own.execute("DELETE FROM trail WHERE number = ?", (gone,))
        assert trail.verify().faults == (f"line {gone} is missing",)


@given(TEXTS, st.data())
def test_a_line_that_is_changed_anywhere_is_found(acts: list[tuple[str, str]], data: st.DataObject) -> None:
    with Store(Path(":memory:")) as store:
        trail = logged(store, acts)
        number = data.draw(st.integers(1, len(acts)))
        field = data.draw(st.sampled_from(FIELDS))
        before = store.rows(f"SELECT {field} FROM trail WHERE number = ?", (number,))[0][0]
        text = data.draw(st.text(st.characters(codec="utf-8"), max_size=20).filter(lambda text: text != before))
        open_for_all(store)
        with store.transaction() as own:
            own.execute(f"UPDATE trail SET {field} = ? WHERE number = ?", (text, number))
        assert any(f"line {number} " in fault for fault in trail.verify().faults)


@given(TEXTS, st.data())
def test_lines_that_swapped_places_or_were_renumbered_are_found(
    acts: list[tuple[str, str]], data: st.DataObject
) -> None:
    with Store(Path(":memory:")) as store:
        trail = logged(store, acts)
        one = data.draw(st.integers(1, len(acts) - 1))
        open_for_all(store)
        with store.transaction() as own:
            own.execute("UPDATE trail SET number = 0 WHERE number = ?", (one,))
            own.execute("UPDATE trail SET number = ? WHERE number = ?", (one, one + 1))
            own.execute("UPDATE trail SET number = ? WHERE number = 0", (one + 1,))
        assert trail.verify().faults
        with store.transaction() as own:  # close the gap after a line was taken out
            own.execute("DELETE FROM trail WHERE number = ?", (one,))
            own.execute("UPDATE trail SET number = -number WHERE number > ?", (one,))
            own.execute("UPDATE trail SET number = -number - 1 WHERE number < 0")
        assert trail.verify().faults


def test_a_log_that_was_shortened_with_its_end_shows_against_a_head_noted_elsewhere() -> None:
    with Store(Path(":memory:")) as store:
        trail = logged(store, [("one", ""), ("two", ""), ("three", "")])
        noted = trail.verify().head
        assert trail.verify(noted).faults == ()
        open_for_all(store)
        with store.transaction() as own:
            own.execute("DELETE FROM trail WHERE number = 3")
            row = own.execute("SELECT number, digest FROM trail WHERE number = 2").fetchone()
            own.execute("UPDATE trail_head SET number = ?, digest = ?", tuple(row))
        assert trail.verify().faults == (), "who rewrites the end too is found only by what lies elsewhere"
        assert trail.verify(noted).faults == ("line 3, which was noted, is missing",)
        trail.note(HERE, "another", "")
        assert any("another than the one that was noted" in fault for fault in trail.verify(noted).faults)


def test_a_later_head_holds_all_that_was_noted_before() -> None:
    with Store(Path(":memory:")) as store:
        trail = logged(store, [("one", "")])
        noted = trail.verify().head
        trail.note(HERE, "two", "")
        assert trail.verify(noted).faults == ()


@pytest.mark.parametrize("text", ["x", "1:ab", "²:" + "0" * 64, "9" * 5000 + ":" + "0" * 64, ":"])
def test_what_is_no_head_is_refused(text: str) -> None:
    with Store(Path(":memory:")) as store, pytest.raises(InputError, match="no head"):
        Trail(store, Hand()).verify(text)


def test_an_honest_program_cannot_change_or_remove_lines(tmp_path: Path) -> None:
    with Store(tmp_path / "people.sqlite") as store:
        logged(store, [("one", "")])
        for sql in ("DELETE FROM trail", "UPDATE trail SET who = 'bob'"):
            with pytest.raises(sqlite3.IntegrityError, match="only added to"), store.transaction() as own:
                own.execute(sql)


def test_a_line_is_rolled_back_with_the_change_that_it_tells_of() -> None:
    with Store(Path(":memory:")) as store:
        trail = logged(store, [("one", "")])
        with pytest.raises(RuntimeError), store.transaction() as own:
            trail.note(HERE, "two", "", connection=own)
            raise RuntimeError
        trail.note(HERE, "three", "")
        assert [(line.number, line.act) for line in trail.after()] == [(1, "one"), (2, "three")]
        assert trail.verify().faults == ()


def test_what_a_terminal_would_obey_is_not_written() -> None:
    with Store(Path(":memory:")) as store:
        trail = logged(store, [("a\nb", "\x1b[31mred\x00\udcff" + "x" * 2000)])
        (line,) = trail.after()
        assert line.act == "a�b" and line.subject.startswith("�[31mred��xx") and len(line.subject) == 500
        assert trail.verify().faults == ()


def test_pages_follow_each_other_without_a_gap_while_lines_are_added() -> None:
    with Store(Path(":memory:")) as store:
        trail = logged(store, [(str(n), "") for n in range(10)])
        first = trail.latest(most=4)
        trail.note(HERE, "new", "")
        second = trail.latest(before=first[-1].number, most=4)
        assert [line.act for line in (*first, *second)] == ["9", "8", "7", "6", "5", "4", "3", "2"]
        assert [line.number for line in trail.after(9, 5)] == [10, 11]


def test_someone_sees_what_they_did_and_what_befell_them() -> None:
    with Store(Path(":memory:")) as store:
        trail = Trail(store, Hand())
        trail.note(HERE, "user role", "bob")
        trail.note(Actor("bob", ""), "ingest", "w1")
        trail.note(HERE, "user role", "cyd")
        assert [line.number for line in trail.latest(who="bob")] == [2, 1]
