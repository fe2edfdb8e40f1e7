"""Sites across a gate as folders, the processes that work in them and are killed, and a gatekeeper that spoils."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import crossing_process
from isthmus.transfer.signing import SigningKey
from rough_gate import flipped

TICK_S = 0.01
_TOML = {
    "inner": """[site]
name = "inner"
[gallery]
role = "inner"
[gate]
folder = "../inside"
key = "key.pem"
format = "{form}"
cut_mb = 0.02
cut_s = 0.05
carousel_files = 4
carousel_s = 1
heartbeat_s = 1
snapshot_s = 4
keep_files = 12
""",
    "outer": """[site]
name = "outer"
[gallery]
role = "outer"
extractor = "phash"
[gate]
folder = "../outside"
trust = ["{public}"]
consume = {consume}
gap_alarm_s = 0.5
settle_s = 0.3
silent_s = 30
poll_s = 0.05
[sync]
port = 0
[ice]
loopback = true
""",
    "device": """[site]
name = "device"
[device]
extractor = "phash"
[ice]
loopback = true
silence_s = 5
connect_s = 10
""",
}


def make_sites(folder: Path, form: str, *, consume: bool) -> None:
    """Make the three sites and both ends of the gate."""
    for name in ("inner", "outer", "device", "inside", "outside"):
        (folder / name).mkdir(parents=True)
    key = SigningKey.create()
    key.save(folder / "inner" / "key.pem")
    for role, toml in _TOML.items():
        text = toml.format(form=form, public=key.public, consume=str(consume).lower())
        (folder / role / "isthmus.toml").write_text(text)


def command(role: str, folder: Path, *words: float) -> subprocess.Popen[bytes]:
    """Start one side; its last words lie in FOLDER/<role>/stderr."""
    paths = os.pathsep.join([str(Path(crossing_process.__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    with (folder / role / "stderr").open("ab") as last_words:
        return subprocess.Popen(
            [sys.executable, crossing_process.__file__, role, str(folder), *map(str, words)],
            env=environment,
            stdout=last_words,
            stderr=last_words,
        )


def finish(role: str, folder: Path, seed: int, rounds: int, *words: float) -> None:
    """Run one side for some rounds, to its end."""
    code = command(role, folder, seed, rounds, *words).wait(120)
    assert code == 0, last_words(folder, role)


def last_words(folder: Path, role: str) -> str:
    return (folder / role / "stderr").read_text()[-3000:]


@dataclass
class Victim:
    """A side that is killed at random moments and started again. One kill in six may come before it is ready."""

    role: str
    folder: Path
    draw: random.Random
    longest_s: float = 1.5
    kills: int = 0
    early: int = 0
    process: subprocess.Popen[bytes] | None = None
    _die: float | None = None

    def tick(self) -> bool:
        """Start it, or kill it where its moment has come; tells whether it was killed just now."""
        ready = self.folder / self.role / "ready"
        if self.process is None:
            ready.unlink(missing_ok=True)
            seed = self.draw.randrange(1 << 30)
            self.process = command(self.role, self.folder, seed)
            hasty = self.draw.random() < 1 / 6
            self._after = self.draw.uniform(0.0, 0.6 if hasty else self.longest_s)
            self._die = time.monotonic() + self._after if hasty else None
            return False
        assert self.process.poll() is None, f"{self.role} ended: {last_words(self.folder, self.role)}"
        if self._die is None and ready.exists():
            self._die = time.monotonic() + self._after
        if self._die is None or time.monotonic() < self._die:
            return False
        self.early += not ready.exists()
        self.stop()
        self.kills += 1
        return True

    def stop(self) -> None:
        """Kill it (-9)."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@dataclass
class Gatekeeper:
    """Carries files from one end to the other: never, late, again, cut short, in pieces, a bit flipped."""

    inside: Path
    outside: Path
    draw: random.Random
    known: dict[str, bytes] = field(default_factory=dict)
    spoiled: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    _late: list[str] = field(default_factory=list)
    _rest: dict[str, bytes] = field(default_factory=dict)

    def carry_all(self) -> None:
        """Do it well: copy what is new, as it is."""
        for file in sorted(self.inside.iterdir()):
            if not file.name.startswith(".") and file.name not in self.known:
                self.known[file.name] = file.read_bytes()
                self.carry("at once", file.name)

    def tick(self) -> None:
        """Do some of its work."""
        for file in sorted(self.inside.iterdir()):
            if not file.name.startswith(".") and file.name not in self.known:
                self.known[file.name] = file.read_bytes()
                self._receive(file.name)
        if self._late and self.draw.random() < 0.2:
            self.carry("late", self._late.pop(self.draw.randrange(len(self._late))))
        if self._rest and self.draw.random() < 0.2:
            name = self.draw.choice(sorted(self._rest))
            if (self.outside / name).exists():
                with (self.outside / name).open("ab") as grown:
                    grown.write(self._rest[name])
            del self._rest[name]
        if self.known and self.draw.random() < 0.02:
            self.carry("again", self.draw.choice(sorted(self.known)[-60:]))
        if self.draw.random() < 0.005:
            lying = sorted(file.name for file in self.outside.iterdir())
            if lying:
                self._count("taken away")
                (self.outside / self.draw.choice(lying)).unlink(missing_ok=True)

    def carry(self, how: str, name: str) -> None:
        """Copy a file as it is."""
        self._count(how)
        (self.outside / name).write_bytes(self.known[name])

    def _receive(self, name: str) -> None:
        content = self.known[name]
        how = self.draw.choices(("at once", "late", "lost", "cut", "flipped", "growing"), (35, 20, 18, 8, 9, 10))[
            0
        ]
        if how == "at once":
            self.carry(how, name)
            return
        self._count(how)
        if how == "late":
            self._late.append(name)
        elif how == "cut":
            self.spoiled.add(name)
            (self.outside / name).write_bytes(content[: self.draw.randrange(len(content))])
        elif how == "flipped":
            self.spoiled.add(name)
            (self.outside / name).write_bytes(flipped(content, self.draw.randrange(8 * len(content))))
        elif how == "growing":
            self.spoiled.add(name)  # for a while, which may be longer than the receiver waits
            at = self.draw.randrange(len(content))
            (self.outside / name).write_bytes(content[:at])
            self._rest[name] = content[at:]

    def _count(self, how: str) -> None:
        self.counts[how] = self.counts.get(how, 0) + 1


@dataclass
class Told:
    """What the inner site's journal says: where it stood, and which turn each record may be at (None: removed)."""

    stood: dict[tuple[int, int], str]
    turns: dict[tuple[str, str], set[str | None]]

    @classmethod
    def read(cls, folder: Path) -> Told:
        """Read the journal. What was begun and not done may have happened, and what was done has."""
        told = cls({}, {})
        for line in (folder / "journal").read_bytes().splitlines():
            what, *words = json.loads(line)
            if what == "at":
                epoch, seq, digest = words
                assert told.stood.setdefault((epoch, seq), digest) == digest, "two states by one name"
                continue
            gallery, id, turn = words
            if what == "done":
                told.turns[gallery, id] = {turn}
            else:
                told.turns.setdefault((gallery, id), {None}).add(turn)
        return told
