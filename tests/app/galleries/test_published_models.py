"""A published model as the extractor of galleries: each version makes all vectors anew, and they are told then."""

from __future__ import annotations

import json
from pathlib import Path

import bson
import pytest
from bson.timestamp import Timestamp

from gallery_doubles import scene
from gallery_sites import DEVICE, INNER, OUTER, SYNC, carry, free_port, here, served, write
from isthmus.app.galleries.config import read_gallery_config
from isthmus.app.galleries.outer import Outer
from isthmus.core.errors import ConfigError
from isthmus.gallery.publication import identity
from isthmus.gallery.shelves import Shelves
from isthmus.loop.release import folder as release
from isthmus.loop.release.folder import WEIGHTS
from model_making import SIZE, embedder
from releasing import card

SEES = ("--name", "see", "--picture", "8x8", "--size", str(SIZE), "--threshold", "0.2")
MODEL_FILE = "see.onnx"


class Sites:
    """The sites in a folder; the model `see` makes the galleries' vectors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inner = write(folder / "inner", INNER)
        for gate in ("gate-inner", "gate-outer"):
            (folder / gate).mkdir()
        key = here(self.inner, "gate", "keys").stdout.strip()
        toml = OUTER.format(extractor="", trust=key).replace('extractor = ""', 'model = "see"')
        self.outer = write(folder / "outer", toml + SYNC.format(port=free_port()))
        device = DEVICE.format(name="gate-b12", extractor="phash").replace(
            "extractor =", 'model = "see"\nextractor ='
        )
        self.device = write(folder / "device", device)
        for number in range(4):
            photo = folder / f"{number}.jpg"
            photo.write_bytes(scene(number))
            here(self.inner, "gallery", "add", "things", str(number), str(photo))

    def publish(self, version: str, seed: int) -> None:
        file = self.folder / MODEL_FILE
        file.write_bytes(embedder(seed))
        here(self.inner, "model", "publish", str(file), "--version", version, *SEES)

    def cross(self) -> None:
        here(self.inner, "gate", "send")
        carry(self.folder / "gate-inner", self.folder / "gate-outer")


@pytest.fixture
def sites(tmp_path: Path) -> Sites:
    return Sites(tmp_path)


def told(site: Outer) -> str:
    model = site.model_of("galleries.things")
    return "" if model is None else model.name


def latest(site: Outer) -> str:
    found = Shelves(site.set).catalogue("see").latest
    assert found is not None
    return identity("see", found)


def test_vectors_are_made_anew_by_each_version_and_told_when_all_are_made(sites: Sites) -> None:
    site = Outer.open(sites.outer / "isthmus.toml")
    assert (site.extractor, site.make_vectors(), told(site)) == (None, 0, "")
    sites.publish("1", 1)
    sites.cross()
    site.received()
    while site.make_vectors():
        assert told(site) == ""
    first = latest(site)
    assert told(site) == first
    sites.publish("2", 2)
    sites.cross()
    site.received()
    assert site.make_vectors(2) == 2
    assert told(site) == first, "devices keep the version before until the last vector is made"
    while site.make_vectors(2):
        pass
    assert told(site) == latest(site) != first
    counts = [one.vectors for one in site.set.galleries() if one.gallery == "galleries.things"]
    assert counts == [4]
    here(sites.inner, "model", "withdraw", "see")
    sites.cross()
    site.received()
    while site.make_vectors():
        pass
    assert told(site) == first, "its vectors are still there"
    here(sites.inner, "model", "withdraw", "see")
    sites.cross()
    site.received()
    assert (site.make_vectors(), told(site)) == (0, "")
    site.close()


def test_a_device_identifies_by_the_model_that_crossed_the_gate(sites: Sites) -> None:
    sites.publish("1", 1)
    sites.cross()
    here(sites.outer, "gate", "receive")
    assert "counts" in here(sites.outer, "model", "list").stdout
    here(sites.outer, "device", "grant", "*")
    with served(sites.outer) as server:
        token = sites.folder / "token"
        token.write_text(here(sites.outer, "device", "invite", "gate-b12").stdout)
        here(sites.device, "device", "enrol", server.url, "--token-file", str(token))
        said = here(sites.device, "device", "sync")
        assert "model see: 1 is active, proven here" in said.stderr
        assert "galleries.things" in said.stdout
        probe = sites.folder / "probe.jpg"
        probe.write_bytes(scene(2, quality=60))
        assert here(sites.device, "device", "identify", str(probe)).stdout.splitlines()[-1] == "2"
        assert "see\t1\tactive" in here(sites.device, "device", "models").stdout
        assert "vector\t1x16" in here(sites.device, "device", "run", "see").stdout
        here(sites.device, "device", "files", "see", str(sites.folder / "out"))
        assert (sites.folder / "out" / MODEL_FILE).read_bytes() == embedder(1)


def test_a_release_of_the_loop_is_published_with_its_card_and_verified_against_its_manifest(sites: Sites) -> None:
    folder = sites.folder / "forecast-20261120-1"

    def fill(into: Path) -> None:
        for name in WEIGHTS:
            (into / name).write_bytes(embedder(1) if name == "model.onnx" else b"weights")

    release.write(str(folder), fill, card("forecast-20261120-1"))
    assert here(sites.inner, "model", "publish", str(folder)).stdout == "forecast forecast-20261120-1\n"
    shown = json.loads(here(sites.inner, "model", "show", "forecast").stdout)
    assert shown["lineage"]["manifest"] == release.read_manifest(str(folder))[1]
    assert (shown["onnx"], shown["metrics"]) == ("model.onnx", {"minADE (m)": 0.61})
    assert {one["path"] for one in shown["files"]} == {*WEIGHTS, "card.json", "CARD.md", "manifest.json"}
    (folder / "model.safetensors").write_bytes(b"changed")
    assert "that its digest does not know" in here(sites.inner, "model", "publish", str(folder), code=5).stderr


def test_shelves_are_no_galleries_of_images(sites: Sites) -> None:
    sites.publish("1", 1)
    photo = sites.folder / "0.jpg"
    said = here(sites.inner, "gallery", "add", "models.see", "x", str(photo), code=2)
    assert "holds the model see" in said.stderr
    assert "unknown model 'sea'; did you mean" in here(sites.inner, "model", "withdraw", "sea", code=2).stderr


def test_a_model_that_does_not_see_as_it_is_said_to_is_not_published(sites: Sites) -> None:
    file = sites.folder / MODEL_FILE
    file.write_bytes(embedder(1))
    words = ("model", "publish", str(file), "--name", "see", "--version", "1", "--picture")
    assert "makes no vectors of 7" in here(sites.inner, *words, "8x8", "--size", "7", code=2).stderr
    assert "makes no vectors of 16" in here(sites.inner, *words, "9x8", "--size", "16", code=2).stderr
    assert "cannot be given pictures" in here(sites.inner, *words, "8by8", "--size", "16", code=2).stderr
    assert here(sites.inner, "model", "list").stdout.count("\n") == 1


def test_a_site_names_an_extractor_or_a_model(sites: Sites) -> None:
    toml = sites.outer / "isthmus.toml"
    toml.write_text(toml.read_text().replace('model = "see"', 'model = "see"\nextractor = "phash"'))
    with pytest.raises(ConfigError) as found:
        read_gallery_config(toml)
    assert "either extractor or model" in str(found.value.mistakes)


def test_a_foreign_oplog_never_writes_to_a_shelf(sites: Sites) -> None:
    sites.publish("1", 1)
    before = here(sites.inner, "model", "list").stdout
    entries = [
        {"op": "i", "ns": ns, "o": {"_id": "catalogue", "x": 1}, "ts": Timestamp(9, number), "t": 1, "v": 2}
        for number, ns in enumerate(("models.see", "shop.things"), 1)
    ]
    entries.append(
        {"op": "c", "ns": "models.$cmd", "o": {"dropDatabase": 1}, "ts": Timestamp(9, 9), "t": 1, "v": 2}
    )
    file = sites.folder / "oplog.bson"
    file.write_bytes(b"".join(bson.encode(entry) for entry in entries))
    assert "1 changes taken" in here(sites.inner, "gallery", "feed", str(file)).stderr
    assert here(sites.inner, "model", "list").stdout == before
    toml = sites.inner / "isthmus.toml"
    for line in ('rename = ["shop=models"]', 'database = "models"'):
        text = toml.read_text()
        toml.write_text(text.replace('role = "inner"', f'role = "inner"\n{line}'))
        assert "is for published models" in here(sites.inner, "gallery", "stat", code=2).stderr
        toml.write_text(text)
