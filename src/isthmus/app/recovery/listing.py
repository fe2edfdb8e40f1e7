"""The CSV that tells of every round of a site: one line a round, oldest first, replaced whole when one changes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime, tzinfo

from isthmus.app.recovery.site import RecoverySite
from isthmus.recovery.backup import Round
from isthmus.state.files import replacing

COLUMNS = (
    "action", "key", "prior_key", "kind", "state", "tables", "contents", "bytes", "began", "ended", "error",
)  # fmt: skip


def list_rounds(site: RecoverySite) -> None:
    """Bring the CSV level with the rounds that the site remembers. Raises OSError."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(site))
    file = site.lists / site.part.csv
    content = text.getvalue().encode()
    if file.exists() and file.read_bytes() == content:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as out:
        out.write(content)


def _rows(site: RecoverySite) -> Iterator[tuple[object, ...]]:
    zone = site.config.zone
    found: list[tuple[str, tuple[object, ...]]] = []
    for action, rounds in (("backup", site.backup.rounds()), ("restore", site.landing.rounds())):
        for one in rounds:
            tables = one.tables if isinstance(one, Round) else ""
            times = (_time(one.begun, zone), _time(one.ended, zone))
            kind = "full" if one.full else "increment"
            row = (action, one.key, one.prior, kind, one.state, tables, one.files, one.bytes, *times, one.error)
            found.append((one.key, row))
    yield from (row for _, row in sorted(found, key=lambda pair: pair[0]))


def _time(moment: datetime | None, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S") if moment else ""
