"""One site of a gallery's way across the gate, in a process of its own that works until it is killed.

    python tests/crossing_process.py inner|outer|device FOLDER SEED [ROUNDS [SIDE PACE]]

The sites' TOMLs lie in FOLDER/<role>. With ROUNDS the process ends by itself after so many; 0 means never. SIDE is
that of all pictures, in pixels, and PACE how long the inner site rests after a round, in seconds. That site writes
to FOLDER/journal what it is about to change, what is done, and where it stands: one JSON line each.
"""

from __future__ import annotations

import io
import itertools
import json
import random
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from isthmus.app.galleries.device import Portable
from isthmus.app.galleries.inner import Inner
from isthmus.app.galleries.outer import Outer
from isthmus.core.errors import InputError, IsthmusError
from isthmus.gallery.store.log import Retention

GALLERIES = ("galleries.staff", "galleries.guests", "things.tools")
IDS = 25
PICTURES = 120
FORMATS = ("JPEG", "PNG", "WEBP")


@cache
def picture(number: int, side: int = 0) -> bytes:
    """Draw a picture of noise, always the same for a number: unlike any other, and hard to pack."""
    from PIL import Image

    draw = random.Random(number)
    width, height = (side, side) if side else (draw.randrange(8, 64), draw.randrange(8, 64))
    image = Image.frombytes("RGB", (width, height), draw.randbytes(width * height * 3))
    out = io.BytesIO()
    image.save(out, FORMATS[number % len(FORMATS)])
    return out.getvalue()


class Journal:
    """What the inner site said of its work. A killed process leaves whole lines."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "journal").open("ab", buffering=0)

    def write(self, *words: object) -> None:
        self._file.write(json.dumps(words).encode() + b"\n")


class Changes:
    """Changes set 1 at random: adds, replaces, removes. `side` gives all pictures one size, in pixels."""

    def __init__(self, inner: Inner, journal: Journal, seed: int, side: int = 0) -> None:
        self._inner, self._journal, self._seed, self._side = inner, journal, seed, side
        self._draw = random.Random(seed)
        self._turn = 0
        self._held: dict[tuple[str, str], int] = {}
        for stat in inner.site.stat():
            for listed in inner.site.list(stat.gallery, most=10 * IDS):
                self._held[stat.gallery, listed.id] = listed.attributes["picture"]
        self._stand()

    def one(self) -> None:
        """Make one change."""
        draw, site = self._draw, self._inner.site
        at = gallery, id = draw.choice(GALLERIES), f"p{draw.randrange(IDS)}"
        self._turn += 1
        turn = f"{self._seed:010d}-{self._turn:06d}"  # nothing else has these letters in a row
        if at in self._held and draw.random() < 0.4:
            self._journal.write("begin", gallery, id, None)
            site.remove(gallery, id)
            del self._held[at]
            self._journal.write("done", gallery, id, None)
        else:
            new = draw.randrange(PICTURES)
            kept = at in self._held and draw.random() < 0.2
            attributes = {"picture": self._held[at] if kept else new, "turn": turn}
            image = None if kept else picture(new, self._side)
            self._journal.write("begin", gallery, id, turn)
            (site.replace if at in self._held else site.add)(gallery, id, image, attributes)
            self._held[at] = attributes["picture"]
            self._journal.write("done", gallery, id, turn)
        self._stand()

    def _stand(self) -> None:
        position = self._inner.source.position()
        self._journal.write("at", position.epoch, position.seq, str(position.digest))


def inner(folder: Path, seed: int, rounds: int, side: int = 0, pace_s: float = 0.02) -> Iterator[None]:
    site = Inner.open(folder / "inner" / "isthmus.toml")
    draw = random.Random(-1 - seed)
    site.set.tidy()
    changes = Changes(site, Journal(folder), seed, side)
    line = folder / "inner" / "request"
    for _ in turns(rounds):
        yield
        for _ in range(draw.randrange(1, 5)):
            changes.one()
        if line.exists():  # an operator brought it
            try:
                site.outbound.resend(line.read_text())
            except InputError as error:
                print(f"not resent: {error}", file=sys.stderr)
            line.unlink()
        site.outbound.step()
        chance = draw.random()
        if chance < 0.03:
            site.outbound.snapshot()
        elif chance < 0.06:
            site.site.tidy(Retention(entries=draw.randrange(5, 200), removed_s=0.0))
        time.sleep(pace_s)
    site.outbound.snapshot()
    while site.outbound.step():  # the last beat
        continue
    site.set.close()
    site.store.close()


def outer(folder: Path, seed: int, rounds: int) -> Iterator[None]:
    site = Outer.open(folder / "outer" / "isthmus.toml")
    draw = random.Random(seed)
    site.set.tidy()
    line = folder / "outer" / "request"
    for _ in turns(rounds):
        yield
        site.received()
        while site.make_vectors(4):
            continue
        part = line.with_suffix(".part")
        part.write_text(site.inbound.request())
        part.replace(line)
        if draw.random() < 0.02:
            site.set.tidy()
        time.sleep(0.02)
    site.set.close()
    site.store.close()


def device(folder: Path, seed: int, rounds: int) -> Iterator[None]:
    site = Portable.open(folder / "device" / "isthmus.toml")
    draw, extractor = random.Random(seed), site.extractor()
    for _ in turns(rounds):
        yield
        try:
            report = site.sync()
            site.site.identify(picture(draw.randrange(PICTURES)), extractor)
        except IsthmusError as error:
            print(f"not synchronised: {error}", file=sys.stderr)
        else:
            tiers = {one.gallery: "+".join(tier.value for tier in one.tiers) for one in report.galleries}
            (folder / "device" / "done").open("a").write(f"{json.dumps(tiers)}\n")
    site.site.close()


def turns(rounds: int) -> Iterator[int]:
    return iter(range(rounds)) if rounds else itertools.count()


def main(role: str, folder: str, seed: str, rounds: str = "0", *more: str) -> None:
    work = {"inner": inner, "outer": outer, "device": device}[role]
    options = {"side": int(more[0]), "pace_s": float(more[1])} if more else {}
    for number, _ in enumerate(work(Path(folder), int(seed), int(rounds), **options)):  # type: ignore[operator]
        if not number:
            (Path(folder) / role / "ready").touch()


if __name__ == "__main__":
    main(*sys.argv[1:])
