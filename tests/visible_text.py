"""What a person reads on a page: its texts and the texts of its attributes, apart from what is typed or quoted."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})
_TYPED = frozenset({"script", "style", "code", "pre", "kbd", "template", "textarea"})
"""Commands, lines to carry, statements and keys are the same in every language."""
_SPOKEN = ("title", "aria-label", "placeholder", "alt", "summary")


class Reader(HTMLParser):
    """Gathers texts; `lang="en"` marks what is quoted as it was said, by a command or by whoever wrote it."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self.quoted: list[str] = []
        self._open: list[tuple[str, bool, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and "download" not in given and given.get("href", "").startswith("/"):
            self.links.append(given["href"])
        typed, quoted = self._state()
        typed, quoted = typed or tag in _TYPED, quoted or given.get("lang") == "en"
        for name in _SPOKEN:
            if given.get(name) and tag != "time":
                (self.quoted if quoted or typed else self.texts).append(given[name])
        if tag not in _VOID:
            self._open.append((tag, typed, quoted))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            continue

    def handle_data(self, text: str) -> None:
        typed, quoted = self._state()
        if text.strip() and not typed:
            (self.quoted if quoted else self.texts).append(" ".join(text.split()))

    def _state(self) -> tuple[bool, bool]:
        return self._open[-1][1:] if self._open else (False, False)


def read(page: str) -> Reader:
    """Read a page."""
    reader = Reader()
    reader.feed(page)
    return reader
