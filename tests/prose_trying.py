"""Types the commands that stand in prose, each as it stands there, in a world that a test made for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from page_reader import On, Reader, reading
from prose_told import TRIED


@dataclass
class Trial:
    """A reader of sentences: what it typed of those that its world is for."""

    world: str
    reader: Reader
    tried: set[str] = field(default_factory=set)

    def put(self, command: str, **words: str) -> str:
        """Note that a command is typed; returns it with `words` in the place of what stands for them."""
        assert command in TRIED[self.world], f"TRIED does not say that {self.world!r} tries {command!r}"
        self.tried.add(command)
        for word, meant in words.items():
            assert word in command, f"{command} has no {word}"
            command = command.replace(word, meant)
        return command

    def __call__(self, command: str, words: dict[str, str] | None = None, **how: Any) -> str:
        """Type a command and require what an `On` says of it; returns what it said."""
        return self.also(self.put(command, **(words or {})), **how)

    def also(self, line: str, **how: Any) -> str:
        """Type a line that no sentence has, but that one speaks of: the state before or after."""
        self.reader.ons = (On(line, **how),)
        return self.reader.line(line)

    def later(self, holds: Callable[[str], object], line: str, **how: Any) -> None:
        """Type a line again and again until what it says is as awaited."""
        from gallery_sites import until

        until(lambda: holds(self.also(line, **how)), line)


@contextlib.contextmanager
def trying(world: str, folder: Path) -> Iterator[Trial]:
    """Try all commands of a world for a block, in a folder: those that were not are named at its end."""
    with reading(folder) as reader:
        trial = Trial(world, reader)
        yield trial
        reader.ons = ()
        assert trial.tried == set(TRIED[world]), f"not tried: {sorted(set(TRIED[world]) - trial.tried)}"
