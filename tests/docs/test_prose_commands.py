"""Commands that stand in sentences, tables and lists, typed in small worlds: each does what is said of it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from acquire_gates import ASK, GOT
from acquire_sites import Hub, running
from gallery_sites import free_port
from gated_hub import ends, gated_hub, turn
from isthmus.app.acquiring.config import read_acquire_config
from isthmus.app.acquiring.gates import gate_site
from pages import ROOT
from prose_trying import trying
from traffic import SITE, platoon, write_day

# no site is needed


def test_keys_help_and_first_files_are_as_the_pages_say(tmp_path: Path) -> None:
    from isthmus.acquire.filing.naming import TEMPLATE

    with trying("nowhere", tmp_path) as say:
        said = say("isthmus --help", says=r"Usage: isthmus ")
        assert all(f"\n  {word} " in said for word in ("up", "status", "doctor", "acquire", "recovery"))
        assert say("python -c pass") == ""
        targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
        said = say("make help", at=str(ROOT))
        assert re.findall(r"make (\S+)", said) == targets and "demo-serve" in targets
        assert say("isthmus keys", says="source").count("\n") > 50
        assert TEMPLATE in say("isthmus keys acquire.filing", says="template")
        for part in ("isthmus keys acquire.gate", "isthmus keys agent.gate"):
            assert say(part, says="bounds.patience_s").count("out_folder")
        assert "tls_certificate" in say("isthmus keys console", says="session_hours")
        say("isthmus init gate-b12 --role device", says="made gate-b12/isthmus.toml")
        assert "[device]" in say.also("cat gate-b12/isthmus.toml", says="# A site of Isthmus")
        say("isthmus init north --role agent", says="made north/isthmus.toml")
        assert "[[agent.allow]]" in say.also("cat north/isthmus.toml", says="refused")
        (tmp_path / "demo-site").mkdir()
        (tmp_path / "demo-site" / "isthmus.toml").write_text('[site]\nname = "demo"\n')
        chosen = say.reader.script(say.put("export ISTHMUS_SITE=demo-site") + "\nisthmus check 2>&1")
        assert chosen.startswith("demo-site/isthmus.toml is sound")
        wrong = say.put("isthmus --debug", **{"isthmus": f"{sys.executable} -m isthmus"}) + " --site none check"
        failed = subprocess.run(shlex.split(wrong), cwd=tmp_path, capture_output=True, text=True, check=False)
        assert failed.returncode == 1
        assert "Traceback (most recent call last)" in failed.stderr and "there is no site" in failed.stderr


def test_what_others_could_read_is_tightened_as_the_threat_model_says(tmp_path: Path) -> None:
    with trying("modes", tmp_path) as say:
        for folder, command in (("state", "chmod -R go-rwx state"), ("device", "chmod -R go-rwx device")):
            inside = tmp_path / folder / "inner" / "file"
            inside.parent.mkdir(parents=True)
            inside.touch()
            for path in (inside, inside.parent, tmp_path / folder):
                path.chmod(0o777)
            say(command)
            modes = {stat.S_IMODE(path.stat().st_mode) for path in (inside, inside.parent, tmp_path / folder)}
            assert modes == {0o700}


# a console, its people and keys


def test_the_console_and_its_keys_and_log_are_as_the_pages_say(tmp_path: Path) -> None:
    from isthmus.client import Client

    north = tmp_path / "north"
    north.mkdir()
    (north / "isthmus.toml").write_text('[site]\nname = "north"\n[console]\nport = 0\n')
    people = north / "state" / "console" / "people.sqlite"
    with trying("console", tmp_path) as say:
        say("/opt/isthmus-NEW/bin/isthmus --site north doctor", {"/opt/isthmus-NEW/bin/isthmus": "isthmus"})
        say("isthmus key add NAME --role operator --out FILE", {"NAME": "nightly", "FILE": "key"}, at="north")
        say("isthmus serve console", at="north", stays=r"serving http://127\.0\.0\.1:\d+")
        with Client(say.reader.serving("isthmus serve console"), key_file=north / "key") as site:
            assert "is sound" in site.run("check").said
        say.reader.end("isthmus serve console")

        shutil.copyfile(people, tmp_path / "before")
        say.also("isthmus key add more --role viewer --out more.key", at="north")
        head = re.findall(r"\d+:[0-9a-f]{64}", say.also("isthmus audit --verify", at="north"))[0]
        since = say.put("isthmus audit --verify --since HEAD", HEAD=head)
        say.also(since, at="north")
        with sqlite3.connect(people) as after, sqlite3.connect(tmp_path / "before") as before:
            before.backup(after)  # the log as it was: sound in itself, and not what was noted
        say.also("isthmus audit --verify", at="north")
        say.also(since, at="north", code=5, says=head.partition(":")[0])


# acquiring


def test_credentials_are_changed_as_the_page_on_acquiring_says(tmp_path: Path) -> None:
    hub = Hub(tmp_path / "hub")
    with running(hub), trying("hub", tmp_path) as say:
        local = hub.folder / "state" / "acquire" / "local.key"
        assert not local.exists()
        say("isthmus --site hub acquire status", says="batch")
        assert stat.S_IMODE(local.stat().st_mode) == 0o600
        assert re.search(r"^local\toperator\t", say.also("isthmus --site hub acquire keys list"), re.MULTILINE)
        say.also("isthmus --site hub acquire environment add video --out video.json")
        say("isthmus --site hub acquire environment add video --out video-2.json", says="agent-video-2")
        made = json.loads((tmp_path / "video-2.json").read_text())
        assert (made["format"], made["environment"]) == ("isthmus agent credential 1", "video")
        assert "video\t2\n" in say("isthmus acquire environment list", at="hub")
        say("isthmus --site hub acquire environment retire video", says="1 credential left")
        say("isthmus --site hub acquire keys revoke agent-video-1", says="opens nothing any more")
        assert "video\t1\n" in say.also("isthmus acquire environment list", at="hub")
        left = say.also("isthmus --site hub acquire keys list")
        assert re.findall(r"^(agent-video-\d)\t.*\t(revoked)? ?\S*$", left, re.MULTILINE) == [
            ("agent-video-1", "revoked"), ("agent-video-2", "")
        ]  # fmt: skip
        gone = say.put("isthmus acquire environment retire") + " video --all"
        say.also(gone, at="hub", says="0 credentials left")


def test_both_sides_of_an_environments_gate_begin_anew_as_the_page_says(tmp_path: Path) -> None:
    """One side loses its state: an epoch above the other's, a snapshot asked for by a line, and it goes on."""
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "isthmus.toml").write_text(
        f'[site]\nname = "hub"\n[acquire]\nport = {free_port()}\n', "utf-8"
    )
    gated = gated_hub(tmp_path / "hub")
    office, agent = ends(gated)
    sites = {one: gate_site(read_acquire_config(one / "isthmus.toml"), "north") for one in (office, agent)}
    (tmp_path / "north").symlink_to(agent)

    def cross() -> None:
        for before, behind in gated.roads.values():
            for file in before.glob("[!.]*"):
                shutil.copy(file, behind / file.name)
        for one in (office, agent):
            turn(sites[one])

    with trying("acquire gate", tmp_path) as say:
        key = say("isthmus --site north acquire gate keys", says="fingerprint")
        assert re.findall(r"ed25519:\S+", key)[0] in (office / "isthmus.toml").read_text()
        shutil.rmtree(sites[agent].folder)  # all that the agent's side knew
        shown = say.also("isthmus --site hub acquire gate status", code=3)
        epoch = re.findall(r"^stands at\t(\d+)/", shown, re.MULTILINE)[0]
        begun = say.put("isthmus acquire gate epoch --above N", N=epoch)
        say.also(begun, at="north", says=f"begun at {int(epoch) + 1}/")
        line = say("isthmus acquire gate request --snapshot", at="north", says="^ask-north ").splitlines()[0]
        say.also(f"isthmus --site hub acquire gate resend '{line}'")
        cross()
        assert gated.status(ASK).standing == gated.status(ASK).latest, "the agent's side knows what is open"
        turn(sites[agent], "9.1")
        cross()
        assert str(gated.status(GOT).standing).startswith(f"{int(epoch) + 1}/")


# the loop


def test_the_warehouse_is_looked_after_as_the_pages_say(tmp_path: Path) -> None:
    for day in ("2026-11-19", "2026-11-20"):
        write_day(tmp_path, day, range(1))
    partition = tmp_path / "traffic" / "day=2026-11-20"
    table = platoon(1)
    at = table.schema.get_field_index("x")
    pq.write_table(table.set_column(at, "x", pa.nulls(len(table), pa.float64())), partition / "part-1.parquet")
    (tmp_path / "isthmus.toml").write_text(SITE[: SITE.index("[pipeline")].replace("cars", "fleet"))
    with trying("loop", tmp_path) as say:
        say.also("isthmus ingest --source fleet --day 2026-11-19")
        said = say("isthmus ingest --source fleet --day 2026-11-20", code=3)
        assert "fleet\t2026-11-20\t2\t4\t4\t4 not_finite" in said, "the rest goes in"
        rejects = say.also('isthmus query "SELECT reason, place, detail FROM rejects"').splitlines()[1:]
        assert len(rejects) == 4 and all(row.startswith("not_finite\t") and "x is nan" in row for row in rejects)

        count = 'isthmus query "SELECT day, count(*) AS scenes FROM scenes GROUP BY day ORDER BY day"'
        before = say.also(count)
        (tmp_path / "state" / "olap.duckdb").unlink()  # the OLAP may be lost
        say("isthmus olap rebuild", says="rebuilt from the warehouse: 8 scenes")
        assert say.also(count) == before

        assert "\ndata files of scenes\t2\t1\t" in say("isthmus warehouse tidy", says="versions of scenes")
        assert say.also(count) == before
