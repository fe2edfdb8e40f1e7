from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pytest

from isthmus.core.errors import ConfigError
from isthmus.core.settings import Lines, Reader, describe, setting


@dataclass(frozen=True)
class Wheel:
    radius_m: float = setting("radius", minimum=0.1, maximum=2.0, unit="m")
    spokes: int = setting("number of spokes", default=5)


@dataclass(frozen=True)
class Cart:
    name: str = setting("what it is called")
    colour: Literal["red", "blue"] = setting("its colour", default="red")
    wheels: tuple[Wheel, ...] = setting("its wheels", default=())
    loads: Mapping[str, float] = setting("what it carries", factory=dict)
    since: datetime.date | None = setting("first day", default=None)
    first: int = 0
    last: int = 9

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise ValueError("first comes after last")


def read(text: str) -> Cart | None:
    reader = Reader(text, "cart.toml")
    cart = reader.read(Cart, reader.root.get("cart", {}), ("cart",))
    reader.finish()
    return cart


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_a_table_becomes_a_frozen_value_with_its_defaults() -> None:
    cart = read('[cart]\nname = "a"\nsince = 2026-11-20\nloads = {hay = 3}\n[[cart.wheels]]\nradius_m = 1\n')
    assert cart == Cart("a", wheels=(Wheel(1.0),), loads={"hay": 3.0}, since=datetime.date(2026, 11, 20))
    with pytest.raises(dataclasses.FrozenInstanceError):
        cart.name = "b"  # type: ignore[misc,union-attr]


def test_all_mistakes_come_at_once_each_with_its_line_and_what_is_allowed() -> None:
    text = '[cart]\nname = 3\ncolur = "red"\ncolour = "green"\n\n[[cart.wheels]]\nradius_m = 9.5\n'
    assert mistakes(text) == [
        "cart.toml:2: name must be a text, not 3",
        "cart.toml:3: unknown key 'colur' in cart; did you mean 'colour'?",
        "cart.toml:4: colour is 'green'; allowed: 'red', 'blue'",
        "cart.toml:7: radius_m is 9.5; allowed: 0.1 to 2.0 (m)",
    ]


def test_a_missing_key_is_named_with_its_meaning() -> None:
    assert mistakes("[cart]\nfirst = 1\n") == ["cart.toml:1: cart lacks the key 'name': what it is called"]


def test_a_rule_between_fields_is_told_at_the_table() -> None:
    assert mistakes('[cart]\nname = "a"\nfirst = 10\n') == ["cart.toml:1: cart: first comes after last"]


@pytest.mark.parametrize("value", ["true", "1.5", '"1"', "[]"])
def test_a_whole_number_is_not_taken_from_anything_else(value: str) -> None:
    assert "first must be a whole number" in mistakes(f'[cart]\nname = "a"\nfirst = {value}\n')[0]


def test_nan_is_outside_of_any_range() -> None:
    assert "radius_m is nan" in mistakes('[cart]\nname = "a"\n[[cart.wheels]]\nradius_m = nan\n')[0]


def test_text_that_is_no_toml_is_refused_with_its_line() -> None:
    assert mistakes("[cart]\nname = \n")[0].startswith("cart.toml:2: not valid TOML")


def test_lines_are_found_for_dotted_and_quoted_keys() -> None:
    lines = Lines('[a."b.c"]\nd.e = 1\n# f = 2\n["g"]\nh = 3\n')
    assert (lines.of(("a", "b.c", "d", "e")), lines.of(("g", "h")), lines.of(("g", "nothing"))) == (2, 5, 4)


def test_a_settings_class_describes_its_keys() -> None:
    assert list(describe(Wheel)) == [("radius_m", "required", "radius (m)"), ("spokes", "5", "number of spokes")]
