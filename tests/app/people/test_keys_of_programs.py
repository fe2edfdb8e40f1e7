from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from isthmus.app.people.access import Access
from isthmus.app.people.keyring import MARK
from isthmus.app.people.person import Person, Role
from isthmus.core.errors import InputError, UnknownName
from people_making import SHELL, Hand, made_access

DAY_S = 86_400.0


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def access(tmp_path: Path, clock: Hand) -> Access:
    return made_access(tmp_path, clock)


def test_a_key_opens_as_its_role_until_it_is_revoked(access: Access) -> None:
    made = access.keys.add("CI", Role.OPERATOR, SHELL)
    assert access.who(made.text, "") == Person("ci", Role.OPERATOR, "key")
    access.keys.revoke("ci", SHELL)
    assert access.who(made.text, "") is None
    with pytest.raises(UnknownName):
        access.keys.revoke("ci", SHELL)


def test_a_key_expires_on_the_moment(access: Access, clock: Hand) -> None:
    made = access.keys.add("ci", Role.VIEWER, SHELL, days=2)
    clock.move(2 * DAY_S - 1)
    assert access.who(made.text, "")
    clock.move(1)
    assert access.who(made.text, "") is None


def test_a_key_is_stored_as_a_digest_and_recognised_by_its_first_signs(access: Access, tmp_path: Path) -> None:
    made = access.keys.add("ci", Role.VIEWER, SHELL)
    assert made.text.startswith(made.shown.prefix) and made.text.startswith(MARK)
    assert len(made.text) - len(MARK) == 43, "32 bytes in base64url"
    dump = "\n".join(sqlite3.connect(tmp_path / "people.sqlite").iterdump())
    assert made.text not in dump and made.text[len(made.shown.prefix) :] not in dump
    assert made.text not in repr(made)


def test_a_name_is_free_again_once_its_key_is_revoked(access: Access) -> None:
    first = access.keys.add("ci", Role.VIEWER, SHELL)
    with pytest.raises(InputError, match="already"):
        access.keys.add("ci", Role.VIEWER, SHELL)
    access.keys.revoke("ci", SHELL)
    second = access.keys.add("ci", Role.ADMIN, SHELL)
    assert access.who(first.text, "") is None and access.who(second.text, "")
    assert [one.revoked is None for _, one in access.keys.listed()] == [False, True]


def test_the_last_use_of_a_key_is_noted_but_not_at_every_call(access: Access, clock: Hand) -> None:
    made = access.keys.add("ci", Role.VIEWER, SHELL)

    def used() -> object:
        return access.keys.listed()[0][1].used

    assert used() is None
    access.who(made.text, "")
    first = used()
    assert first == clock.now()
    clock.move(30)
    access.who(made.text, "")
    assert used() == first
    clock.move(31)
    access.who(made.text, "")
    assert used() == clock.now()


@pytest.mark.parametrize("days", [0, -1, 1e9, float("nan")])
def test_a_key_lasts_a_sensible_time(access: Access, days: float) -> None:
    with pytest.raises(InputError):
        access.keys.add("ci", Role.VIEWER, SHELL, days)


@pytest.mark.parametrize("text", ["", "ish_", "ish_é", "ish_" + "a" * 5000, "' OR 1=1 --", "ish_\udcff"])
def test_what_is_no_key_opens_nothing(access: Access, text: str) -> None:
    access.keys.add("ci", Role.ADMIN, SHELL)
    assert access.keys.person(text) is None
