"""Every command of the tree is an operation with a role, or is never offered, and somebody said why."""

from __future__ import annotations

import click
import pytest

from isthmus.app.people.person import Role
from isthmus.core.errors import InputError
from isthmus.faces.cli import root
from isthmus.faces.cli.catalogue import commands, flag_of, kind_of, named, recipes
from isthmus.faces.cli.offered import (
    ALWAYS,
    FILES,
    FOLDERS,
    GRAVE,
    LEFT_OUT,
    NAMES,
    NEEDED,
    NEVER,
    OFFERED,
    WRITTEN,
)

assert recipes()  # reads the tree
TREE = {" ".join(words): command for words, command in commands(root.isthmus)}
LISTED = [name for names in OFFERED.values() for name in names]


def test_every_command_is_offered_to_a_role_or_never_offered_for_a_reason() -> None:
    assert set(TREE) - set(LISTED) - set(NEVER) == set()
    assert set(LISTED) & set(NEVER) == set()
    assert len(LISTED) == len(set(LISTED))
    assert all(NEVER.values())


def test_nothing_is_listed_that_is_no_command() -> None:
    assert (set(LISTED) | set(NEVER)) - set(TREE) == set()
    places = {(name, named(one)) for name, command in TREE.items() for one in command.params}
    for table in (FILES, LEFT_OUT, NEEDED, FOLDERS, NAMES, WRITTEN):
        assert set(table) - places == set()
    assert (set(ALWAYS) | GRAVE) - set(LISTED) == set()


def test_every_offered_command_is_an_operation_of_its_role() -> None:
    found = recipes()
    assert set(found) == set(LISTED)
    for role, names in OFFERED.items():
        assert all(found[name].operation.role is role for name in names)
    assert found["recovery failover"].operation.role is Role.ADMIN
    assert found["audit"].operation.role is Role.ADMIN
    assert found["recovery status"].operation.role is Role.VIEWER


def test_no_path_of_this_machine_is_a_parameter() -> None:
    for name, command in TREE.items():
        if name in NEVER:
            continue
        for one in command.params:
            if isinstance(one.type, click.Path):
                assert (name, named(one)) in FILES or (name, named(one)) in LEFT_OUT, (name, named(one))


def test_a_path_of_which_nobody_said_what_it_is_is_refused() -> None:
    with pytest.raises(InputError, match="what kind of file place is"):
        kind_of("some command", click.Option(["--place"], type=click.Path()))


def test_commands_that_ask_a_question_are_always_answered() -> None:
    for name in ("table drop", "recovery failover"):
        assert recipes()[name].always == ("--yes",)
        assert "yes" not in {one.name for one in recipes()[name].operation.parameters}


def test_parameters_are_called_as_their_flags_are() -> None:
    for recipe in recipes().values():
        known = {named(one): one for one in TREE[recipe.operation.name].params}
        names = [one.name for one in recipe.operation.parameters]
        assert len(names) == len(set(names))
        for one in recipe.operation.parameters:
            assert one.flag == flag_of(known[one.name])
            assert one.flag.startswith("--") or not one.flag
            assert one.name.isidentifier()
    assert "set" in {one.name for one in recipes()["mine"].operation.parameters}


def test_one_who_changes_who_may_what_is_an_admin() -> None:
    for name in LISTED:
        if name.startswith(("user ", "key ", "acquire keys", "device invite", "device revoke", "table grant")):
            assert recipes()[name].operation.role is Role.ADMIN
