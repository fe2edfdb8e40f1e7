"""How many examples a test of what must hold always tries: few in the suite, many more in `make soak`."""

from __future__ import annotations

import os

import pytest

TIMES = int(os.environ.get("ISTHMUS_EXAMPLES", "1"))


def examples(few: int) -> int:
    """Return how many examples to try: `few`, times ISTHMUS_EXAMPLES."""
    return few * TIMES


def tries(name: str, few: int, many: int) -> pytest.MarkDecorator:
    """Give a test an argument that says how often to try: `few` times in the suite, `many` in `make soak`."""
    return pytest.mark.parametrize(name, [few, pytest.param(many, marks=pytest.mark.soak)])
