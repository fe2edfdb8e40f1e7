"""Makes the reference pages of the book from the code, while mkdocs builds it: commands, settings, API, changelog.

Nothing of it lies in the repository, so nothing of it can be out of date.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parent.parent
_ESCAPED = re.compile(r"([|<>*_\[\]])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages; mkdocs calls this by its name."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **more: Any) -> str:
    """Let links to files of the repository that are not in the book stand as plain text."""
    return re.sub(r"\[([^\]]+)\]\(((?:\.\./)+(?!docs/|adr/|how-to/)[^)#]+)\)", _outside, markdown)


def _outside(found: re.Match[str]) -> str:
    inside = (ROOT / "docs" / "how-to" / found[2]).resolve().is_relative_to(ROOT / "docs")
    return found[0] if inside else f"{found[1]} (`{found[2].replace('../', '')}`)"


def pages() -> Mapping[str, str]:
    """Return every generated page by its name."""
    return {
        "commands": commands(),
        "settings": settings(),
        "api": api(),
        "changelog": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
    }


def commands() -> str:
    """Describe each command, as its own help does."""
    from isthmus.faces.cli.main import isthmus

    lines = [
        "# Commands",
        "",
        "`isthmus --site PATH COMMAND …`; the site may be named by `ISTHMUS_SITE`, and is `isthmus.toml` in the"
        " current folder by default. `isthmus COMMAND --help` says the same as this page.",
        "",
    ]
    for words, command in _walked(isthmus, ("isthmus",)):
        depth = "##" if len(words) == 2 else "###"
        context = click.Context(command, info_name=words[-1])
        lines += [f"{depth} `{' '.join(words)}`", "", _prose(command.help or ""), ""]
        usage = " ".join(command.collect_usage_pieces(context))
        lines += ["```", f"{' '.join(words)} {usage}", "```", ""]
        if rows := [record for one in command.params if (record := one.get_help_record(context))]:
            lines += ["| option | meaning |", "|---|---|"]
            lines += [f"| `{name}` | {_cell(about)} |" for name, about in rows]
            lines.append("")
    return "\n".join(lines)


def _walked(group: click.Group, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from _walked(command, (*words, name))


def settings() -> str:
    """Describe each key of a site's TOML, table by table."""
    from isthmus.app.keys import explained

    lines = ["# Settings", "", "Every key of a site's TOML. `isthmus keys TABLE` says the same.", ""]
    table = None
    for name, key, default, about in explained():
        if name != table:
            lines += ["", f"## `[{name}]`", "", "| key | default | meaning |", "|---|---|---|"]
            table = name
        lines.append(f"| `{key}` | {'required' if default == 'required' else f'`{default}`'} | {_cell(about)} |")
    return "\n".join(lines)


def api() -> str:
    """Describe each door of the API, from its OpenAPI document."""
    from isthmus.faces.cli.described import described

    document = described()
    lines = [
        "# The API",
        "",
        "`GET /openapi.json` at a running server sends the whole document (OpenAPI 3.1) with every type; `/docs`"
        " shows it as a page. Errors are problem details (RFC 9457). Lists are paged: `?limit=`, `?after=` with"
        " the `next` of the answer before.",
        "",
        "| call | what it does |",
        "|---|---|",
    ]
    for path, doors in document["paths"].items():
        for method, door in doors.items():
            if isinstance(door, dict) and "summary" in door:
                lines.append(f"| `{method.upper()} {path}` | {_cell(door['summary'])} |")
    return "\n".join(lines)


def _prose(text: str) -> str:
    return _ESCAPED.sub(r"\\\1", inspect.cleandoc(text.replace("\b", "")))


def _cell(text: str) -> str:
    return _ESCAPED.sub(r"\\\1", " ".join(str(text).split()))
