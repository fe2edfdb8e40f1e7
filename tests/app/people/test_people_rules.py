from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.app.people.access import Access
from isthmus.app.people.person import Role
from isthmus.app.people.rules import (
    CLOCK_STEP_S,
    LEAST_PASSWORD,
    Lasting,
    judge_password,
    keep_an_admin,
    name_of,
    password_of,
)
from isthmus.core.errors import InputError, IsthmusError, Refused
from people_making import PASSWORD, SHELL, Hand, hashed, made_access

NAMES = ("ada", "bob", "cyd")
ACTS = st.lists(
    st.tuples(st.sampled_from(("add", "role", "remove")), st.sampled_from(NAMES), st.sampled_from(list(Role))),
    max_size=25,
)


@given(ACTS)
def test_whatever_is_tried_there_is_an_admin_once_there_was_one(acts: list[tuple[str, str, Role]]) -> None:
    with Access(Path(":memory:"), Hand()) as access:
        there_was = False
        for act, name, role in acts:
            with contextlib.suppress(IsthmusError):
                if act == "add":
                    access.people.add(name, role, "x", SHELL)
                elif act == "role":
                    access.people.set_role(name, role, SHELL)
                else:
                    access.people.remove(name, SHELL)
            admins = [one for one in access.people.members() if one.role is Role.ADMIN]
            there_was = there_was or bool(admins)
            assert bool(admins) == there_was
        assert access.trail.verify().faults == ()


@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.OPERATOR])
def test_the_last_admin_is_neither_removed_nor_made_less(role: Role | None) -> None:
    with pytest.raises(Refused, match="last admin"):
        keep_an_admin({"ada": Role.ADMIN, "bob": Role.OPERATOR}, "ada", role)
    keep_an_admin({"ada": Role.ADMIN, "bob": Role.ADMIN}, "ada", role)
    keep_an_admin({"ada": Role.ADMIN}, "ada", Role.ADMIN)


@pytest.mark.parametrize(
    "text", ["", "short", "aaaaaaaaaaaaaaa", "password1234", "ada1234567890", "a" * 300, "with a\nline end in it"]
)
def test_a_weak_password_is_refused_in_a_line_that_does_not_hold_it(text: str) -> None:
    with pytest.raises(InputError) as caught:
        judge_password(text, "ada")
    assert not text or text not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_password_of_a_few_words_is_taken_and_written_alike_by_every_keyboard() -> None:
    assert judge_password(PASSWORD, "ada") == PASSWORD
    assert judge_password("mot de passe é très long", "ada") == password_of("mot de passe é très long")
    assert len("密码由几个互不相关的词组成") >= LEAST_PASSWORD
    assert judge_password("密码由几个互不相关的词组成", "ada")


@given(st.text(max_size=80))
def test_a_name_is_plain_whatever_was_typed(text: str) -> None:
    try:
        name = name_of(text)
    except InputError as error:
        assert len(text.strip()) < 3 or text not in str(error)
    else:
        assert name.isascii() and name == name.lower() and not set(name) & set(":/ \r\n\0<>\"'%")


MOMENTS = st.floats(0, 1e6)


@given(MOMENTS, MOMENTS, MOMENTS)
def test_a_session_never_outlives_its_age_nor_its_idleness(made: float, seen: float, now: float) -> None:
    lasting = Lasting(3600, 600)
    if lasting.alive(made, seen, now):
        assert now - made < 3600 and now - seen < 600
        assert now >= made - CLOCK_STEP_S and now >= seen - CLOCK_STEP_S


def test_nobody_is_known_until_a_user_or_a_key_that_opens_something_exists(tmp_path: Path) -> None:
    clock = Hand()
    with made_access(tmp_path, clock) as access:
        assert not access.anybody()
        access.keys.add("ci", Role.VIEWER, SHELL, days=1)
        assert access.anybody()
        clock.move(86_400)
        assert not access.anybody()
        access.people.add("ada", Role.ADMIN, hashed(), SHELL)
        assert access.anybody()
