"""A reader of a page who does what stands on it, block by block, in a folder of the test's own.

Commands of the product run in this process, which costs no start of one; what serves or watches runs as a process
of its own until the reader is done. A page speaks of folders and names that this machine has not: `words` says
what stands for them. What a page takes for given, such as a photo or a gatekeeper who copies, an `On` or a block's
act brings about.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from gallery_sites import environment, until
from isthmus.faces.cli.main import run
from pages import DRAWN, Block, blocks_of, elsewhere, not_here

_PATIENCE_S = 120.0
Act = Callable[["Reader", Block], None]


@dataclass(frozen=True)
class On:
    """What a reader knows of lines that begin so: where they are typed, how they end, what comes before and after.

    `stays`: the line serves or watches, until the reader ends it; it is at work when its log shows this pattern.
    `types` is what a person answers it. `after` gets what it said.
    """

    begins: str
    at: str = ""
    code: int = 0
    says: str = ""
    types: str = ""
    stays: str = ""
    before: Callable[[Reader], object] | None = None
    after: Callable[[Reader, str], object] | None = None


@dataclass
class Running:
    """A command that serves or watches."""

    line: str
    process: subprocess.Popen[bytes]
    log: Path

    def end(self) -> None:
        """End it as ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(_PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()
        assert code in (0, 130), f"{self.line} ended with {code}: {self.log.read_text()[-2000:]}"

    def kill(self) -> None:
        """End it as a power failure does."""
        self.process.kill()
        self.process.wait()


class _Typed(io.StringIO):
    """Answers at a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass
class Reader:
    """Follows pages in a folder; `close` ends what still runs."""

    folder: Path
    ons: Sequence[On] = ()
    blocks: Mapping[str, Act] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    running: list[Running] = field(default_factory=list)
    said: str = ""
    met: set[str] = field(default_factory=set)

    def follow(self, page: str) -> int:
        """Do all of a page; whatever it has that nobody can follow raises. Returns how many blocks it was."""
        followed = 0
        for block in blocks_of(page):
            where = f"{page}:{block.line}"
            if block.language == DRAWN or not_here(block):
                continue
            followed += 1
            if act := self._act(block):
                act(self, block)
            elif block.language == "sh":
                self.script(block.text)
            elif block.language == "text":
                assert like(block.text) in like(self.said), (
                    f"{where} shows\n{block.text}\nand this was said\n{self.said}"
                )
            else:
                assert not block.language, f"{where}: nobody follows {block.language!r}"
                for line in block.lines:
                    if not elsewhere(page, line):
                        self.line(line)
        return followed

    def line(self, line: str) -> str:
        """Type one line; returns what it said."""
        known = [one for one in self.ons if line.startswith(one.begins)]
        on = max(known, key=lambda one: len(one.begins), default=On(""))
        self.met.add(on.begins)
        if on.before:
            on.before(self)
        typed, at = self.put(line), self.folder / on.at
        if on.stays:
            self.start(line, typed, at, on.stays)
            if on.after:
                on.after(self, "")
            return ""
        quick = _plain(typed) and "--watch" not in typed  # what watches might do so for ever: not in this process
        code, self.said = self._here(typed, at, on.types) if quick else self._shell(typed, at, on.types)
        assert code == on.code, f"{line} ended with {code}: {self.said}"
        assert "Traceback" not in self.said, self.said
        assert re.search(on.says, self.said), f"{line} lacks {on.says!r}: {self.said}"
        if on.after:
            on.after(self, self.said)
        return self.said

    def script(self, text: str, at: str = "") -> str:
        """Give a script to one shell."""
        code, self.said = self._shell(self.put(text), self.folder / at, "")
        assert code == 0, f"{text} ended with {code}: {self.said}"
        return self.said

    def start(self, line: str, typed: str, at: Path, shows: str) -> Running:
        """Start what stays, and wait until its log shows that it is at work."""
        log = self.folder / f"log-{len(self.running)}"
        with log.open("wb") as file:
            words = [sys.executable, "-m", "isthmus", *shlex.split(typed, comments=True)[1:]]
            started = Running(
                line,
                subprocess.Popen(words, cwd=at, stdout=file, stderr=file, env={**environment(), **self.env}),
                log,
            )
        self.running.append(started)

        def at_work() -> bool:
            assert started.process.poll() is None, f"{typed} ended: {log.read_text()}"
            return bool(re.search(shows, log.read_text()))

        until(at_work, f"{typed} shows {shows}", _PATIENCE_S)
        return started

    def end(self, begins: str, *, lost: bool = False) -> None:
        """End what was started with these words; `lost` as a power failure does."""
        found = [one for one in self.running if one.line.startswith(begins)]
        assert found, begins
        for one in found:
            self.running.remove(one)
            one.kill() if lost else one.end()

    def serving(self, begins: str) -> str:
        """Return the address that a server which was started with these words tells."""
        (one,) = (one for one in self.running if one.line.startswith(begins))
        return re.findall(r"^serving (\S+)", one.log.read_text(), re.MULTILINE)[0]

    def put(self, text: str) -> str:
        """Put what stands for the page's words in their place."""
        for word in sorted(self.words, key=len, reverse=True):
            text = text.replace(word, self.words[word])
        return text

    def finish(self) -> None:
        """End all, in order; whatever was said of lines and blocks that the pages lack raises."""
        for one in reversed(self.running):
            one.end()
        self.running.clear()
        missing = {on.begins for on in self.ons} | set(self.blocks)
        assert missing <= self.met, f"no page has them any more: {sorted(missing - self.met)}"

    def close(self) -> None:
        """Leave nothing behind, whatever happened."""
        for one in self.running:
            one.kill()

    def _act(self, block: Block) -> Act | None:
        for begins, act in self.blocks.items():
            if block.text.startswith(begins):
                self.met.add(begins)
                return act
        return None

    def _here(self, line: str, at: Path, types: str) -> tuple[int, str]:
        out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
        typed = _Typed(types) if types else io.StringIO()
        with (
            contextlib.chdir(at),
            mock.patch.dict(os.environ, self.env),
            mock.patch.object(sys, "stdin", typed),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
        ):
            code = run(shlex.split(line, comments=True)[1:])
        return code, out.buffer.getvalue().decode()  # type: ignore[attr-defined]

    def _shell(self, text: str, at: Path, types: str) -> tuple[int, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=at, env={**environment(), **self.env, "PATH": path},
            input=types, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout


@contextlib.contextmanager
def reading(
    folder: Path, ons: Sequence[On] = (), blocks: Mapping[str, Act] | None = None, **words: str
) -> Iterator[Reader]:
    """Read pages for a block; at its end all that was said of their lines must have been met."""
    folder.mkdir(parents=True, exist_ok=True)
    reader = Reader(folder, ons, blocks or {}, words)
    try:
        yield reader
        reader.finish()
    finally:
        reader.close()


def like(text: str) -> str:
    """Return a text with what differs between two runs taken out: numbers, digests, spaces."""
    text = re.sub(r"\b(?=\w*\d)\w+\b|\b[A-Z]{6}\b", "#", text)
    return " ".join(text.split())


def _plain(line: str) -> bool:
    """Tell whether a line is one command of the product and nothing that a shell has to do."""
    bare = re.sub(r"\s#\s.*", "", re.sub(r"'[^']*'", "", line))
    return (
        line.startswith("isthmus ")
        and "$" not in bare
        and not re.search(r"[|&;<>`*]", re.sub(r'"[^"]*"', "", bare))
    )
