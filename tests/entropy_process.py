"""Runs the reader of entropy-coded data, from a library that was built for it, over hurt pictures.

entropy_process.py LIBRARY COUNT SEED
"""

from __future__ import annotations

import importlib.util
import random
import sys

import isthmus.imaging
from entropy_hurting import WAYS, hurt, small_pictures

found = importlib.util.spec_from_file_location("isthmus.imaging._entropy", sys.argv[1])
assert found is not None
assert found.loader is not None
library = importlib.util.module_from_spec(found)
found.loader.exec_module(library)
sys.modules["isthmus.imaging._entropy"] = isthmus.imaging._entropy = library

from isthmus.imaging import entropy  # noqa: E402 - only now, with that library

assert entropy._entropy is library
count, dice = int(sys.argv[2]), random.Random(int(sys.argv[3]))
contents = small_pictures()
said = 0
for number in range(count):
    damaged = hurt(dice.choice(contents), WAYS[number % len(WAYS)], dice.randrange(2**32))
    entropy.end(damaged, dice.randrange(len(damaged) + 9))
    said += entropy.eighth(damaged) is not None
print(f"{count} hurt pictures, {said} read")
