from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

from isthmus.core.errors import InputError, MissingExtra
from isthmus.loop.draw import _figure, default_step, draw_scene, png_bytes
from isthmus.loop.forecast import HORIZON, Forecast
from isthmus.loop.scene import Scene, X, Y
from scripted_driving import LANE_M, clock, driver, from_positions, platoon, scene_of


@pytest.fixture(scope="module")
def scene() -> Scene:
    times = clock(8)
    way = 15 * times - np.clip(times - 3, 0, 3) ** 2 * 1.5
    lane = np.stack([np.arange(-60, 200, 5.0), np.full(52, 0.0)], axis=1).astype(np.float32)
    return scene_of(driver("ego", way), driver("ahead", 25 + way), *platoon(times, 12.0), lanes=(lane,))


def pixels(png: bytes) -> np.ndarray:
    import io

    from matplotlib.image import imread

    image: np.ndarray = imread(io.BytesIO(png), format="png")[..., :3]
    return image


def count(png: bytes, color: tuple[int, int, int]) -> int:
    return int((np.abs(pixels(png) * 255 - color).max(axis=2) < 3).sum())


def words(scene: Scene, step: int | None = None, forecast: Forecast | None = None) -> set[str]:
    from matplotlib.text import Text

    return {text.get_text() for text in _figure(scene, step, forecast).findobj(Text)}


EGO, FORECAST = (0xD1, 0x49, 0x5B), (0x2A, 0x9D, 0x8F)


def test_a_scene_is_drawn_into_a_png_file(scene: Scene, tmp_path: Path) -> None:
    draw_scene(scene, tmp_path / "scene.png")
    drawn = (tmp_path / "scene.png").read_bytes()
    assert drawn.startswith(b"\x89PNG")
    height, width, _ = pixels(drawn).shape
    assert 200 < height < width
    assert count(drawn, EGO) > 300


def test_the_same_scene_gives_the_same_bytes(scene: Scene) -> None:
    assert png_bytes(scene) == png_bytes(scene)


def test_a_forecast_is_drawn_from_the_ego_on(scene: Scene) -> None:
    now = default_step(scene)
    straight = scene.ego[now, [X, Y]] + np.arange(1, HORIZON + 1)[:, None] * np.array([1.2, 0.0])
    aside = np.array([0.0, 3.0])
    modes = np.stack([straight, straight + aside, straight - aside])[None].astype(np.float32)
    forecast = Forecast(modes, np.array([[0.7, 0.2, 0.1]], np.float32))
    assert count(png_bytes(scene, forecast=forecast), FORECAST) > count(png_bytes(scene), FORECAST)
    assert "forecast" in words(scene, forecast=forecast) and "forecast" not in words(scene)


def test_the_picture_names_the_scene_and_the_speeds(scene: Scene) -> None:
    told = words(scene, 0)
    assert "15.0" in told
    assert any(scene.scene_id in text for text in told)
    assert any("2026-11-20" in text for text in told)


def test_the_moment_is_that_of_the_hardest_slow_down_or_else_the_middle(scene: Scene) -> None:
    assert 20 <= default_step(scene) <= 35
    calm = scene_of(driver("ego", 10 * clock(6)))
    assert default_step(calm) == calm.steps // 2
    assert png_bytes(scene, step=-1) == png_bytes(scene, step=scene.steps - 1)


@pytest.mark.parametrize("step", [81, -82])
def test_a_moment_that_the_scene_does_not_have_is_refused(scene: Scene, step: int) -> None:
    with pytest.raises(InputError, match=f"has no step {step}; choose one from 0 to 80"):
        png_bytes(scene, step=step)


def test_what_is_odd_can_be_drawn_too() -> None:
    standing = scene_of(from_positions("ego", np.zeros(21), np.zeros(21), heading=2.0))
    times = clock(5)
    turtle = scene_of(driver("ego", 0.6 * times, radius=1.5, length=0.9, width=0.8, kind="turtle"))
    gone = scene_of(driver("ego", 10 * times), driver("brief", 5 + 10 * times[:4], LANE_M))
    for scene in (standing, turtle, gone):
        assert png_bytes(scene).startswith(b"\x89PNG")


def test_the_scene_is_left_as_it_was(scene: Scene) -> None:
    before = scene.states.copy()
    png_bytes(scene)
    np.testing.assert_array_equal(scene.states, before)


def test_where_the_scene_lies_does_not_change_the_picture(scene: Scene) -> None:
    moved = dataclasses.replace(scene, states=scene.states + np.array([64, -32, 0, 0, 0], np.float32), lanes=())
    assert pixels(png_bytes(moved)).shape == pixels(png_bytes(dataclasses.replace(scene, lanes=()))).shape


def test_a_missing_matplotlib_names_the_extra(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"isthmus\[loop\]"):
        png_bytes(scene)
