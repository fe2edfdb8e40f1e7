"""The words of the pages, in English and Chinese.

One TOML file a page in `words/`: `key = ["English", "中文"]`, in tables where that orders them. A word's name is
the file's, then its tables', then its key, joined by dots: `scenes.state.done`.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
FOLDER = Path(__file__).parent / "words"


class Words:
    """Every text of the pages in one language; called with a word's name."""

    def __init__(self, language: Language) -> None:
        self.language: Language = language
        self._texts = _all_texts()
        self._place = LANGUAGES.index(language)

    def __call__(self, name: str, **values: Any) -> str:
        """Return a text, with `{name}` in it replaced by the value of that name.

        Raises KeyError where there is no such word, or a value is missing.
        """
        text = self._texts[name][self._place]
        return text.format_map(values) if values else text

    def known(self, name: str, otherwise: str = "") -> str:
        """Return a text where there is one of that name, such as for a state; else `otherwise`."""
        found = self._texts.get(name)
        return found[self._place] if found else otherwise


def chosen(cookie: str, accepts: str) -> Language:
    """Choose the language: what was chosen by hand, else the first known one that the browser asks for.

    `accepts` is the header Accept-Language (RFC 9110, 12.5.4).
    """
    if cookie == "zh":
        return "zh"
    if cookie == "en":
        return "en"
    ranked: list[tuple[float, Language]] = []
    for part in accepts.split(","):
        tag, _, weight = part.partition(";")
        start = tag.strip().lower().partition("-")[0]
        if start in LANGUAGES:
            ranked.append((_weight(weight), "zh" if start == "zh" else "en"))
    return max(ranked, key=lambda pair: pair[0], default=(1.0, "en"))[1]


def _weight(text: str) -> float:
    try:
        return float(text.strip().removeprefix("q=")) if text.strip() else 1.0
    except ValueError:
        return 0.0


@functools.cache
def _all_texts() -> Mapping[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for file in sorted(FOLDER.glob("*.toml")):
        for name, texts in _flat(file.stem, tomllib.loads(file.read_text("utf-8"))):
            if not (isinstance(texts, list) and len(texts) == len(LANGUAGES)):
                raise ValueError(f"{file.name}: {name} needs a text in each of {', '.join(LANGUAGES)}")
            found[name] = (texts[0], texts[1])
    return found


def _flat(before: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        name = f"{before}.{key}"
        if isinstance(value, Mapping):
            yield from _flat(name, value)
        else:
            yield name, value
