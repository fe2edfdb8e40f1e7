"""A device killed at moments that nobody chose while it synchronises with a server whose set keeps changing."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crossing_process import PICTURES, picture
from crossing_sites import TICK_S, Gatekeeper, Told, Victim, command, finish, last_words, make_sites
from isthmus.app.galleries.device import Portable
from isthmus.app.galleries.outer import Outer
from isthmus.gallery.sync.mode import Mode
from isthmus.imaging.decode import pixels

pytestmark = pytest.mark.soak

KILLS = int(os.environ.get("ISTHMUS_SOAK_DEVICE_KILLS", "15"))
SEED = int(os.environ.get("ISTHMUS_SOAK_SEED", "0"))
SIDE, PACE_S = 160, 0.15
PATIENCE_S = 60.0


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run the sync server as a process of its own; yields its address."""
    words = [sys.executable, "-m", "isthmus", "--site", str(folder / "outer"), "serve", "sync"]
    with (folder / "outer" / "stderr").open("ab") as log:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    with process:
        try:
            line = process.stdout.readline().split()
            assert line[:1] == ["serving"], last_words(folder, "outer")
            yield line[1]
            assert process.poll() is None, last_words(folder, "outer")
        finally:
            process.terminate()


def status(url: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/v1/status", timeout=30) as answer:
        told: dict[str, Any] = json.load(answer)
    return told


def level(url: str, folder: Path) -> None:
    """Wait until the server stands where the inner site does, with all vectors made."""
    until = time.monotonic() + PATIENCE_S
    epoch, seq = max(Told.read(folder).stood)
    while time.monotonic() < until:
        told = status(url)
        stands = told["gate"]["standing"]
        vectors = all(one["vectors"] == one["records"] for one in told["galleries"])
        if stands and (stands["epoch"], stands["seq"]) == (epoch, seq) and vectors:
            return
        time.sleep(0.1)
    raise AssertionError(f"the server never stood at {epoch}/{seq}: {told}, {last_words(folder, 'outer')}")


def enrol(folder: Path, url: str, mode: Mode) -> None:
    site = Outer.open(folder / "outer" / "isthmus.toml")
    devices = site.desk.devices
    devices.grant(["airport"], ["galleries.*", "things.*"], mode, by="anna")
    token = devices.invite("device", ["airport"], by="anna")
    site.close()
    portable = Portable.open(folder / "device" / "isthmus.toml")
    portable.enrol(url, token)
    portable.site.close()


@pytest.mark.parametrize("mode", [Mode.BOTH, Mode.VECTORS], ids=lambda mode: mode.value)
def test_a_device_killed_at_random_moments_ends_equal_and_keeps_nothing_removed(
    tmp_path: Path, mode: Mode
) -> None:
    seed = SEED or {Mode.BOTH: 20261123, Mode.VECTORS: 20261124}[mode]
    kills = KILLS if mode is Mode.BOTH else KILLS // 3
    print(f"\n{mode.value}: seed {seed} (set ISTHMUS_SOAK_SEED to draw others)")
    draw = random.Random(seed)
    make_sites(tmp_path, "tar", consume=True)
    gatekeeper = Gatekeeper(tmp_path / "inside", tmp_path / "outside", draw)
    finish("inner", tmp_path, draw.randrange(1 << 30), 40, SIDE, 0)
    gatekeeper.carry_all()
    with server(tmp_path) as url:
        enrol(tmp_path, url, mode)
        changing = command("inner", tmp_path, draw.randrange(1 << 30), 0, SIDE, PACE_S)
        device = Victim("device", tmp_path, random.Random(draw.randrange(1 << 30)), longest_s=3.0)
        try:
            while device.kills < kills:
                gatekeeper.carry_all()
                device.tick()
                assert changing.poll() is None, last_words(tmp_path, "inner")
                time.sleep(TICK_S)
        finally:
            device.stop()
            changing.send_signal(signal.SIGKILL)
            changing.wait()
        told = tmp_path / "device" / "done"
        done = told.read_text().splitlines() if told.exists() else []
        print(
            f"{device.kills} kills, {device.early} while starting; {len(done)} whole synchronisations: {set(done)}"
        )
        finish("inner", tmp_path, draw.randrange(1 << 30), 1, SIDE, 0)
        gatekeeper.carry_all()
        level(url, tmp_path)
        words = [sys.executable, "-m", "isthmus", "--site", str(tmp_path / "device"), "device", "sync"]
        last = subprocess.run(words, capture_output=True, text=True, check=False)
        assert last.returncode == 0, last.stderr
        print(last.stdout)
        compared(tmp_path)


def compared(folder: Path) -> None:
    """Assert that device and server hold the same, and the device nothing else anywhere."""
    outer = Outer.open(folder / "outer" / "isthmus.toml")
    portable = Portable.open(folder / "device" / "isthmus.toml")
    assert outer.extractor is not None
    model = outer.extractor.model.name
    turns: set[str] = set()
    pictures: set[int] = set()
    contents: set[str] = set()
    store = portable.site.store
    for stat in outer.set.galleries():
        (gallery,) = (one for one in portable.site.list() if one.gallery == stat.gallery)
        assert gallery.verified
        items = {item.key: item for _, item in store.items(stat.gallery)}
        records = {record.key: record for record in outer.set.records(stat.gallery) if record.usable}
        assert items.keys() == records.keys()
        assert gallery.records == len(records)
        for key, record in records.items():
            assert record.image is not None
            assert store.vector(items[key]) == outer.set.vector(record.image.digest, model)
            told = outer.set.document(stat.gallery, key)
            assert told is not None
            turns.add(told["turn"])
            pictures.add(told["picture"])
            image = items[key].image
            if image is not None:
                assert store.contents.read(image) == picture(told["picture"], SIDE)
                contents.add(store.contents.name(image.digest))
    files = {file.name for file in (folder / "device" / "device" / "content").rglob("*") if file.is_file()}
    assert files == contents
    portable.site.close()
    outer.store.close()
    nothing_left(folder, turns, pictures, outer)


def nothing_left(folder: Path, turns: set[str], pictures: set[int], outer: Outer) -> None:
    """Search every byte that the device keeps for documents and vectors that were removed or replaced."""
    kept = {file: file.read_bytes() for file in (folder / "device" / "device").rglob("*") if file.is_file()}
    every = {turn for of in Told.read(folder).turns.values() for turn in of if turn} | ended(folder)
    extractor = outer.extractor
    assert extractor is not None
    vectors = {number: extractor.extract(pixels(picture(number, SIDE))) for number in range(PICTURES)}
    for turn in sorted(every):
        where = [file.name for file, content in kept.items() if turn.encode() in content]
        assert bool(where) == (turn in turns), (turn, where)
    for number, vector in vectors.items():
        assert vector is not None
        where = [file.name for file, content in kept.items() if vector in content]
        assert bool(where) == (number in pictures), (number, where)


def ended(folder: Path) -> set[str]:
    """Every turn that there ever was."""
    lines = [json.loads(line) for line in (folder / "journal").read_bytes().splitlines()]
    return {line[3] for line in lines if line[0] == "begin" and line[3]}
