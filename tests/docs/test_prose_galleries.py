"""Commands of the gate, galleries and devices that stand in sentences: each does what is said of it there."""

from __future__ import annotations

import io
import json
import os
import re
import stat
from pathlib import Path

import pytest
from PIL import Image

from crossed_galleries import Crossed, crossed, photo
from gallery_sites import carry, here
from page_worlds import change
from prose_trying import Trial, trying


@pytest.fixture
def galleries(tmp_path: Path) -> Crossed:
    return crossed(tmp_path)


def test_the_gate_and_the_galleries_do_what_the_pages_say(tmp_path: Path, galleries: Crossed) -> None:
    with trying("galleries", tmp_path) as say:
        say("isthmus --site inner check", says="is sound")
        _quarantine(say)
        _status(say)
        _next_key(say, galleries)
        _receive(say, galleries)
        _replace(say, galleries)
        _tidy(say, galleries)
        _holes(say, galleries)


def _quarantine(say: Trial) -> None:
    assert "\tlarge\t" in say("isthmus gallery quarantine", at="outer", says="more than 0.02 million")


def _status(say: Trial) -> None:
    receiver = json.loads(say("isthmus gate status --json", at="outer"))
    told = {
        "standing",
        "latest",
        "content",
        "lag",
        "heard",
        "counts",
        "growing",
        "staged",
        "missing",
        "quarantined",
    }
    assert told | {"alarms"} <= set(receiver)
    assert json.loads(say.also("isthmus gate status --json", at="inner"))["position"] == receiver["standing"]


def _next_key(say: Trial, galleries: Crossed) -> None:
    said = say("isthmus --site inner gate keys inner/keys/gate-2.pem", says="fingerprint")
    made, now = galleries.inner / "keys" / "gate-2.pem", say.also("isthmus --site inner gate keys")
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert re.findall(r"ed25519:\S+", said) != re.findall(r"ed25519:\S+", now)


def _receive(say: Trial, galleries: Crossed) -> None:
    """Watch for what comes; killed at any moment, it goes on where it was."""
    before, behind = (galleries.inner.parent / name for name in ("gate-inner", "gate-outer"))

    def put(id: str, number: int) -> None:
        galleries.add(id, photo(number))
        here(galleries.inner, "gate", "send")
        carry(before, behind)

    put("cyd", 5)
    say("isthmus --site outer gate receive --watch", stays="applied .*tar")
    (watching,) = say.reader.running
    say("kill -9", {"kill -9": f"kill -9 {watching.process.pid}"})
    assert watching.process.wait(30) == -9
    say.reader.running.clear()
    put("dan", 6)
    say("isthmus gate receive --watch", at="outer", stays="applied .*tar")
    say.reader.end("isthmus gate receive")
    sent, came = (json.loads(here(site, "gate", "status", "--json").stdout) for site in galleries.tomls[:2])
    assert came["standing"] == sent["position"]


def _replace(say: Trial, galleries: Crossed) -> None:
    """Damage an image at both sites; the same photo again heals both."""
    content = photo(7)
    digest = galleries.add("4711", content)
    galleries.cross()
    stored = galleries.inner / "state" / "images" / digest[:2] / digest
    pack = galleries.outer / "state" / "images" / "small.pack"
    good = pack.read_bytes()
    at = good.index(content)
    for file, place in ((stored, 100), (pack, at + 100)):
        with file.open("r+b") as damaged:
            damaged.seek(place)
            damaged.write(b"\0\0\0\0\0")
    assert stored.read_bytes() != content and content not in pack.read_bytes()
    (galleries.inner / "photo.jpg").write_bytes(content)
    say("isthmus gallery replace staff 4711 photo.jpg", at="inner")
    assert stored.read_bytes() == content
    galleries.cross()
    assert content in pack.read_bytes()


def _tidy(say: Trial, galleries: Crossed) -> None:
    """The image of a removed record stays for a while, and goes at once where it is to be kept no longer."""
    digest = galleries.add("eve", photo(8))
    stored = galleries.inner / "state" / "images" / digest[:2] / digest
    galleries.cross()
    say.also("isthmus gallery remove staff eve", at="inner")
    galleries.cross()
    say.also("isthmus gallery tidy", at="inner")
    change(galleries.inner / "isthmus.toml", ('role = "inner"', 'role = "inner"\nremoved_hours = 0.0'))
    assert stored.exists()
    say("isthmus gallery tidy", at="inner", says="removed 1 image file")
    assert not stored.exists()


def _holes(say: Trial, galleries: Crossed) -> None:
    """What is removed from a file of small images leaves holes, of which `ls -s` tells."""
    pack = galleries.outer / "state" / "images" / "small.pack"

    def blocks() -> int:
        return int(say.also(line).split()[0])

    line = say.put("ls -s", **{"ls -s": f"ls -s --block-size=1 {pack}"})
    into = io.BytesIO()
    Image.frombytes("RGB", (140, 140), os.urandom(3 * 140 * 140)).save(into, "PNG")
    before = blocks()
    galleries.add("big", into.getvalue())
    galleries.cross()
    assert blocks() > before + 50_000
    whole = pack.stat().st_size
    say.also("isthmus gallery remove staff big", at="inner")
    galleries.cross()
    assert pack.stat().st_size == whole and into.getvalue() not in pack.read_bytes()
    assert blocks() == 512 * pack.stat().st_blocks
    if os.statvfs(pack).f_bsize <= 4096 and pack.stat().st_blocks * 512 < whole:  # the file system has holes
        assert blocks() < before + 20_000


def test_a_device_makes_the_vectors_that_it_did_not_get(tmp_path: Path, galleries: Crossed) -> None:
    (tmp_path / "device" / "photo.jpg").write_bytes(photo(2))
    with trying("device", tmp_path) as say:
        for rule in re.findall(r"^(\d+)\t", here(galleries.outer, "device", "rules").stdout, re.MULTILINE):
            here(galleries.outer, "device", "withdraw", rule)
        here(galleries.outer, "device", "grant", "staff", "--tag", "gate", "--mode", "images")
        galleries.sync()
        say.also("isthmus device identify photo.jpg", at="device", code=2, says="vectors")
        say("isthmus device extract", at="device", says="made 3 vectors")
        assert say.also("isthmus device identify photo.jpg", at="device").splitlines()[-1] == "bob"
