"""The how-to guides by role, followed as each role would; what the other side does meanwhile is played here."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from crossed_galleries import photo
from gallery_sites import carry, free_port, here, until
from page_reader import On, Reader, reading
from page_worlds import at_free_ports, change, comes_up, described, rules_for, storage
from pages import Block
from recovery_sites import LEFT, SCHEMA, Site, batch, pair
from traffic import site_with_a_day

pytestmark = pytest.mark.soak
LOOPBACK = "[ice]\nloopback = true"


def test_inner_site_md_outer_site_md_and_device_md_are_followed(tmp_path: Path) -> None:
    inner, outer, pad = (tmp_path / name / "isthmus.toml" for name in ("inner", "outer", "pad"))

    def received(toml: Path) -> None:
        text = toml.read_text().replace('"faces"', '"phash"').replace("[ice]", LOOPBACK)
        toml.write_text(text)
        at_free_ports(toml)

    def trusted(reader: Reader, said: str) -> None:
        received(outer)
        key = here(inner.parent, "gate", "keys").stdout.strip()
        change(outer, ("trust = [] ", f'trust = ["{key}"] '))

    def come(reader: Reader) -> None:
        reader.words["https://sync.example.org:8470"] = url = reader.serving("isthmus --site outer serve")
        carry(inner.parent / "gate", outer.parent / "gate")
        until(lambda: described(url, 2), "all has come")

    def invited(_: Reader, said: str) -> None:
        (tmp_path / "token").write_text(said.splitlines()[0])

    def carried(reader: Reader, said: str) -> None:
        received(pad)
        shutil.copyfile(tmp_path / "token", pad.parent / "token")
        shutil.copyfile(tmp_path / "photo.jpg", pad.parent / "photo.jpg")

    ons = (
        On(
            "isthmus init inner",
            after=lambda reader, _: change(inner, ('format = "tar" ', 'cut_s = 0\nformat = "tar" ')),
        ),
        On("isthmus --site inner gate keys", says="fingerprint"),
        On("isthmus --site inner doctor", says="all is well"),
        On("isthmus --site inner gate send", stays="sent"),
        On("isthmus --site inner gate status", says="staff|1/"),
        On("isthmus init outer", after=trusted),
        On("isthmus --site outer check", says="is sound"),
        On("isthmus --site outer serve sync", stays="serving"),
        On("isthmus --site outer device grant", before=come),
        On("isthmus --site outer device invite", after=invited),
        On("isthmus --site outer gate request", says="nothing is missing"),
        On("isthmus init pad", after=carried),
        On("isthmus device enrol", at="pad", says="enrolled as pad"),
        On("isthmus device sync", at="pad", says="true|yes"),
        On("isthmus device list", at="pad", says="staff"),
        On("isthmus device identify", at="pad", says="\nann\n"),
    )
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(("ann.jpg", "ben.jpg")):
        (tmp_path / "photos" / name).write_bytes(photo(number))
    shutil.copyfile(tmp_path / "photos" / "ann.jpg", tmp_path / "photo.jpg")
    with reading(tmp_path, ons) as reader:
        for page in ("inner-site.md", "outer-site.md", "device.md"):
            assert reader.follow(f"how-to/{page}")


def test_environment_agent_md_is_followed(tmp_path: Path) -> None:
    hub, video = tmp_path / "hub", tmp_path / "video" / "isthmus.toml"

    def allowed(_: Reader, block: Block) -> None:
        assert '"storage.video.example"' in block.text
        change(video, more=f"\n{block.text}{rules_for(store)}")

    with storage(tmp_path) as store:
        ons = (
            On("isthmus --site video check", says="is sound"),
            On("isthmus --site video agent", stays="agent begins"),
            On("isthmus --site hub serve acquire", stays="serving"),
            On("isthmus acquire --server", says="1 done"),
        )
        here(tmp_path, "init", str(hub), "--role", "acquire")
        url = f"http://127.0.0.1:{at_free_ports(hub / 'isthmus.toml')}"
        here(hub, "acquire", "keys", "add", "me", "--out", str(tmp_path / "me.key"))
        (tmp_path / "list.csv").write_text(f"address,environment,record\n{store.url}/a/1.jpg,video,one\n")
        with reading(tmp_path, ons, {"[[agent.allow]]": allowed}) as reader:
            reader.line("isthmus --site hub serve acquire")
            assert reader.follow("how-to/environment-agent.md")
            reader.line(f"isthmus acquire --server {url} --key-file me.key list.csv --watch")


def _made(site: Site, other: Site) -> None:
    """Give a site that `isthmus init` made its TOML as a person would, and its key to the other one."""
    key = re.findall(r"ed25519:\S+", here(site.folder, "recovery", "keys").stdout)[0]
    site.write()
    other.trusted = [key]
    other.write()


def _rows(north: Site) -> None:
    north.catalog.create(LEFT, SCHEMA)
    north.table().append([batch(ada=1, ben=2)])


def test_primary_site_md_is_followed(tmp_path: Path) -> None:
    north, south = pair(tmp_path)
    shutil.rmtree(north.folder)

    def made(reader: Reader, said: str) -> None:
        _made(north, south)
        _rows(north)
        reader.line("isthmus --site south serve recovery")

    ons = (
        On("isthmus init north", after=made),
        On("isthmus --site south serve", stays="serving"),
        On("isthmus --site north serve", stays="serving"),
        On("isthmus --site north recovery status", before=lambda _: south.shows({"ada": 1, "ben": 2})),
        On("isthmus --site north recovery show-progress", says="recovery point objective"),
        On("isthmus --site north recovery switchover", says="hands over"),
    )
    with reading(tmp_path, ons) as reader:
        assert reader.follow("how-to/primary-site.md")
        until(lambda: "role\tprimary" in here(south.folder, "recovery", "status").stdout, "south is the primary")


def test_standby_site_md_is_followed(tmp_path: Path) -> None:
    north, south = pair(tmp_path)
    shutil.rmtree(south.folder)

    def made(reader: Reader, said: str) -> None:
        _made(south, north)
        _rows(north)
        reader.line("isthmus --site north recovery create-publication --all")
        reader.line("isthmus --site north serve recovery")

    def summed(reader: Reader) -> None:
        reader.line("isthmus --site north recovery verify")

    ons = (
        On("isthmus init south", after=made),
        On("isthmus --site north serve", stays="serving"),
        On("isthmus --site south serve", stays="serving"),
        On(
            "isthmus --site south recovery status",
            before=lambda _: south.shows({"ada": 1, "ben": 2}),
            says="standby",
        ),
        On("isthmus --site south recovery verify", before=summed),
        On("isthmus --site south recovery check", says="all files are there"),
        On(
            "isthmus --site south recovery failover",
            before=lambda reader: reader.end("isthmus --site north serve", lost=True),
            types="y\n",
            says="primary of epoch 2",
        ),
    )
    with reading(tmp_path, ons) as reader:
        assert reader.follow("how-to/standby-site.md")


def test_data_scientist_md_is_followed(tmp_path: Path) -> None:
    site_with_a_day(tmp_path)

    def chosen(reader: Reader, said: str) -> None:
        found = reader.line('isthmus query "SELECT scene_id FROM scenes ORDER BY scene_id LIMIT 1"')
        reader.words["SCENE_ID"] = found.splitlines()[1].strip()

    def ran(reader: Reader, said: str) -> None:
        reader.words["RUN"] = said.splitlines()[1].split("\t")[0]

    ons = (
        On("isthmus rules list", after=chosen),
        On("isthmus mine", says="of 56 considered|scene"),
        On("isthmus loop list", after=ran, says="forecast"),
        On("isthmus loop show", says="report"),
        On("isthmus loop models", says="forecast-"),
    )
    with reading(tmp_path, ons) as reader:
        assert reader.follow("how-to/data-scientist.md")
    assert (tmp_path / "scene.png").read_bytes().startswith(b"\x89PNG")


def test_administrator_md_is_followed(tmp_path: Path) -> None:
    (tmp_path / "password.txt").write_text("a few words that do not go together\n")
    north = tmp_path / "north" / "isthmus.toml"

    def made(reader: Reader, said: str) -> None:
        (north.parent / "gate").mkdir()
        here(north.parent, "gate", "keys")
        change(north, ("port = 8460", f"port = {free_port()}"))

    ons = (
        On("isthmus init north", after=made),
        On("isthmus --site north doctor", says="all is well"),
        On("isthmus --site north up", stays='"part": *"console"', after=lambda *_: comes_up(north.parent)),
        On("isthmus --site north up --show", says="console"),
        On("isthmus --site north status", says="console"),
        On("isthmus --site north user list", says="vera"),
        On("isthmus --site north key list", says="nightly"),
        On("isthmus --site north audit --limit", says="user add|key add"),
    )
    with reading(tmp_path, ons) as reader:
        assert reader.follow("how-to/administrator.md")
