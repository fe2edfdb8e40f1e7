"""The two sides of an environment's gate as their TOML and their command lines know them."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from acquire_gates import ASK, GOT, Gated
from acquire_sites import Hub
from gallery_sites import write
from isthmus.acquire.gate.incoming import Incoming
from isthmus.acquire.gate.outgoing import Outgoing, put
from isthmus.app.acquiring.agents import run_agent
from isthmus.app.acquiring.config import AcquireConfig, read_acquire_config
from isthmus.app.acquiring.gates import GateSite, gate_site
from isthmus.app.acquiring.gateside import GateSide
from isthmus.app.acquiring.offices import run_office
from isthmus.app.acquiring.rounds import OutpostRounds, rounds
from isthmus.app.keys import explained
from isthmus.app.soundness import check
from isthmus.core.errors import Busy, ConfigError, InputError, Refused, UnknownName
from isthmus.core.progress import silent
from isthmus.faces.cli.main import run
from isthmus.state.lock import held
from isthmus.state.store import Store

OFFICE = """[site]
name = "hub"
[acquire]
[acquire.gate.north]
out_folder = "gate/out"
in_folder = "gate/in"
credential = "north.json"
"""
OUTPOST = """[site]
name = "north"
[agent]
[agent.gate]
environment = "north"
out_folder = "gate/out"
in_folder = "gate/in"
"""


def config_of(folder: Path, text: str) -> AcquireConfig:
    return read_acquire_config(write(folder, text) / "isthmus.toml")


class Line:
    """Runs command lines `isthmus acquire gate …` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, site: Path, *words: str, code: int = 0) -> tuple[str, str]:
        """Return what was written to stdout and stderr."""
        self._capsys.readouterr()
        assert run(["--site", str(site), "acquire", "gate", *words]) == code
        return self._capsys.readouterr()


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> Line:
    return Line(capsys)


@pytest.fixture
def gated(tmp_path: Path) -> Gated:
    return Gated(Hub(tmp_path / "hub"), "north", "")


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as told:
        config_of(folder, text)
    assert all(mistake.line for mistake in told.value.mistakes)
    return [mistake.what for mistake in told.value.mistakes]


def test_what_cannot_be_right_is_told_with_its_line(tmp_path: Path) -> None:
    assert "is no label of an environment" in mistakes(tmp_path, OFFICE.replace("north]", '"North Pole"]'))[0]
    assert "no public key" in mistakes(tmp_path, f'{OUTPOST}trust = ["ed25519:x"]\n')[0]
    assert "are the same" in mistakes(tmp_path, OUTPOST.replace("gate/in", "gate/out"))[0]
    both = OFFICE + OUTPOST.partition('"north"\n')[2]
    assert "make two sites" in mistakes(tmp_path, both)[0]
    assert "lacks the key 'environment'" in mistakes(tmp_path, OUTPOST.replace('environment = "north"', ""))[0]


def test_check_says_what_is_left_to_do_at_either_side(tmp_path: Path, gated: Gated) -> None:
    for text, count in ((OFFICE, 5), (OUTPOST, 4)):
        notes = check(write(tmp_path / "new", text) / "isthmus.toml", silent).notes
        told = [note for note in notes if "gate" in note or "north.json" in note]
        assert len(told) == count, told
    assert not [note for note in notes if "agent.json" in note], "an agent behind a gate needs no credential"
    for folder in (gated.hub.folder, gated.agent.folder):
        found = check(folder / "isthmus.toml", silent)
        assert not [note for note in found.notes if "gate" in note]
    assert found.what == "an agent for north through gate folders"


def test_check_finds_keys_that_others_can_read_and_credentials_of_others(gated: Gated) -> None:
    (gated.hub.folder / "office.pem").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        check(gated.hub.folder / "isthmus.toml", silent)
    (gated.hub.folder / "office.pem").chmod(0o600)
    gated.hub.environment("south")
    (gated.hub.folder / "north.json").unlink()
    shutil.copy(gated.hub.folder.parent / "agent-south" / "credential.json", gated.hub.folder / "north.json")
    (gated.hub.folder / "north.json").chmod(0o600)
    with pytest.raises(ConfigError, match="is for south, not north"):
        check(gated.hub.folder / "isthmus.toml", silent)
    with pytest.raises(InputError, match="'south', not 'north'"):
        run_office(read_acquire_config(gated.hub.folder / "isthmus.toml"), "north", threading.Event())


def test_the_gate_that_is_meant_is_found_or_has_to_be_named(tmp_path: Path) -> None:
    assert gate_site(config_of(tmp_path, OFFICE)).serving
    assert gate_site(config_of(tmp_path, OUTPOST), "north").folder == tmp_path / "agent" / "gate"
    two = OFFICE + OFFICE.partition("[acquire]\n")[2].replace("north", "south")
    with pytest.raises(InputError, match="2 gates; say --environment: north, south"):
        gate_site(config_of(tmp_path, two))
    assert gate_site(config_of(tmp_path, two), "south").sends == "ask-south"
    with pytest.raises(UnknownName, match="south"):
        gate_site(config_of(tmp_path, two), "sooth")
    with pytest.raises(InputError, match="no gate"):
        gate_site(config_of(tmp_path, '[site]\nname = "hub"\n[acquire]\n'))


def test_nothing_is_begun_with_the_wrong_label_or_without_keys(tmp_path: Path, line: Line) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(InputError, match="'north', not 'south'"):
        run_agent(config_of(tmp_path / "a", OUTPOST), "south", stop)
    with pytest.raises(InputError, match="isthmus acquire gate keys"):
        run_agent(config_of(tmp_path / "a", OUTPOST), "north", stop)
    line(tmp_path / "a", "keys")
    with pytest.raises(InputError, match="trusts nobody"):
        run_agent(config_of(tmp_path / "a", OUTPOST), "north", stop)
    with pytest.raises(InputError, match="the agent's side"):
        run_office(config_of(tmp_path / "a", OUTPOST), "north", stop)
    with pytest.raises(InputError, match="no credential"):
        run_office(config_of(tmp_path / "b", OFFICE), "north", stop)


def test_one_office_at_a_time_works_for_an_environment(gated: Gated) -> None:
    config = read_acquire_config(gated.hub.folder / "isthmus.toml")
    with held(gate_site(config).folder / ".lock", "the office"), pytest.raises(Busy, match="office of north"):
        run_office(config, "north", threading.Event())


def test_an_operator_makes_keys_looks_has_sent_again_and_dismisses(gated: Gated, line: Line) -> None:
    office, agent = gated.hub.folder, gated.agent.folder
    first, again = line(office, "keys"), line(office, "keys")
    assert first[0] == again[0] and "fingerprint" in again[1]
    site = gate_site(read_acquire_config(office / "isthmus.toml"))
    _put(site, "1.1")
    assert "sent increment" in line(office, "snapshot")[1]
    before, behind = gated.roads[ASK]
    bundle, whole = sorted(before.glob("*.tar"))
    shutil.copy(bundle, behind / bundle.name)
    (behind / whole.name).write_bytes(b"x" * whole.stat().st_size)
    site = gate_site(read_acquire_config(agent / "isthmus.toml"))
    carrying = OutpostRounds(site, lambda event, /, *, level="info", **fields: None)
    carrying.start()
    carrying.stop()
    told = line(agent, "status")
    assert "received by this side: requests" in told[1]
    assert "1/1/" in told[0]
    assert line(agent, "request", "--snapshot")[0].startswith("ask-north 1 snapshot ")
    request = line(agent, "request", "--snapshot")[0].strip()
    assert "sent again snapshot" in line(office, "resend", request)[1]
    line(office, "resend", request[:-1], code=2)
    begun = line(office, "epoch", "--above", "4")[1]
    assert begun.startswith("begun at 5/0/") and "sent snapshot 5/0" in begun
    line(agent, "dismiss", code=2)
    assert line(agent, "dismiss", "--all")[1] == "0 removed from the quarantine\n"


def test_status_ends_with_3_where_an_alarm_stands_and_names_the_right_commands(gated: Gated, line: Line) -> None:
    behind = gated.roads[GOT][1]
    shutil.rmtree(behind)
    site = gate_site(read_acquire_config(gated.hub.folder / "isthmus.toml"))
    with Store(site.state) as store:
        side = GateSide(site, store, Outgoing(store, site.sends), Incoming(store, site.receives))
        side.receive(lambda event, /, *, level="info", **fields: None)
        assert [alarm.kind.name for alarm in side.alarms()] == ["DISK"]
    told = line(gated.hub.folder, "status", code=3)
    assert "ALARM DISK" in told[1]
    told = line(gated.hub.folder, "status", "--json", code=3)
    assert json.loads(told[0])["receiving"]["alarms"][0]["kind"] == "DISK"


def test_rounds_go_on_after_what_kept_them_and_say_it_once() -> None:
    stop, said, count = threading.Event(), list[str](), 0

    def act() -> None:
        nonlocal count
        count += 1
        if count in (2, 3):
            raise Refused("no")
        if count == 4:
            raise ZeroDivisionError
        if count == 6:
            stop.set()

    rounds(act, 0.0, stop, lambda event, /, *, level="info", **fields: said.append(event))
    assert count == 6 and said == ["round fails", "round fails", "rounds go on"]
    rounds(act, 0.0, stop, lambda event, /, *, level="info", **fields: None, closing=True)
    assert count == 7


def test_the_keys_of_gates_are_explained() -> None:
    assert {row[0] for row in explained("acquire.gate")} == {"acquire.gate.NAME", "acquire.gate.NAME.bounds"}
    assert ("agent.gate", "environment") in {row[:2] for row in explained("agent.gate")}


def _put(site: GateSite, name: str) -> None:
    with Store(site.state) as store:
        stream = Outgoing(store, site.sends).stream
        with store.transaction() as connection:
            put(connection, stream, name, iter((b"{}",)), 2)
