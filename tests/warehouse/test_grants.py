from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import InputError, UnknownName
from isthmus.state.store import Store
from isthmus.warehouse.grants import RIGHTS, Grants

NAME = "main.loop.scenes"
PAIRS = st.sets(st.tuples(st.sampled_from(["anna", "ben@site", "c-3"]), st.sampled_from(RIGHTS)), max_size=6)


@pytest.fixture
def grants(tmp_path: Path) -> Grants:
    return Grants(Store(tmp_path / "state" / "isthmus.sqlite"))


def test_a_right_is_given_once_and_taken_once(grants: Grants) -> None:
    assert grants.grant(NAME, "anna", "select") and not grants.grant(NAME, "anna", "select")
    assert grants.of(NAME) == (("anna", "select"),)
    assert grants.allows(NAME, "anna", "select") and not grants.allows(NAME, "anna", "insert")
    assert not grants.allows(NAME, "ben", "select") and not grants.allows("main.loop.rejects", "anna", "select")
    assert grants.revoke(NAME, "anna", "select") and not grants.revoke(NAME, "anna", "select")
    assert grants.of(NAME) == ()


def test_all_holds_every_right_and_revoking_it_takes_every_right(grants: Grants) -> None:
    grants.grant(NAME, "anna", "select")
    grants.grant(NAME, "anna", "all")
    assert all(grants.allows(NAME, "anna", right) for right in RIGHTS)
    with pytest.raises(InputError, match=r"anna holds all rights .* revoke all, then grant"):
        grants.revoke(NAME, "anna", "select")
    assert grants.revoke(NAME, "anna", "all") and grants.of(NAME) == ()


def test_an_odd_user_and_an_unknown_right_are_told(grants: Grants) -> None:
    for user in ("", "a b", "-x", "a" * 200, "a;b"):
        with pytest.raises(InputError, match="is no user"):
            grants.grant(NAME, user, "select")
    with pytest.raises(UnknownName, match="did you mean 'select'"):
        grants.grant(NAME, "anna", "selct")
    grants.grant(NAME, "anna", "all")
    with pytest.raises(UnknownName):
        grants.replace_all(NAME, [("ben", "select"), ("ben", "own")])
    assert grants.of(NAME) == (("anna", "all"),)


@given(PAIRS, PAIRS)
def test_replacing_makes_the_rights_exactly_those_and_touches_no_other_table(
    first: set[tuple[str, str]], second: set[tuple[str, str]]
) -> None:
    with Store(Path(":memory:")) as store:
        grants = Grants(store)
        grants.replace_all(NAME, first)
        grants.replace_all("main.loop.other", first)
        grants.replace_all(NAME, second)
        assert set(grants.of(NAME)) == second and list(grants.of(NAME)) == sorted(second)
        assert set(grants.of("main.loop.other")) == first


def test_replacing_within_a_transaction_that_fails_changes_nothing(grants: Grants, tmp_path: Path) -> None:
    grants.grant(NAME, "anna", "select")
    store = Store(tmp_path / "state" / "isthmus.sqlite")
    with store, pytest.raises(ZeroDivisionError), store.transaction() as connection:
        grants.replace_all(NAME, [("ben", "all")], connection)
        raise ZeroDivisionError
    assert grants.of(NAME) == (("anna", "select"),)


def test_a_renamed_table_takes_its_rights_along_and_a_dropped_one_loses_them(grants: Grants) -> None:
    grants.grant(NAME, "anna", "select")
    grants.grant("main.loop.new", "ben", "all")
    for _ in range(2):  # the second time is the replay after a kill
        grants.renamed(NAME, "main.loop.new")
        assert grants.of("main.loop.new") == (("anna", "select"),) and grants.of(NAME) == ()
    grants.forget("main.loop.new")
    assert grants.of("main.loop.new") == ()
