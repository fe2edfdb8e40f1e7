"""Where the real samples lie, and the marks of tests that need them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SAMPLES = Path(os.environ.get("ISTHMUS_SAMPLES") or Path(__file__).resolve().parents[2] / "shared" / "data")

needs_samples = pytest.mark.skipif(
    not (SAMPLES / "driving").is_dir(),
    reason="real samples missing: put them in ../shared/data or set ISTHMUS_SAMPLES",
)
