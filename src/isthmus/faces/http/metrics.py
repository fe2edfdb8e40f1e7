"""The sync server's status as metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from isthmus.core import prometheus
from isthmus.core.prometheus import Family, Sample

_OF_GALLERIES = {
    "records": "Live records.",
    "image_bytes": "Bytes of images.",
    "refused": "Records whose image was refused.",
    "vectors": "Records with a vector.",
}


def exposition(status: Mapping[str, Any]) -> str:
    """Write a status as metrics."""
    return prometheus.exposition(_metrics(status))


def _metrics(status: Mapping[str, Any]) -> Iterator[Family]:
    sessions = status["sessions"]
    if status["gate"] is not None:
        yield from _of_gate(status["gate"])
    kinds = Counter((alarm["stream"], alarm["kind"]) for alarm in status["alarms"])
    alarms = [Sample({"stream": stream, "kind": kind}, count) for (stream, kind), count in kinds.items()]
    yield Family("isthmus_alarms", "gauge", "Alarms that are raised.", alarms)
    for key, about in _OF_GALLERIES.items():
        samples = [Sample({"gallery": one["gallery"]}, one[key]) for one in status["galleries"]]
        yield Family(f"isthmus_gallery_{key}", "gauge", about, samples)
    devices = [Sample({"state": state}, count) for state, count in status["devices"].items()]
    yield Family("isthmus_devices", "gauge", "Devices by state.", devices)
    yield _plain("isthmus_sessions_active", "gauge", "Sessions that run.", sessions["active"])
    for key in ("served", "refused", "content_bytes", "items", "removed"):
        yield _plain(f"isthmus_sessions_{key}_total", "counter", f"Sessions: {key}.", sessions[key])
    follows = 0 if status["failure"] else 1
    yield _plain("isthmus_following", "gauge", "1 where the last round of receiving went well.", follows)


def _of_gate(gate: Mapping[str, Any]) -> Iterator[Family]:
    stream = {"stream": gate["stream"]}
    standing = gate["standing"] or {"epoch": 0, "seq": 0}
    aside = sum(not one.get("healed") for one in gate["quarantined"])
    for name, about, value in (
        ("epoch", "Epoch that was applied.", standing["epoch"]),
        ("seq", "Changes of the epoch that were applied.", standing["seq"]),
        ("lag", "Changes behind what is known of the sender.", gate["lag"]),
        ("staged", "Bundles that wait for their turn.", len(gate["staged"])),
        ("missing", "Stretches that are missing.", len(gate["missing"])),
        ("quarantined", "Bundles in the quarantine, not healed.", aside),
    ):
        yield Family(f"isthmus_gate_{name}", "gauge", about, [Sample(stream, value)])
    counts = [Sample({**stream, "what": what}, count) for what, count in gate["counts"].items()]
    yield Family("isthmus_gate_total", "counter", "What came through the gate.", counts)


def _plain(name: str, kind: str, about: str, value: float) -> Family:
    return Family(name, kind, about, [Sample({}, value)])
