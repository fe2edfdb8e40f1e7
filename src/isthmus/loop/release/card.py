"""A model's card: where it comes from and how good it is, for programs (JSON) and for people (Markdown)."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isthmus.core.errors import Corrupt
from isthmus.loop.measure import Measure
from isthmus.loop.plain import plain

FORMAT = 1


@dataclass(frozen=True, slots=True)
class RuleUsed:
    """A rule that chose training scenes, with the parameters that it had."""

    name: str
    expression: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of one model.

    `version` is the warehouse version of `table` that was read; `id_list` the URI of the list of scenes and
    `id_list_digest` its BLAKE3. `parent` is the model that training started from, None where it started from
    nothing. `settings` holds plain values only. `digests` (file → BLAKE3) is filled in when the folder is
    written.
    """

    model_id: str
    pipeline: str
    run_id: str
    created: str
    mode: str
    seed: int
    table: str
    version: int
    id_list: str
    id_list_digest: str
    id_count: int
    parent: str | None = None
    rules: tuple[RuleUsed, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    measures: tuple[Measure, ...] = ()
    decision: str = ""
    software: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Write the card as JSON text; figures that are no number become null."""
        told = {"format": FORMAT, **plain(dataclasses.asdict(self))}
        return json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Card:
        """Read a card. Raises Corrupt, naming `where`, on anything but a whole card of a known format."""
        try:
            plain = json.loads(text)
            if plain.pop("format") != FORMAT:
                raise Corrupt(f"{where} has a format of a later release", "install that release or a later one")
            plain["rules"] = tuple(RuleUsed(**rule) for rule in plain["rules"])
            plain["measures"] = tuple(
                Measure(**{**found, "value": math.nan if found["value"] is None else found["value"]})
                for found in plain["measures"]
            )
            return cls(**plain)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Corrupt(f"{where} is no model card: {error}", "restore the folder from a copy") from error

    def to_markdown(self) -> str:
        """Write the card as a page for people."""
        parts = [
            f"# {self.model_id}\n",
            f"{self.decision}\n" if self.decision else "",
            _table(
                ("", ""),
                [
                    ("pipeline", self.pipeline),
                    ("run", self.run_id),
                    ("created", self.created),
                    ("training", self.mode),
                    ("started from", self.parent or "nothing"),
                    ("seed", str(self.seed)),
                ],
            ),
            "## What it was trained on\n",
            _table(
                ("", ""),
                [
                    ("table", f"{self.table}, version {self.version}"),
                    ("scenes", f"{self.id_count:,}"),
                    ("ID list", self.id_list),
                    ("BLAKE3 of the ID list", self.id_list_digest),
                ],
            ),
            _rules(self.rules),
            "## How good it is\n",
            _measures(self.measures),
            "## Settings of the training\n",
            _table(("setting", "value"), sorted((key, _shown(value)) for key, value in self.settings.items())),
            "## Files\n",
            _table(("file", "BLAKE3"), sorted(self.digests.items())),
            "## Software\n",
            _table(("package", "version"), sorted(self.software.items())),
        ]
        return "\n".join(part for part in parts if part)


def _rules(rules: Sequence[RuleUsed]) -> str:
    if not rules:
        return "All scenes of the table: no rule chose among them.\n"
    rows = [
        (
            rule.name,
            rule.expression,
            ", ".join(f"{key} = {_shown(value)}" for key, value in rule.parameters.items()),
        )
        for rule in rules
    ]
    return _table(("rule", "condition", "parameters"), rows)


def _measures(measures: Sequence[Measure]) -> str:
    if not measures:
        return "Nothing was measured.\n"
    models = sorted({found.model for found in measures}, key=lambda name: (name != "candidate", name))
    by_row: dict[tuple[str, str, str], dict[str, Measure]] = {}
    for found in measures:
        by_row.setdefault((found.metric, found.slice, found.unit), {})[found.model] = found
    rows = [
        (
            f"{metric} ({unit})" if unit else metric,
            part,
            *(_figure(of[model].value) if model in of else "" for model in models),
            str(max(found.count for found in of.values())),
        )
        for (metric, part, unit), of in by_row.items()
    ]
    return _table(("metric", "slice", *models, "samples"), rows)


def _figure(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "none"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False, default=str)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [_line(header), _line(["---"] * len(header)), *(_line(row) for row in rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
