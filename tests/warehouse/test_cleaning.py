"""Old versions are removed while pins come and go."""

from __future__ import annotations

import datetime
from types import SimpleNamespace

import pytest

from isthmus.warehouse.cleaning import cleaned


class Disturbed:
    """A dataset whose pins are let go while they are read, so many times."""

    def __init__(self, times: int, what: str = "Not found: t.lance/_refs/tags/one.json") -> None:
        self.left, self.what = times, what

    def cleanup_old_versions(self, older_than: datetime.timedelta, **more: object) -> SimpleNamespace:
        if self.left:
            self.left -= 1
            raise OSError(self.what)
        return SimpleNamespace(bytes_removed=7)


def test_a_pin_that_is_let_go_meanwhile_does_not_end_the_cleanup() -> None:
    assert cleaned(Disturbed(3), datetime.timedelta()) == 7


def test_any_other_error_and_pins_that_never_rest_are_told() -> None:
    with pytest.raises(OSError, match="disk"):
        cleaned(Disturbed(1, "the disk is gone"), datetime.timedelta())
    with pytest.raises(OSError, match="tags"):
        cleaned(Disturbed(1000), datetime.timedelta())
