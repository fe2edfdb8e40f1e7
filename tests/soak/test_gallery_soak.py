"""A gallery's whole way, each process killed at moments that nobody chose, through a gate that spoils files."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from pathlib import Path

import pytest
from blake3 import blake3

from crossing_process import picture
from crossing_sites import TICK_S, Gatekeeper, Told, Victim, finish, last_words, make_sites
from gallery_making import content, lying
from isthmus.app.galleries.inner import Inner
from isthmus.app.galleries.outer import Outer
from isthmus.gallery.store.sqlite import SqliteSet
from isthmus.transfer.standing import InboundStatus

pytestmark = pytest.mark.soak

KILLS = int(os.environ.get("ISTHMUS_SOAK_KILLS", "25"))
SEED = int(os.environ.get("ISTHMUS_SOAK_SEED", "0"))
FORGED = {"TAMPERED", "UNKNOWN_KEY"}  # a bit may be flipped in the name of the key


def standing(folder: Path) -> tuple[int, int, str] | None:
    """Where a killed outer site stands, read without opening it as a site."""
    path = folder / "outer" / "state" / "isthmus.sqlite"
    if not path.exists():
        return None
    with sqlite3.connect(path) as connection:
        try:
            row = connection.execute("SELECT epoch, seq, digest FROM stream_set").fetchone()
        except sqlite3.OperationalError:
            return None  # killed before it had its tables
    connection.close()
    return None if row is None or row[0] is None else (row[0], row[1], row[2].hex())


def intact(held: SqliteSet, images: Path) -> None:
    """Assert that every image on the disk is held, whole, and that each that is held lies there."""
    held.tidy()
    rows = held.store.rows("SELECT digest FROM image WHERE refused IS NULL")
    assert lying(images) == {row["digest"].hex() for row in rows}
    for row in rows:
        held.files.read(row["digest"])


@pytest.mark.parametrize("form", ["tar", "plain"])
def test_both_sides_killed_at_random_moments_come_to_the_same_content(tmp_path: Path, form: str) -> None:
    seed = SEED or {"tar": 20261121, "plain": 20261122}[form]
    print(f"\n{form}: seed {seed} (set ISTHMUS_SOAK_SEED to draw others)")
    draw, kills = random.Random(seed), KILLS if form == "tar" else KILLS // 2
    make_sites(tmp_path, form, consume=form == "tar")
    gatekeeper = Gatekeeper(tmp_path / "inside", tmp_path / "outside", random.Random(draw.randrange(1 << 30)))
    inner, outer = (Victim(role, tmp_path, random.Random(draw.randrange(1 << 30))) for role in ("inner", "outer"))
    stood: set[tuple[int, int, str]] = set()
    try:
        while min(inner.kills, outer.kills) < kills:
            gatekeeper.tick()
            inner.tick()
            if outer.tick():
                now = standing(tmp_path)
                if now is not None:
                    stood.add(now)
                    assert Told.read(tmp_path).stood[now[:2]] == now[2], "the receiver stands at a true past state"
            if draw.random() < 0.005 and (tmp_path / "outer" / "request").exists():
                line = (tmp_path / "outer" / "request").read_text()
                if line:
                    (tmp_path / "inner" / "request").write_text(line)
            time.sleep(TICK_S)
    finally:
        inner.stop()
        outer.stop()
    print(f"{inner.kills} and {outer.kills} kills, {inner.early} and {outer.early} while starting")
    print(f"files: {gatekeeper.counts}; stood at {len(stood)} positions when killed")
    healed(tmp_path, gatekeeper, draw.randrange(1 << 30))


def stem(name: str) -> str:
    """What the names of all files of one bundle begin with."""
    return name.removesuffix(".tar").removesuffix(".bson").removesuffix(".manifest")


def healed(folder: Path, gatekeeper: Gatekeeper, seed: int) -> None:
    """Let the inner site send a snapshot and a beat; carry these two alone, then what was spoiled as it was."""
    for file in (folder / "outside").iterdir():
        file.unlink()
    finish("inner", folder, seed, 1)
    last = Told.read(folder)
    epoch, seq = max(last.stood)
    for file in (folder / "inside").iterdir():
        gatekeeper.known[file.name] = file.read_bytes()
        if file.name.startswith(f"galleries-{epoch:06d}-{seq:012d}.") and not file.name.endswith(
            f"{seq:012d}.tar"
        ):
            gatekeeper.carry("last", file.name)
    finish("outer", folder, seed, 3)
    sender, receiver = (
        side.open(folder / name / "isthmus.toml") for side, name in ((Inner, "inner"), (Outer, "outer"))
    )
    status = receiver.inbound.status()
    print(f"counts: {dict(status.counts)}")
    assert status.standing == sender.source.position() == status.latest, last_words(folder, "outer")
    assert {alarm.kind.name for alarm in status.alarms} <= FORGED, "the snapshot heals all but forgery"
    forged = {stem(alarm.about) for alarm in status.alarms}
    assert forged <= {stem(name) for name in gatekeeper.spoiled}, "nothing else is called tampered with"
    for name in sorted(gatekeeper.known):
        if stem(name) in forged:
            gatekeeper.carry("authentic", name)
    finish("outer", folder, seed, 3)
    status = receiver.inbound.status()
    assert status.alarms == () == sender.outbound.status().alarms
    assert (status.staged, status.growing, status.missing) == ((), (), ())
    assert not status.snapshot_needed
    assert status.content["records"] == sum(stat.records for stat in receiver.set.galleries())
    equal(folder, sender, receiver, last, status)


def equal(folder: Path, sender: Inner, receiver: Outer, told: Told, status: InboundStatus) -> None:
    """Assert that both sides hold what was reported as done, and nothing else lies about."""
    assert content(receiver.set) == content(sender.set)
    listed = {}
    for stat in sender.site.stat():
        for one in sender.site.list(stat.gallery, most=1000):
            listed[stat.gallery, one.id] = one.attributes["turn"]
            assert one.image == blake3(picture(one.attributes["picture"])).hexdigest()
    for at, turns in told.turns.items():
        assert listed.pop(at, None) in turns, f"what was reported as done is done: {at}"
    assert listed == {}
    assert min(status.counts[what] for what in ("applied", "snapshots", "duplicates", "quarantined")) > 0
    state = {name: folder / name / "state" for name in ("inner", "outer")}
    for site, name in ((sender, "inner"), (receiver, "outer")):
        intact(site.set, state[name] / "images")
    usable = {
        record.image.digest.hex()
        for stat in receiver.set.galleries()
        for record in receiver.set.records(stat.gallery)
        if record.image is not None
    }
    assert lying(state["outer"] / "images") == usable
    assert receiver.extractor is not None
    model = receiver.extractor.model.name
    assert receiver.set.without_vector(model, 10) == []
    assert list((state["outer"] / "staging" / "galleries" / "copies").iterdir()) == []
    aside = {file.name for file in (state["outer"] / "staging" / "galleries" / "quarantine").iterdir()}
    assert aside == {one.folder for one in status.quarantined}
    assert {file.name for file in (state["inner"] / "outbox").iterdir()} - {".lock"} == set(
        sender.outbound.status().kept
    )
    cut_short = {f".{name}.isthmus-part" for name in sender.outbound.status().kept}  # goes when its file goes
    assert {file.name for file in (folder / "inside").iterdir()} - cut_short == set(sender.outbound.status().kept)
