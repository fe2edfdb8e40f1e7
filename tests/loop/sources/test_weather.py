"""A disk or a network that fails is not the file's fault: nothing is ingested then, and nothing replaced."""

from __future__ import annotations

import errno

import pytest

from isthmus.core.errors import SourceError
from isthmus.loop.sources.weather import refuse_bad_weather


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ETIMEDOUT, errno.ECONNRESET, errno.EACCES])
def test_what_befell_the_disk_the_network_or_the_rights_stops_the_day(number: int) -> None:
    with pytest.raises(SourceError, match=r"cars/1\.parquet could not be read: .*ingest the day again"):
        refuse_bad_weather(OSError(number, "it failed"), "cars/1.parquet")


@pytest.mark.parametrize(
    "error", [OSError("Parquet magic bytes not found"), ValueError("no"), OSError(errno.EINVAL, "negative seek")]
)
def test_what_is_wrong_in_the_file_is_left_to_a_reject(error: Exception) -> None:
    assert refuse_bad_weather(error, "cars/1.parquet") is None  # type: ignore[func-returns-value]
