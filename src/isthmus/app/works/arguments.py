"""Arguments of an operation: judged against its parameters, and written as a command line that holds nothing else.

A value can never become a flag: an option's value stands in the same word (`--where=…`), and whatever goes by
place stands behind `--`. Files are named by the caller, but lie in the work's own folder: what is brought along in
`in/<parameter>/`, what is written in `files/`, where the command runs.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from isthmus.app.works.recipe import Recipe
from isthmus.app.works.work import Operation, Parameter
from isthmus.core.errors import WrongArguments, suggestion

MOST_BYTES = 100_000
"""Of one value: Linux takes 131,072 bytes in one word of a command line."""
MOST_VALUES = 1000
MOST_TOGETHER = 1_000_000
MOST_FILES = 1000
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_YES = frozenset({"true", "yes", "on", "1"})
_NO = frozenset({"false", "no", "off", "0"})
RESERVED = frozenset({"stdout.txt", "stderr.txt"})
"""Names of what a work printed; no file that it writes is called so."""

Checked = Mapping[str, Any]
"""Values by parameter: str, int, float or True, or a tuple of them where there may be many. What is absent is left
out."""


def checked(operation: Operation, given: Mapping[str, Any], files: Mapping[str, bytes]) -> Checked:
    """Judge what an operation was given; empty texts and nulls count as left out.

    Raises WrongArguments with every mistake.
    """
    known = {one.name: one for one in operation.parameters}
    mistakes = [
        f"{operation.name} takes no {name!r}; {suggestion(name, known)}" for name in given if name not in known
    ]
    values: dict[str, Any] = {}
    for parameter in operation.parameters:
        try:
            found = _values(parameter, given.get(parameter.name))
        except ValueError as error:
            mistakes.append(str(error))
            continue
        if found:
            values[parameter.name] = tuple(found) if parameter.many else found[0]
        elif parameter.needed:
            mistakes.append(f"{parameter.name} is needed{f': {parameter.about}' if parameter.about else ''}")
    if not mistakes:
        mistakes += _between(operation, values, files)
    if mistakes:
        raise WrongArguments(mistakes)
    return values


def _values(parameter: Parameter, given: Any) -> list[Any]:
    several = list(given) if isinstance(given, list | tuple) else [given]
    several = [one for one in several if one is not None and one != ""]
    if len(several) > 1 and not parameter.many:
        raise ValueError(f"{parameter.name} takes one value, not {len(several)}")
    if len(several) > MOST_VALUES:
        raise ValueError(f"{parameter.name} takes at most {MOST_VALUES} values")
    found = [_value(parameter, one) for one in several]
    return [one for one in found if one is not False]


def _value(parameter: Parameter, given: Any) -> Any:
    name = parameter.name
    match parameter.kind:
        case "yes or no":
            return _yes(name, given)
        case "whole number":
            return _bounded(parameter, _whole(name, given))
        case "number":
            return _bounded(parameter, _number(name, given))
    text = _text(name, given)
    if parameter.kind == "choice" and text not in parameter.choices:
        raise ValueError(f"{name} is {_short(text)}; it may be {', '.join(parameter.choices)}")
    if parameter.plain and not PLAIN.fullmatch(text):
        raise ValueError(f"{name} is no plain name: {_short(text)}; letters, digits, dots and dashes are taken")
    if parameter.kind == "moment":
        try:
            datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{name} is no day or moment: {_short(text)}; write 2026-11-20") from None
    if parameter.kind == "file out" and (not PLAIN.fullmatch(text) or text in RESERVED):
        raise ValueError(f"{name} is no plain file name: {_short(text)}; write one such as {name}.txt")
    if parameter.kind == "file in" and not brought(text):
        raise ValueError(f"{name} is no name of a file that can be brought along: {_short(text)}")
    return text


def brought(name: str) -> bool:
    """Tell whether a name that a caller gives a file may be used below the work's folder: `a.jpg`, `day/a.jpg`."""
    parts = name.split("/")
    return (
        0 < len(parts) <= 8
        and len(name.encode(errors="replace")) <= 1000
        and all(
            part and part[0] not in ".-~" and len(part.encode()) <= 200 and part.isprintable() and "\\" not in part
            for part in parts
        )
    )


def _text(name: str, given: Any) -> str:
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise ValueError(f"{name} is no text")  # noqa: TRY004 - the caller's mistake, gathered with the others
    text = str(given)
    if "\0" in text:
        raise ValueError(f"{name} holds a zero byte")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{name} is no Unicode text: it holds half of a surrogate pair") from None
    if size > MOST_BYTES:
        raise ValueError(f"{name} has {size:,} bytes; at most {MOST_BYTES:,} are taken")
    return text


def _yes(name: str, given: Any) -> bool:
    text = str(given).lower() if isinstance(given, bool | str | int) else ""
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise ValueError(f"{name} is {_short(given)}; it may be true or false")


def _whole(name: str, given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int | str) or not _WHOLE.fullmatch(str(given)):
        raise ValueError(f"{name} is no whole number: {_short(given)}")
    return int(given)


def _number(name: str, given: Any) -> float:
    try:
        found = float(given) if isinstance(given, int | float | str) and not isinstance(given, bool) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"{name} is no number: {_short(given)}")
    return found


def _bounded(parameter: Parameter, value: float) -> float:
    least, most = parameter.least, parameter.most
    if (least is not None and value < least) or (most is not None and value > most):
        bounds = " and ".join(
            f"{word} {bound:g}" for word, bound in (("at least", least), ("at most", most)) if bound is not None
        )
        raise ValueError(f"{parameter.name} is {value:g}; it is {bounds}")
    return value


def _between(operation: Operation, values: Checked, files: Mapping[str, bytes]) -> Iterator[str]:
    """Find what is wrong between the arguments, not in one alone."""
    named = [name for one in operation.parameters if one.kind == "file in" for name in _several(values, one)]
    for name in sorted(set(named) - set(files)):
        yield f"the file {_short(name)} did not come with the call"
    for name in sorted(set(files) - set(named)):
        yield f"no parameter asks for the file {_short(name)}"
    for name in sorted({one for one in named if named.count(one) > 1}):
        yield f"the file {_short(name)} is named twice"
    places = [one for one in operation.parameters if not one.flag]
    for number, one in enumerate(places):
        later = next((after.name for after in places[number + 1 :] if after.name in values), "")
        if later and one.name not in values:
            yield f"{later} can be given only with {one.name}"
    if sum(len(text.encode()) for one in operation.parameters for text in _words(one, values)) > MOST_TOGETHER:
        yield f"the arguments together are longer than {MOST_TOGETHER:,} bytes"


def _several(values: Checked, parameter: Parameter) -> tuple[Any, ...]:
    value = values.get(parameter.name, ())
    return value if isinstance(value, tuple) else (value,)


def command_line(recipe: Recipe, values: Checked) -> list[str]:
    """Write the words behind `isthmus --site TOML`, to be run in the work's folder `files`."""
    return _line(recipe, values, place=True)


def shown_line(recipe: Recipe, values: Checked, site: str) -> str:
    """Write the command that does the same, to be copied to a shell."""
    return shlex.join(["isthmus", "--site", site, *_line(recipe, values, place=False)])


def _line(recipe: Recipe, values: Checked, *, place: bool) -> list[str]:
    options: list[str] = []
    places: list[str] = []
    for parameter in recipe.operation.parameters:
        words = _words(parameter, values, place=place)
        if parameter.kind == "yes or no":
            options += [parameter.flag] * len(words)
        elif parameter.flag:
            options += [f"{parameter.flag}={word}" for word in words]
        else:
            places += words
    guard = ["--"] if place or any(word.startswith("-") for word in places) else []
    return [*recipe.words, *recipe.always, *options, *(guard if places else []), *places]


def _words(parameter: Parameter, values: Checked, *, place: bool = True) -> Sequence[str]:
    several = _several(values, parameter)
    if not several and parameter.kind == "file out" and parameter.default:
        several = (parameter.default,)
    if parameter.kind == "file in" and several and place:
        if parameter.many:
            return [f"../in/{parameter.name}"]
        return [f"../in/{parameter.name}/{several[0]}"]
    return [repr(one) if isinstance(one, float) else str(one) for one in several]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
