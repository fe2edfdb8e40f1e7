"""Real faces from an inner site through a gate to a sync server and over ICE to a device.

All of them are processes of their own. The test plays the gatekeeper and the person at the desk.
"""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest
from bson import Timestamp
from PIL import Image

from gallery_making import text_of
from gallery_sites import (
    DEVICE,
    INNER,
    OUTER,
    SYNC,
    Server,
    carry,
    command,
    environment,
    free_port,
    here,
    until,
    write,
)
from isthmus.app.galleries.device import Portable
from isthmus.app.galleries.inner import Inner
from isthmus.app.galleries.outer import Outer
from isthmus.gallery.oplog.entry import make_insert
from isthmus.gallery.sync.item import Ref
from oplog_making import UI, WALL
from samples import SAMPLES, needs_samples

FACES = SAMPLES / "faces" / "caltech"
STAFF, PLANS = "galleries.staff", "galleries.plans"
pytestmark = [needs_samples, pytest.mark.xdist_group("galleries")]


class Bench:
    """The three sites and the gate between two of them."""

    def __init__(self, folder: Path, extractor: str) -> None:
        self.folder = folder
        for name in ("gate-inner", "gate-outer"):
            (folder / name).mkdir()
        self.inner = write(folder / "inner", INNER)
        public = here(self.inner, "gate", "keys").stdout.strip()
        self.outer = write(
            folder / "outer", OUTER.format(extractor=extractor, trust=public) + SYNC.format(port=free_port())
        )
        self.device = write(folder / "device", DEVICE.format(name="b12", extractor=extractor))

    def cross(self, server: Server) -> None:
        """Carry until set 2 is level with set 1 and every usable image was looked at."""
        wanted = Inner.open(self.inner / "isthmus.toml").set.position()
        assert wanted is not None

        def level() -> bool:
            carry(self.folder / "gate-inner", self.folder / "gate-outer")
            if server.get("/v1/status")["gate"]["standing"] != wanted.to_json():
                return False
            site = Outer.open(self.outer / "isthmus.toml")
            try:
                return not site.set.without_vector(site.extractor.model.name, 1)  # type: ignore[union-attr]
            finally:
                site.close()

        until(level, "level with the inner site")

    def identified(self, photo: Path) -> str:
        return here(self.device, "device", "identify", str(photo)).stdout.splitlines()[-1]

    def synced(self) -> dict[str, list[str]]:
        """Synchronise; returns of each gallery tier, written, removed, verified."""
        rows = [line.split("\t") for line in here(self.device, "device", "sync").stdout.splitlines()[1:]]
        return {name: rest for name, *rest in rows}


def photos(person: str) -> list[Path]:
    return sorted((FACES / person).glob("*.jpg"))


def plan(number: int) -> bytes:
    """A small picture in a large file: what is beside the picture is a comment, as T.81 allows it."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (number * 20, 90, 160)).save(out, "JPEG")
    comment = b"\xff\xfe\xff\xff" + os.urandom(0xFFFD)
    return out.getvalue()[:2] + comment * 24 + out.getvalue()[2:]


def entry(number: int, id: str, image: bytes) -> bytes:
    return make_insert(STAFF, {"_id": id, "url": text_of(image)}, Timestamp(1_900_000_000, number), WALL, UI)


def hostile(face: Path) -> dict[str, bytes]:
    eps = io.BytesIO()
    Image.open(face).resize((32, 32)).save(eps, "EPS")
    return {"eps.jpg": eps.getvalue(), "cut.jpg": face.read_bytes()[:4000]}


def test_people_cross_to_a_device_and_what_is_removed_is_gone_everywhere(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "faces")
    known, changed, gone, fed, stranger = (f"person_{n:02d}" for n in (0, 1, 2, 3, 7))
    folder = tmp_path / "photos"
    folder.mkdir()
    for person in (known, changed, gone):
        (folder / f"{person}.jpg").write_bytes(photos(person)[0].read_bytes())
    here(bench.inner, "gallery", "import", "staff", str(folder))
    sending = subprocess.Popen(
        command(bench.inner, "gate", "send", "--watch"), stderr=subprocess.DEVNULL, env=environment()
    )
    server = Server(bench.outer)
    try:
        here(bench.outer, "device", "grant", STAFF, "--tag", "airport")
        token = tmp_path / "token"
        token.write_text(here(bench.outer, "device", "invite", "b12", "--tag", "airport").stdout)
        here(bench.device, "device", "enrol", server.url, "--token-file", str(token))
        bench.cross(server)
        assert bench.synced() == {STAFF: ["snapshot", "3", "0", "true"]}
        assert bench.identified(photos(known)[4]) == known
        assert bench.identified(photos(stranger)[0]) == "unknown"
        old = held(bench, gone)

        # a person changes the gallery, and a foreign oplog brings a good image among hostile ones
        site = Inner.open(bench.inner / "isthmus.toml")
        site.site.replace(STAFF, changed, photos(changed)[3].read_bytes())
        site.site.remove(STAFF, gone)
        foreign = tmp_path / "oplog.bson"
        images = {**hostile(photos(known)[0]), fed: photos(fed)[0].read_bytes()}
        foreign.write_bytes(b"".join(entry(n, id, image) for n, (id, image) in enumerate(images.items(), 1)))
        here(bench.inner, "gallery", "feed", str(foreign))
        bench.cross(server)
        refused = here(bench.outer, "gallery", "quarantine").stdout.splitlines()[1:]
        assert sorted(line.split("\t")[3] for line in refused) == ["cut.jpg", "eps.jpg"]
        assert "truncated" in next(line for line in refused if "cut.jpg" in line)
        assert bench.synced() == {STAFF: ["changes", "2", "1", "true"]}
        assert bench.identified(photos(fed)[2]) == fed
        proved_gone(bench, old)
        assert ("b12", "identified") in {(one.who, one.act) for one in acts(bench)}

        # what is revoked is refused, with one line that says so
        here(bench.outer, "device", "revoke", "b12")
        said = here(bench.device, "device", "sync", code=6).stderr.splitlines()
        assert len(said) == 1
        assert "this device may not connect" in said[0]
    finally:
        sending.terminate()
        sending.wait()
        assert server.end() == 0
    assert (bench.outer / "server.log").read_text().splitlines()[-1] == "stopped"


def test_a_killed_server_is_resumed_and_a_gallery_taken_away_is_deleted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "phash")
    toml = bench.device / "isthmus.toml"
    toml.write_text(toml.read_text() + 'engine = "aiortc"\n')  # the slower one: there is time to kill
    folder = tmp_path / "plans"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.jpg").write_bytes(plan(number))
    here(bench.inner, "gallery", "import", "plans", str(folder))
    here(bench.inner, "gate", "send")
    here(bench.outer, "device", "grant", PLANS, "--mode", "images")
    token = tmp_path / "token"
    token.write_text(here(bench.outer, "device", "invite", "b12").stdout)
    server = Server(bench.outer)
    content = bench.device / "device" / "content"
    try:
        here(bench.device, "device", "enrol", server.url, "--token-file", str(token))
        bench.cross(server)
        syncing = subprocess.Popen(
            command(bench.device, "device", "sync"), stderr=subprocess.PIPE, text=True, env=environment()
        )
        until(lambda: whole(content), "the first image came")
        server.kill()
        told = here(bench.outer, "gallery", "audit").stdout.splitlines()
        assert [line.split("\t")[2:5] for line in told][-1] == ["b12", "sending", PLANS], (
            "the dead have told of it"
        )
        said = syncing.communicate(timeout=60)[1]
        assert syncing.returncode not in (0, None)
        assert "Traceback" not in said
        came = {file: file.stat().st_ino for file in whole(content)}
        assert 0 < len(came) < 6
        server = Server(bench.outer)
        assert bench.synced()[PLANS][3] == "true"
        assert [one.act for one in acts(bench)][-2:] == ["sending", "received"]
        assert len(whole(content)) == 6
        assert {file: file.stat().st_ino for file in came} == came, "what had come whole was not fetched again"

        here(bench.outer, "device", "withdraw", "1")
        said = here(bench.device, "device", "sync").stderr
        assert f"{PLANS} was taken away and deleted here" in said
        assert not [file for file in content.rglob("*") if file.is_file()]
        assert here(bench.device, "device", "list").stdout.splitlines()[1:] == []
    finally:
        assert server.end() == 0


def whole(content: Path) -> list[Path]:
    return [file for file in content.glob("??/*") if "." not in file.name]


def held(bench: Bench, id: str) -> tuple[bytes, Path, bytes]:
    """Return the image of a record at set 2, where it lies on the device, and its vector; makes its thumbnail."""
    portable = Portable.open(bench.device / "isthmus.toml")
    portable.site.thumbnail(STAFF, id)
    store = portable.site.store
    item = next(item for _, item in store.items(STAFF) if id.encode() in item.key)
    assert isinstance(item.image, Ref)
    assert isinstance(item.vector, bytes)
    name = store.contents.name(item.image.digest)
    portable.site.close()
    site = Outer.open(bench.outer / "isthmus.toml")
    there = site.set.image(item.image.digest)
    on_device = bench.device / "device" / "content" / name[:2] / name
    assert there is not None
    image = there.read()
    assert on_device.is_file()
    assert on_device.with_name(f"{name}.thumb").is_file()
    site.close()
    return image, on_device, item.vector


def proved_gone(bench: Bench, old: tuple[bytes, Path, bytes]) -> None:
    image, on_device, vector = old
    assert not list(on_device.parent.glob(f"{on_device.name}*"))
    files = [file for one in (bench.outer / "state", bench.device / "device") for file in one.rglob("*")]
    assert any(file.name == "isthmus.sqlite" for file in files)
    assert any(file.name == "small.pack" for file in files), "it was packed"
    until(
        lambda: not any(vector in file.read_bytes() for file in files if file.is_file()),
        "the vector left every file",
    )
    part = image[len(image) // 2 :][:64]  # pages cut a packed image
    until(
        lambda: not any(part in file.read_bytes() for file in files if file.is_file()),
        "the image left every file",
    )


def acts(bench: Bench) -> list[object]:
    site = Outer.open(bench.outer / "isthmus.toml")
    found = site.desk.gathered().entries()
    site.close()
    return list(found)
