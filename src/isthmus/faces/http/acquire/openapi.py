"""What acquire's description of its doors (OpenAPI 3.1) says beyond the types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.acquire.request import (
    LEAST_EDGE,
    MOST_ADDRESS,
    MOST_EDGE,
    MOST_RECORD,
    MOST_TAG,
    MOST_TAGS,
    MOST_THUMBNAILS,
    PRIORITIES,
    USUAL_PRIORITY,
)
from isthmus.faces.http import openapi
from isthmus.faces.http.doors import Door

_TEXT = {"type": "string", "minLength": 1, "pattern": "^[^\\x00-\\x1f\\x7f]+$"}
_MAYBE = {"type": ["string", "null"], "minLength": 1, "maxLength": MOST_RECORD // 4, "pattern": _TEXT["pattern"]}
_TIGHTER: Mapping[str, Mapping[str, Any]] = {
    "Wish": {
        "properties": {
            "address": {**_TEXT, "maxLength": MOST_ADDRESS // 4},
            "environment": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,39}$"},
            "record": {**_TEXT, "maxLength": MOST_RECORD // 4},
            "dedup": {**_MAYBE, "default": None},
            "place": {**_MAYBE, "default": None},
            "priority": {"type": "integer", "minimum": 0, "maximum": PRIORITIES[-1], "default": USUAL_PRIORITY},
            "latitude": {"type": ["number", "null"], "minimum": -90, "maximum": 90, "default": None},
            "longitude": {"type": ["number", "null"], "minimum": -180, "maximum": 180, "default": None},
            "tags": {"type": "array", "items": {**_TEXT, "maxLength": MOST_TAG // 4}, "maxItems": MOST_TAGS},
            "thumbnails": {
                "type": "array",
                "items": {"type": "integer", "minimum": LEAST_EDGE, "maximum": MOST_EDGE},
                "maxItems": MOST_THUMBNAILS,
            },
        },
        "oneOf": [
            {"properties": {"latitude": {"type": "null"}, "longitude": {"type": "null"}}},
            {
                "properties": {"latitude": {"type": "number"}, "longitude": {"type": "number"}},
                "required": ["latitude", "longitude"],
            },
        ],
    },
    "NewKey": {
        "oneOf": [
            {
                "properties": {"role": {"const": "agent"}, "environment": {"minLength": 1}},
                "required": ["environment"],
            },
            {
                "properties": {
                    "role": {"enum": ["client", "viewer", "operator"]},
                    "environment": {"const": ""},
                }
            },
        ],
    },
}
"""What `request.check` and `keys.make` ask for beyond the types. Lengths count bytes there, letters here."""

ABOUT = openapi.About(
    "Isthmus acquire",
    "Images from storage servers in other networks: asked for here, pushed when they come.",
    _TIGHTER,
)


def document(doors: Sequence[Door], version: str) -> dict[str, Any]:
    """Build the description."""
    return openapi.document(doors, version, ABOUT)
