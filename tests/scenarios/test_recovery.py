"""Two sites of recovery, each a server of its own, and an operator at the command line.

Rows are written meanwhile, as users write them. Every story uses real processes, files and signals.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from examples import tries
from gallery_sites import here, until
from isthmus.app.recovery.config import read_recovery_config
from isthmus.app.recovery.picture import opened
from isthmus.core.errors import IsthmusError, Refused
from isthmus.warehouse.name import TableName
from recovery_sites import LEFT, RIGHT, TOKEN, Site, batch, counted, pair, published, running

A_CLUSTER = {
    "key", "priorKey", "actionType", "progress", "backupRate", "currentStep", "unrestoreKeys", "failedStep",
    "errorMsg", "errorCode", "actionStartTime", "actionEndTime", "updateTime",
}  # fmt: skip


def test_the_standby_follows_takes_over_and_hands_back_without_a_row_lost_that_had_arrived(tmp_path: Path) -> None:
    north, south = pair(tmp_path)
    published(north, LEFT, RIGHT)
    with running(north, south):
        north.table().append([batch(ada=1, ben=2)])
        south.shows(counted(ada=1, ben=2))
        with pytest.raises(Refused, match="replicated from north and read-only here"):
            south.table().append([batch(eve=3)])
        _proven(north, south)
        stop = threading.Event()
        with _writing(north, stop) as acknowledged:
            until(lambda: len(acknowledged) >= 3, "somebody writes")
            north.kill()  # in the middle of whatever it is doing
        held = south.rows()
        told = south.run("failover", "--yes").stderr
        assert "later writes are not here" in told
        assert "this site is the primary of epoch 2 (failover, from" in told
        assert south.rows().items() >= held.items(), "nothing that was shown is taken back"
        assert held.keys() >= {"ada", "ben"}
        held = south.rows()
        south.table().append([batch(fay=4)])

        north.start()
        north.says("south is the primary of epoch 2: nothing is written here any more")
        with pytest.raises(Refused, match="another site took over"):
            north.table().append([batch(gus=5)])
        alone = {**counted(ada=1, ben=2), **dict.fromkeys(acknowledged, 0)}
        kept = north.run("failback", "--wait", "60").stdout
        north.shows({**held, "fay": 4})
        for name, rows in ((LEFT, alone),) if alone != held else ():
            place = next(line.split("\t")[-1] for line in kept.splitlines() if line.startswith(str(name)))
            assert north.rows(TableName.parse(place)) == rows

        with _writing(south, threading.Event()) as later:
            until(lambda: len(later) >= 3, "somebody writes")
            south.run("switchover", "--wait", "60")
        assert north.rows() == {**held, "fay": 4, **dict.fromkeys(later, 0)}, "a switchover loses nothing"
        north.table().append([batch(hal=6)])
        south.shows(north.rows())
        until(lambda: south.run("status").stdout, "no alarm is left")
        assert (north.end(), south.end()) == (0, 0)
    assert "Traceback" not in north.log.read_text() + south.log.read_text()


def _proven(north: Site, south: Site) -> None:
    """Look at a pair in every way that an operator has."""
    until(lambda: south.progress()["standby cluster"]["currentStep"] == "FINISH", "a round was restored")
    until(lambda: north.progress()["recovery point objective"] != "N/A", "the standby's report has come")
    for site in (north, south):
        told = site.progress()
        assert told.keys() == {
            "primary cluster", "standby cluster", "apply", "latestBarrierTime", "recovery point objective",
            "failover recovery point time",
        }  # fmt: skip
        for side in ("primary cluster", "standby cluster"):
            assert told[side].keys() == A_CLUSTER
            assert told[side]["backupRate"].keys() == {"producerRate", "compressRate", "consumerRate"}
            assert all(re.fullmatch(r"\d+\.\dMB/s", rate) for rate in told[side]["backupRate"].values())
        assert told["apply"].keys() == {"backupState", "restoreState", "backupSuccessTime", "restoreSuccessTime"}
        assert told["apply"]["backupState"] in ("backuping", "waiting")
        assert told["apply"]["restoreState"] in ("restoring", "waiting")
        assert told["recovery point objective"].startswith("0:00:")
    assert "primary of epoch 1" in south.run("status").stdout
    assert str(LEFT) in south.run("verify", "--rows").stdout
    assert "restored" in south.run("drill").stdout
    assert "all files are there" in south.run("check", "--deep").stderr


class _writing:
    """Somebody who adds rows until the site refuses or the block ends; yields the names that were taken."""

    def __init__(self, site: Site, stop: threading.Event) -> None:
        self._site, self._stop, self._names = site, stop, list[str]()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> list[str]:
        self._thread.start()
        return self._names

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        number = 0
        while not self._stop.is_set():
            name = f"{self._site.name}-{self._site.pid}-{number}"
            try:
                self._site.table().append([batch(**{name: 0})])
            except IsthmusError:
                return
            self._names.append(name)
            number += 1
            self._stop.wait(0.05)


@tries("times", 300, 1000)
def test_queries_that_span_two_tables_at_the_standby_always_see_one_barrier(tmp_path: Path, times: int) -> None:
    """A payer is written before each payee, so at one moment there are as many payers, or one more."""
    north, south = pair(tmp_path, backup_s=0.1)
    published(north, LEFT, RIGHT)
    with running(north, south):
        left, right = north.table(LEFT), north.table(RIGHT)
        left.append([batch(first=0)])
        right.append([batch(first=0)])
        south.shows(counted(first=0), RIGHT)
        stop, written = threading.Event(), 0

        def pay() -> None:
            nonlocal written
            while not stop.is_set():
                for table in (left, right):
                    table.append([batch(**{f"n{written}": written})])
                written += 1

        writer = threading.Thread(target=pay)
        writer.start()
        try:
            barriers, reads = set(), 0
            while len(barriers) < 6 or reads < times:
                tables = south.catalog.together(LEFT, RIGHT)
                payers, payees = (table.count() for table in tables)
                assert payers - payees in (0, 1), f"{payers} payers and {payees} payees after {reads} reads"
                barriers.add((payers, payees))
                reads += 1
        finally:
            stop.set()
            writer.join()
        print(f"{reads} reads over {len(barriers)} states while {written} pairs were written: all of one barrier")


def test_over_http_a_door_at_the_primary_carries_both_ways_and_a_lost_one_is_named(tmp_path: Path) -> None:
    north, south = pair(tmp_path, "http")
    published(north)
    with running(north, south):
        assert north.url.startswith("http://127.0.0.1:")
        north.table().append([batch(ada=1)])
        south.shows(counted(ada=1))
        until(lambda: north.get("/v1/recovery")[1] != "{}", "a turn was taken")
        told = json.loads(north.get("/v1/recovery")[1])
        assert (told["site"], told["role"], told["epoch"], told["alarms"]) == ("north", "primary", 1, 0)
        assert told["progress"]["primary cluster"].keys() == A_CLUSTER
        assert north.get("/health") == (200, '{"status":"ok","why":""}')
        assert 'isthmus_recovery_role{role="primary"} 1' in north.get("/metrics")[1]
        for road in ("in", "out", "nowhere"):
            assert north.get(f"/v1/carry/{road}/")[0] == 401

        north.kill()
        south.says("a turn failed: 127.0.0.1:")
        south.says("Connection refused")
        north.start()  # the line is mended
        south.says("the turns go on")
        north.table().append([batch(ben=2)])
        south.shows(counted(ada=1, ben=2))

        north.kill()
        south.run("failover", "--yes")
        south.table().append([batch(cid=3)])
        north.start()
        north.says("nothing is written here any more")
        north.run("failback", "--wait", "60")
        north.shows(counted(ada=1, ben=2, cid=3))
        south.run("switchover", "--wait", "60")
        until(lambda: south.run("status").stdout, "no alarm is left")
        (tmp_path / "token").write_text("another-token-of-the-door-of-this-pair")
        assert "lets nobody in with this token" in south.run("restore", code=6).stderr
        (tmp_path / "token").write_text(TOKEN)
        north.table().append([batch(dot=4)])
        south.shows(north.rows())
        assert (north.end(), south.end()) == (0, 0)
    assert TOKEN not in north.log.read_text() + south.log.read_text()


def test_over_the_gate_nothing_comes_back_so_pins_expire_and_a_lost_file_is_asked_for_by_hand(
    tmp_path: Path,
) -> None:
    timing = "carry.heartbeat_s = 1\ncarry.gap_alarm_s = 0\nlease_hours = 0.0005"
    north, south = pair(tmp_path, "gate", more=timing)
    published(north)
    with running(north):
        north.table().append([batch(ada=1)])
        third = tmp_path / "to-south" / "recovery-000001-000000000003.tar"
        until(third.with_name("recovery-000001-000000000004.tar").exists, "rounds go out")
        third.unlink()  # on its way
        with running(south):
            south.says("alarm GAP")
            line = south.run("request").stdout.strip()
            assert line.startswith("recovery 1 ")
            assert "GAP" in south.run("status", code=1).stderr
            assert "sent again increment 1/3" in north.run("resend", line).stderr
            south.says("cleared GAP")
            south.shows(counted(ada=1))
            north.run("resend", south.run("request", "--snapshot").stdout.strip())
            north.table().append([batch(ben=2)])
            south.shows(counted(ada=1, ben=2))
            until(lambda: _states(north).count("FINISH") > 2, "leases run out", 30)
            assert not (tmp_path / "to-north").exists() or not any((tmp_path / "to-north").glob("*.tar"))
            assert "brings nothing back" in north.run("switchover", code=6).stderr
            north.kill()
            assert "later writes are not here" in south.run("failover", "--yes").stderr
            assert south.rows() == counted(ada=1, ben=2)


def _states(site: Site) -> list[str]:
    wired = opened(read_recovery_config(site.folder / "isthmus.toml"))
    try:
        return [row.state for row in wired.backup.rounds()]
    finally:
        wired.close()


def test_rounds_stop_in_windows_and_when_they_are_told_to_and_a_site_leaves_the_pair_alone(tmp_path: Path) -> None:
    north, south = pair(tmp_path, more='windows = ["00:00-23:59"]')
    published(north)
    north.table().append([batch(ada=1)])
    assert "no barrier yet" in north.run("verify", code=2).stderr
    north.run("backup", "--when-due")
    assert not [line for line in north.run("status").stdout.splitlines() if "FINISH" in line or "CONFIRM" in line]
    for site in (north, south):
        site.write(more="")
    with running(north, south):
        south.shows(counted(ada=1))
        north.run("stop-backup")
        south.run("stop-restore")
        until(lambda: north.progress()["apply"]["backupState"] == "stopped", "the backup has stopped")
        until(lambda: south.progress()["apply"]["restoreState"] == "stopped", "the restore has stopped")
        barrier = north.progress()["latestBarrierTime"]
        north.table().append([batch(ben=2)])
        assert "have not been stopped" not in south.run("status").stdout
        assert south.rows() == counted(ada=1)
        assert north.progress()["latestBarrierTime"] == barrier
        for site in (north, south):
            site.run("start")
        south.shows(counted(ada=1, ben=2))
        assert "have not been stopped" in south.run("set-independent", code=6).stderr
        north.run("stop-backup")
        south.run("stop-restore")
        for site in (south, north):
            assert "independent" in site.run("set-independent").stderr
        south.table().append([batch(own=3)])
        assert south.rows() == counted(ada=1, ben=2, own=3)
        assert not any((south.folder / "recovery").glob("*.csv"))
        assert (north.end(), south.end()) == (0, 0)


def test_a_flipped_byte_in_a_published_file_is_found_and_only_that_file_comes_again(tmp_path: Path) -> None:
    north, south = pair(tmp_path)
    published(north, LEFT, RIGHT)
    north.table(LEFT).append([batch(ada=1)])
    north.table(RIGHT).append([batch(ben=2)])
    for _ in range(2):
        south.run("restore")
        north.run("backup")
    south.run("restore")
    assert south.rows(RIGHT) == counted(ben=2)
    files = {file: file.stat().st_mtime_ns for file in _files(south)}
    broken = next(file for file in files if "payees" in str(file) and "/data/" in str(file))
    whole = broken.read_bytes()
    _break(broken)
    told = south.run("check", "--deep", code=5)
    assert broken.name in told.stdout
    assert "1 damaged" in told.stderr
    assert "differ" in south.run("verify", code=5).stderr
    assert "0 mended here, 1 asked of the primary" in south.run("repair").stderr
    south.run("restore")  # reports what is missing
    sent = north.run("backup").stderr
    assert "1 contents are missing there" in sent
    south.run("restore")
    assert broken.read_bytes() == whole
    assert "all files are there" in south.run("check", "--deep").stderr
    same = {file for file in files if file.stat().st_mtime_ns == files[file]}
    assert {file for file in files if file not in same and "/data/" in str(file)} <= {broken}


def _files(site: Site) -> list[Path]:
    return [file for file in (site.folder / "warehouse").rglob("*.lance/**/*") if file.is_file()]


def _break(file: Path) -> None:
    """Flip a bit in place, as a disk does: through every link, and with the time that it had."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


Breaking = Callable[[Path, Site, Site], None]


def _no_key(folder: Path, north: Site, south: Site) -> None:
    (north.folder / "keys" / "recovery.pem").unlink()


def _no_trust(folder: Path, north: Site, south: Site) -> None:
    north.trusted = []
    north.write()


def _no_door(folder: Path, north: Site, south: Site) -> None:
    north.write(
        places=f'road = "http"\nout_place = "http://127.0.0.1:9/v1/carry/in"\nin_place = "http://127.0.0.1:9/v1'
        f'/carry/out"\ntoken_file = "{folder / "token"}"'
    )
    (folder / "token").write_text(TOKEN)


def _no_token(folder: Path, north: Site, south: Site) -> None:
    _no_door(folder, north, south)
    (folder / "token").write_text("\n")


@pytest.mark.parametrize(
    ("breaking", "words", "code", "says"),
    [
        (_no_key, ("backup",), 2, "there is no signing key in"),
        (_no_trust, ("backup",), 2, "trusts no key"),
        (_no_door, ("backup",), 1, "127.0.0.1:9/v1/carry/in: Connection refused"),
        (_no_token, ("backup",), 2, "the token is empty"),
        (None, ("alter-publication", "main.bank.payer"), 3, "main.bank.payer"),
        (None, ("create-publication", "--all"), 2, "already"),
        (None, ("create-publication",), 2, "say what is meant"),
        (None, ("sql", "CREATE PUBLICATION"), 2, "statement"),
        (None, ("failback",), 6, "was not heard of as the primary of a later epoch"),
        (None, ("failover", "--yes"), 6, "is the primary already"),
        (None, ("switchover", "--wait", "0"), 6, "does not follow this site now"),
        (None, ("set-independent",), 6, "have not been stopped"),
        (None, ("drill",), 6, "shows no barrier"),
        (None, ("restore",), 2, "this site is primary, not standby"),
        (None, ("resend", "recovery 1 2-3 AAAAAA"), 2, ""),
        (None, ("-t", "nonsense"), 2, "nonsense"),
    ],
)
def test_wrong_input_ends_with_one_line_and_a_code_of_its_own(
    tmp_path: Path, breaking: Breaking | None, words: tuple[str, ...], code: int, says: str
) -> None:
    north, south = pair(tmp_path)
    published(north)
    north.run("-t", "backup")
    if breaking is not None:
        breaking(tmp_path, north, south)
    told = here(north.folder, "recovery", *words, code=code)
    assert says in told.stderr + told.stdout
    assert "Traceback" not in told.stderr
    lines = [line for line in told.stderr.splitlines() if line.startswith("isthmus:")]
    assert len(lines) == (1 if code != 3 else 0), told.stderr
