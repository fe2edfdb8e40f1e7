from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.app.people.access import Access
from isthmus.app.people.person import Role
from isthmus.app.people.rules import CLOCK_STEP_S, Lasting
from isthmus.core.errors import UnknownName
from people_making import SHELL, Hand, enter, hashed, made_access

AGE_S, IDLE_S = 3600.0, 600.0


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def access(tmp_path: Path, clock: Hand) -> Access:
    made = made_access(tmp_path, clock, Lasting(AGE_S, IDLE_S))
    made.people.add("ada", Role.ADMIN, hashed(), SHELL)
    made.people.add("bob", Role.VIEWER, hashed(), SHELL)
    return made


def test_a_session_ends_when_nothing_was_asked_for_too_long(access: Access, clock: Hand) -> None:
    token = enter(access, "ada")
    clock.move(IDLE_S - 1)
    assert access.sessions.person(token)
    clock.move(IDLE_S - 1)
    assert access.sessions.person(token)
    clock.move(IDLE_S)
    assert access.sessions.person(token) is None


def test_a_session_ends_by_its_age_however_busy_it_is(access: Access, clock: Hand) -> None:
    token = enter(access, "ada")
    for _ in range(int(AGE_S // 60) - 1):
        clock.move(60)
        assert access.sessions.person(token)
    clock.move(60)
    assert access.sessions.person(token) is None


def test_a_session_ends_by_a_new_password_and_by_removal(access: Access) -> None:
    first, second, other = enter(access, "bob"), enter(access, "bob"), enter(access, "ada")
    access.people.set_password("bob", hashed("another of twelve signs"), SHELL)
    assert access.sessions.person(first) is None and access.sessions.person(second) is None
    third = enter(access, "bob", "another of twelve signs")
    access.people.remove("bob", SHELL)
    assert access.sessions.person(third) is None
    access.people.add("bob", Role.ADMIN, hashed(), SHELL)
    assert access.sessions.person(third) is None, "a namesake does not get the session"
    assert access.sessions.person(other)


def test_a_session_bears_the_role_that_its_person_has_now(access: Access) -> None:
    token = enter(access, "bob")
    access.people.set_role("bob", Role.OPERATOR, SHELL)
    person = access.sessions.person(token)
    assert person is not None and person.role is Role.OPERATOR


def test_a_login_ends_the_session_that_the_browser_had_and_makes_another(access: Access) -> None:
    before = enter(access, "bob")
    after = enter(access, "ada", before=before)
    assert after != before
    assert access.sessions.person(before) is None
    assert access.sessions.person(after)


def test_logging_out_ends_one_session_and_an_admin_ends_all(access: Access) -> None:
    one, two, three = (enter(access, "bob") for _ in range(3))
    access.log_out(one, "10.0.0.1")
    assert access.sessions.person(one) is None and access.sessions.person(two)
    assert access.end_sessions("bob", SHELL) == 2
    assert access.sessions.person(two) is None and access.sessions.person(three) is None
    with pytest.raises(UnknownName):
        access.end_sessions("nobody", SHELL)


def test_a_person_has_a_bounded_number_of_sessions_and_the_newest_stay(access: Access, clock: Hand) -> None:
    made = []
    for _ in range(25):
        clock.move(1)
        made.append(enter(access, "bob"))
    assert [bool(access.sessions.person(token)) for token in made] == [False] * 5 + [True] * 20


@given(st.lists(st.tuples(st.floats(-2000, 2000), st.booleans()), max_size=30))
def test_however_the_clock_jumps_no_session_is_taken_that_should_have_ended(
    steps: list[tuple[float, bool]],
) -> None:
    clock = Hand()
    with Access(Path(":memory:"), clock, Lasting(AGE_S, IDLE_S)) as access:
        access.people.add("ada", Role.ADMIN, hashed(), SHELL)
        token = enter(access, "ada")
        made = seen = clock.now().timestamp()
        for seconds, asks in steps:
            clock.move(seconds)
            now = clock.now().timestamp()
            if not asks:
                continue
            if access.sessions.person(token) is None:
                clock.moment = clock.moment.fromtimestamp(made, clock.moment.tzinfo)
                assert access.sessions.person(token) is None, "what has ended does not come back"
                return
            assert now - made < AGE_S and now - seen < IDLE_S
            assert now >= made - CLOCK_STEP_S
            seen = max(seen, now)


@pytest.mark.parametrize("token", ["", "x", "é" * 20, "a" * 5000, "\0", "' OR 1=1 --"])
def test_what_is_no_token_opens_nothing(access: Access, token: str) -> None:
    enter(access, "ada")
    assert access.sessions.person(token) is None
