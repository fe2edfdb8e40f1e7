"""The pages on the gate and on devices, followed as their operators would; the gatekeeper is played here."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console_certificates import certificate
from gallery_sites import carry, free_port, here, until
from page_reader import On, Reader, reading
from page_worlds import change, described, read_site, released, sees
from pages import Block
from samples import SAMPLES, needs_samples
from transfer.ice.turnserver import USER, turn_server

pytestmark = pytest.mark.soak


# gate.md: two sites, and a gatekeeper who is played here


KEY = "ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
QUICK = "cut_s = 0\nheartbeat_s = 1\npoll_s = 0.2\n"
NAMED = "galleries-000001-000000000009.tar"


@needs_samples
def test_gate_md_is_followed(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner" / "isthmus.toml", tmp_path / "outer" / "isthmus.toml"
    here_, there = tmp_path / "gate-out", tmp_path / "gate-in"
    people = faces(tmp_path)

    def headquarters(reader: Reader, block: Block) -> None:
        reader.line("isthmus init inner --role inner")
        inner.write_text(f"{reader.put(block.text)}{QUICK}\n[pipeline.forecast]\n")

    def airport(reader: Reader, block: Block) -> None:
        reader.line("isthmus init outer --role outer")
        text = reader.put(block.text)
        text = text.replace("trust = [", "settle_s = 1\npoll_s = 0.2\ntrust = [")
        outer.write_text(f"{text}port = {free_port()}\n[ice]\nloopback = true\n")

    def key(reader: Reader, said: str) -> None:
        reader.words[KEY] = re.findall(r"ed25519:\S+", said)[0]

    def level(reader: Reader) -> None:
        def equal() -> bool:
            carry(here_, there)
            both = [here(toml.parent, "gate", "status", "--json").stdout for toml in (inner, outer)]
            return json.loads(both[0])["position"] == json.loads(both[1])["standing"]

        until(equal, "both stand at the same position")

    def set_aside(reader: Reader) -> None:
        content = bytearray(next(path for path in backups(inner)).read_bytes())
        content[len(content) // 2] ^= 1
        (there / NAMED).write_bytes(content)
        until(lambda: NAMED in status(outer)["quarantined"], "the file that was changed is set aside")

    def status(toml: Path) -> dict[str, str]:
        told = json.loads(here(toml.parent, "gate", "status", "--json").stdout)
        return {name: json.dumps(told[name]) for name in ("quarantined", "missing", "standing")}

    def lose_two(reader: Reader) -> None:
        level(reader)
        for number, carries in ((1, False), (2, False), (3, True)):
            known = set(backups(inner))
            reader.line(f"isthmus --site inner gallery add staff new-{number} photo.jpg")
            until(lambda known=known: set(backups(inner)) - known, "it is sent")  # type: ignore[misc]
            if not carries:
                for file in here_.glob("[!.]*"):
                    file.unlink()
        until(lambda: carry(here_, there) >= 0 and status(outer)["missing"] != "[]", "the gap is seen")

    def backups(toml: Path) -> list[Path]:
        return sorted((toml.parent / "state").rglob("galleries-*.tar"))

    def asked(reader: Reader, said: str) -> None:
        reader.words["galleries 1 4-5 KM9ATY"] = re.findall(r"^galleries .*", said, re.MULTILINE)[0]

    def releases(reader: Reader) -> None:
        level(reader)
        reader.words["releases/forecast/forecast-20261122-1"] = str(released(inner, 1))
        released(inner, 2)
        sees(tmp_path / "see.onnx")

    ons = (
        On("isthmus --site inner gate keys", after=key, says="fingerprint"),
        On("isthmus --site inner gallery list staff", says="4711"),
        On("isthmus --site inner gate send --watch", stays="."),
        On("isthmus --site inner gate send", before=lambda reader: reader.end("isthmus --site inner gate send")),
        On("isthmus --site outer serve sync", stays="serving"),
        On("isthmus --site inner gate status", before=level, says=r"1/\d+/"),
        On("isthmus --site outer gate status", says=r"1/\d+/"),
        On(f"isthmus --site outer gate dismiss {NAMED}", before=set_aside, says="1 removed"),
        On("isthmus --site outer gate request", before=lose_two, after=asked),
        On("isthmus --site outer gate request --snapshot", says="galleries "),
        On("isthmus --site inner gate resend", says="galleries"),
        On("isthmus --site inner model publish forecast", before=releases, says="published"),
        On("isthmus --site inner model list", says="see"),
        On("isthmus --site inner model withdraw", says="forecast"),
        On("isthmus --site inner gate epoch --above 3", says="begun at 4/"),
        On("isthmus --site inner gallery feed oplog.bson"),
    )
    for folder in (here_, there):
        folder.mkdir()
    shutil.copytree(people, tmp_path / "photos", dirs_exist_ok=True)
    shutil.copyfile(sorted(people.iterdir())[0], tmp_path / "photo.jpg")
    shutil.copyfile(SAMPLES / "oplog" / "hundred_inserts.bson", tmp_path / "oplog.bson")
    feeds = '[site]\nname = "site"\n'
    blocks = {
        '[site]\nname = "headquarters"': headquarters,
        '[site]\nname = "airport"': airport,
        '[gallery]\nrole = "inner"\nallow': lambda reader, block: read_site(reader, block, feeds),
    }
    with reading(tmp_path, ons, blocks) as reader:
        reader.words |= {"/gate/out": str(here_), "/gate/in": str(there)}
        assert reader.follow("gate.md")


def faces(folder: Path) -> Path:
    """Gather a photo each of a few people; returns their folder."""
    people = folder / "people"
    people.mkdir()
    for person in sorted((SAMPLES / "faces" / "caltech").iterdir())[:4]:
        shutil.copyfile(sorted(person.glob("*.jpg"))[0], people / f"{person.name}.jpg")
    return people


# devices.md: the sync server behind that gate, with TLS and a STUN server, and a device that follows it


@needs_samples
def test_devices_md_is_followed(tmp_path: Path) -> None:
    outer, device = tmp_path / "outer" / "isthmus.toml", tmp_path / "gate-b12" / "isthmus.toml"
    port = free_port()

    def served(reader: Reader, block: Block) -> None:
        reader.line("isthmus init outer --role outer")
        named = {'"0.0.0.0"': '"127.0.0.1"', "8470": str(port), "stun.example.org:3478": f"127.0.0.1:{turn.port}"}
        text = block.text.replace("turn.example.org:3478", f"127.0.0.1:{turn.port}").replace(
            '"isthmus"', f'"{USER}"'
        )
        for word, place in named.items():
            text = text.replace(word, place)
        head, _, _ = outer.read_text().partition("[sync]")
        outer.write_text(f"{head}{text}loopback = true\n")
        change(outer, ("trust = []  ", f"trust = [{public!r}]  "), ('folder = "gate" ', 'folder = "../gate" '))
        keys = outer.parent / "keys"
        keys.mkdir()
        certificate(keys, now - timedelta(1), now + timedelta(9), "server")
        shutil.copyfile(turn.credential_file, keys / "turn")
        (keys / "turn").chmod(0o600)

    def carried(reader: Reader) -> None:
        until(lambda: described(f"https://127.0.0.1:{port}", len(list(people.iterdir()))), "all has come")

    def handheld(reader: Reader, block: Block) -> None:
        reader.line("isthmus init gate-b12 --role device")
        ice = f'[ice]\nloopback = true\nauthorities = "{outer.parent}/keys/server.crt"\n'
        device.write_text(f"{reader.put(block.text)}\n{ice}")
        reader.script("openssl rand -hex 32 > gate-b12/store-key && chmod 600 gate-b12/store-key")

    def invited(_: Reader, said: str) -> None:
        (tmp_path / "token").write_text(said.splitlines()[0])

    def enrolling(_: Reader) -> None:
        shutil.move(tmp_path / "token", device.parent / "token")

    def models(_: Reader) -> None:
        for seed in (1, 2):
            change(inner, more="" if seed > 1 else "\n[pipeline.forecast]\n")
            here(inner.parent, "model", "publish", str(released(inner, seed)))
        here(inner.parent, "gate", "send")
        until(lambda: "forecast" in here(outer.parent, "model", "list").stdout, "the model has come")

    def fetched(reader: Reader) -> None:
        import numpy as np

        reader.line("isthmus device sync")
        np.savez(device.parent / "inputs.npz", picture=np.zeros((1, 3, 8, 8), np.float32))

    def of_device(reader: Reader, block: Block) -> None:
        read_site(reader, block, "[device]\n")

    now = datetime.now(UTC)
    inner = tmp_path / "inner" / "isthmus.toml"
    (tmp_path / "gate").mkdir()
    here(tmp_path, "init", str(inner.parent), "--role", "inner")
    change(inner, ('folder = "gate" ', 'folder = "../gate" '), ('format = "tar" ', 'cut_s = 0\nformat = "tar" '))
    public = here(inner.parent, "gate", "keys").stdout.strip()
    people = faces(tmp_path)
    here(inner.parent, "gallery", "import", "staff", str(people))
    here(inner.parent, "gate", "send")
    at = "gate-b12"
    ons = (
        On("isthmus --site outer serve sync", stays="serving https"),
        On("isthmus --site outer device grant", before=carried, says="rule"),
        On("isthmus --site outer device rules", says="airport"),
        On("isthmus --site outer device invite", after=invited),
        On("isthmus device enrol", at=at, before=enrolling, says="enrolled as gate-b12"),
        On("isthmus device sync", at=at, says="(true|yes)"),
        On("isthmus device list", at=at, says="staff"),
        On("isthmus device identify", at=at, says=rf"\n{sorted(people.iterdir())[0].stem}\n"),
        On("isthmus --site outer device grant 'models.*'", before=models),
        On("isthmus device models", at=at, before=fetched, says="forecast"),
        On("isthmus device models --retry", at=at),
        On("isthmus device run", at=at),
        On("isthmus device files", at=at),
        On("isthmus device rollback", at=at),
        On("isthmus --site outer device list", says="gate-b12"),
        On("isthmus --site outer gallery audit", says="identified|received"),
    )
    blocks = {
        "[sync]": served,
        '[site]\nname = "gate-b12"': handheld,
        "person =": of_device,
        '[gallery]\nrole = "outer"\nmodel': read_site,
        '[device]\nmodel = "see"': read_site,
    }
    with turn_server(tmp_path) as turn, reading(tmp_path, ons, blocks) as reader:
        reader.words |= {
            "https://sync.example.org:8470": f"https://127.0.0.1:{port}",
            "/run/keys/store": str(device.parent / "store-key"),
        }
        shutil.copyfile(sorted(people.iterdir())[0], tmp_path / "photo.jpg")
        device.parent.mkdir(exist_ok=True)
        shutil.copyfile(tmp_path / "photo.jpg", device.parent / "photo.jpg")
        assert reader.follow("devices.md")
