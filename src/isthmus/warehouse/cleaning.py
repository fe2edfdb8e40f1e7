"""Removing old versions of a table while others pin and let go of some."""

from __future__ import annotations

import datetime
from typing import Any

_TAGS = "_refs/tags"
_TRIES = 20


def cleaned(dataset: Any, older_than: datetime.timedelta) -> int:
    """Remove the versions of a Lance dataset that are older than a time and not pinned; returns the bytes freed.

    A pin that is let go while the pins are read makes Lance stop with an error before anything is removed; it is
    tried again then. Raises OSError for any other reason.
    """
    tries = _TRIES
    while True:
        tries -= 1
        try:
            freed = dataset.cleanup_old_versions(older_than, error_if_tagged_old_versions=False)
            return int(freed.bytes_removed)
        except OSError as error:
            if not tries or _TAGS not in str(error):
                raise
