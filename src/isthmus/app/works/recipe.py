"""How an operation becomes a command line: the words of its command, and what is always said with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from isthmus.app.works.work import Operation


@dataclass(frozen=True, slots=True)
class Recipe:
    """An operation with its command. `always` are flags that every run has, such as the answer to a question."""

    operation: Operation
    words: tuple[str, ...]
    always: tuple[str, ...] = ()
    grave: bool = False
    """Whether a person types a word to confirm it before it is run from a page."""


Recipes = Mapping[str, Recipe]
"""By the operations' names."""
