"""What the product costs before it does anything: the command line's help, the import, a site that waits.

The site has a console, recovery and a trigger, run by `isthmus up`, and is left alone. Its memory is the sum of
the proportional set sizes (PSS) of all its processes: pages that several share count once in all.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.figure import Figure, medians_s, scratch
from isthmus.app.product.record import read_record
from isthmus.transfer.signing import SigningKey

ROUNDS = 15
HELP_MS, IMPORT_MS, IDLE_MB = 250, 100, 250
SETTLES_S = 10.0
SITE = """[site]
name = "north"
[warehouse]
root = "warehouse"
[pipeline.forecast]
[trigger.nightly]
cron = "0 2 * * *"
pipeline = "forecast"
[recovery]
peer = "south"
role = "primary"
out_place = "exchange/to-south"
in_place = "exchange/from-south"
trust = ["{trust}"]
[console]
port = 0
"""


def run(scale: float = 1.0) -> list[Figure]:
    """Measure the command line in changing order with a bare interpreter, then a site that waits."""
    return [*_starts(max(3, int(ROUNDS * scale))), *_idle()]


def _starts(rounds: int) -> list[Figure]:
    works = {
        "nothing": [sys.executable, "-c", "pass"],
        "import": [sys.executable, "-c", "import isthmus"],
        "help": [sys.executable, "-m", "isthmus", "--help"],
        "group": [sys.executable, "-m", "isthmus", "recovery", "--help"],
    }
    took = medians_s({name: lambda words=words: _ended(words) for name, words in works.items()}, rounds, seed=6)
    ms = {name: seconds * 1000 for name, seconds in took.items()}
    bare, peer = ms["nothing"], "python -c pass"
    return [
        Figure("isthmus --help", ms["help"], "ms", peer, bare, f"under {HELP_MS} ms", ms["help"] < HELP_MS),
        Figure("  times a bare interpreter", ms["help"] / bare, "×"),
        Figure("  processor time", _processor_ms(works["help"]), "ms", peer, _processor_ms(works["nothing"])),
        Figure("isthmus recovery --help", ms["group"], "ms", peer, bare),
        Figure(
            "import isthmus", ms["import"], "ms", peer, bare, f"under {IMPORT_MS} ms", ms["import"] < IMPORT_MS
        ),
        Figure("  times a bare interpreter", ms["import"] / bare, "×"),
    ]


def _ended(words: Sequence[str]) -> None:
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)


def _processor_ms(words: Sequence[str], times: int = 5) -> float:
    """Return the least processor time of some runs of a command: other work on the machine adds little to it."""
    least = float("inf")
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        _ended(words)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        least = min(least, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return least * 1000


def _idle() -> list[Figure]:
    with scratch("product") as folder:
        key = SigningKey.create()
        key.save(folder / "keys" / "recovery.pem")
        (folder / "isthmus.toml").write_text(SITE.format(trust=key.public))
        site = subprocess.Popen(
            [sys.executable, "-m", "isthmus", "--site", str(folder), "up"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            began = time.perf_counter()
            pids = _running(folder, site)
            started = time.perf_counter() - began
            time.sleep(SETTLES_S)
            held = {name: _pss_mb(pid) for name, pid in pids.items()} | {"supervisor": _pss_mb(site.pid)}
        finally:
            site.terminate()
            site.wait(120)
    total = sum(held.values())
    return [
        Figure("site idle (PSS): console, recovery, a trigger", total, "MB", goal=f"under {IDLE_MB} MB",
               holds=total < IDLE_MB),
        *(Figure(f"  {name}", value, "MB") for name, value in held.items()),
        Figure("  from isthmus up until all parts run", started, "s"),
    ]  # fmt: skip


def _running(folder: Path, site: subprocess.Popen[bytes]) -> dict[str, int]:
    """Wait until every part of the site runs; return their process ids."""
    until = time.monotonic() + 120
    while time.monotonic() < until and site.poll() is None:
        record = read_record(folder / "state")
        if record is not None and record.alive and all(part.state == "running" for part in record.parts):
            return {part.name: part.pid for part in record.parts}
        time.sleep(0.1)
    raise RuntimeError(f"the site in {folder} did not come up: run isthmus --site {folder} up")


def _pss_mb(pid: int) -> float:
    """Return the proportional set size of a process and of what it started, in MB."""
    own = next(
        int(line.split()[1]) * 1024 / 1e6
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        if line.startswith("Pss:")
    )
    return own + sum(_pss_mb(child) for child in _children(pid, own_group=os.getpgid(pid) == pid))


def _children(pid: int, own_group: bool) -> list[int]:
    """List the processes that a part started; those of the supervisor are parts, told by themselves."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    found = [int(child) for child in text.split()]
    return [child for child in found if os.getpgid(child) == pid] if own_group else []
