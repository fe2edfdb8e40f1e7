"""Draws the client's types and calls of what there is to see, from the description of the doors.

Run it where the doors have changed: python tests/client_drawn.py
"""

from __future__ import annotations

import json
import keyword
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from isthmus.faces.cli.described import described

PLACE = Path(__file__).parent.parent / "src/isthmus/client/see"
_OURS = ("/v1/operations", "/v1/works", "/v1/events", "/v1/session")
_REF = "#/components/schemas/"
_OURS_FIRST = 'lint.isort.known-first-party = ["isthmus"]'
_KNOWN = {"Work", "Progress"}
_CALLED = {"/v1/people/{name}": "person"}


def seen(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """Yield the doors of what there is to see: path, operation, and the schema of its answer."""
    for path, methods in document["paths"].items():
        told = (
            methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {}).get("application/json")
        )
        if told and path.startswith("/v1/") and not path.startswith(_OURS):
            yield path, methods["get"], told["schema"]


def subjects(document: Mapping[str, Any]) -> dict[str, str]:
    """Write a module for each subject, such as scenes: its types, and its calls for both clients.

    A type lies where it is first needed; later subjects have it from there.
    """
    schemas = document["components"]["schemas"]
    doors: dict[str, list[tuple[str, Mapping[str, Any], Any]]] = {}
    for path, operation, schema in seen(document):
        doors.setdefault(path.split("/")[2], []).append((path, operation, schema))
    home: dict[str, str] = {}
    written = {}
    for subject, found in doors.items():
        wanted: dict[str, None] = {}
        for _, operation, schema in found:
            _want([schema, *(one["schema"] for one in operation["parameters"])], schemas, wanted)
        own = [name for name in wanted if name not in home and name not in _KNOWN and not _page(name)]
        other: dict[str, list[str]] = {}
        for name in sorted(wanted.keys() & home.keys()):
            other.setdefault(home[name], []).append(name)
        home |= dict.fromkeys(own, subject)
        imports = [f"from isthmus.client.see.{place} import {', '.join(names)}" for place, names in other.items()]
        drawn = [_struct(name, schemas[name]) for name in sorted(own)]
        plain = [_call(*door, waits=False) for door in found]
        waiting = [_call(*door, waits=True) for door in found]
        written[subject] = _MODULE.format(
            subject=subject,
            imports="\n".join(imports),
            types="\n\n".join(drawn),
            name=_class(subject),
            plain="\n".join(plain),
            waiting="\n".join(waiting),
        )
    names = [name_of(path) for found in doors.values() for path, _, _ in found]
    assert len(names) == len(set(names)), names
    written["__init__"] = _ALL.format(
        imports="\n".join(
            f"from isthmus.client.see.{one} import Async{_class(one)}, {_class(one)}" for one in doors
        ),
        plain=", ".join(map(_class, doors)),
        waiting=", ".join(f"Async{_class(one)}" for one in doors),
    )
    return {name: drawn_well(text) for name, text in written.items()}


def _class(subject: str) -> str:
    return "Sees" + subject.replace("-", " ").title().replace(" ", "")


def _want(schema: Any, schemas: Mapping[str, Any], wanted: dict[str, None]) -> None:
    """Note the types that a schema speaks of, and those that they speak of."""
    if isinstance(schema, dict):
        name = schema.get("$ref", "").removeprefix(_REF) if isinstance(schema.get("$ref"), str) else ""
        if name and name not in wanted:
            wanted[name] = None
            _want(schemas[name], schemas, wanted)
        for value in schema.values():
            _want(value, schemas, wanted)
    elif isinstance(schema, list):
        for one in schema:
            _want(one, schemas, wanted)


def _struct(name: str, schema: Mapping[str, Any]) -> str:
    about = " ".join(str(schema.get("description", f"{name}.")).split("\n\n")[0].split()).replace('"', "'")
    lines = [f"class {name}(msgspec.Struct, frozen=True, kw_only=True):", *_doc(about), ""]
    needed = set(schema.get("required", ()))
    for field, kind in schema.get("properties", {}).items():
        hint, rename = hint_of(kind), ""
        safe = f"{field}_" if keyword.iskeyword(field) else field
        default = "" if field in needed else _default(kind)
        if safe != field:
            rename = f'msgspec.field(name="{field}"' + (f", default={default})" if default else ")")
            default = rename
        lines.append(f"    {safe}: {hint}" + (f" = {default}" if default else ""))
    return "\n".join(lines) + "\n"


def _doc(about: str, deep: str = "    ") -> list[str]:
    if len(about) < 100:
        return [f'{deep}"""{about}"""']
    first, _, rest = about.partition(". ")
    folded = textwrap.wrap(about, 105)
    if len(first) < 100 and rest:
        folded = [f"{first}.", "", *textwrap.wrap(rest, 105)]
    return [f'{deep}"""{folded[0]}', *(f"{deep}{line}".rstrip() for line in folded[1:]), f'{deep}"""']


def hint_of(schema: Any) -> str:
    """Write a type."""
    if not isinstance(schema, dict):
        return "Any"
    if name := schema.get("$ref", "").removeprefix(_REF):
        return f"Page[{_page(name)}]" if _page(name) else name
    if "enum" in schema:
        return f"Literal[{', '.join(json.dumps(one) for one in schema['enum'])}]"
    if "anyOf" in schema:
        hints = list(dict.fromkeys(hint_of(one) for one in schema["anyOf"]))
        complex_ = [
            hint for hint in hints if hint not in ("str", "int", "float", "bool", "None", "datetime", "date")
        ]
        texts = {"str", "datetime", "date"} & set(hints)
        return "Any" if len(complex_) > 1 or len(texts) > 1 else " | ".join(hints)
    match schema.get("type"):
        case "string":
            return {"date-time": "datetime", "date": "date"}.get(schema.get("format", ""), "str")
        case "integer":
            return "int"
        case "number":
            return "float"
        case "boolean":
            return "bool"
        case "null":
            return "None"
        case "array" if "prefixItems" in schema:
            return f"tuple[{', '.join(map(hint_of, schema['prefixItems']))}]"
        case "array":
            return f"Sequence[{hint_of(schema.get('items', {}))}]"
        case "object":
            return f"Mapping[str, {hint_of(schema.get('additionalProperties', {}))}]"
    return "Any"


def _default(schema: Mapping[str, Any]) -> str:
    value = schema.get("default")
    if isinstance(value, list):
        return "()"
    if isinstance(value, dict):
        return "msgspec.field(default_factory=dict)"
    if value is None and "null" not in json.dumps(schema) and "default" not in schema:
        return "msgspec.field(default_factory=dict)" if schema.get("type") == "object" else "None  # type: ignore"
    return repr(value)


def _page(name: str) -> str:
    found = re.fullmatch(r"Page_(.+)_", name)
    return found[1] if found else ""


def name_of(path: str) -> str:
    """Return what a call is named: `/v1/scenes/{scene}/drawing` is scene_drawing."""
    if path in _CALLED:
        return _CALLED[path]
    words = path.removeprefix("/v1/").split("/")
    kept = [
        word.strip("{}")
        for number, word in enumerate(words)
        if not (number + 1 < len(words) and words[number + 1].startswith("{") and number + 1 == len(words) - 1)
        and not (number + 1 < len(words) and words[number + 1].startswith("{"))
    ]
    name = "_".join(kept).replace("-", "_")
    return f"{words[0].removesuffix('s')}_{name}" if words[-1] in ("{name}", "{id}") else name


def _call(path: str, operation: Mapping[str, Any], schema: Any, *, waits: bool) -> str:
    name = name_of(path)
    places = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
    query = [one for one in operation["parameters"] if one["in"] == "query"]
    hint = hint_of(schema)
    paged = hint.startswith("Page[")
    given = [
        f"{_safe(one['name'])}: {hint_of(one['schema'])} | None = None"
        for one in query
        if not (paged and one["name"] in ("limit", "after"))
    ]
    takes = ", ".join(["self", *(f"{place}: str" for place in places), *(["*", *given] if given else [])])
    passed = "".join(
        f", {_quoted(one['name'])}" for one in query if not (paged and one["name"] in ("limit", "after"))
    )
    where = f'inside("{path}", {", ".join(f"{place}={place}" for place in places)})' if places else f'"{path}"'
    about = _doc(operation["summary"].rstrip(".") + ". Raises ApiError.", "        ")
    if paged:
        inner = hint[5:-1]
        lines = [f"    def {name}({takes}) -> {'Async' if waits else ''}Iterator[{inner}]:", *about]
        lines.append(f"        return self._site.pages({where}, {inner}{passed})")
    else:
        lines = [f"    {'async ' if waits else ''}def {name}({takes}) -> {hint}:", *about]
        lines.append(f"        found: {hint} = {'await ' if waits else ''}self._site.get({where}, {hint}{passed})")
        lines.append("        return found")
    return "\n".join(lines) + "\n"


def _safe(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name


def _quoted(name: str) -> str:
    return f"{name}={_safe(name)}" if not keyword.iskeyword(name) else f'**{{"{name}": {_safe(name)}}}'


_MODULE = '''\
"""What there is to see of {subject}. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal

import msgspec

from isthmus.client.calls import AsyncSees, Sees, inside
from isthmus.client.shapes import Page, Progress, Work
{imports}


{types}


class {name}(Sees):
    """Calls of {subject}, for the blocking client."""

{plain}


class Async{name}(AsyncSees):
    """Calls of {subject}, for asyncio."""

{waiting}'''
_ALL = '''\
"""Calls of all that there is to see at a site. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

{imports}


class Seeing({plain}):
    """What there is to see, for the blocking client."""


class AsyncSeeing({waiting}):
    """What there is to see, for asyncio."""
'''


def drawn_well(text: str) -> str:
    """Bring a drawn module into the project's form."""
    for command in (["check", "--fix", "--select", "F401,I", "--config", _OURS_FIRST, "-"], ["format", "-"]):
        line = [sys.executable, "-m", "ruff", *command, "--quiet", "--stdin-filename", str(PLACE / "a.py")]
        done = subprocess.run(line, input=text, capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        text = done.stdout
    return text


def main() -> None:
    """Draw all modules anew; what is drawn no more is removed."""
    PLACE.mkdir(exist_ok=True)
    written = subjects(described())
    for file in PLACE.glob("*.py"):
        if file.stem not in written:
            file.unlink()
    for name, text in written.items():
        (PLACE / f"{name}.py").write_text(text)


if __name__ == "__main__":
    main()
