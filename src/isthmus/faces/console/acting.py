"""`act`: the form that runs an operation, with the command line that does the same."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from isthmus.app.people.person import Person
from isthmus.app.works.work import Operation, Parameter
from isthmus.faces.console.words import Words
from isthmus.faces.http.hub.hub import Hub


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter that the one who acts fills in."""

    parameter: Parameter
    label: str
    value: Any = None


class Acting:
    """Draws the buttons of one page for one person."""

    def __init__(self, templates: Environment, hub: Hub, t: Words, person: Person | None, csrf: str) -> None:
        self._templates, self._hub, self._t, self._person, self._csrf = templates, hub, t, person, csrf

    def act(
        self,
        operation: str,
        arguments: Mapping[str, Any] | None = None,
        label: str = "",
        confirm: str = "",
        danger: bool = False,
        *,
        ask: Mapping[str, str] | Iterable[str] = (),
        times: Mapping[str, int] = {},
        about: str = "",
        main: bool = False,
        ready: str = "",
    ) -> Markup:
        """Draw the form that runs `operation` with `arguments`, by the names of its parameters.

        `ask` names parameters that are typed in here, with their labels, and `times` how many fields those get
        that take several values; `confirm` is a word that must be typed; `ready` a reason why it cannot be done
        now, which disables the button, as too low a role does.
        """
        arguments = arguments or {}
        known = self._hub.works.operations().get(operation)
        if operation in self._hub.grave and not confirm:
            confirm = operation
        fields = self._fields(known, arguments, ask, times)
        asked = {field.parameter.name: field.parameter for field in fields}
        fixed = {name: value for name, value in arguments.items() if name not in set(ask)}
        return Markup(
            self._templates.get_template("act.html").render(
                t=self._t,
                csrf=self._csrf,
                dashed=dashed(operation),
                fields=fields,
                fixed=list(_posted(fixed)),
                label=label or operation,
                command=command_line(str(self._hub.toml), operation, known, fixed, asked.values()),
                confirm=confirm,
                danger=danger,
                main=main,
                about=about,
                reason=self._refusal(operation, known) or ready,
                files=any(one.parameter.kind == "file in" for one in fields),
            )
        )

    def command(self, operation: str, arguments: Mapping[str, Any] | None = None) -> str:
        """Write the command line that does what `operation` does."""
        known = self._hub.works.operations().get(operation)
        return command_line(str(self._hub.toml), operation, known, arguments or {})

    def _fields(
        self,
        operation: Operation | None,
        arguments: Mapping[str, Any],
        ask: Mapping[str, str] | Iterable[str],
        times: Mapping[str, int],
    ) -> list[Field]:
        labels = (
            ask if isinstance(ask, Mapping) else {name: self._t.known(f"base.field.{name}", name) for name in ask}
        )
        return [
            Field(one, labels[one.name], _nth(arguments.get(one.name, one.default), place))
            for one in (operation.parameters if operation else ())
            if one.name in labels
            for place in range(times.get(one.name, 1))
        ]

    def _refusal(self, name: str, operation: Operation | None) -> str:
        """Say why this person cannot do it here at all; empty where they can."""
        if operation is None:
            return self._t("base.act.missing", operation=name)
        if self._person is None or not self._person.may(operation.role):
            return self._t("base.act.role", role=self._t(f"base.role.{operation.role}"))
        return ""


def _nth(value: Any, place: int) -> Any:
    """Return what stands in the field of a place, where a parameter has several."""
    if isinstance(value, list | tuple):
        return value[place] if place < len(value) else None
    return value if place == 0 else None


def dashed(operation: str) -> str:
    """Return an operation's name as it stands in a path: `recovery verify` becomes `recovery-verify`."""
    return operation.replace(" ", "-")


def _posted(arguments: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in arguments.items():
        for one in value if isinstance(value, list | tuple) else (value,):
            if one is not None and one != "":
                yield name, str(one).lower() if isinstance(one, bool) else str(one)


def command_line(
    site: str,
    name: str,
    operation: Operation | None,
    arguments: Mapping[str, Any],
    asked: Iterable[Parameter] = (),
) -> str:
    """Write the command that does the same. What is still to be typed stands in capitals."""
    words = ["isthmus", "--site", shlex.quote(site), name]
    known = {one.name: one for one in operation.parameters} if operation else {}
    places: list[str] = []
    for key, value in arguments.items():
        parameter = known.get(key)
        if parameter is None or value is None or value == "":
            continue
        for one in value if isinstance(value, list | tuple) else (value,):
            if parameter.kind == "yes or no":
                words += [parameter.flag] if one and parameter.flag else []
            elif parameter.flag:
                joint = "=" if str(one).startswith("-") else " "  # else it were read as an option
                words.append(f"{parameter.flag}{joint}{shlex.quote(str(one))}")
            else:
                places.append(shlex.quote(str(one)))
    for parameter in asked:
        blank = parameter.name.upper().replace("_", "-")
        if parameter.kind == "yes or no":
            words.append(f"[{parameter.flag}]")
        elif parameter.flag:
            words.append(f"{parameter.flag} {blank}" if parameter.needed else f"[{parameter.flag} {blank}]")
        else:
            places.append(blank)
    guard = ["--"] if any(place.startswith("-") for place in places) else []
    return " ".join(words + guard + places)


__all__ = ["Acting", "Field", "command_line", "dashed"]
