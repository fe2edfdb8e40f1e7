"""What a command prints is told apart, in whole lines and within bounds; watchers miss nothing unknowingly."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from isthmus.app.works.happening import Happening, Happenings
from isthmus.app.works.hearing import MOST_LINE, Hearing, progress_of
from isthmus.app.works.naming import Naming
from isthmus.app.works.work import Work
from isthmus.core.progress import Progress

WORK = Work("w1", "go", {}, "isthmus go", "ada", "running", datetime(2026, 5, 1, tzinfo=UTC))


def test_progress_is_told_apart_from_what_is_for_people() -> None:
    hearing = Hearing()
    moved, kept = hearing.take("stderr", b'{"stage": "mine", "done": 3, "total": null, "note": "x"}\nhallo\nhal')
    assert (moved, kept) == (True, b"hallo\n")
    assert hearing.progress == Progress("mine", 3, None, "", "x")
    assert hearing.take("stderr", b"lo") == (False, b"")
    assert hearing.take("stderr", b"") == (False, b"hallo")
    assert hearing.said == "hallo\nhallo"


def test_what_goes_to_the_standard_output_is_never_progress() -> None:
    hearing = Hearing()
    line = b'{"stage": "mine", "done": 3, "total": 4}\n'
    assert hearing.take("stdout", line) == (False, line)
    assert hearing.progress is None


def test_an_error_is_the_command_lines_own_or_the_last_line() -> None:
    hearing = Hearing()
    hearing.take("stderr", b"warning: old\n")
    assert hearing.error() == "warning: old"
    hearing.take("stderr", b"isthmus: a.toml:3: no\nisthmus: a.toml:4: no\nTraceback\n")
    assert hearing.error() == "a.toml:3: no\na.toml:4: no"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_as_progress_or_not(line: bytes) -> None:
    assert progress_of(line) is None or isinstance(progress_of(line), Progress)
    progress_of(b'{"stage"' + line)


@given(
    st.fixed_dictionaries(
        {
            "stage": st.text() | st.integers(),
            "done": st.integers() | st.floats(),
            "total": st.none() | st.integers(),
        },
        optional={"unit": st.text() | st.none(), "note": st.text()},
    )
)
def test_progress_has_the_types_that_it_says(line: dict[str, object]) -> None:
    found = progress_of(json.dumps(line).encode())
    if found is not None:
        assert found.done >= 0
        assert found.total is None or found.total >= 0
        assert len(found.stage) <= MOST_LINE


@given(
    st.lists(st.sampled_from(["a", "b\n", "\n", '{"stage": "s", "done": 1, "total": 2}\n', "é\n"])),
    st.integers(1, 9),
)
def test_it_does_not_matter_in_which_pieces_it_comes(parts: list[str], size: int) -> None:
    content = "".join(parts).encode()
    whole, piecewise = Hearing(), Hearing()
    expected = whole.take("stderr", content)[1] + whole.take("stderr", b"")[1]
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    kept = b"".join(piecewise.take("stderr", piece)[1] for piece in (*pieces, b""))
    assert kept == expected
    assert piecewise.said == whole.said
    assert piecewise.progress == whole.progress


def test_a_line_without_an_end_is_taken_in_parts() -> None:
    hearing = Hearing()
    assert hearing.take("stdout", b"x" * 70_000)[1] == b"x" * 70_000
    assert len(hearing.said) == MOST_LINE


def test_one_who_comes_back_is_told_what_was_missed() -> None:
    happenings = Happenings()
    first: list[Happening] = []
    leave, whole = happenings.watch(first.append)
    assert whole
    happenings.tell("state", WORK)
    happenings.tell("progress", WORK)
    leave()
    happenings.tell("said", replace(WORK, said="all of it"), "a line")
    again: list[Happening] = []
    leave, whole = happenings.watch(again.append, first[0].id)
    assert whole
    assert [one.what for one in again] == ["progress", "said"]
    assert (again[1].said, again[1].work.said) == ("a line", "")
    leave()
    happenings.tell("ended", WORK)
    assert len(again) == 2
    assert happenings.watchers == 0


def test_one_who_comes_back_too_late_or_after_a_restart_is_told_so() -> None:
    happenings = Happenings()
    for _ in range(3000):
        happenings.tell("progress", WORK)
    for after, expected in (
        (f"{happenings.start}-10", False),
        (f"{happenings.start}-2999", True),
        (f"{happenings.start}-3001", False),
        ("abcdef-2999", False),
        ("nonsense", False),
        ("", True),
    ):
        leave, whole = happenings.watch(lambda one: None, after)
        leave()
        assert whole is expected, after


class _Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 5, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


def test_ids_grow_also_where_the_clock_is_set_back() -> None:
    clock = _Clock()
    naming = Naming(clock)
    ids = [naming.next() for _ in range(3)]
    clock.moment -= timedelta(days=1)
    ids.append(naming.next())
    clock.moment += timedelta(days=300 * 365)
    ids.append(naming.next())
    assert ids == sorted(ids)
    assert len(set(ids)) == 5
    assert {len(id) for id in ids} == {16}
