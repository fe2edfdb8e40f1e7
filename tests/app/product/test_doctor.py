from __future__ import annotations

import errno
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallery_sites import free_port
from isthmus.app.product import netlooks, setuplooks
from isthmus.app.product.doctor import examine
from isthmus.app.product.filelooks import judged_space, space, unsound
from isthmus.app.product.finding import Finding, sorted_by_severity
from isthmus.app.product.newsite import make_site
from isthmus.app.product.status import status_of
from isthmus.app.product.surroundings import Listener
from isthmus.app.upconfig import read_up_config
from isthmus.core.errors import InputError
from isthmus.faces.cli.main import run
from isthmus.imaging import entropy
from isthmus.state.store import Store
from isthmus.transfer.signing import SigningKey


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """An inner site, an interface server and a console in one, with nothing wrong."""
    SigningKey.create().save(tmp_path / "keys" / "gate.pem")
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate").chmod(0o755)
    Store(tmp_path / "state" / "isthmus.sqlite").close()
    toml = tmp_path / "isthmus.toml"
    toml.write_text(
        '[site]\nname = "s"\n[gallery]\nrole = "inner"\n[gate]\nfolder = "gate"\nkey = "keys/gate.pem"\n'
        f"[acquire]\nport = {free_port()}\n"
    )
    return toml


def errors(toml: Path) -> list[Finding]:
    return [one for one in examine(toml) if one.severity == "error"]


def test_a_sound_site_has_no_error_and_nothing_in_it_is_changed(site: Path) -> None:
    before = snapshot(site.parent)
    assert errors(site) == []
    assert snapshot(site.parent) == before


def _harm_toml(folder: Path) -> None:
    toml = folder / "isthmus.toml"
    toml.write_text(toml.read_text() + "colour = 3\n[up]\nleave_out = ['nothing']\n")


def _harm_key_mode(folder: Path) -> None:
    (folder / "keys" / "gate.pem").chmod(0o644)


def _harm_key(folder: Path) -> None:
    (folder / "keys" / "gate.pem").unlink()


def _harm_gate(folder: Path) -> None:
    (folder / "gate").rmdir()


def _harm_state(folder: Path) -> None:
    file = folder / "state" / "isthmus.sqlite"
    with sqlite3.connect(file) as sql:
        sql.execute("CREATE TABLE t (x)")
        sql.executemany("INSERT INTO t VALUES (?)", [(os.urandom(400),) for _ in range(400)])
    sql.close()
    content = bytearray(file.read_bytes())
    content[4096 * 3 : 4096 * 9] = os.urandom(4096 * 6)
    file.write_bytes(content)


def _harm_images(folder: Path) -> None:
    (folder / "images").write_text("a file")


def _harm_clock(folder: Path) -> None:
    later = time.time() + 86_400
    os.utime(folder / "state" / "isthmus.sqlite", (later, later))


@pytest.mark.parametrize(
    ("harm", "what", "mend"),
    [
        (_harm_toml, "unknown key 'colour'", ""),
        (_harm_toml, "leave_out names no part 'nothing'", ""),
        (_harm_key_mode, "others can read [gate] key (mode 0644)", "chmod 600"),
        (_harm_key, "[gate] key is not there", "isthmus gate keys"),
        (_harm_gate, "[gate] folder is not there", "mkdir -p"),
        (_harm_state, "a state file is damaged", "restore it from a backup"),
        (_harm_images, "[acquire.filing] root is no folder", "another folder"),
        (_harm_clock, "the clock is 86", "set the clock"),
    ],
)
def test_what_is_wrong_is_told_with_what_mends_it(
    site: Path, harm: Callable[[Path], None], what: str, mend: str
) -> None:
    harm(site.parent)
    found = [one for one in errors(site) if what in one.what]
    assert found, errors(site)
    assert mend in found[0].mend
    assert found[0].where


def test_a_site_that_is_no_toml_is_told_and_not_raised(site: Path) -> None:
    site.write_text("[site\n")
    [one] = errors(site)
    assert (one.where, one.severity) == (f"{site}:1", "error")
    assert "not valid TOML" in one.what


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        yield bound.getsockname()[1]


def test_a_port_that_another_program_has_is_told_apart_from_one_that_is_served_by_us(
    tmp_path: Path, taken: int
) -> None:
    listener = Listener("acquire", "[acquire]", "127.0.0.1", taken)
    [one] = netlooks.ports([listener], None)
    assert (one.severity, "another program" in one.what) == ("error", True)
    code = (
        "from http.server import BaseHTTPRequestHandler as H, HTTPServer\n"
        "class D(H):\n"
        "    def do_GET(self):\n"
        '        self.send_response(200); self.end_headers(); self.wfile.write(b\'{"status": "ok"}\')\n'
        "    def log_message(self, *_): pass\n"
        "s = HTTPServer(('127.0.0.1', 0), D); print(s.server_port, flush=True); s.serve_forever()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as ours:
        assert ours.stdout is not None
        port = int(ours.stdout.readline())
        [one] = netlooks.ports([Listener("acquire", "[acquire]", "127.0.0.1", port)], None)
        ours.kill()
    assert (one.severity, "is served" in one.what) == ("note", True)


@pytest.mark.parametrize(
    ("hosts", "clash"),
    [
        (("127.0.0.1", "127.0.0.1"), True),
        (("0.0.0.0", "127.0.0.1"), True),
        (("127.0.0.1", "127.0.0.2"), False),
        (("::1", "127.0.0.1"), False),
        (("localhost", "127.0.0.1"), True),
    ],
)
def test_two_parts_at_one_port_are_told(hosts: tuple[str, str], clash: bool) -> None:
    port = free_port()
    found = list(netlooks.ports([Listener(f"p{n}", f"[p{n}]", host, port) for n, host in enumerate(hosts)], None))
    assert any("listen at the same port" in one.what for one in found) == clash


def test_an_address_of_another_machine_is_told() -> None:
    assert netlooks.bindable("192.0.2.1", 8480) == errno.EADDRNOTAVAIL
    [one] = netlooks.ports([Listener("sync", "[sync]", "192.0.2.1", 8480)], None)
    assert "set host in [sync]" in one.mend


@given(st.floats(0, 1e15), st.floats(0, 1))
def test_less_room_is_never_judged_better(free: float, share: float) -> None:
    order = ["error", "warning", ""]
    assert order.index(judged_space(free / 2, share)) <= order.index(judged_space(free, share))
    assert order.index(judged_space(free, share / 2)) <= order.index(judged_space(free, share))


def test_each_disk_is_told_once(tmp_path: Path) -> None:
    assert len(list(space([tmp_path, tmp_path / "not" / "there"]))) == 1


def test_a_state_file_that_is_being_written_is_sound_and_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "a?b#c%.sqlite"
    store = Store(file)
    store.migrate("room", ["CREATE TABLE t (x)"])
    with store.transaction() as sql:
        sql.execute("INSERT INTO t VALUES (1)")
        assert unsound(file) == ""
    store.close()
    before = snapshot(tmp_path)
    assert unsound(file) == ""
    assert snapshot(tmp_path) == before
    file.write_bytes(b"no database at all, but long enough to be one" * 100)
    assert "not a database" in unsound(file)


def test_the_other_sites_clock_is_judged_by_its_last_report(tmp_path: Path) -> None:
    file = tmp_path / "isthmus.sqlite"
    assert list(setuplooks.peer_clock(file)) == []
    with sqlite3.connect(file) as sql:
        sql.execute("CREATE TABLE report_heard (stream, kind, number, content)")
        sql.execute("INSERT INTO report_heard VALUES ('r', 'report', 5000000, x'')")
    sql.close()
    assert list(setuplooks.peer_clock(file, now=4990.0)) == []
    [one] = setuplooks.peer_clock(file, now=4000.0)
    assert "1000 s ahead" in one.what


def test_extras_are_judged_by_the_packages_own_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ['a>=1; extra == "acquire"', 'isthmus[agent]; extra == "acquire"', 'nosuchdist>=2 ; extra == "agent"']
    monkeypatch.setattr(setuplooks.metadata, "requires", lambda name: told)
    monkeypatch.setattr(setuplooks.metadata, "version", lambda name: "1" if name == "a" else real_version(name))
    assert setuplooks.missing("acquire") == ["nosuchdist"]
    [one] = setuplooks.extras(["acquire", "office-north"])
    assert one.mend == "pip install 'isthmus[acquire]'"


def test_a_site_that_trains_by_time_is_told_that_nothing_is_there_to_train_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = ['isthmus[loop]; extra == "train"', 'torch==2 ; extra == "train"', 'a; extra == "loop"']
    monkeypatch.setattr(setuplooks.metadata, "requires", lambda name: told)
    monkeypatch.setattr(
        setuplooks.metadata, "version", lambda name: "1" if name == "a" else real_version("nosuchdist")
    )
    [one] = setuplooks.extras(["triggers"])
    assert (one.what, one.mend) == ("the extra train is not whole; it lacks torch", "pip install 'isthmus[train]'")


real_version = setuplooks.metadata.version


def test_the_worst_comes_first_and_each_thing_once() -> None:
    found = [Finding("note", "a"), Finding("error", "b"), Finding("note", "a"), Finding("warning", "c")]
    assert [one.what for one in sorted_by_severity(found)] == ["b", "c", "a"]


def test_the_command_ends_with_1_where_something_is_an_error(
    site: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["--site", str(site), "doctor"]) == 0
    _harm_key_mode(site.parent)
    capfd.readouterr()
    assert run(["--site", str(site), "doctor", "--json"]) == 1
    told = json.loads(capfd.readouterr().out)
    assert told[0]["severity"] == "error"
    assert set(told[0]) == {"severity", "what", "where", "mend"}


def test_with_network_peers_are_called(tmp_path: Path, taken: int) -> None:
    (tmp_path / "device").mkdir()
    enrolment = {"device": "b12", "server": "ed25519:x", "url": f"http://127.0.0.1:{taken}"}
    (tmp_path / "device" / "enrolment.json").write_text(json.dumps(enrolment))
    toml = tmp_path / "isthmus.toml"
    toml.write_text('[site]\nname = "b12"\n[device]\n')
    assert any("the sync server answers" in one.what for one in examine(toml, network=True))
    assert not any("the sync server" in one.what for one in examine(toml))
    enrolment["url"] = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "device" / "enrolment.json").write_text(json.dumps(enrolment))
    assert any("the sync server does not answer" in one.what for one in examine(toml, network=True))


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    return {
        str(file): (file.stat().st_mtime_ns, file.stat().st_size, file.stat().st_mode)
        for file in [folder, *folder.rglob("*")]
    }


@settings(max_examples=60)
@given(st.sampled_from(["device", "agent", "inner", "acquire", "primary"]), st.data())
def test_no_toml_however_wrong_breaks_the_doctor_or_the_status(
    tmp_path_factory: pytest.TempPathFactory, role: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("wrong") / "site"
    path, _ = make_site(folder, role, console=True)
    lines = path.read_text().splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        number = data.draw(st.integers(0, len(lines) - 1))
        key = lines[number].lstrip("# ").partition("=")[0]
        lines[number] = data.draw(
            st.sampled_from(
                [
                    "",
                    lines[0],
                    "[up]",
                    "[gate]",
                    "port = 0",
                    f"{key} = -1",
                    f'{key} = "/dev/null"',
                    f"{key} = [[]]",
                ]
            )
        )
    path.write_text("\n".join(lines))
    told: list[object] = []
    for look in (lambda: examine(path), lambda: status_of(read_up_config(path))):
        try:
            told.append(look())
        except InputError as error:
            told.append(str(error))
    assert len(told) == 2


def test_a_console_that_may_not_listen_yet_is_told_until_somebody_is_known(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "isthmus.toml"
    toml.write_text('[site]\nname = "s"\n[console]\nport = 0\npublic_url = "https://isthmus.example"\n')
    [one] = [found for found in errors(toml) if found.where == "[console]"]
    assert "nobody is known" in one.what
    assert one.mend == "isthmus user add NAME --role admin"
    assert not (tmp_path / "state").exists(), "looking makes nothing"
    assert run(["--site", str(toml), "key", "add", "program", "--role", "admin"]) == 0
    assert errors(toml) == []


def test_a_reader_that_was_not_built_is_told_where_pictures_are_filed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setuplooks, "find_spec", lambda name: None)
    assert list(setuplooks.readers(["recovery", "console"])) == []
    [found] = setuplooks.readers(["console", "acquire"])
    assert (found.severity, "gcc" in found.mend) == ("note", True)
    monkeypatch.undo()
    assert list(setuplooks.readers(["acquire"])) == ([] if entropy.BUILT else [found])
