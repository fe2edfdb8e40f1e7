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

PLACE = Path(__file__).parent.parent / "src/isthmus/client"
TYPES, CALLS = PLACE / "views.py", PLACE / "seeing.py"
_OURS = ("/v1/operations", "/v1/work", "/v1/events", "/v1/session")
_REF = "#/components/schemas/"
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


def types(document: Mapping[str, Any]) -> str:
    """Write the types."""
    schemas = document["components"]["schemas"]
    wanted: dict[str, None] = {}

    def want(schema: Any) -> None:
        if isinstance(schema, dict):
            name = schema.get("$ref", "").removeprefix(_REF)
            if name and name not in wanted:
                wanted[name] = None
                want(schemas[name])
            for value in schema.values():
                want(value)
        elif isinstance(schema, list):
            for one in schema:
                want(one)

    for _, _, schema in seen(document):
        want(schema)
    drawn = [_struct(name, schemas[name]) for name in sorted(wanted) if name not in _KNOWN and not _page(name)]
    return _TYPES + "\n\n".join(drawn)


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


def calls(document: Mapping[str, Any]) -> str:
    """Write the calls, for both clients."""
    plain, waiting, names = [], [], set[str]()
    for path, operation, schema in seen(document):
        name = name_of(path)
        assert name not in names, path
        names.add(name)
        plain.append(_call(name, path, operation, schema, waits=False))
        waiting.append(_call(name, path, operation, schema, waits=True))
    used = sorted(set(re.findall(r"\b(?:Page|Iterator)?\[?(\w+)\]?", " ".join(plain))))
    document_types = [one for one in used if one in document["components"]["schemas"] and one not in _KNOWN]
    imports = ", ".join(document_types)
    return _CALLS.format(imports=imports, plain="\n".join(plain), waiting="\n".join(waiting))


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


def _call(name: str, path: str, operation: Mapping[str, Any], schema: Any, *, waits: bool) -> str:
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


_TYPES = '''\
"""What a site tells of itself, as types. Drawn from the description of its doors, never changed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal

import msgspec

from isthmus.client.shapes import Page, Progress, Work


'''
_CALLS = '''\
"""Calls of what there is to see at a site. Drawn from the description of its doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, datetime
from typing import Any, Literal, Protocol

from isthmus.client.calls import inside
from isthmus.client.views import {imports}


class _Site(Protocol):
    def get(self, path: str, kind: Any = Any, **parameters: Any) -> Any: ...

    def pages(self, path: str, kind: Any = Any, limit: int = 200, **parameters: Any) -> Iterator[Any]: ...


class _AsyncSite(Protocol):
    async def get(self, path: str, kind: Any = Any, **parameters: Any) -> Any: ...

    def pages(self, path: str, kind: Any = Any, limit: int = 200, **parameters: Any) -> AsyncIterator[Any]: ...


class Seeing:
    """What there is to see, for the blocking client."""

    def __init__(self, site: _Site) -> None:
        self._site = site

{plain}

class AsyncSeeing:
    """What there is to see, for asyncio."""

    def __init__(self, site: _AsyncSite) -> None:
        self._site = site

{waiting}'''


def drawn(text: str) -> str:
    """Bring a drawn module into the project's form."""
    for command in (["check", "--fix", "--select", "F401,I", "-"], ["format", "-"]):
        line = [sys.executable, "-m", "ruff", *command, "--quiet", "--stdin-filename", str(TYPES)]
        done = subprocess.run(line, input=text, capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        text = done.stdout
    return text


def main() -> None:
    """Draw both modules anew."""
    document = described()
    TYPES.write_text(drawn(types(document)))
    CALLS.write_text(drawn(calls(document)))


if __name__ == "__main__":
    main()
