"""The pages that need servers, agents, devices and a told life, followed as their readers would."""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

import pytest

from acquire_sites import Storage
from gallery_sites import here, until
from page_reader import On, Reader, reading
from page_worlds import at_free_ports, change, described, learns_little, read_site, rules_for, storage
from pages import ROOT, Block, blocks_of
from recovery_sites import LEFT, RIGHT, SCHEMA, batch, pair
from traffic import SITE, write_day

pytestmark = pytest.mark.soak
LOOPBACK = "[ice]\nloopback = true"


# acquire.md and acquire-gate.md: an interface server, agents of three environments, and what they fetch from


def listed(reader: Reader, block: Block) -> None:
    """Take a list as an interface server would."""
    from isthmus.acquire.server.intake import Form, read

    found = read(block.text.encode(), Form[block.language.upper()])
    assert found.wishes and not found.wrong


def test_acquire_md_and_acquire_gate_md_are_followed(tmp_path: Path) -> None:
    hub, gate = tmp_path / "hub" / "isthmus.toml", tmp_path / "gate"
    (csv,) = (block.text for block in blocks_of("acquire.md") if block.language == "csv")

    def agent(label: str, credential: str, store: Storage) -> None:
        toml = tmp_path / label / "isthmus.toml"
        shutil.move(tmp_path / credential, toml.parent / credential)
        change(toml, ('credential = "agent.json"', f'credential = "{credential}"'), more=rules_for(store))

    def asking(reader: Reader) -> None:
        (tmp_path / "list.csv").write_text(csv)
        reader.line("isthmus --site hub acquire environment add intranet --out intranet.json")
        reader.line("isthmus init intranet --role agent")
        reader.line("isthmus --site intranet agent --environment intranet")

    def asked(reader: Reader, said: str) -> None:
        reader.words["BATCH"] = re.findall(r"^batch (\S+): 2 requests", said, re.MULTILINE)[0]
        reader.env |= {
            "ISTHMUS_ACQUIRE_SERVER": reader.words["https://images.example.org:8480"],
            "ISTHMUS_ACQUIRE_KEY_FILE": str(tmp_path / "alice.key"),
        }

    # the gate of the second page: both sides see the same two folders

    def office(reader: Reader, block: Block) -> None:
        change(hub, more=f"\n{reader.put(block.text)}")

    def outpost(reader: Reader, block: Block) -> None:
        reader.line("isthmus init north --role agent")
        text = reader.put(block.text)
        change(tmp_path / "north" / "isthmus.toml", more=rules_for(store) + text)
        reader.line("isthmus --site north acquire gate keys")

    def office_key(reader: Reader, said: str) -> None:
        reader.words["ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="] = re.findall(r"ed25519:\S+", said)[0]

    def outpost_key(_: Reader, said: str) -> None:
        key = re.findall(r"ed25519:\S+", said)[0]
        change(hub, ("trust = []  ", f'trust = ["{key}"]  '))

    def through_the_gate(reader: Reader) -> None:
        (tmp_path / "gated.csv").write_text(
            "address,environment,record\nhttps://video.example.org/c/3.jpg,north,c-3\n"
        )
        said = reader.line("isthmus acquire gated.csv --watch")
        assert "1 done" in said

    def lost(reader: Reader) -> None:
        """Let the gatekeeper lose a bundle while the agent is away."""
        reader.end("isthmus --site north agent")
        for number in (1, 2):
            known = set((gate / "asked").glob("[!.]*[0-9].tar"))
            (tmp_path / "more.csv").write_text(
                f"address,environment,record\nhttps://video.example.org/c/3.jpg,north,more-{number}\n"
            )
            reader.line("isthmus acquire more.csv")
            new = until(lambda known=known: set((gate / "asked").glob("[!.]*[0-9].tar")) - known, "it is sent")  # type: ignore[misc]
            if number == 1:
                for file in new:
                    file.unlink()
        reader.line("isthmus --site north agent --environment north")
        until(lambda: "ask-north" in here(tmp_path / "north", "acquire", "gate", "request").stdout, "it is missed")

    def asks_again(reader: Reader, said: str) -> None:
        reader.words["ask-north 1 4-5 A6YYTZ"] = re.findall(r"^ask-north .*", said, re.MULTILINE)[0]

    with storage(tmp_path) as store:
        ons = (
            On("isthmus init hub", after=lambda reader, _: ported(reader)),
            On("isthmus init"),
            On("isthmus --site hub check", says="is sound"),
            On("isthmus --site hub serve acquire", stays="serving http"),
            On(
                "isthmus --site video check", before=lambda _: agent("video", "video.json", store), says="is sound"
            ),
            On("isthmus --site video agent", stays="agent begins"),
            On(
                "isthmus --site intranet agent",
                before=lambda _: agent("intranet", "intranet.json", store),
                stays="agent begins",
            ),
            On("isthmus --site hub acquire keys list", says="alice"),
            On("isthmus acquire --server", before=asking, after=asked, says="2 done"),
            On("isthmus acquire failed", says="nothing failed"),
            On("isthmus --site hub acquire rows", says="2"),
            On("isthmus --site hub query", says="place"),
            On("isthmus --site hub acquire gate --environment north keys", after=office_key, says="fingerprint"),
            On("isthmus --site north acquire gate keys", after=outpost_key),
            On("isthmus --site hub acquire office", stays="."),
            On("isthmus --site north agent", stays="agent begins"),
            On("isthmus --site hub acquire gate --environment north status", before=through_the_gate),
            On("isthmus --site north acquire gate request", before=lost, after=asks_again),
        )

        def ported(reader: Reader) -> None:
            reader.words["https://images.example.org:8480"] = f"http://127.0.0.1:{at_free_ports(hub)}"

        for name in ("asked", "got"):
            (gate / name).mkdir(parents=True)
        (tmp_path / "hub").mkdir()
        blocks = {"[site]": read_site, "[acquire.gate.north]": office, "[agent.gate]": outpost}
        with reading(tmp_path, ons, blocks | {"address,": listed, "[{": listed}) as reader:
            for end in ("/gate/north/out", "/gate/in"):
                reader.words[end] = str(gate / "asked")
            for end in ("/gate/north/in", "/gate/out"):
                reader.words[end] = str(gate / "got")
            assert reader.follow("acquire.md")
            assert reader.follow("acquire-gate.md")


# recovery-runbook.md: a pair that plays all of it through


def test_recovery_runbook_md_is_followed(tmp_path: Path) -> None:
    north, south = pair(tmp_path, backup_s=0.5)
    for name in (LEFT, RIGHT):
        north.catalog.create(name, SCHEMA)
    north.table().append([batch(ada=1, ben=2)])

    def role(site: str, wanted: str) -> None:
        folder = tmp_path / site
        until(lambda: f"role\t{wanted}" in here_any(folder), f"{site} is {wanted}")

    def here_any(folder: Path) -> str:
        with contextlib.suppress(AssertionError):
            return here(folder, "recovery", "status").stdout
        return here(folder, "recovery", "status", code=1).stdout

    def follows() -> bool:
        said = here_any(tmp_path / "south")
        epoch = re.findall(r"^epoch\t(\d+)", said, re.MULTILINE)[0]
        return f"north, standby of epoch {epoch}," in said

    def back(reader: Reader) -> None:
        role("north", "standby")
        until(follows, "south hears that north follows")
        reader.line("isthmus --site south recovery switchover")

    def lost(reader: Reader) -> None:
        back(reader)
        north.table().append([batch(cyd=3)])
        until(lambda: south.rows() == north.rows(), "south shows the last row")
        reader.end("isthmus --site north serve recovery", lost=True)
        north.table().append([batch(dan=4)])

    def returned(reader: Reader) -> None:
        reader.line("isthmus --site north serve recovery")
        role("north", "fenced")

    ons = (
        On("isthmus --site north recovery keys", says="ed25519:"),
        On("isthmus --site south recovery keys", says="ed25519:"),
        On("isthmus --site south serve recovery", stays="serving"),
        On("isthmus --site north serve recovery", stays="serving"),
        On("isthmus --site north recovery show-progress --watch", stays="."),
        On("isthmus recovery status", at="north", says="role\tprimary"),
        On("isthmus recovery show-progress", at="north", says="recovery point objective"),
        On("isthmus --site north recovery verify", before=lambda _: south.shows({"ada": 1, "ben": 2})),
        On("isthmus --site south recovery failover", before=lost, types="y\n", says="primary of epoch"),
        On("isthmus --site north recovery failback", before=returned, says="quarantine"),
        On("isthmus --site north recovery stop-backup", before=lambda reader: back_to_north(reader)),
    )

    def back_to_north(reader: Reader) -> None:
        until(lambda: south.rows() == north.rows(), "north is level")
        back(reader)
        role("south", "standby")

    with reading(tmp_path, ons) as reader:
        assert reader.follow("recovery-runbook.md")


# README.md and look-around.md: the demonstration, what it leaves, and first sites of one's own


def test_look_around_md_is_followed_after_the_demonstration_of_readme_md(tmp_path: Path) -> None:
    demo, mine = tmp_path / "demo-site", tmp_path / "my-site"

    def ids(reader: Reader, said: str) -> None:
        found = reader.line('isthmus query "SELECT scene_id FROM scenes ORDER BY cut_ins DESC LIMIT 1"')
        reader.words["SCENE_ID"] = found.splitlines()[1].strip()

    def runs(reader: Reader, said: str) -> None:
        reader.words["RUN"] = re.findall(r"^(\S*\d\S*)", said, re.MULTILINE)[0]

    def models(reader: Reader, said: str) -> None:
        rows = [line.split("\t") for line in said.splitlines()[1:]]
        reader.words["MODEL"] = next(row[0] for row in rows if "champion" not in row)

    def own_galleries(reader: Reader) -> None:
        del reader.env["ISTHMUS_SITE"]
        for role in ("outer", "device"):
            reader.line(f"isthmus init {role} --role {role}")
        for role in ("inner", "outer", "device"):
            toml = tmp_path / role / "isthmus.toml"
            quick = toml.read_text().replace('"faces"', '"phash"').replace('"gate"  ', '"../gate"  ')
            toml.write_text(
                quick.replace('format = "tar"', 'cut_s = 0\nformat = "tar"').replace("[ice]", LOOPBACK)
            )
        at_free_ports(tmp_path / "outer" / "isthmus.toml")
        (tmp_path / "gate").mkdir()
        key = here(tmp_path / "inner", "gate", "keys").stdout.strip()
        change(tmp_path / "outer" / "isthmus.toml", ("trust = []", f"trust = [{key!r}]"))

    def enrolled(reader: Reader, said: str) -> None:
        url = reader.serving("isthmus --site outer serve")
        reader.words["SYNC"] = url
        here(tmp_path / "outer", "device", "grant", "staff")
        token = here(tmp_path / "outer", "device", "invite", "pad").stdout
        (tmp_path / "token").write_text(token)
        here(tmp_path / "device", "device", "enrol", url, "--token-file", str(tmp_path / "token"))

    def vectors(reader: Reader) -> None:
        count = len(list((tmp_path / "photos").iterdir()))
        until(lambda: described(reader.words["SYNC"], count), "all has come")

    def own_acquiring(reader: Reader, said: str) -> None:
        port = at_free_ports(tmp_path / "hub" / "isthmus.toml")
        reader.words["http://127.0.0.1:8480"] = f"http://127.0.0.1:{port}"

    def asking(reader: Reader) -> None:
        reader.line("isthmus init video --role agent")
        credential = tmp_path / "video" / "agent.json"
        here(tmp_path / "hub", "acquire", "environment", "add", "video", "--out", str(credential))
        here(tmp_path / "hub", "acquire", "keys", "add", "me", "--out", str(tmp_path / "me.key"))
        change(tmp_path / "video" / "isthmus.toml", more=rules_for(store))
        (tmp_path / "list.csv").write_text(f"address,environment,record\n{store.url}/a/1.jpg,video,one\n")
        reader.line("isthmus --site video agent --environment video")

    def own_loop(reader: Reader) -> None:
        write_day(mine, "2026-11-20", range(14))
        source = SITE[SITE.index("[source.cars]") : SITE.index("[pipeline")].replace("cars", "trucks")
        change(
            mine / "isthmus.toml",
            ("epochs = 16", "epochs = 2"),
            ("trials = 20", "trials = 1"),
            ("scenes = 200", "scenes = 4"),
            more=f"\n{source}",
        )

    ons = (
        On("isthmus query", says="."),
        On("isthmus rules list", after=ids),
        On("isthmus loop list", after=runs),
        On("isthmus loop models", after=models),
        On("isthmus loop rollback", says="."),
        On("isthmus --site demo-site/gallery/inner gallery list", says="staff|\\d"),
        On("isthmus --site demo-site/gallery/device device models", says="active"),
        On("isthmus init inner", says="made"),
        On("isthmus --site inner gallery import", before=own_galleries, says="import|[0-9]"),
        On("isthmus --site inner gate send --watch", stays="."),
        On("isthmus --site outer serve sync", stays="serving", after=enrolled),
        On("isthmus device sync", at="device", before=vectors, says="staff"),
        On("isthmus device identify", at="device"),
        On("isthmus init hub", after=own_acquiring),
        On("isthmus --site hub serve acquire", stays="serving"),
        On("isthmus --site video agent", stays="agent begins"),
        On("isthmus acquire --server", before=asking, says="1 done"),
        On("isthmus --site demo-site/recovery/south recovery show-progress", stays="."),
        On("isthmus --site demo-site/recovery/south recovery failover", types="y\n", says="primary of epoch"),
        On("isthmus --site my-site check", before=own_loop, says="is sound"),
        On("isthmus --site my-site ingest", says="scenes"),
        On("isthmus --site my-site loop triggers", says="nightly"),
        On("isthmus --site my-site loop serve", stays="."),
    )
    with storage(tmp_path) as store, reading(tmp_path, ons) as reader:
        (recipe,) = re.findall(r"^demo: .*\n\t\$\(BIN\)/(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert recipe == "isthmus demo demo-site"
        learns_little(demo)
        reader.env["ISTHMUS_SAMPLES"] = str(tmp_path / "nowhere")
        told = reader.script(recipe)
        assert "Try next" in told
        photos = demo / "gallery" / "photos"
        shutil.copytree(photos, tmp_path / "photos")
        shutil.copyfile(sorted(photos.iterdir())[0], tmp_path / "photo.jpg")
        (tmp_path / "device").mkdir()
        shutil.copyfile(tmp_path / "photo.jpg", tmp_path / "device" / "photo.jpg")
        reader.env["ISTHMUS_SITE"] = "demo-site"
        assert reader.follow("look-around.md")
