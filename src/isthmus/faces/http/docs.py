"""The description of the doors as one plain page, without scripts and without the network."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}: the API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs.css"></head><body>
<h1>{title}: the API</h1>
<p>For programs: <a href="/openapi.json">openapi.json</a>. Send an API key as
<code>Authorization: Bearer isk_…</code>. Errors are problem details (RFC 9457).</p>
"""

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
  color: #1b1f24; background: #fff }
section { border-top: 1px solid #d0d7de; padding: .5rem 0 1rem }
h2 { font-size: 1.05rem; margin: .5rem 0 } h2 b { display: inline-block; min-width: 4.5rem; color: #0550ae }
code, pre, h2 { font-family: ui-monospace, monospace }
table { border-collapse: collapse } td { padding: .1rem 1rem .1rem 0; vertical-align: top }
details { margin: .3rem 0 } pre { background: #f6f8fa; padding: .7rem; overflow-x: auto }
@media (prefers-color-scheme: dark) { body { color: #e6edf3; background: #0d1117 }
  h2 b { color: #79c0ff } pre { background: #161b22 } a { color: #79c0ff } section { border-color: #30363d } }
"""


def page(document: Mapping[str, Any]) -> str:
    """Write the page."""
    doors = [
        _door(path, method, door)
        for path, methods in document.get("paths", {}).items()
        for method, door in methods.items()
    ]
    schemas = document.get("components", {}).get("schemas", {})
    types = [_type(name, schema) for name, schema in sorted(schemas.items())]
    title = escape(str(document.get("info", {}).get("title", "Isthmus")))
    return (
        _HEAD.format(title=title)
        + "".join(doors)
        + '<h1 id="types">Types</h1>'
        + "".join(types)
        + "</body></html>"
    )


def _door(path: str, method: str, door: Mapping[str, Any]) -> str:
    rows = [
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}</td>"
        f"<td>{_shape(one.get('schema', {}))}</td></tr>"
        for one in door.get("parameters", ())
    ]
    for media, content in door.get("requestBody", {}).get("content", {}).items():
        rows.append(f"<tr><td>body</td><td>{escape(media)}</td><td>{_shape(content.get('schema', {}))}</td></tr>")
    for status, told in door["responses"].items():
        kinds = [_shape(content.get("schema", {})) for content in told.get("content", {}).values()]
        rows.append(f"<tr><td>{status}</td><td>{escape(told['description'])}</td><td>{' '.join(kinds)}</td></tr>")
    return (
        f"<section><h2><b>{method.upper()}</b> {escape(path)}</h2><p>{escape(door.get('summary', ''))}</p>"
        f"<table>{''.join(rows)}</table></section>"
    )


def _type(name: str, schema: Mapping[str, Any]) -> str:
    fields = [
        f"<tr><td><code>{escape(field)}</code></td><td>{_shape(kind)}</td></tr>"
        for field, kind in schema.get("properties", {}).items()
    ]
    about = escape(str(schema.get("description", "")).replace("\n", " "))
    table = f"<table>{''.join(fields)}</table>"
    return f'<section id="{escape(name)}"><h2>{escape(name)}</h2><p>{about}</p>{table}</section>'


def _shape(schema: Mapping[str, Any] | bool) -> str:
    if isinstance(schema, bool):
        return "anything" if schema else "nothing"
    if "$ref" in schema:
        name = escape(str(schema["$ref"]).rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_shape(one) for one in schema["anyOf"])
    if "prefixItems" in schema:
        return f"list of {', '.join(_shape(one) for one in schema['prefixItems'])}"
    if schema.get("type") == "array":
        return f"list of {_shape(schema.get('items', {}))}"
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS if key in schema]
    kind = escape(str(schema.get("format", schema.get("type", "any"))))
    return f"{kind}{', ' if bounds else ''}{', '.join(bounds)}"


_BOUNDS = (("minimum", "from"), ("maximum", "to"), ("maxLength", "at most"))
