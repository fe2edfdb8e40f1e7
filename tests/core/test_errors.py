from __future__ import annotations

import pickle

import pytest

from isthmus.core.errors import (
    Busy,
    ConfigError,
    Corrupt,
    InputError,
    IsthmusError,
    MissingExtra,
    Mistake,
    UnknownName,
    suggestion,
)


def test_an_error_reads_as_one_line_with_what_to_do() -> None:
    assert str(Corrupt("a.bag is truncated", "copy it again")) == "a.bag is truncated; copy it again"


def test_an_unknown_name_brings_the_nearest() -> None:
    assert str(UnknownName.among("rule", "cutin", ["cut_in", "hard_brake"])) == (
        "unknown rule 'cutin'; did you mean 'cut_in'?"
    )


def test_without_a_near_name_the_known_ones_are_listed() -> None:
    assert suggestion("zzz", ["b", "a"]) == "known: a, b"
    assert suggestion("zzz", []) == "none is defined"


def test_a_missing_part_names_its_extra() -> None:
    assert "pip install 'isthmus[train]'" in str(MissingExtra.named("PyTorch", "train"))


@pytest.mark.parametrize(
    "error", [InputError("x", "y"), Busy("x"), ConfigError([Mistake("f", 3, "bad"), Mistake("f", None, "worse")])]
)
def test_an_error_crosses_a_process_border_unchanged(error: IsthmusError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(again), str(again)) == (type(error), str(error))


def test_only_being_busy_is_worth_a_retry() -> None:
    assert Busy.retryable
    assert not InputError.retryable
