"""Runs the example of docs/how-to/add-a-source.md as it stands there."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isthmus.core.errors import SourceError, UnknownName
from isthmus.loop.sources.port import job_type
from source_making import DAY, ingest, read_settings

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "add-a-source.md"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Install the guide's package as pip would: a module, and metadata with an entry point."""
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.S)
    site = tmp_path / "site"
    (site / "my_package").mkdir(parents=True)
    (site / "my_package" / "__init__.py").touch()
    (site / "my_package" / "jsonl.py").write_text(code, encoding="utf-8")
    meta = site / "my_package-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text("[isthmus.job_types]\njsonl = my_package.jsonl:JsonLinesJob\n")
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    yield job_type("jsonl")
    for name in ("my_package", "my_package.jsonl"):
        sys.modules.pop(name, None)


def test_the_job_type_of_the_guide_reads_a_day(installed: Any, tmp_path: Path) -> None:
    lines = [{"agent": a, "t": 100 + k * 0.1, "x": k * 1.0, "y": a * 4.0} for a in (1, 2) for k in range(50)]
    (tmp_path / f"{DAY.isoformat()}.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    job = installed("mine", read_settings(installed.Settings, f'folder = "{tmp_path}"'))
    ((record,), rejects) = ingest(job)
    assert not rejects and record.record_id == "2026-11-20"
    assert [track.agent_id for track in record.tracks] == ["1", "2"]
    assert np.allclose(record.tracks[0].v, 10.0)


@pytest.mark.parametrize("text", ['{"agent": 1', '{"agent": 1, "t": 0, "x": 0}', "[]", "\udcff"])
def test_its_broken_file_is_a_reject(installed: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / f"{DAY.isoformat()}.jsonl").write_text(text, encoding="utf-8", errors="surrogateescape")
    job = installed("mine", read_settings(installed.Settings, f'folder = "{tmp_path}"'))
    records, (reject,) = ingest(job)
    assert not records and reject.reason == "unreadable"


def test_its_missing_folder_is_a_source_error_and_its_missing_day_is_empty(installed: Any, tmp_path: Path) -> None:
    job = installed("mine", read_settings(installed.Settings, f'folder = "{tmp_path}"'))
    assert ingest(job) == ([], [])
    with pytest.raises(SourceError):
        ingest(installed("mine", read_settings(installed.Settings, f'folder = "{tmp_path}/nowhere"')))


def test_a_misspelt_job_type_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'batch'"):
        job_type("bacth")
