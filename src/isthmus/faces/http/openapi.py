"""The description of the doors (OpenAPI 3.1), built from their table and from the types."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from isthmus.app.people.person import Role
from isthmus.faces.http.answers import Problem
from isthmus.faces.http.doors import FORM, JSON, LINES, Door

_WORDS = {
    200: "Done.",
    201: "Made.",
    202: "Taken; durable.",
    204: "Done.",
    206: "A part of it.",
    304: "It is what you have.",
    400: "The request cannot be read.",
    401: "A valid API key is needed.",
    403: "The key, signature or role does not allow this.",
    404: "There is no such thing, or the key may not see it.",
    409: "There is one of that name already.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The body is of a type that is not taken here.",
    416: "There is no such part of it.",
    422: "Something in it is wrong; nothing was done.",
    429: "Too much at a time; come again later.",
    503: "The server cannot do it now; come again later.",
    507: "The disk is full.",
}
_PLACE = re.compile(r"\{(\w+)(?::(\w+))?\}")
_BEGIN = "#/components/schemas/"
_LONG = re.compile(r"isthmus(?:\.\w+)+")
_PROBLEM = {"$ref": "#/components/schemas/Problem"}


@dataclass(frozen=True, slots=True)
class About:
    """What a description says of the whole. `tighter` is what types ask for beyond themselves, by their names."""

    title: str
    description: str
    tighter: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cookie: str = "isthmus_session"


def _tightened(schema: Mapping[str, Any], tighter: Mapping[str, Any]) -> dict[str, Any]:
    properties = {**schema["properties"], **tighter.get("properties", {})}
    return {**schema, **tighter, "properties": properties}


def document(doors: Sequence[Door], version: str, about: About) -> dict[str, Any]:
    """Build the description."""
    kinds: list[Any] = [Problem]
    for door in doors:
        kinds += [kind for kind in door.bodies.values() if _typed(kind)]
        kinds += [kind for media in door.good.values() for kind in media.values() if _typed(kind)]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    for name, tighter in about.tighter.items():
        components[name] = _tightened(components[name], tighter)
    schemas, components = _shortly((schemas, components))
    known = [(kind, schema) for kind, schema in zip(kinds, schemas, strict=True)]
    paths: dict[str, dict[str, Any]] = {}
    for door in doors:
        path = _PLACE.sub(r"{\1}", door.path)
        paths.setdefault(path, {})[door.method.lower()] = _operation(door, known)
    return {
        "openapi": "3.1.0",
        "info": {"title": about.title, "version": version, "description": about.description},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": about.cookie},
            },
        },
    }


def _shortly(described: Any) -> Any:
    """Call types of one name by their module's last word and it; msgspec tells them apart by whole modules."""
    if isinstance(described, Mapping):
        return {
            _short(key): _BEGIN + _short(value.removeprefix(_BEGIN)) if key == "$ref" else _shortly(value)
            for key, value in described.items()
        }
    return [_shortly(one) for one in described] if isinstance(described, list | tuple) else described


def _short(name: str) -> str:
    return _LONG.sub(lambda found: "".join((found[0].split(".")[-2].title(), found[0].split(".")[-1])), name)


def _operation(door: Door, known: list[tuple[Any, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": door.summary,
        "operationId": re.sub(r"\W+", "_", f"{door.method.lower()} {_PLACE.sub(_named, door.path)}").strip("_"),
        "parameters": [*_in_path(door), *_in_query(door), *_in_header(door)],
        "responses": _responses(door, known),
    }
    if door.bodies:
        content = {media: {"schema": _schema(kind, media, known)} for media, kind in door.bodies.items()}
        operation["requestBody"] = {"required": door.body_needed, "content": content}
    if isinstance(door.role, Role):
        operation["security"] = [{"key": []}, {"session": []}]
        operation["description"] = f"From the role {door.role} upward."
    elif door.role:
        agent = door.role == frozenset({"agent"})
        operation["security"] = [{"key": []}] if agent else [{"key": []}, {"session": []}]
        operation["description"] = f"For keys of role {', '.join(sorted(door.role))}."
    return operation


def _named(place: re.Match[str]) -> str:
    return place[1]


def _responses(door: Door, known: list[tuple[Any, Any]]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, content in door.good.items():
        told: dict[str, Any] = {"description": _WORDS[status]}
        if content:
            told["content"] = {media: {"schema": _schema(kind, media, known)} for media, kind in content.items()}
        responses[str(status)] = told
    bad = {*door.bad, *((401, 403) if door.role else ()), 503, 507}
    for status in sorted(bad - door.good.keys()):
        responses[str(status)] = {
            "description": _WORDS[status],
            "content": {"application/problem+json": {"schema": _PROBLEM}},
        }
    return dict(sorted(responses.items()))


def _typed(kind: Any) -> bool:
    return kind is not None and not isinstance(kind, Mapping)


def _schema(kind: Any, media: str, known: list[tuple[Any, Any]]) -> Any:
    if isinstance(kind, Mapping):
        return kind
    if kind is not None and media == JSON:
        return next(schema for one, schema in known if one is kind or one == kind)
    if media == JSON:
        return {"type": "object"}
    if media == FORM:
        file = {"type": "string", "contentMediaType": "application/octet-stream"}
        return {"type": "object", "properties": {"file": file, "label": {"type": "string"}}, "required": ["file"]}
    text = media.startswith("text/") or media == LINES
    return {"type": "string"} if text else {"type": "string", "format": "binary"}


def _in_path(door: Door) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 0} if kind == "int" else {"type": "string", "minLength": 1},
        }
        for name, kind in _PLACE.findall(door.path)
    ]


def _in_query(door: Door) -> list[dict[str, Any]]:
    (_,), components = msgspec.json.schema_components([door.query])
    fields = components[door.query.__name__].get("properties", {})
    return [
        {"name": name, "in": "query", "required": False, "schema": _plain(schema)}
        for name, schema in fields.items()
    ]


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out null: a parameter that is not there is left out, not null."""
    if "anyOf" not in schema:
        return schema
    kinds = [one for one in schema["anyOf"] if one.get("type") != "null"]
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _in_header(door: Door) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}} for name in door.headers
    ]
