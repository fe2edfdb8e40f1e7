"""Commands of recovery that stand in sentences, mostly of the runbook: each does what is said of it there."""

from __future__ import annotations

import contextlib
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from gallery_sites import until
from isthmus.transfer.signing import SigningKey
from isthmus.warehouse.name import TableName
from prose_trying import Trial, trying
from recovery_sites import LEFT, SCHEMA, Site, batch, pair


def test_a_pair_is_looked_after_as_the_runbook_says(tmp_path: Path) -> None:
    north, south = pair(tmp_path, backup_s=300.0)
    with trying("pair", tmp_path) as say:
        _one_table(say, north)
        _cron(say, north, south)
        _clash(say, north, south)
        _gap(say, north, south)
        _rogue(say, south)
        _quarantined(say, north, south)
        _stopped(say, north)


def _one_table(say: Trial, north: Site) -> None:
    for name in ("scenes", "others"):
        north.catalog.create(TableName("main", "loop", name), SCHEMA)
    command = 'isthmus recovery sql "CREATE PUBLICATION p FOR TABLE loop.scenes"'
    say(command, at="north", says="^p publishes main.loop.scenes\n")
    published = say.also("isthmus recovery get-current-disaster", at="north")
    assert "main.loop.scenes\thash(name)\ttravels\n" in published and "others" not in published
    (tables,) = {path.parent for path in (north.folder / "warehouse").rglob("scenes.lance")}
    shutil.copytree(tables / "scenes.lance", tables / "copied.lance")
    cannot = say.put(command, **{"p FOR": "q FOR", "scenes": "copied"})
    say.also(cannot, at="north", code=3, says="is a copy of main.loop.scenes")
    failed = (north.folder / "recovery" / "fail_disaster_object.txt").read_text()
    assert failed.startswith("main.loop.copied  # main.loop.copied is a copy of")
    shutil.rmtree(tables / "copied.lance")


def _cron(say: Trial, north: Site, south: Site) -> None:
    """The lines take a round when one is due: not in a window, not where rounds were stopped."""
    said = say("isthmus recovery install-cron", at="north", says=r"^# Isthmus, recovery of the site north\n")
    backup, restore = said.splitlines()[1:]
    line = re.compile(r"\* \* \* \* \* \S*(isthmus --site \S+ recovery (?:backup|restore) --when-due)")
    (backup, restore) = (found[1] for one in (backup, restore) if (found := line.fullmatch(one)))
    assert (backup.split()[-2], restore.split()[-2]) == ("backup", "restore")
    south.run("restore")
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    free = days[(datetime.now(UTC).weekday() + 3) % 7]  # some time of the week has to be free: not now
    north.write(more=f'windows = ["{"+".join(day for day in days if day != free)} 00:00-24:00"]')
    assert "round" not in say.also(backup)
    north.write()
    north.run("stop-backup")
    assert "round" not in say.also(backup)
    north.run("start")
    say.also(backup, says="full round .*: 1 tables")
    assert "round" not in say.also(backup), "the interval has not passed"
    north.write(backup_s=0.0)
    assert re.search(r"^\*/5 \* .* backup$", say.also("isthmus --site north recovery install-cron"), re.MULTILINE)
    north.write()


def _clash(say: Trial, north: Site, south: Site) -> None:
    """A table of that name is here already: what comes waits until it is renamed."""
    north.catalog.create(LEFT, SCHEMA)
    north.table().append([batch(ada=1)])
    south.catalog.create(LEFT, SCHEMA)
    south.table().append([batch(own=9)])
    north.run("create-publication", "--all")
    for line in ("isthmus --site south recovery restore", "isthmus --site north recovery backup"):
        say.also(line)
    say.also("isthmus --site south recovery restore", stays="is not the one that north replicates")
    (waiting,) = say.reader.running
    renamed = say.put("isthmus table rename") + " bank.payers bank.mine"

    def done() -> bool:
        with contextlib.suppress(AssertionError):  # the one that waits looks at the catalogue now and then
            return "main.bank.payers is main.bank.mine now" in say.also(renamed, at="south")
        assert "then try again" in say.reader.said
        return False

    until(done, "it is renamed")
    assert waiting.process.wait(60) == 0, "it goes on by itself"
    say.reader.running.clear()
    assert south.rows() == {"ada": 1}
    assert south.rows(TableName("main", "bank", "mine")) == {"own": 9}


def _gap(say: Trial, north: Site, south: Site) -> None:
    """A file is lost on the way: the line that asks for it is answered, and so is one for all."""
    road = north.folder.parent / "to-south"
    for amount in (2, 3):
        north.table().append([batch(**{f"row{amount}": amount})])
        north.run("backup")
        if amount == 2:
            lost = max(road.glob("recovery-0*[0-9].tar"))
            lost.unlink()
    south.run("restore")
    assert south.rows() == {"ada": 1}
    line = say("isthmus recovery request", at="south", says="^recovery 1 ").splitlines()[0]
    again = say.put("isthmus recovery resend") + f" '{line}'"
    say.also(again, at="north", says="sent again increment")
    south.run("restore")
    assert south.rows() == {"ada": 1, "row2": 2, "row3": 3}
    whole = say("isthmus recovery request --snapshot", at="south", says="^recovery 1 snapshot ").splitlines()[0]
    north.run("resend", whole)
    north.table().append([batch(row4=4)])
    north.run("backup")
    south.run("restore")
    assert len(south.rows()) == 4


def _rogue(say: Trial, south: Site) -> None:
    """Somebody wrote past Isthmus: it is set aside, and the replica is what it was."""
    import lance

    (payers,) = (south.folder / "warehouse").rglob("payers.lance")
    schema = lance.dataset(str(payers)).schema
    lance.write_dataset(pa.Table.from_batches([batch(rogue=5)]).cast(schema), str(payers), mode="append")
    rows = south.rows()
    say.also(
        "isthmus --site south recovery restore", says="somebody wrote to the replica .* set aside in .*/rogue/"
    )
    assert "rogue" not in south.rows() and rows.keys() - south.rows().keys() <= {"rogue"}
    assert list((south.folder / "state" / "recovery" / "landing" / "rogue").iterdir())


def _quarantined(say: Trial, north: Site, south: Site) -> None:
    """Another key signed what comes: trust it, dismiss the file, and ask for what it brought."""
    known = south.trusted
    south.trusted = [str(SigningKey.create().public)]
    south.write()
    north.table().append([batch(row5=5)])
    north.run("backup")
    say.also("isthmus --site south recovery restore")
    shown = say.also("isthmus --site south recovery status", code=1, says="ALARM UNKNOWN_KEY|ALARM UNKNOWN KEY")
    file = re.findall(r"^(recovery-\S+\.tar)\tUNKNOWN.KEY\t", shown, re.MULTILINE)[0]
    south.trusted = known
    south.write()
    dismissed = say.put("isthmus recovery dismiss")
    say.also(dismissed, at="south", code=2, says="name one file, or give --all")
    say.also(f"{dismissed} {file}", at="south", says="1 removed")
    assert file not in say.also("isthmus --site south recovery status")


def _stopped(say: Trial, north: Site) -> None:
    """A site that was stopped takes rounds again."""
    north.write(backup_s=0.1)
    north.table().append([batch(row6=6)])
    north.run("stop-backup")
    due = "isthmus --site north recovery backup --when-due"
    assert "contents" not in say.also(due)
    say("isthmus recovery start", at="north", says="rounds go on")
    say.later(lambda said: "contents" in said, due)
