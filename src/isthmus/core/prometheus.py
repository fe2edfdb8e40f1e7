"""Prometheus' text format (exposition format 0.0.4), from families of samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Sample(NamedTuple):
    """One value. `suffix` follows the family's name, as `_sum` and `_count` of a summary."""

    labels: Mapping[str, str]
    value: float
    suffix: str = ""


class Family(NamedTuple):
    """Samples of one name. `kind` is gauge, counter or summary; `about` one line for people."""

    name: str
    kind: str
    about: str
    samples: Sequence[Sample]


def exposition(families: Iterable[Family]) -> str:
    """Write families as text; one without samples is left out."""
    lines = []
    for name, kind, about, samples in families:
        if samples:
            lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{one.suffix}{_labels(one.labels)} {_number(one.value)}" for one in samples]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
    return f"{{{inside}}}" if inside else ""


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "NaN" if math.isnan(value) else repr(float(value))
