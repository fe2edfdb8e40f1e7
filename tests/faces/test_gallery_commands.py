"""The commands of galleries, the gate and devices: what they do, and one line with a code where they cannot."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
from bson import Timestamp

from gallery_making import jpeg, lying, text_of
from gallery_sites import DEVICE, INNER, OUTER, SYNC, UNGATED, command, environment, isthmus, served, write
from isthmus.app.galleries.inner import Inner
from isthmus.app.galleries.outer import Outer
from isthmus.faces.cli.main import run
from isthmus.gallery.oplog.entry import make_delete, make_insert
from isthmus.gallery.oplog.mongoshake import write_tunnel
from isthmus.transfer.signing import SigningKey
from oplog_making import UI, WALL

Capture = pytest.CaptureFixture[str]
NS = "galleries.staff"


@pytest.fixture
def inner(tmp_path: Path) -> Path:
    (tmp_path / "gate-inner").mkdir()
    return write(tmp_path / "inner", INNER)


@pytest.fixture
def outer(tmp_path: Path) -> Path:
    (tmp_path / "gate-outer").mkdir()
    return write(tmp_path / "outer", OUTER.format(extractor="phash", trust=SigningKey.create().public))


@pytest.fixture
def device(tmp_path: Path) -> Path:
    return write(tmp_path / "device", DEVICE.format(name="b12", extractor="phash"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg(1, 64))
    return path


def told(capfd: Capture, site: Path, *words: str) -> tuple[int, list[str], list[str]]:
    """Run a command here; returns its code, the lines of its result, and those for a person."""
    capfd.readouterr()
    code = run(["--site", str(site), *words])
    found = capfd.readouterr()
    return code, found.out.splitlines(), [line for line in found.err.splitlines() if not line.startswith("{")]


def oplog(folder: Path, *raws: bytes) -> Path:
    path = folder / "oplog.bson"
    path.write_bytes(b"".join(raws))
    return path


def inserted(number: int, image: bytes, ns: str = NS, **more: str) -> bytes:
    document = {"_id": f"p{number}", "url": text_of(image), **more}
    return make_insert(ns, document, Timestamp(1_900_000_000, number), WALL, UI)


# what commands do


def test_records_are_added_replaced_listed_and_removed(capfd: Capture, inner: Path, photo: Path) -> None:
    assert told(capfd, inner, "gallery", "add", "staff", "anna", str(photo), "--set", "duty=gate")[0] == 0
    assert told(capfd, inner, "gallery", "add", "other.staff", "ben", str(photo))[0] == 0
    assert "unknown gallery 'galleries.stuff'; did you mean" in refused(
        capfd, inner, ["gallery", "list", "stuff"], 2
    )
    _, rows, _ = told(capfd, inner, "gallery", "list", "staff")
    assert [row.split("\t")[0] for row in rows[1:]] == ["anna"]
    assert rows[1].endswith("duty=gate")
    assert told(capfd, inner, "gallery", "replace", "staff", "anna", "--set", "duty=office")[0] == 0
    assert told(capfd, inner, "gallery", "list", "staff")[1][1].endswith("duty=office")
    _, rows, said = told(capfd, inner, "gallery", "stat")
    assert [row.split("\t")[:2] for row in rows[1:]] == [[NS, "1"], ["other.staff", "1"]]
    assert said[-1].startswith("position 1/3")
    assert told(capfd, inner, "gallery", "remove", "staff", "anna")[2] == ["removed 1 from staff"]
    assert told(capfd, inner, "gallery", "list", "staff")[1][1:] == []
    _, rows, _ = told(capfd, inner, "gallery", "audit")
    assert [row.split("\t")[3:6] for row in rows[1:]] == [
        ["add", NS, "anna"],
        ["add", "other.staff", "ben"],
        ["replace", NS, "anna"],
        ["remove", NS, "anna"],
    ]


def test_an_import_passes_over_what_is_no_image_and_says_so(capfd: Capture, inner: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "one.jpg").write_bytes(jpeg(1))
    (folder / "two.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    code, _, said = told(capfd, inner, "gallery", "import", "staff", str(folder))
    assert (code, said[0]) == (3, "staff: 1 added, 0 replaced, 0 unchanged, 1 refused")
    assert "two.jpg" in said[1]
    assert told(capfd, inner, "gallery", "list", "staff")[1][1].startswith("a/one\t")


def test_a_killed_import_goes_on_with_the_same_command(inner: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(600):
        (folder / f"p{number:03}.jpg").write_bytes(jpeg(number, 24))
    words = ("gallery", "import", "staff", str(folder))
    with subprocess.Popen(
        command(inner, *words), stderr=subprocess.PIPE, text=True, env=environment()
    ) as importing:
        assert importing.stderr is not None
        first = json.loads(importing.stderr.readline())
        importing.kill()
    assert 0 < first["done"] < first["total"] == 600
    said = isthmus(inner, *words).stderr.splitlines()[-1]
    added, unchanged = (int(re.findall(rf"(\d+) {what}", said)[0]) for what in ("added", "unchanged"))
    assert (added + unchanged, unchanged >= first["done"], added > 0) == (600, True, True)
    assert Inner.open(inner / "isthmus.toml").set.galleries()[0].records == 600


def test_the_gates_key_is_made_once_and_shown_again(capfd: Capture, inner: Path) -> None:
    _, made, said = told(capfd, inner, "gate", "keys")
    assert said[0] == f"made {inner / 'keys' / 'gate.pem'}"
    assert "fingerprint" in said[1]
    assert told(capfd, inner, "gate", "keys")[1] == made
    assert (inner / "keys" / "gate.pem").stat().st_mode & 0o077 == 0


def test_an_empty_outer_site_says_what_it_waits_for(capfd: Capture, outer: Path) -> None:
    code, rows, _ = told(capfd, outer, "gate", "status")
    assert (code, "stands at\tnothing yet" in rows) == (0, True)
    assert json.loads("\n".join(told(capfd, outer, "gate", "status", "--json")[1]))["standing"] is None
    assert told(capfd, outer, "gate", "request")[2] == ["nothing is missing as far as is known here"]
    _, line, _ = told(capfd, outer, "gate", "request", "--snapshot")
    assert line[0].startswith("galleries ")


@pytest.mark.parametrize("tunnel", [False, True], ids=["oplog.bson", "tunnel"])
def test_an_outer_site_without_a_gate_takes_an_oplog_into_set_two(
    capfd: Capture, tmp_path: Path, tunnel: bool
) -> None:
    site = write(tmp_path / "outer", UNGATED)
    entries = [
        inserted(1, jpeg(1, 64)),
        inserted(2, jpeg(2, 64)),
        inserted(3, b"%!PS-Adobe"),
        inserted(4, jpeg(4, 64)[:200]),
        make_delete(NS, "p2", Timestamp(1_900_000_000, 5), WALL, UI),
    ]
    file = oplog(tmp_path, *([b"".join(write_tunnel(entries))] if tunnel else entries))
    for _ in range(2):
        code, _, said = told(capfd, site, "gallery", "feed", str(file))
        assert (code, said) == (0, ["5 entries: 5 changes taken, 0 left out, 0 refused"])
    _, rows, _ = told(capfd, site, "gallery", "stat")
    assert rows[1].split("\t")[:5] == [NS, "3", str(len(jpeg(1, 64))), "2", "1"]
    refused = [row.split("\t") for row in told(capfd, site, "gallery", "quarantine")[1][1:]]
    assert [row[2:4] for row in refused] == [[NS, "p3"], [NS, "p4"]]
    opened = Outer.open(site / "isthmus.toml")
    held = next(iter(opened.set.records(NS))).image
    assert held is not None
    assert lying(site / "state" / "images") == {held.digest.hex()}, (
        "what was removed is not kept for anybody to read on from"
    )
    assert opened.store.rows("SELECT count(*) AS n FROM entry")[0]["n"] == 0


def test_an_outer_site_without_a_gate_says_how_to_see_its_records_and_get_more(
    capfd: Capture, tmp_path: Path
) -> None:
    said = refused(capfd, write(tmp_path / "outer", UNGATED), ["gallery", "list", "staff"], 2)
    assert "see what is here with isthmus gallery stat; more comes by isthmus gallery feed FILE" in said


def test_an_outer_site_behind_a_gate_takes_no_oplog(capfd: Capture, outer: Path, tmp_path: Path) -> None:
    code, _, said = told(capfd, outer, "gallery", "feed", str(oplog(tmp_path, inserted(1, jpeg(1)))))
    assert (code, len(said)) == (2, 1)
    assert "set 2 follows the gate here" in said[0]
    assert not Outer.open(outer / "isthmus.toml").set.galleries()


def test_a_calibrated_threshold_is_told_kept_and_forgotten(capfd: Capture, tmp_path: Path) -> None:
    site = write(tmp_path / "outer", UNGATED)
    entries = [inserted(number, jpeg(number * 7, 64), person=f"n{number // 2}") for number in range(12)]
    told(capfd, site, "gallery", "feed", str(oplog(tmp_path, *entries)))
    words = ("gallery", "calibrate", "staff", "--target", "0.2", "--person", "person")
    code, rows, said = told(capfd, site, *words)
    assert code == 0
    assert "12 vectors played the stranger" in said[0]
    opened = Outer.open(site / "isthmus.toml")
    model = opened.model_of(NS)
    assert model is not None
    assert f"{model.threshold:.4f}" == rows[0]
    _, listed, _ = told(capfd, site, "gallery", "calibrate")
    assert listed[1].split("\t")[:2] == [NS, model.name]
    told(capfd, site, "gallery", "calibrate", "staff", "--forget")
    assert opened.extractor is not None
    assert opened.model_of(NS) == opened.extractor.model


# what they refuse


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["gallery", "ad"], 2, "did you mean 'add'?"),
        (["gallery", "add", "staff", "anna", "nowhere.jpg"], 2, "nowhere.jpg"),
        (["gallery", "add", "staff", "anna", "{odd}"], 2, "the image is refused"),
        (["gallery", "add", "staff", "anna", "{photo}", "--set", "duty"], 2, "--set 'duty' is not NAME=VALUE"),
        (["gallery", "add", "staff", "anna", "{photo}", "--set", "url=x"], 2, "cannot be named 'url'"),
        (["gallery", "add", "sta ff", "anna", "{photo}"], 2, "is no name of a gallery"),
        (["gallery", "add", "staff", "", "{photo}"], 2, "is no id of a record"),
        (["gallery", "replace", "staff", "anna"], 2, "nothing to replace"),
        (["gallery", "replace", "staff", "anna", "{photo}"], 2, "has no record 'anna'"),
        (["gallery", "remove", "staff", "anna"], 2, "has no record 'anna'"),
        (["gallery", "list", "stuff"], 2, "make one: isthmus gallery add, or import"),
        (["gallery", "feed"], 2, "name one source"),
        (["gallery", "feed", "{odd}"], 5, "no oplog entry"),
        (["gallery", "feed", "{odd}", "--from-now"], 2, "a file and a server at once"),
        (["gallery", "feed", "--mongodb-env", "ISTHMUS_NOT_SET"], 2, "holds no URI of a MongoDB server"),
        (["gallery", "feed", "--mongodb-file", "{odd}"], 2, "is no text"),
        (["gallery", "calibrate", "staff"], 2, "is an inner site"),
        (["gate", "send"], 2, "isthmus gate keys"),
        (["gate", "receive"], 2, "it sends, and receives nothing"),
        (["gate", "request"], 2, "it sends, and receives nothing"),
        (["gate", "dismiss"], 2, "say what to dismiss"),
        (["gate", "resend", "nonsense"], 2, "isthmus gate keys"),
        (["device", "list"], 2, "it sends, and receives nothing"),
        (["device", "sync"], 2, "has no [device]"),
        (["serve", "sync"], 2, "has no [sync]"),
    ],
)
def test_a_wrong_command_at_the_inner_site_ends_with_one_line(
    capfd: Capture, inner: Path, photo: Path, words: list[str], code: int, message: str
) -> None:
    odd = photo.with_name("odd.jpg")
    odd.write_bytes(b"\xff\xd8 this is no photo")
    assert message in refused(capfd, inner, [word.format(photo=photo, odd=odd) for word in words], code)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["gallery", "add", "staff", "anna", "{photo}"], 2, "is an outer site"),
        (["gallery", "import", "staff", "."], 2, "is an outer site"),
        (["gallery", "list", "staff"], 2, "isthmus gallery stat; more comes by isthmus gate receive"),
        (["gallery", "calibrate", "stuff"], 2, "unknown gallery"),
        (["gallery", "calibrate", "staff", "--target", "2"], 2, "is no share of strangers"),
        (["gallery", "calibrate", "staff", "--person", "x", "--by-folder"], 2, "exclude each other"),
        (["gate", "send"], 2, "is an outer site"),
        (["gate", "keys"], 2, "[gate] names no key"),
        (["gate", "dismiss", "nothing.tar"], 2, "nothing.tar"),
        (["device", "invite", "a b"], 2, "is no name of a device"),
        (["device", "invite", "b12", "--tag", "a b"], 2, "is no tag"),
        (["device", "invite", "b12", "--hours", "0"], 2, "--hours"),
        (["device", "revoke", "b12"], 2, "unknown device 'b12'"),
        (["device", "tag", "b12", "x"], 2, "unknown device 'b12'"),
        (["device", "withdraw", "7"], 2, "there is no rule 7"),
        (["device", "grant"], 2, "GALLERIES"),
        (["device", "grant", "x", "--mode", "all"], 2, "--mode"),
        (["serve", "sync"], 2, "has no [sync]"),
    ],
)
def test_a_wrong_command_at_the_outer_site_ends_with_one_line(
    capfd: Capture, outer: Path, photo: Path, words: list[str], code: int, message: str
) -> None:
    assert message in refused(capfd, outer, [word.format(photo=photo) for word in words], code)


def test_a_rule_takes_a_gallery_by_its_bare_name_as_every_command_does(capfd: Capture, outer: Path) -> None:
    told(capfd, outer, "device", "grant", "staff", "other.plans", "gate-*", "--tag", "airport")
    [rule] = told(capfd, outer, "device", "rules")[1][1:]
    assert rule.split("\t")[2].split(" ") == ["galleries.staff", "gate-*", "other.plans"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["device", "sync"], 2, "the device is not enrolled"),
        (["device", "enrol", "http://127.0.0.1:9"], 2, "say where the token is"),
        (["device", "enrol", "ftp://x", "--token-file", "{token}"], 2, "no address of a sync server"),
        (["device", "enrol", "http://example.org", "--token-file", "{token}"], 2, "is not encrypted"),
        (["device", "enrol", "http://127.0.0.1:9", "--token-file", "{token}"], 1, "does not answer"),
        (["device", "enrol", "http://127.0.0.1:9", "--token-env", "ISTHMUS_NOT_SET"], 2, "holds no token"),
        (["device", "enrol", "http://127.0.0.1:9", "--token-file", "{photo}"], 2, "is no text"),
        (["device", "identify", "{photo}"], 2, "no gallery here has vectors"),
        (["device", "identify", "{photo}", "--gallery", "x"], 2, "unknown gallery 'x'"),
        (["device", "identify", "{token}"], 2, "{token}"),
        (["gallery", "stat"], 2, "has no [gallery]"),
        (["gate", "status"], 2, "has no [gallery]"),
    ],
)
def test_a_wrong_command_on_a_device_ends_with_one_line(
    capfd: Capture, device: Path, photo: Path, words: list[str], code: int, message: str
) -> None:
    token = photo.with_name("token")
    token.write_text("a-token\n")
    made = [word.format(photo=photo, token=token) for word in words]
    assert message.format(token="image") in refused(capfd, device, made, code)


def refused(capfd: Capture, site: Path, words: list[str], code: int) -> str:
    """Prove that a command ends with `code` and one line, and return that line."""
    found, rows, said = told(capfd, site, *words)
    assert (found, len(said), rows) == (code, 1, []), said
    assert said[0].startswith("isthmus: ")
    return said[0]


# what serves


def test_a_server_ends_cleanly_at_a_signal_and_tells_a_taken_port(outer: Path) -> None:
    toml = outer / "isthmus.toml"
    plain = toml.read_text()
    toml.write_text(plain + SYNC.format(port=0))
    with served(outer) as server:
        assert server.get("/health") == {"status": "ok", "why": ""}
        port = server.url.rpartition(":")[2]
        other = write(outer.parent / "other", plain + SYNC.format(port=port))
        said = isthmus(other, "serve", "sync", code=2).stderr.splitlines()
        assert (len(said), f"cannot listen on 127.0.0.1 port {port}" in said[0]) == (1, True)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
    assert (outer / "server.log").read_text().splitlines()[-1] == "stopped"


def test_a_certificate_that_is_none_is_told_before_anything_is_served(capfd: Capture, outer: Path) -> None:
    toml = outer / "isthmus.toml"
    tls = 'tls_certificate = "none.pem"\ntls_key = "none.key"\n'
    toml.write_text(toml.read_text() + "[sync]\nport = 0\n" + tls)
    assert "cannot be used" in refused(capfd, outer, ["serve", "sync"], 2)
