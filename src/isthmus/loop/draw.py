"""Draws a scene from above: who was where at one moment, where they came from, and where they went.

The picture is turned so that the ego drives to the right.

Made with matplotlib's Agg and SVG canvases directly, without pyplot and its global state, so that any thread or
worker may draw.
"""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import InputError, MissingExtra
from isthmus.loop.forecast import HORIZON, Forecast
from isthmus.loop.scene import HEADING, Scene, V, X, Y

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_EGO, _OTHER, _EDGE = "#d1495b", "#9fb3c8", "#3e5366"
_WAY, _LANE, _INK, _GROUND = "#6b7f93", "#cfd4da", "#22303c", "#fbfbf9"
_MODES = "#2a9d8f"
_FAINT = "#5a6b7b"
_DASHED = (0, (3.5, 2.5))
_WIDTH_IN, _MARGIN_IN, _TITLE_IN, _FOOT_IN = 9.0, 0.14, 0.70, 0.36
_LEAST_WIDE_M, _ROOM_M = 80.0, 12.0  # what is shown around the ego's way; less where the ego is small
_LEAST_WIDE, _ROOM = 16.0, 2.5  # the same in lengths of the ego
_BESIDE_M = 28.0  # vehicles within this distance to the side are brought into the picture
_TALLEST, _FLATTEST = 0.75, 0.28  # height of the picture as a part of its width
_LEAST_FONT = 4.0
_BARS = (1, 2, 5, 10, 20, 50, 100, 200)

View = tuple[float, float, float, float]
"""Left, right, bottom, top, in metres."""


def draw_scene(scene: Scene, path: Path, *, step: int | None = None, forecast: Forecast | None = None) -> None:
    """Write the scene as a PNG file. See `png_bytes`."""
    path.write_bytes(png_bytes(scene, step=step, forecast=forecast))


def png_bytes(scene: Scene, *, step: int | None = None, forecast: Forecast | None = None, dpi: int = 110) -> bytes:
    """Return the scene as a PNG.

    `step` is the moment that is drawn, by default the one from which on the ego loses most speed within 3 s, or
    the middle; a negative one counts from the end. `forecast` holds futures from that moment on, in the scene's
    frame; its first agent is the ego. Raises InputError where the scene has no such step.
    """
    sink = io.BytesIO()
    figure = _figure(scene, step, forecast)
    figure.savefig(sink, format="png", metadata={"Software": None}, dpi=dpi)  # the same scene, the same bytes
    return sink.getvalue()


def default_step(scene: Scene) -> int:
    """Return the moment worth a look: where the hardest slow-down begins, or else the middle."""
    worst = int(scene.slowdown.argmax())
    return worst if scene.slowdown[worst] > 1.0 else scene.steps // 2


def _figure(scene: Scene, step: int | None, forecast: Forecast | None) -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra.named("matplotlib", "loop") from error
    now = _moment(scene, step)
    scene, forecast = _facing_right(scene, now, forecast)
    view = _view(scene, now, forecast)
    drawn = (_WIDTH_IN - 2 * _MARGIN_IN) * (view[3] - view[2]) / (view[1] - view[0])
    height = drawn + _TITLE_IN + _FOOT_IN
    figure = Figure(figsize=(_WIDTH_IN, height), facecolor="white")
    FigureCanvasAgg(figure)
    left, low = _MARGIN_IN / _WIDTH_IN, _FOOT_IN / height
    axes = figure.add_axes((left, low, 1 - 2 * left, drawn / height))
    _lanes(axes, scene)
    _ways(axes, scene, now, view)
    if forecast is not None:
        _futures(axes, scene, now, forecast)
    _vehicles(axes, scene, now, view)
    axes.set_xlim(view[0], view[1])
    axes.set_ylim(view[2], view[3])
    _frame(axes)
    _titles(figure, scene, now)
    _foot(figure, axes, view, forecast is not None)
    return figure


def facing_right(scene: Scene, now: int) -> Scene:
    """Turn a scene so that the ego is at (0, 0) at a step and drives to the right there: pictures then compare."""
    return _facing_right(scene, now, None)[0]


def _facing_right(scene: Scene, now: int, forecast: Forecast | None) -> tuple[Scene, Forecast | None]:
    """Turn everything so that the ego is at (0, 0) and drives to the right: pictures then compare."""
    heading = float(scene.ego[now, HEADING])
    cos, sin = np.cos(heading), np.sin(heading)
    turn = np.array([[cos, -sin], [sin, cos]], np.float32)
    centre = scene.ego[now, : Y + 1]
    states = scene.states.copy()
    states[..., : Y + 1] = (states[..., : Y + 1] - centre) @ turn
    states[..., HEADING] -= heading
    lanes = tuple(((line - centre) @ turn).astype(np.float32) for line in scene.lanes)
    turned = dataclasses.replace(scene, states=states, lanes=lanes)
    if forecast is not None:
        forecast = Forecast(((forecast.paths - centre) @ turn).astype(np.float32), forecast.probability)
    return turned, forecast


def _moment(scene: Scene, step: int | None) -> int:
    if step is None:
        return default_step(scene)
    if not -scene.steps <= step < scene.steps:
        raise InputError(f"scene {scene.scene_id} has no step {step}", f"choose one from 0 to {scene.steps - 1}")
    return step % scene.steps


def _view(scene: Scene, now: int, forecast: Forecast | None) -> View:
    """Choose limits that show the ego, three seconds of its way before and after, and what is around it."""
    near = scene.states[0, max(0, now - HORIZON) : now + HORIZON + 1, : Y + 1].astype(np.float64)
    if forecast is not None and len(forecast.paths):
        near = np.concatenate([near, forecast.paths[0].reshape(-1, 2)])
    length = float(scene.size[0, 0])
    room, least_wide = min(_ROOM_M, _ROOM * length), min(_LEAST_WIDE_M, _LEAST_WIDE * length)
    low, high = near.min(axis=0) - room, near.max(axis=0) + room
    lack = max(least_wide - (high[0] - low[0]), 0.0)
    left, right = low[0] - lack / 2, high[0] + lack / 2
    here = scene.states[:, now, : Y + 1]
    beside = here[(here[:, X] > left) & (here[:, X] < right) & (np.abs(here[:, Y]) < _BESIDE_M), Y]
    bottom = min(float(low[1]), float(beside.min()) - room / 2)
    top = max(float(high[1]), float(beside.max()) + room / 2)
    wide, tall = right - left, top - bottom
    if tall > wide * _TALLEST:
        grow = tall / _TALLEST - wide
        left, right = left - grow / 2, right + grow / 2
    elif tall < wide * _FLATTEST:
        grow = wide * _FLATTEST - tall
        bottom, top = bottom - grow / 2, top + grow / 2
    return float(left), float(right), bottom, top


def _lanes(axes: Axes, scene: Scene) -> None:
    for line in scene.lanes:
        axes.plot(line[:, X], line[:, Y], color=_LANE, lw=1.4, zorder=1, solid_capstyle="round")


def _ways(axes: Axes, scene: Scene, now: int, view: View) -> None:
    for agent in range(len(scene.states) - 1, -1, -1):
        way = scene.states[agent, :, : Y + 1]
        ego = agent == 0
        if not ego and not _any_inside(way, view):
            continue
        color, width, strength = (_EGO, 2.2, 0.95) if ego else (_WAY, 1.0, 0.55)
        order = 4 if ego else 2
        axes.plot(*way[: now + 1].T, color=color, lw=width, alpha=strength, zorder=order)
        axes.plot(*way[now:].T, color=color, lw=width, alpha=strength * 0.8, ls=_DASHED, zorder=order)


def _futures(axes: Axes, scene: Scene, now: int, forecast: Forecast) -> None:
    start = scene.states[0, now, : Y + 1]
    for index, (paths, chances) in enumerate(zip(forecast.paths, forecast.probability, strict=True)):
        for path, chance in sorted(zip(paths, chances, strict=True), key=lambda pair: float(pair[1])):
            points = np.concatenate([start[None], path]) if index == 0 else path
            share = float(np.clip(chance, 0.0, 1.0))
            look: dict[str, Any] = {"color": _MODES, "alpha": 0.15 + 0.85 * share, "zorder": 6 + share}
            axes.plot(*points.T, lw=1.2 + 2.0 * share, solid_capstyle="round", **look)
            axes.plot(*points[-1], marker="o", ms=3.5 + 2.5 * share, mew=0, **look)


def _vehicles(axes: Axes, scene: Scene, now: int, view: View) -> None:
    from matplotlib.patches import Polygon

    scale = (_WIDTH_IN - 2 * _MARGIN_IN) * 72 / (view[1] - view[0])  # points for each metre
    for agent in range(len(scene.states) - 1, -1, -1):
        state, size = scene.states[agent, now], scene.size[agent]
        if np.isnan(state[X]) or not _any_inside(state[None, : Y + 1], view):
            continue
        fill, edge, ink = (_EGO, "#7f1d2d", "white") if agent == 0 else (_OTHER, _EDGE, _INK)
        order = 8 if agent == 0 else 7
        outline = _outline(state, size)
        axes.add_patch(Polygon(outline, fc=fill, ec=edge, lw=0.9, zorder=order, joinstyle="round"))
        font = min(0.30 * float(size[0]), 0.72 * float(size[1])) * scale
        if font >= _LEAST_FONT:
            _speed(axes, state, min(font, 9.5 if agent == 0 else 8.0), ink, order + 0.5)


def _outline(state: NDArray[np.float32], size: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the corners of a vehicle with a pointed front, so that its direction shows, (6, 2)."""
    half = np.array([[0.5, 0.28], [0.5, -0.28], [0.36, -0.5], [-0.5, -0.5], [-0.5, 0.5], [0.36, 0.5]]) * size
    cos, sin = np.cos(state[HEADING]), np.sin(state[HEADING])
    turned: NDArray[np.float64] = half @ np.array([[cos, sin], [-sin, cos]]) + state[: Y + 1]
    return turned


def _speed(axes: Axes, state: NDArray[np.float32], font: float, ink: str, order: float) -> None:
    """Write the speed into the vehicle, along it, and never upside down."""
    angle = (np.degrees(float(state[HEADING])) + 90.0) % 180.0 - 90.0
    axes.text(
        float(state[X]),
        float(state[Y]),
        f"{state[V]:.1f}",
        fontsize=font,
        color=ink,
        rotation=angle,
        rotation_mode="anchor",
        ha="center",
        va="center_baseline",
        zorder=order,
        clip_on=True,
    )


def _frame(axes: Axes) -> None:
    axes.set_aspect("equal", adjustable="box")
    axes.set_facecolor(_GROUND)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#d7dbe0")


def _titles(figure: Figure, scene: Scene, now: int) -> None:
    tall = figure.get_size_inches()[1]
    left = _MARGIN_IN / _WIDTH_IN
    figure.text(left, 1 - 0.24 / tall, scene.scene_id, fontsize=11.5, weight="bold", color=_INK, va="center")
    agents = int(np.isfinite(scene.states[:, now, X]).sum())
    facts = [
        scene.source,
        f"{scene.day:%Y-%m-%d}",
        f"{now * scene.dt:.1f} s of {(scene.steps - 1) * scene.dt:.1f} s",
        f"ego {scene.ego[now, V]:.1f} m/s",
        f"loses {scene.slowdown[now]:.1f} m/s within 3 s",
        f"{agents} agent{'s' if agents > 1 else ''}, speeds in m/s",
    ]
    figure.text(left, 1 - 0.50 / tall, "  ·  ".join(facts), fontsize=9, color=_FAINT, va="center")


def _foot(figure: Figure, axes: Axes, view: View, forecast: bool) -> None:
    """Put the legend and the scale bar under the picture, where they cover nobody."""
    from matplotlib.lines import Line2D

    shown = [
        Line2D([], [], color=_EGO, lw=2.2, label="ego until now"),
        Line2D([], [], color=_EGO, lw=2.2, ls=_DASHED, alpha=0.8, label="ego from now on"),
        Line2D([], [], color=_WAY, lw=1.2, alpha=0.8, label="others"),
    ]
    if forecast:
        shown.append(Line2D([], [], color=_MODES, lw=2.6, label="forecast"))
    tall = figure.get_size_inches()[1]
    centre, left = _FOOT_IN / 2 / tall, _MARGIN_IN / _WIDTH_IN
    figure.legend(
        handles=shown,
        loc="center left",
        bbox_to_anchor=(left, centre),
        fontsize=8,
        frameon=False,
        ncols=len(shown),
        labelcolor=_INK,
        borderpad=0,
        borderaxespad=0,
    )
    wide = view[1] - view[0]
    length = max((bar for bar in _BARS if bar <= wide / 5), default=_BARS[0])
    part = length / wide * (1 - 2 * left)
    bar = Line2D([1 - left - part, 1 - left], [centre, centre], color=_INK, lw=2.4, solid_capstyle="butt")
    figure.add_artist(bar)
    figure.text(1 - left - part - 0.008, centre, f"{length} m", ha="right", va="center", fontsize=8, color=_INK)


def _any_inside(points: NDArray[np.float32], view: View) -> bool:
    x, y = points[:, 0], points[:, 1]
    return bool(((x > view[0]) & (x < view[1]) & (y > view[2]) & (y < view[3])).any())
