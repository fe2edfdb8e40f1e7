"""How many examples a test of what must hold always tries: few in the suite, many more in `make soak`."""

from __future__ import annotations

import os

TIMES = int(os.environ.get("ISTHMUS_EXAMPLES", "1"))


def examples(few: int) -> int:
    """Return how many examples to try: `few`, times ISTHMUS_EXAMPLES."""
    return few * TIMES
