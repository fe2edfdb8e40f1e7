"""Reads the operations off the command line's own tree, so that everything the commands do can be run from afar.

A parameter is called as its flag is, with underscores: `--drop-column` is `drop_column`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import click

from isthmus.app.people.person import Role
from isthmus.app.works.recipe import Recipe, Recipes
from isthmus.app.works.work import Kind, Operation, Parameter
from isthmus.core.errors import InputError
from isthmus.faces.cli.offered import (
    ALWAYS,
    FILES,
    FOLDERS,
    GRAVE,
    LEFT_OUT,
    NAMES,
    NEEDED,
    OFFERED,
    SECRET,
    WRITTEN,
)  # fmt: skip


@functools.cache
def recipes() -> Recipes:
    """Return every operation with its command, by its name, in the order of the tree."""
    from isthmus.faces.cli import root

    import_module("isthmus.faces.cli.main")  # fills the tree

    found = {}
    for words, command in commands(root.isthmus):
        name = " ".join(words)
        role = role_of(name)
        if role is not None:
            found[name] = _recipe(words, command, role)
    return found


def grave() -> frozenset[str]:
    """Return the operations that a person confirms by typing a word."""
    return frozenset(name for name, recipe in recipes().items() if recipe.grave)


def role_of(name: str) -> Role | None:
    """Return the role that a command needs; None where it is not offered."""
    return next((role for role, names in OFFERED.items() if name in names), None)


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Walk a tree of commands: the words of each, and itself."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        elif command is not None and not command.hidden:
            yield (*words, name), command


def _recipe(words: tuple[str, ...], command: click.Command, role: Role) -> Recipe:
    name = " ".join(words)
    parameters = tuple(
        _parameter(name, one) for one in command.params if (name, named(one)) not in LEFT_OUT and _shown(one)
    )
    about = command.get_short_help_str(limit=200)
    operation = Operation(name, about, role, parameters, name in SECRET)
    return Recipe(operation, words, ALWAYS.get(name, ()), name in GRAVE)


def _shown(one: click.Parameter) -> bool:
    return not (isinstance(one, click.Option) and (one.hidden or one.is_eager))


def named(one: click.Parameter) -> str:
    """Return a parameter's name for callers."""
    if isinstance(one, click.Option):
        return flag_of(one).lstrip("-").replace("-", "_")
    return one.name or ""


def flag_of(one: click.Parameter) -> str:
    """Return an option's longest flag; empty for an argument."""
    return max(one.opts, key=len) if isinstance(one, click.Option) else ""


def _parameter(command: str, one: click.Parameter) -> Parameter:
    place = command, named(one)
    least, most = _bounds(one.type)
    return Parameter(
        place[1],
        kind_of(command, one),
        (one.help or "") if isinstance(one, click.Option) else "",
        flag_of(one),
        one.required or place in NEEDED,
        one.multiple or one.nargs == -1 or place in FOLDERS,
        WRITTEN.get(place) or _default(one),
        tuple(map(str, one.type.choices)) if isinstance(one.type, click.Choice) else (),
        least,
        most,
        place in NAMES,
    )


def kind_of(command: str, one: click.Parameter) -> Kind:
    """Tell what a parameter takes.

    Raises InputError for a path that nobody said of whether it is brought along or written: such a parameter would
    let a caller name places of the server.
    """
    if (place := (command, named(one))) in FILES:
        return FILES[place]
    if isinstance(one, click.Option) and one.is_flag:
        return "yes or no"
    kinds: tuple[tuple[type[click.ParamType[Any]], Kind], ...] = (
        (click.Choice, "choice"),
        (click.types.IntParamType, "whole number"),
        (click.types.FloatParamType, "number"),
        (click.DateTime, "moment"),
        (click.types.StringParamType, "text"),
    )
    for kind, word in kinds:
        if isinstance(one.type, kind):
            return word
    raise InputError(f"{command}: nothing says what kind of file {place[1]} is", "put it into FILES or LEFT_OUT")


def _bounds(kind: Any) -> tuple[float | None, float | None]:
    return getattr(kind, "min", None), getattr(kind, "max", None)


def _default(one: click.Parameter) -> Any:
    value = one.default
    return value if isinstance(value, str | int | float) and value != "" else None
