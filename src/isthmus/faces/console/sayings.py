"""Sentences that the product says in English, such as alarms and refusals, in the language of a page.

They come as finished texts, out of errors, alarms and the audit log, with values in them. `sayings.toml` has each
kind once, as `["English with {value}", "中文 {value}"]`; a text is taken for that kind of those that it fits which
has the most fixed signs, and its values are carried over. The name of a value that ends in `_id` stands for one
word alone. A text of several sentences joined by `; ` may be put together out of several kinds.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

FILE = Path(__file__).with_name("sayings.toml")
_VALUE = re.compile(r"\{([a-z_]+)\}")
_WORD = r"[^\s:;,]+"
_APART = "; "
_LONGEST = 2000


def said(text: str, language: str) -> str | None:
    """Return a text in a language; None where it is of no kind that is known."""
    if language == "en" or not text.strip():
        return text
    return _in_chinese(text) if len(text) <= _LONGEST else None


@functools.lru_cache(maxsize=2048)
def _in_chinese(text: str) -> str | None:
    if (found := _whole(text)) is not None:
        return found
    head, apart, rest = text.partition(_APART)
    while apart:
        first = _whole(head)
        if first is not None and (second := _in_chinese(rest)) is not None:
            return f"{first}；{second}"
        more, apart, rest = rest.partition(_APART)
        head = f"{head}{_APART}{more}"
    return None


def _whole(text: str) -> str | None:
    for pattern, chinese in kinds():
        if found := pattern.fullmatch(text):
            return chinese.format_map({name: _value(value) for name, value in found.groupdict().items()})
    return _words().get(text)


def _value(text: str) -> str:
    """Carry a value over: a word or a sentence that is known by itself is said in Chinese, too."""
    return _whole(text) or text


@functools.cache
def kinds() -> Sequence[tuple[re.Pattern[str], str]]:
    """Return each kind as what its texts look like and its Chinese; those with the most fixed words first."""
    found = []
    for english, chinese in _pairs("sentence"):
        parts = _VALUE.split(english)
        pattern = "".join(
            re.escape(part) if place % 2 == 0 else f"(?P<{part}>{_WORD if part.endswith('_id') else '.+?'})"
            for place, part in enumerate(parts)
        )
        found.append((len("".join(parts[::2])), re.compile(pattern, re.DOTALL), chinese))
    return [(pattern, chinese) for _, pattern, chinese in sorted(found, key=lambda one: -one[0])]


@functools.cache
def _words() -> dict[str, str]:
    return dict(_pairs("word"))


def _pairs(table: str) -> list[tuple[str, str]]:
    return [(one[0], one[1]) for one in tomllib.loads(FILE.read_text("utf-8"))[table]["pairs"]]


__all__ = ["FILE", "kinds", "said"]
