"""Memory of a process through which many images go: kept, instead of given back to the system and asked for again.

glibc gives memory of more than 128 KB back at once, and the end of the heap as soon as it is free; the next image
then takes the same pages anew, each with a fault that the kernel answers by clearing it.
"""

from __future__ import annotations

import ctypes
import gc

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KEPT, _LARGE = 64 << 20, 16 << 20
_SELDOM = 50_000, 20, 50


def keep() -> bool:
    """Let the heap keep 64 MB that are free and hold whatever has up to 16 MB; False where this is no glibc.

    Threads that are started later share the one heap: the interpreter lets them allocate one at a time anyway.
    Garbage in circles is looked for seldom: images and their rows are many objects and no circles.
    """
    gc.set_threshold(*_SELDOM)
    try:
        tune = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(tune(_TRIM_THRESHOLD, _KEPT) and tune(_MMAP_THRESHOLD, _LARGE) and tune(_ARENA_MAX, 1))
