"""Bulk load of 1 million rows of 4 KB against delta-rs, export of everything, and the peak memory of both.

Each measurement runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from bench.figure import Figure, scratch, show
from bench.wide import NAME, ROWS, SCHEMA, pool, wide
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.export import export, write_export

PEER = "delta-rs"
ROOT = Path(__file__).resolve().parents[1]


def run(scale: float = 1.0) -> list[Figure]:
    rows = max(10_000, int(ROWS * scale))
    with scratch("load") as folder:
        plain = _measured("plain", folder / "plain", rows)
        delta = _measured("delta", folder / "delta", rows)
        zstd = _measured("zstd", folder / "zstd", rows)
        read = _measured("read", folder / "plain", rows)
        written = _measured("parquet", folder / "plain", rows)
        again = _measured("replace", folder / "plain", rows)
    speed = {name: rows / found["seconds"] for name, found in (("plain", plain), ("zstd", zstd), ("delta", delta))}
    megabytes = {
        name: found["bytes"] / 1e6 for name, found in (("plain", plain), ("zstd", zstd), ("delta", delta))
    }
    peak = max(found["peak"] for found in (plain, zstd, read, written)) / 1e9
    return [
        Figure(
            f"bulk load of {rows:,} × 4 KB, plain",
            speed["plain"],
            "rows/s",
            PEER,
            speed["delta"],
            "at least 1.3× the peer",
            speed["plain"] >= 1.3 * speed["delta"],
        ),
        Figure("bulk load, zstd", speed["zstd"], "rows/s", PEER, speed["delta"]),
        Figure("disk size, plain", megabytes["plain"], "MB", PEER, megabytes["delta"]),
        Figure("disk size, zstd", megabytes["zstd"], "MB", PEER, megabytes["delta"]),
        Figure(
            "export of everything, as batches",
            read["content"] / read["seconds"] / 1e6,
            "MB/s",
            goal="at least 400 MB/s",
            holds=read["content"] / read["seconds"] >= 400e6,
        ),
        Figure("export of everything, to Parquet files", written["content"] / written["seconds"] / 1e6, "MB/s"),
        Figure(
            "peak memory of load and export",
            peak,
            "GB",
            PEER + ", load",
            delta["peak"] / 1e9,
            "under 1.5 GB",
            peak < 1.5,
        ),
        Figure("replace of a slice of a tenth, peak memory", again["peak"] / 1e9, "GB"),
        Figure("replace of a slice of a tenth", again["content"] / again["seconds"] / 1e6, "MB/s"),
    ]


def _measured(kind: str, folder: Path, rows: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.load", kind, str(folder), str(rows)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _lance(compression: str) -> Callable[[Path, int], int]:
    def load(folder: Path, rows: int) -> int:
        table = Catalog(folder).create(NAME, SCHEMA, compression=compression)  # type: ignore[arg-type]
        assert table.append(wide(rows, walks=True)) == rows
        return 0

    return load


def _delta(folder: Path, rows: int) -> int:
    from deltalake import write_deltalake

    write_deltalake(folder, pa.RecordBatchReader.from_batches(next(wide(1)).schema, wide(rows, walks=True)))
    return 0


def _read(folder: Path, rows: int) -> int:
    return sum(batch.nbytes for batch in export(Catalog(folder).open(NAME)))


def _parquet(folder: Path, rows: int) -> int:
    table = Catalog(folder).open(NAME)
    assert write_export(export(table), folder / "out").rows == rows
    return rows * 4096


def _replace(folder: Path, rows: int) -> int:
    table = Catalog(folder).open(NAME)
    tenth = rows // 10
    table.replace(wide(tenth), f"id < 'id{tenth:09d}'")
    return tenth * 4096


KINDS: dict[str, Callable[[Path, int], int]] = {
    "plain": _lance("none"),
    "zstd": _lance("zstd"),
    "delta": _delta,
    "read": _read,
    "parquet": _parquet,
    "replace": _replace,
}


def _most_held() -> int:
    """Return the most bytes that this process ever held; freed memory that glibc keeps counts.

    Not getrusage's ru_maxrss, which a process inherits from the one that started it.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _child(kind: str, folder: str, rows: int) -> None:
    pool(walks=kind != "replace")
    start = time.perf_counter()
    content = KINDS[kind](Path(folder), rows)
    seconds = time.perf_counter() - start
    peak = _most_held()
    size = sum(os.path.getsize(file) for file in Path(folder).rglob("*") if file.is_file())  # noqa: PTH202
    print(json.dumps({"seconds": seconds, "content": content, "peak": peak, "bytes": size}))


if __name__ == "__main__":
    if len(sys.argv) > 3:
        _child(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        show(run(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
