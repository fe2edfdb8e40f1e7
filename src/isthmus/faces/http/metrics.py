"""The sync server's status in Prometheus' text format (exposition format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})

_OF_GALLERIES = {
    "records": "Live records.",
    "image_bytes": "Bytes of images.",
    "refused": "Records whose image was refused.",
    "vectors": "Records with a vector.",
}

Sample = tuple[Mapping[str, str], float]


def exposition(status: Mapping[str, Any]) -> str:
    """Write a status as metrics."""
    return "".join(f"{line}\n" for name, kind, about, samples in _metrics(status) if samples
                   for line in _lines(name, kind, about, samples))  # fmt: skip


def _lines(name: str, kind: str, about: str, samples: Sequence[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        inside = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
        yield f"{name}{{{inside}}} {_number(value)}" if inside else f"{name} {_number(value)}"


def _metrics(status: Mapping[str, Any]) -> Iterator[tuple[str, str, str, list[Sample]]]:
    sessions = status["sessions"]
    if status["gate"] is not None:
        yield from _of_gate(status["gate"], status["alarms"])
    for key, about in _OF_GALLERIES.items():
        samples: list[Sample] = [({"gallery": one["gallery"]}, one[key]) for one in status["galleries"]]
        yield f"isthmus_gallery_{key}", "gauge", about, samples
    devices: list[Sample] = [({"state": state}, count) for state, count in status["devices"].items()]
    yield "isthmus_devices", "gauge", "Devices by state.", devices
    yield "isthmus_sessions_active", "gauge", "Sessions that run.", [({}, sessions["active"])]
    for key in ("served", "refused", "content_bytes", "items", "removed"):
        yield f"isthmus_sessions_{key}_total", "counter", f"Sessions: {key}.", [({}, sessions[key])]
    yield (
        "isthmus_following",
        "gauge",
        "1 where the last round of receiving went well.",
        [({}, 0 if status["failure"] else 1)],
    )


def _of_gate(
    gate: Mapping[str, Any], raised: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str, str, list[Sample]]]:
    stream = {"stream": gate["stream"]}
    standing = gate["standing"] or {"epoch": 0, "seq": 0}
    yield "isthmus_gate_epoch", "gauge", "Epoch that was applied.", [(stream, standing["epoch"])]
    yield "isthmus_gate_seq", "gauge", "Changes of the epoch that were applied.", [(stream, standing["seq"])]
    yield "isthmus_gate_lag", "gauge", "Changes behind what is known of the sender.", [(stream, gate["lag"])]
    yield "isthmus_gate_staged", "gauge", "Bundles that wait for their turn.", [(stream, len(gate["staged"]))]
    yield "isthmus_gate_missing", "gauge", "Stretches that are missing.", [(stream, len(gate["missing"]))]
    aside = sum(not one.get("healed") for one in gate["quarantined"])
    yield "isthmus_gate_quarantined", "gauge", "Bundles in the quarantine, not healed.", [(stream, aside)]
    counts: list[Sample] = [({**stream, "what": what}, count) for what, count in gate["counts"].items()]
    yield "isthmus_gate_total", "counter", "What came through the gate.", counts
    kinds: dict[str, int] = {}
    for alarm in raised:
        kinds[alarm["kind"]] = kinds.get(alarm["kind"], 0) + 1
    alarms: list[Sample] = [({**stream, "kind": kind}, count) for kind, count in kinds.items()]
    yield "isthmus_alarms", "gauge", "Alarms that are raised.", alarms


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))
