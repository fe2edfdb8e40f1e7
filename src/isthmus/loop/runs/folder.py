"""The folder of one run: everything that its steps leave behind, each file whole or not there."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.core.errors import Corrupt
from isthmus.loop.measure import Measure
from isthmus.loop.plain import plain
from isthmus.state.files import replacing

ATTEMPT = "attempt.json"
"""What the report and the card say of one training."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Names the files of a run.

    ids.parquet       the scenes that were asked for, with their rule
    fresh.parquet     those of them that the champion was not trained on, where that is not all
    old.parquet       what the champion was trained on and this run did not ask for
    test.parquet      the scenes that candidate and champion are judged on
    groups.json         the leak groups that test, which no training of this run touches
    shards/           training samples cut from the complex fields
    attempts/N-MODE/  one training each: weights, curves, measures, failure cases
    report.html       what a person reads
    """

    path: Path

    @property
    def ids(self) -> str:
        """The ID list that was asked for."""
        return str(self.path / "ids.parquet")

    @property
    def fresh(self) -> str:
        """The ID list of what is new to the champion."""
        return str(self.path / "fresh.parquet")

    @property
    def old(self) -> str:
        """The ID list of what the champion has seen and is replayed."""
        return str(self.path / "old.parquet")

    @property
    def test(self) -> str:
        """The ID list of the offline evaluation."""
        return str(self.path / "test.parquet")

    @property
    def groups(self) -> Path:
        """The leak groups that test."""
        return self.path / "groups.json"

    def test_groups(self) -> frozenset[str]:
        """Read the leak groups that test. Raises Corrupt."""
        return frozenset(read_json(self.groups))

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"

    def shards(self, name: str) -> Path:
        """The sample shards cut from the list `name`."""
        return self.path / "shards" / name

    def attempt(self, number: int, mode: str) -> Path:
        """The folder of one training."""
        return self.path / "attempts" / f"{number}-{mode}"


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON; NaN becomes null."""
    with replacing(path) as file:
        file.write(json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False).encode())


def read_json(path: Path) -> Any:
    """Read a value. Raises Corrupt where the file is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Corrupt(f"{path} cannot be read: {error}", "start a new run") from error


def write_measures(path: Path, measures: Iterable[Measure]) -> None:
    """Write the measures of an evaluation."""
    write_json(path, [dataclasses.asdict(measure) for measure in measures])


def read_measures(path: Path) -> list[Measure]:
    """Read the measures of an evaluation. Raises Corrupt."""
    found = read_json(path)
    return [Measure(**{**row, "value": math.nan if row["value"] is None else row["value"]}) for row in found]
