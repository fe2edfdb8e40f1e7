"""Commands that stand in the sentences, tables and lists of the pages: which they are.

A span such as `isthmus gate request` is a command line; so is `gate send`, where the reader knows whose it is.
One of a single word, such as `status`, is a name: of a field, a state or a command. What runs each is told in
prose_told.py.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from pages import DOCS, FOLLOWED, PAGES, ROOT, blocks_of, elsewhere, name_of, not_here

SPEAKING = (*PAGES, *sorted((DOCS / "adr").glob("*.md")), ROOT / "CONTRIBUTING.md")
PROGRAMS = re.compile(
    r"isthmus|make|pip3?|python3?|systemctl|systemd-\w+|journalctl|docker|podman|buildah|tar|rsync|scp|ssh|cp|mv|rm|ln"
    r"|ls|du|cat|chmod|chown|mkdir|mount|kill|curl|wget|openssl|nginx|runuser|sudo|su|useradd|apt|apt-get|git|bash|sh"
    r"|export|sqlite3|psql|mongodump|mongorestore|bsondump|sha256sum|mypy|ruff|pytest|mkdocs|\."
)
PLACEHOLDER = re.compile(r"[A-Z]{1,9}")
"""A word that stands for something: RUN, BATCH, NAME, LABEL, N."""


@dataclass(frozen=True)
class Spoken:
    """A command in prose: its page, the line that it begins in, how it stands there, and all of it."""

    page: str
    line: int
    text: str
    command: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line} `{self.text}`"


SHORT = {
    ("acquire.md", "environment add"): "isthmus acquire environment add",
    ("acquire.md", "environment list"): "isthmus acquire environment list",
    ("acquire.md", "keys list"): "isthmus acquire keys list",
    ("acquire-gate.md", "epoch --above N"): "isthmus acquire gate epoch --above N",
    ("acquire-gate.md", "request --snapshot"): "isthmus acquire gate request --snapshot",
}
"""What is meant where a page says the end of a command, by page and span."""

NO_COMMANDS = {("formats.md", "isthmus agent credential 1"): "the word that a credential's `format` has"}
"""What looks like a command and is none, by page and span, and what it is."""


@functools.cache
def spoken() -> tuple[Spoken, ...]:
    """Return all commands in the prose of all pages, in their order."""
    return tuple(one for page in SPEAKING for one in commands_of(name_of(page), page))


def prose_of(page: Path) -> str:
    """Return the text of a page without its blocks; lines keep their numbers."""
    return re.sub(
        r"^[ \t]*```.*?^[ \t]*```[ \t]*$",
        lambda block: "\n" * block[0].count("\n"),
        page.read_text(encoding="utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )


def commands_of(name: str, page: Path) -> Iterator[Spoken]:
    """Find the commands in the prose of a page that is called so."""
    text = prose_of(page)
    for span in re.finditer(r"(?<!`)`([^`]+)`(?!`)", text):
        said = " ".join(span[1].split())
        if (name, said) not in NO_COMMANDS and (command := _command(name, said)):
            yield Spoken(name, text.count("\n", 0, span.start()) + 1, said, command)


def _command(page: str, said: str) -> str:
    """Return the command line that a span is, nothing where it is none."""
    words = said.split()
    if len(words) < 2:
        return ""
    program = words[0].rpartition("/")[2]
    if PROGRAMS.fullmatch(program):
        return said if program != "." or "/" in words[1] else ""
    count = next((count for count in (3, 2, 1) if tuple(words[:count]) in _ends()), 0)
    if count == 0 or (count == 1 and not words[1].startswith("--")):
        return ""
    if (page, said) in SHORT:
        return SHORT[page, said]
    assert tuple(words[:count]) in _whole(), f"{page} says `{said}`: tell in SHORT which command it is the end of"
    return f"isthmus {said}"


@functools.cache
def _whole() -> frozenset[tuple[str, ...]]:
    """Return the words of every command of the product."""
    from isthmus.faces.cli.main import isthmus

    def below(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if not isinstance(command, click.Group):
            yield words
            return
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from below(found, (*words, name))

    return frozenset(below(isthmus, ()))


@functools.cache
def _ends() -> frozenset[tuple[str, ...]]:
    return frozenset(words[at:] for words in _whole() for at in range(len(words)))


def in_block(command: str) -> str:
    """Return page and line of a block that a test follows and that has a line which begins so; nothing if none.

    The site may be left out in prose, not changed; a word that stands for something is any one.
    """
    words = command.split()
    at_site = words[1:2] == ["--site"]
    for where, line in typed():
        have = line if at_site else _without_site(line)
        if len(have) >= len(words) and all(
            said == there or PLACEHOLDER.fullmatch(said) for said, there in zip(words, have, strict=False)
        ):
            return where
    return ""


@functools.cache
def typed() -> tuple[tuple[str, list[str]], ...]:
    """Return the words of every line that a test types because a block has it, with where it stands."""
    return tuple(
        (f"{page}:{block.line}", line.split())
        for page, languages in FOLLOWED.items()
        for block in blocks_of(page)
        if block.language in ("", "sh") and block.language in languages and not not_here(block)
        for line in block.lines
        if not elsewhere(page, line)
    )


def _without_site(words: list[str]) -> list[str]:
    return [words[0], *words[3:]] if words[1:2] == ["--site"] else words
