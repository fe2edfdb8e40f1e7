"""A backup round after 1 % of a table was updated, scattered: the capture, and the bytes that travel.

The peers are tables of delta-rs and pyiceberg with the same rows and the same update: what travels is what a copy
of their new files carries, data and metadata.
"""

from __future__ import annotations

import importlib.util
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from bench.figure import Figure, scratch, show
from bench.wide import NAME, SCHEMA, VALUE_BYTES, key, wide
from isthmus.recovery.backup import Backup, BackupSettings, Published
from isthmus.state.store import Store
from isthmus.transfer.gate import Gate
from isthmus.transfer.outbound import Outbound, OutboundSettings
from isthmus.transfer.signing import SigningKey
from isthmus.warehouse.catalog import Catalog

ROWS = 250_000
FRACTION = 0.01
UPDATES = 3


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def run(scale: float = 1.0) -> list[Figure]:
    rows = max(10_000, int(ROWS * scale))
    size = f"{rows * VALUE_BYTES / 1e9:.2g} GB"
    with scratch("recovery-round") as folder:
        first, capture, travels = _isthmus(folder / "isthmus", rows)
        peers = {name: found for name, measure in PEERS.items() if (found := measure(folder / name, rows))}
    most = 11e6 * rows / ROWS
    return [
        Figure(f"capture of a first round, {size}", first, "s"),
        Figure(f"capture after an update of 1 % of {size}", capture, "s", goal="under 0.5 s", holds=capture < 0.5),
        *(
            Figure(
                f"travels after an update of 1 % of {size}",
                travels / 1e6,
                "MB",
                name,
                found / 1e6,
                f"at most {most / 1e6:.3g} MB",
                travels <= most,
            )
            for name, found in peers.items()
        ),
    ]


def updated(rows: int, seed: int) -> pa.Table:
    """Scattered rows with new values."""
    dice = random.Random(seed)
    numbers = sorted(dice.sample(range(rows), int(rows * FRACTION)))
    values = [dice.randbytes(VALUE_BYTES) for _ in numbers]
    return pa.table({"id": [key(number) for number in numbers], "complex": pa.array(values, pa.large_binary())})


def _isthmus(folder: Path, rows: int) -> tuple[float, float, float]:
    """Return the seconds of the first and of a later capture, and the bytes that the later ones carry, on average.

    A capture is a whole round from its cut to its sealing. What it carries are the files in the gate.
    """
    catalog = Catalog(folder / "tables")
    table = catalog.create(NAME, SCHEMA)
    table.append(wide(rows))
    gate = folder / "gate"
    gate.mkdir()
    with Store(folder / "site.db") as store:
        backup = Backup(
            store, catalog, folder / "recovery", lambda: [Published(str(NAME))], _Clock(), BackupSettings()
        )
        sender = Outbound(
            store, folder / "outbox", backup.source, Gate(gate), SigningKey.create(), "north", _Clock(),
            OutboundSettings(cut_s=0.0, carousel_s=0.0, heartbeat_s=0.0),
        )  # fmt: skip
        first, _ = _round(backup, sender, gate)
        times, carried = [], 0
        for seed in range(UPDATES):
            new = updated(rows, seed)
            keys = ", ".join(f"'{one}'" for one in new["id"].to_pylist())
            table.replace(new.to_batches(), f"id IN ({keys})")
            taken, travelled = _round(backup, sender, gate)
            times.append(taken)
            carried += travelled
    return first, sorted(times)[len(times) // 2], carried / UPDATES


def _round(backup: Backup, sender: Outbound, gate: Path) -> tuple[float, int]:
    begin = time.perf_counter()
    backup.round()
    taken = time.perf_counter() - begin
    while sender.step():
        pass
    size = sum(file.stat().st_size for file in gate.iterdir())
    backup.confirm(backup.source.position())
    for file in gate.iterdir():
        file.unlink()
    return taken, size


def _new_bytes(folder: Path, update: Callable[[], None]) -> float:
    """Return the bytes of the files in a folder that an update made."""
    before = set(folder.rglob("*"))
    update()
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file not in before)


def _delta(folder: Path, rows: int) -> float:
    from deltalake import DeltaTable, write_deltalake

    write_deltalake(str(folder), pa.RecordBatchReader.from_batches(next(wide(1)).schema, wide(rows)))

    def update() -> None:
        merge = DeltaTable(str(folder)).merge(
            updated(rows, 0), "old.id = new.id", source_alias="new", target_alias="old"
        )
        merge.when_matched_update_all().execute()

    return _new_bytes(folder, update)


def _iceberg(folder: Path, rows: int) -> float:
    if importlib.util.find_spec("pyiceberg") is None:
        print("  pyiceberg is not installed: pip install 'pyiceberg[sql-sqlite]'")
        return 0.0
    from pyiceberg.catalog.sql import SqlCatalog

    folder.mkdir()
    catalog = SqlCatalog("bench", uri=f"sqlite:///{folder}.db", warehouse=folder.as_uri())
    catalog.create_namespace("bench")
    plain = pa.schema([pa.field("id", pa.string(), False), pa.field("complex", pa.large_binary())])
    table = catalog.create_table("bench.wide", plain)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in wide(rows):
            yield pa.RecordBatch.from_arrays(batch.columns, schema=plain)

    table.append(pa.Table.from_batches(batches(), plain))
    new = updated(rows, 0).cast(plain)

    def update() -> None:
        from pyiceberg.expressions import In

        table.overwrite(new, In("id", new["id"].to_pylist()))

    return _new_bytes(folder, update)


PEERS: dict[str, Callable[[Path, int], float]] = {"delta-rs": _delta, "pyiceberg": _iceberg}


if __name__ == "__main__":
    show(run())
