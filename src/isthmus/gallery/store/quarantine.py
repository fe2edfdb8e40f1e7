"""Sets operations aside that cannot be applied, without what could show a person."""

from __future__ import annotations

from datetime import datetime

from isthmus.gallery.store import inline
from isthmus.gallery.store.change import Change

_MOST_BYTES = 64 * 1024


def set_aside(change: Change, ns: str, reason: str, entry: bytes, at: datetime) -> None:
    """Keep an operation with its reason, in the open transaction.

    Images in it are cut out and the rest is kept up to 64 KiB: quarantine is read by people who look for the
    cause, and no removal of a person reaches it.
    """
    spans = []
    for start, end in inline.fields(entry):
        base64 = inline.bare(entry[start:end])
        if len(base64) >= inline.LEAST_CUT:
            spans.append((end - len(base64), end, b""))
    kept = inline.cut(entry, spans).body[:_MOST_BYTES]
    change.connection.execute(
        "INSERT INTO quarantine (stream_set, at, ns, reason, entry) VALUES (?, ?, ?, ?, ?)",
        (change.set_id, at.isoformat(), ns, reason, kept),
    )
