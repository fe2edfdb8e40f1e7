"""Real NGSIM, comma2k19 and ROS bags through the whole loop, as a person at the command line would take them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from gallery_sites import here as isthmus
from gallery_sites import isthmus as by_hand
from isthmus.app.site import Site
from isthmus.app.starter import write_site
from isthmus.loop.mining.mine import IDS
from isthmus.warehouse.idlist import IdList
from once import once
from samples import SAMPLES, needs_samples

pytestmark = needs_samples

EVERY = 4
"""So many of NGSIM's recordings are passed over for each one that is taken; the soak takes them all."""
QUICK = {
    "epochs = 12": "epochs = 2",
    "episodes = 6": "episodes = 2",
    "scenes = 40": "scenes = 8",
    "min_improvement = 0.1": "min_improvement = 0.0",
    "episodes = 2\n": "episodes = 1\nduration_s = 8.0\n",
    "workers = 2 ": "workers = 1 ",
}


def small_site(folder: Path, every: int) -> Path:
    """Write a site over the samples with each `every`-th recording of NGSIM that is not a copy of another."""
    path = write_site(folder, SAMPLES, small=True)
    text = path.read_text()
    for old, new in QUICK.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text.replace(f"{SAMPLES.resolve().as_posix()}/driving/ngsim", (folder / "ngsim").as_posix()))
    (folder / "ngsim").mkdir()
    about = pq.read_table(SAMPLES / "driving" / "ngsim" / "scenarios.parquet")
    about = about.filter(about["unique_recording"])
    about = about.take(list(range(0, about.num_rows, every)))
    tracks = pq.read_table(SAMPLES / "driving" / "ngsim" / "agents.parquet")
    pq.write_table(about, folder / "ngsim" / "scenarios.parquet")
    tracks = tracks.filter(pc.is_in(tracks["scenario_id"], about["scenario_id"]))
    pq.write_table(tracks, folder / "ngsim" / "agents.parquet")
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A site with one ingested day of every source and one finished run on all scenes."""

    def make(folder: Path) -> None:
        small_site(folder, EVERY)
        by_hand(folder, "ingest", "--day", "2026-11-20", code=3)  # the bags hold two that cannot go in
        isthmus(folder, "loop", "run", "--mode", "full")

    return once(tmp_path_factory, worker_id, "real-samples", make)


def rows(site: Path, sql: str) -> list[dict[str, object]]:
    out = isthmus(site, "query", sql, "--format", "jsonl").stdout
    return [json.loads(line) for line in out.splitlines()]


def test_every_kind_of_source_comes_in_and_what_cannot_is_set_aside(site: Path) -> None:
    found = rows(site, "SELECT source, job_type, count(*) AS scenes FROM scenes GROUP BY ALL ORDER BY source")
    assert [(row["source"], row["job_type"]) for row in found] == [
        ("drive", "ros"),
        ("highway", "simulation"),
        ("ngsim", "batch"),
        ("turtles", "ros"),
    ]
    ngsim = rows(
        site,
        "SELECT count(DISTINCT record_id) AS n, count(*) AS egos FROM scenes WHERE source = 'ngsim'",
    )
    aside = rows(site, "SELECT source, reason, count(*) AS n FROM rejects GROUP BY ALL ORDER BY ALL")
    set_aside = {(row["source"], row["reason"]): row["n"] for row in aside}
    assert set_aside == {("ngsim", "too_short"): 2, ("turtles", "empty"): 2}
    assert ngsim == [{"n": 20 - 2, "egos": 609}]


@pytest.mark.soak
def test_all_of_ngsim_comes_in(tmp_path: Path) -> None:
    small_site(tmp_path, 1)
    by_hand(tmp_path, "ingest", "--source", "ngsim", "--day", "2026-11-20")
    counted = "SELECT count(DISTINCT record_id) AS n, count(*) AS egos FROM scenes"
    assert rows(tmp_path, counted) == [{"n": 78 - 8, "egos": 2207}]
    assert rows(tmp_path, "SELECT reason, count(*) AS n FROM rejects GROUP BY ALL") == [
        {"reason": "too_short", "n": 8}
    ]


def test_the_same_day_again_changes_nothing(site: Path) -> None:
    before = rows(
        site, "SELECT count(*) AS n, sum(hash(scene_id)) AS ids, round(sum(distance_m)) AS m FROM scenes"
    )
    isthmus(site, "ingest", "--source", "drive", "--source", "turtles", "--day", "2026-11-20", code=3)
    assert (
        rows(site, "SELECT count(*) AS n, sum(hash(scene_id)) AS ids, round(sum(distance_m)) AS m FROM scenes")
        == before
    )


def test_a_lost_olap_is_rebuilt_from_the_warehouse(site: Path) -> None:
    before = rows(site, "SELECT * EXCLUDE (vector) FROM scenes ORDER BY scene_id")
    (site / "state" / "olap.duckdb").unlink()
    isthmus(site, "olap", "rebuild")
    assert rows(site, "SELECT * EXCLUDE (vector) FROM scenes ORDER BY scene_id") == before


def test_the_drive_keeps_its_recorded_speed_and_the_bags_their_turtles(site: Path) -> None:
    drive = rows(
        site,
        "SELECT sum(duration_s) AS s, sum(distance_m) AS m, avg(speed_mean) AS v FROM scenes "
        "WHERE source = 'drive'",
    )[0]
    assert 55 < float(str(drive["s"])) < 61
    assert float(str(drive["m"])) / float(str(drive["s"])) == pytest.approx(float(str(drive["v"])), rel=0.02)
    turtles = rows(site, "SELECT DISTINCT ego_id FROM scenes WHERE source = 'turtles' ORDER BY 1")
    assert [row["ego_id"] for row in turtles] == ["turtle1", "turtle2"]


def test_mining_writes_the_id_list_with_its_rule_and_exports_exactly_these_scenes(
    site: Path, tmp_path: Path
) -> None:
    out, exported = tmp_path / "ids.parquet", tmp_path / "export"
    isthmus(
        site,
        "mine",
        "cut_in",
        "--set",
        "gap_m=15",
        "--where",
        "source = 'ngsim'",
        "--out",
        str(out),
        "--export",
        str(exported),
    )
    ids = IdList.read(out)
    assert (ids.rule, dict(ids.parameters)) == ("cut_in", {"cut_in.gap_m": 15.0})
    expected = rows(site, "SELECT count(*) AS n FROM scenes WHERE cut_in_gap_m <= 15 AND source = 'ngsim'")[0]["n"]
    assert ids.count == expected
    assert ids.rows.schema.names == IDS.names
    said = json.loads((exported / "manifest.json").read_text())
    assert said["rows"] == expected


def test_scenes_like_one_are_found_nearest_first(site: Path) -> None:
    probe = str(
        rows(site, "SELECT scene_id FROM scenes WHERE source = 'ngsim' AND stops > 0 ORDER BY 1")[0]["scene_id"]
    )
    out = isthmus(site, "mine", "--like", probe, "--count", "5").stdout.splitlines()
    distances = [float(line.split("\t")[1]) for line in out[1:]]
    assert len(distances) == 5
    assert distances == sorted(distances)


def test_a_scene_is_drawn_with_its_facts(site: Path, tmp_path: Path) -> None:
    for source in ("ngsim", "drive", "turtles", "highway"):
        scene = str(rows(site, f"SELECT scene_id FROM scenes WHERE source = '{source}' LIMIT 1")[0]["scene_id"])
        path = tmp_path / f"{source}.png"
        out = isthmus(site, "scenes", "show", scene, "--out", str(path)).stdout
        assert path.read_bytes().startswith(b"\x89PNG")
        assert f"scene_id\t{scene}" in out


def test_the_run_trained_on_all_of_it_and_its_report_opens_alone(site: Path) -> None:
    opened = Site.open(site / "isthmus.toml")
    run = opened.ledger.runs("forecast")[-1]
    assert run.notes["count"] == rows(site, "SELECT count(*) AS n FROM scenes")[0]["n"]
    page = opened.run_folder(run.id).report.read_text()
    assert run.id in page
    assert "<script" not in page
    assert 'src="http' not in page
    measured = json.loads((opened.run_folder(run.id).attempt(1, "full") / "offline.json").read_text())
    slices = {row["slice"] for row in measured}
    assert {"overall", "source:ngsim", "tag:highway"} <= slices


def test_a_mined_run_challenges_the_champion(site: Path) -> None:
    isthmus(site, "loop", "run", "--rule", "hard_brake or hard_slowdown", "--set", "hard_brake.deceleration=2.5")
    run = Site.open(site / "isthmus.toml").ledger.runs("forecast")[0]
    assert run.ask.rule == "hard_brake or hard_slowdown"
    assert run.notes["attempts"][0] == "incremental"
    assert run.state in ("released", "kept")
