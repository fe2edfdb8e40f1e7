"""A restore round at the standby after 1 % of a table was updated, scattered; and how far a standby lags behind.

The restore takes in what came, proves the signature, the chain and the BLAKE3 of every content, and shows the new
barrier. Its peer makes the standby's table equal by what is at hand without this product: rsync with checksums
where it is installed, else a full copy and sums of all files. The lag is taken from the times that both servers
write down of their rounds.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from bench.figure import Figure, median_s, scratch, show
from bench.recovery_round import UPDATES, updated
from bench.wide import NAME, SCHEMA, VALUE_BYTES, key, wide
from isthmus.app.recovery.config import read_recovery_config
from isthmus.app.recovery.picture import opened
from isthmus.app.recovery.site import RecoverySite
from isthmus.app.recovery.verifying import verified
from isthmus.recovery import publications
from isthmus.recovery.objects import Object
from isthmus.transfer.signing import SigningKey
from isthmus.warehouse.place import local_path

ROWS = 250_000
INTERVAL_S = 2.0
ROUNDS = 20
RESTORE_S = 2.0
PATIENCE_S = 120.0

_TOML = """[site]
name = "{name}"
[recovery]
peer = "{peer}"
role = "{role}"
out_place = "{folder}/to-{peer}"
in_place = "{folder}/to-{name}"
trust = ["{trust}"]
backup_s = {interval}
restore_s = 0.5
"""


def run(scale: float = 1.0) -> list[Figure]:
    rows = max(10_000, int(ROWS * scale))
    with scratch("recovery-restore") as folder:
        figures = _restores(folder, rows)
    with scratch("recovery-lag") as folder:
        return [*figures, _lag(folder)]


def _restores(folder: Path, rows: int) -> list[Figure]:
    size = f"1 % of {rows * VALUE_BYTES / 1e9:.2g} GB"
    north, south = _sites(folder, 0.0)
    table = north.catalog.create(NAME, SCHEMA)
    table.append(wide(rows))
    publications.create(north.store, north.catalog, "all", [Object()])
    _passed(north, south)
    times = []
    for seed in range(UPDATES):
        new = updated(rows, seed)
        keys = ", ".join(f"'{one}'" for one in new["id"].to_pylist())
        table.replace(new.to_batches(), f"id IN ({keys})")
        times.append(_passed(north, south))
    restore = statistics.median(times)
    there, here = (local_path(site.catalog.uri(NAME)) for site in (north, south))
    assert there is not None and here is not None
    peer, what = _peer(there, folder / "peer")
    assert south.catalog.open(NAME).count() == rows
    proof = median_s(lambda: verified(south, rows=False), 1)
    assert not verified(south, rows=False).differences
    for site in (north, south):
        site.close()
    goal = f"under {RESTORE_S:g} s"
    return [
        Figure(f"restore and verify after {size}", restore, "s", what, peer, goal, restore < RESTORE_S),
        Figure("verify of all files that the standby shows", proof, "s"),
    ]


def _passed(north: RecoverySite, south: RecoverySite) -> float:
    """Take a round at the primary, and restore it; return the seconds of the restore."""
    south.pair.turn_of("standby", at_once=True)
    north.pair.back_up()
    os.sync()  # what the primary has still to write is not counted
    begin = time.perf_counter()
    south.pair.turn_of("standby", at_once=True)
    taken = time.perf_counter() - begin
    shown, sealed = south.landing.barrier(), north.backup.barrier()
    assert shown is not None and sealed is not None and shown.key == sealed.key
    return taken


def _peer(source: Path, target: Path) -> tuple[float, str]:
    """Return the seconds that a copy by general tools takes, with its proof."""
    shutil.copytree(source, target)
    changed = max(
        (file for file in target.rglob("*.lance") if file.is_file()), key=lambda file: file.stat().st_mtime
    )
    changed.unlink()
    os.sync()
    begin = time.perf_counter()
    if program := shutil.which("rsync"):
        subprocess.run([program, "-a", "--checksum", f"{source}/", f"{target}/"], check=True)
        return time.perf_counter() - begin, "rsync -a --checksum"
    shutil.rmtree(target)
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)
    for folder in (source, target):
        subprocess.run(["find", ".", "-type", "f", "-exec", "sha256sum", "{}", "+"], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
    return time.perf_counter() - begin, "cp -r, sha256sum of both"


def _lag(folder: Path) -> Figure:
    """Measure the worst lag of a standby over rounds at an interval, while somebody writes."""
    north, south = _sites(folder, INTERVAL_S)
    table = north.catalog.create(NAME, SCHEMA)
    publications.create(north.store, north.catalog, "all", [Object()])
    with _serving(folder / "north"), _serving(folder / "south"):
        ends, number = time.monotonic() + PATIENCE_S + ROUNDS * INTERVAL_S, 0
        while sum(one.state in ("CONFIRM", "FINISH") for one in south.landing.rounds()) <= ROUNDS:
            assert time.monotonic() < ends, "the rounds do not go on"
            value = pa.array([b"x" * 100], pa.large_binary())
            table.append([pa.RecordBatch.from_arrays([pa.array([key(number)]), value], schema=table.arrow)])
            number += 1
            time.sleep(0.2)
    taken = {row.key: row.at for row in north.backup.rounds() if row.at is not None}
    shown = [
        (taken[row.key], row.times["CONFIRM"])
        for row in south.landing.rounds()
        if "CONFIRM" in row.times and row.key in taken
    ]
    for site in (north, south):
        site.close()
    lags = [after - at for (at, _), (_, after) in itertools.pairwise(shown)]
    longest = max(after - at for at, after in shown)
    most = timedelta(seconds=2 * INTERVAL_S) + longest
    return Figure(
        f"worst lag (RPO) of {len(lags)} rounds at {INTERVAL_S:g} s", max(lags).total_seconds(), "s",
        "the longest round", longest.total_seconds(), f"at most {most.total_seconds():.2f} s (2T plus the round)",
        max(lags) <= most,
    )  # fmt: skip


def _sites(folder: Path, interval_s: float) -> tuple[RecoverySite, RecoverySite]:
    """Set up a primary, north, and its standby, south."""
    keys = {name: SigningKey.create() for name in ("north", "south")}
    found = []
    for name, peer, role in (("north", "south", "primary"), ("south", "north", "standby")):
        (folder / name / "keys").mkdir(parents=True)
        keys[name].save(folder / name / "keys" / "recovery.pem")
        text = _TOML.format(
            name=name, peer=peer, role=role, folder=folder, trust=keys[peer].public, interval=interval_s
        )
        (folder / name / "isthmus.toml").write_text(text)
        found.append(opened(read_recovery_config(folder / name / "isthmus.toml")))
    north, south = found
    return north, south


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[None]:
    words = [sys.executable, "-m", "isthmus", "--site", str(folder), "serve", "recovery"]
    with (folder / "log").open("w") as log, subprocess.Popen(words, stdout=log, stderr=log) as process:
        try:
            yield
        finally:
            process.terminate()


if __name__ == "__main__":
    show(run())
