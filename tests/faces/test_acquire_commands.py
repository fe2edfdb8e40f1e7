"""The commands of acquiring against a server and an agent that run: what they do, and one line with a code where
they cannot.
"""

from __future__ import annotations

import contextlib
import json
import stat
import sys
from collections.abc import Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from acquire_sites import AgentSite, Hub, running
from gallery_making import jpeg
from gallery_sites import free_port, isthmus, until, write
from isthmus.faces.cli.main import run

Capture = pytest.CaptureFixture[str]
FILES = """[[agent.allow]]
schemes = ["file"]
roots = ["photos"]
"""
pytestmark = pytest.mark.xdist_group("acquire commands")


class World:
    """A server, an agent of the environment video that reads a folder, and a client's key in a file."""

    def __init__(self, folder: Path) -> None:
        self.hub = Hub(folder / "hub")
        self.agent = self.hub.environment("video", FILES)
        self.photos = self.agent.folder / "photos"
        self.photos.mkdir()
        self.key = folder / "client.key"
        self.key.write_text(f"{self.hub.key('client')}\n")

    def client(self, capfd: Capture, *words: str, code: int = 0) -> tuple[list[str], list[str]]:
        """Run `isthmus acquire …` as a client elsewhere; returns its lines, and those for a person."""
        return told(capfd, "acquire", "--server", self.hub.url, "--key-file", str(self.key), *words, code=code)

    def operator(self, capfd: Capture, *words: str, code: int = 0) -> tuple[list[str], list[str]]:
        """Run a command at the server."""
        return told(capfd, "--site", str(self.hub.folder), "acquire", *words, code=code)

    def list(self, name: str, *files: str, environment: str = "video") -> Path:
        """Write a CSV that asks for files of the photos' folder; records are named by list and file."""
        path = self.key.parent / f"{name}.csv"
        rows = [f"file://{self.photos}/{file},{environment},{name}-{file}" for file in files]
        path.write_text("\n".join(["address,environment,record", *rows, ""]))
        return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    for number in range(3):
        (made.photos / f"{number}.jpg").write_bytes(jpeg(number))
    with running(made.hub, made.agent):
        yield made


def told(capfd: Capture, *words: str, code: int = 0) -> tuple[list[str], list[str]]:
    """Run a command here and require its code; JSON lines of its progress are left out."""
    capfd.readouterr()
    found = run(words)
    out = capfd.readouterr()
    said = [line for line in out.err.splitlines() if not line.startswith("{")]
    assert found == code, (words, out)
    assert "Traceback" not in out.err
    return out.out.splitlines(), said


def refused(capfd: Capture, *words: str, code: int) -> str:
    """Run a command that cannot do what it is asked: it says so in one line."""
    rows, said = told(capfd, *words, code=code)
    assert not rows
    (line,) = said
    assert line.startswith("isthmus: ")
    return line.removeprefix("isthmus: ")


# what clients do


def test_a_list_is_sent_and_watched_to_its_end(capfd: Capture, world: World) -> None:
    (batch,), said = world.client(capfd, str(world.list("one", "0.jpg", "1.jpg", "2.jpg")), "--watch")
    assert said == [f"batch {batch}: 3 requests", "3 done"]
    rows, said = world.client(capfd, "status", batch)
    assert rows[1].split("\t") == [batch, "", "client", "", "3 done", ""]
    assert world.client(capfd, "watch", batch)[1] == ["3 done"]
    assert world.client(capfd, "failed", batch)[1] == ["nothing failed"]


def test_the_same_list_again_is_the_same_batch_unless_a_new_one_is_wanted(capfd: Capture, world: World) -> None:
    path = str(world.list("twice", "0.jpg"))
    (batch,), _ = world.client(capfd, path)
    again, said = world.client(capfd, "send", path)
    assert again == [batch]
    assert "sent before: nothing new was asked for" in said[0]
    assert world.client(capfd, "send", path, "--label", "another")[0] != [batch]
    assert world.client(capfd, path, "--again")[0] != [batch]


def test_what_failed_is_listed_with_its_reason_and_tried_again_on_demand(capfd: Capture, world: World) -> None:
    (batch,), said = world.client(capfd, str(world.list("gap", "0.jpg", "late.jpg")), "--watch", code=3)
    assert said[-1] == "1 done, 1 failed"
    rows, said = world.client(capfd, "failed", batch)
    assert rows[1].split("\t")[1:5] == ["gap-late.jpg", "video", "1", "gone"]
    assert said[-1].endswith(f"isthmus acquire retry {batch}")
    (world.photos / "late.jpg").write_bytes(jpeg(9))
    assert world.client(capfd, "retry", batch)[1] == [f"retry: 1 request of {batch}"]
    assert world.client(capfd, "watch", batch)[1] == ["2 done"]


def test_a_batch_is_paused_resumed_and_cancelled(capfd: Capture, world: World) -> None:
    path = world.list("held", "0.jpg", "1.jpg", environment="nowhere")
    (batch,), _ = world.client(capfd, str(path), "--label", "held")
    assert world.client(capfd, "pause", batch)[1] == [f"pause: 2 requests of {batch}"]
    rows, _ = world.client(capfd, "status")
    assert [batch, "held", "client", "paused", "2 paused", ""] in [row.split("\t") for row in rows]
    assert world.client(capfd, "resume", batch)[1] == [f"resume: 2 requests of {batch}"]
    assert world.client(capfd, "cancel", batch)[1] == [f"cancel: 2 requests of {batch}"]
    assert world.client(capfd, "watch", batch, code=3)[1] == ["2 cancelled"]


def test_json_json_lines_and_the_standard_input_are_taken_too(
    capfd: Capture, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = [
        {"address": f"file://{world.photos}/0.jpg", "environment": "video", "record": f"j{n}", "priority": 9}
        for n in range(2)
    ]
    (tmp_path / "list.json").write_text(json.dumps(wishes))
    lines = "".join(f"{json.dumps(wish)}\n" for wish in wishes)
    (tmp_path / "list.jsonl").write_text(lines)
    for name in ("list.json", "list.jsonl"):
        assert world.client(capfd, str(tmp_path / name), "--watch")[1][-1] == "2 done"
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(lines.encode() + b"\n")))
    assert world.client(capfd, "send", "-", "--watch")[1][-1] == "2 done"


@pytest.mark.parametrize(
    ("content", "told_lines"),
    [
        ("address,environment\nhttp://a/1.jpg,video\n", ("record",)),
        ("address,environment,record\nhttp://a/1.jpg,Video!,a\nhttp://a/2.jpg,video,\n", ("line 2", "line 3")),
        ("address,environment,record,colour\nhttp://a/1.jpg,video,a,red\n", ("colour",)),
        (
            "address,environment,record,priority\n" + "http://a/1.jpg,video,a,77\n" * 9,
            ("line 2: ", "line 6: ", "4 more"),
        ),
        ("", ("isthmus",)),
    ],
)
def test_a_list_with_mistakes_is_told_with_its_lines_and_nothing_is_taken(
    capfd: Capture, world: World, tmp_path: Path, content: str, told_lines: tuple[str, ...]
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(content)
    before = len(world.hub.client("operator").batches())
    rows, said = world.client(capfd, str(path), code=2)
    assert not rows
    assert len(said) == 1, said
    assert all(word in said[0] for word in told_lines), said
    assert len(world.hub.client("operator").batches()) == before


def test_at_the_server_itself_no_key_has_to_be_named(world: World, capfd: Capture) -> None:
    file = world.list("atserver", "0.jpg")
    lines, _ = world.operator(capfd, "send", str(file))
    kept = world.hub.folder / "state" / "acquire" / "local.key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    before = kept.read_text()
    told_, _ = world.operator(capfd, "status", lines[0])
    assert "\tlocal\t" in told_[1]
    assert kept.read_text() == before, "it is made once"
    with world.hub.opened() as ledger:
        found = ledger.keys()
    (key,) = (one for one in found if one.name == "local")
    assert (key.role, key.revoked) == ("operator", None)


def test_what_a_client_says_wrongly_is_answered_in_one_line(
    capfd: Capture, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, key = str(world.list("wrong", "0.jpg")), str(world.key)
    at = ("acquire", "--server", world.hub.url, "--key-file", key)
    assert "which server to ask" in refused(capfd, "acquire", "--key-file", key, path, code=2)
    assert "no API key" in refused(capfd, "acquire", "--server", world.hub.url, "status", code=2)
    clear = refused(capfd, "acquire", "--server", "http://images.example.org", "--key-file", key, path, code=2)
    assert clear == "the key would go to images.example.org in the clear; use https"
    away = f"http://127.0.0.1:{free_port()}"
    assert "does not answer" in refused(capfd, "acquire", "--server", away, "--key-file", key, path, code=4)
    (tmp_path / "other.key").write_text("isk_of_nobody_at_all\n")
    other = ("acquire", "--server", world.hub.url, "--key-file", "other.key")
    assert "API key is needed" in refused(capfd, *other, path, code=6)
    assert "list.csv cannot be read" in refused(capfd, *at, "list.csv", code=2)
    assert "1-none" in refused(capfd, *at, "watch", "1-none", code=2)
    assert "1-none" in refused(capfd, *at, "retry", "1-none", code=2)
    assert "did you mean 'status'" in refused(capfd, *at, "statuss", code=2)


def test_a_viewer_sees_everything_and_asks_for_nothing(capfd: Capture, world: World, tmp_path: Path) -> None:
    (tmp_path / "viewer.key").write_text(world.hub.key("viewer"))
    at = ("acquire", "--server", world.hub.url, "--key-file", str(tmp_path / "viewer.key"))
    assert told(capfd, *at, "status")[0]
    assert "a key of role viewer may not do this" in refused(capfd, *at, str(world.list("v", "0.jpg")), code=6)


# what operators do


def test_keys_are_made_listed_and_revoked_while_the_server_runs(
    capfd: Capture, world: World, tmp_path: Path
) -> None:
    (text,), said = world.operator(capfd, "keys", "add", "alice")
    assert text.startswith("isk_")
    assert said == ["key of alice, a client; it is not shown again:"]
    out = tmp_path / "bob.key"
    assert world.operator(capfd, "keys", "add", "bob", "--role", "viewer", "--out", str(out))[0] == []
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    at = ("acquire", "--server", world.hub.url, "--key-file", str(out))
    assert told(capfd, *at, "status"), "a new key opens at once"
    rows, _ = world.operator(capfd, "keys", "list")
    assert {row.split("\t")[0]: row.split("\t")[1] for row in rows}["bob"] == "viewer"
    world.operator(capfd, "keys", "revoke", "bob")
    until(lambda: run([*at, "status"]) == 6, "the revoked key opens nothing")
    assert "revoked" in next(row for row in world.operator(capfd, "keys", "list")[0] if row.startswith("bob")), (
        "it stays in the list"
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("keys", "add", "client"), "'client'"),
        (("keys", "add", "a b"), "is no name for a key"),
        (("keys", "add", "carol", "--out", "{taken}"), "cannot be made: File exists"),
        (("keys", "add", "carol", "--role", "king"), "king"),
        (("keys", "revoke", "nobody"), "'nobody'"),
        (("environment", "add", "Video!", "--out", "{new}"), "no label of an environment"),
        (("environment", "add", "other", "--out", "{taken}"), "exists already"),
        (("environment", "add", "other", "--out", "{new}", "--name", "client"), "'client'"),
        (("environment", "retire", "nowhere"), "has no credential"),
        (("environment", "retyre", "video"), "did you mean 'retire'"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_what_an_operator_says_wrongly_is_answered_in_one_line_and_leaves_nothing(
    capfd: Capture, world: World, tmp_path: Path, words: tuple[str, ...], line: str
) -> None:
    (tmp_path / "taken").write_text("")
    named = [word.format(taken=tmp_path / "taken", new=tmp_path / "new") for word in words]
    assert line in refused(capfd, "--site", str(world.hub.folder), "acquire", *named, code=2)
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "taken").read_text() == ""
    assert "carol" not in str(world.operator(capfd, "keys", "list"))


def test_an_environments_credentials_rotate_and_a_third_is_refused(
    capfd: Capture, world: World, tmp_path: Path
) -> None:
    for number in (1, 2):
        out = tmp_path / f"lab-{number}.json"
        _, said = world.operator(capfd, "environment", "add", "lab", "--out", str(out), "--signature", "ed25519")
        assert said == [
            f"credential of lab in {out} (key agent-lab-{number}); carry it there and name it in [agent]"
        ]
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
    at = ("--site", str(world.hub.folder), "acquire", "environment", "add", "lab", "--out", str(tmp_path / "3"))
    assert "retire the oldest: isthmus acquire environment retire lab" in refused(capfd, *at, code=2)
    rows, _ = world.operator(capfd, "environment", "list")
    assert "lab\t2" in rows
    assert world.operator(capfd, "environment", "retire", "lab")[1] == ["lab has 1 credential left"]
    assert world.operator(capfd, "environment", "retire", "lab", "--all")[1] == ["lab has 0 credentials left"]


# what runs


def agent_site(world: World, folder: Path, label: str) -> AgentSite:
    site = AgentSite(folder / label, label, FILES)
    isthmus(
        world.hub.folder, "acquire", "environment", "add", label, "--out", str(site.folder / "credential.json")
    )
    return site


def test_an_agent_that_is_not_believed_says_so_and_ends(capfd: Capture, world: World, tmp_path: Path) -> None:
    site = agent_site(world, tmp_path, "doubted")
    at = ("--site", str(site.folder), "agent", "--environment")
    assert "is for 'doubted', not 'video'" in refused(capfd, *at, "video", code=2)
    world.operator(capfd, "keys", "revoke", "agent-doubted-1")
    done = until(lambda: _ends(site, 6), "the server has read its keys again")
    assert "API key is needed" in done
    (site.folder / "credential.json").unlink()
    assert "there is no credential in" in refused(capfd, *at, "doubted", code=2)


def _ends(site: AgentSite, code: int) -> str:
    """Start an agent that has to end by itself; returns what it said last, empty where the code is another."""
    site.start()
    assert site.process is not None
    with contextlib.suppress(Exception):
        site.process.wait(20)
    found = site.process.poll()
    site.kill()
    return site.log.read_text().splitlines()[-1] if found == code else ""


def test_a_second_agent_in_the_same_folder_waits_for_nothing(capfd: Capture, world: World) -> None:
    line = refused(capfd, "--site", str(world.agent.folder), "agent", "--environment", "video", code=4)
    assert "agent" in line


def test_a_server_whose_port_is_taken_says_so(capfd: Capture, world: World, tmp_path: Path) -> None:
    site = write(tmp_path, f'[site]\nname = "second"\n[acquire]\nport = {world.hub.port}\n')
    assert "choose another port or host in [acquire]" in refused(
        capfd, "--site", str(site), "serve", "acquire", code=2
    )


def test_a_site_without_the_table_says_which_one_it_lacks(capfd: Capture, world: World) -> None:
    hub, agent = str(world.hub.folder), str(world.agent.folder)
    assert "has no [agent]" in refused(capfd, "--site", hub, "agent", "--environment", "video", code=2)
    assert "has no [acquire]" in refused(capfd, "--site", agent, "serve", "acquire", code=2)
    assert "has no [acquire]" in refused(capfd, "--site", agent, "acquire", "keys", "list", code=2)
