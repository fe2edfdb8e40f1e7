"""A scene as SVG: what the template writes into the picture, in the picture's own directions.

One unit is a metre; x points to the right and y down, as SVG has it: a drawing's y and headings turn round.
The script that plays a scene (`static/scenes.js`) moves the same elements.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from isthmus.app.views.scene import AgentDrawn, Drawing

_WIDE, _LEAST_WIDE, _MOST_WIDE = 16.0, 4.0, 90.0
_TALL = 0.46
_SPEED_WIDE, _SPEED_TALL = 1000, 100


@dataclass(frozen=True, slots=True)
class Shape:
    """One agent: its outline around its own middle, and where it stands now; `there` tells whether it does."""

    number: int
    role: str
    label: str
    outline: str
    transform: str
    there: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn at one step. `view` is the viewBox; ways are the ego's before and after that step.

    `speeds` is the line of the ego's speed over the scene, 1000 × 100 units; `speed_most` its upper end in m/s.
    """

    view: str
    wide: float
    tall: float
    lanes: tuple[str, ...]
    before: str
    after: str
    shapes: tuple[Shape, ...]
    roles: tuple[str, ...]
    speeds: str
    speed_most: float
    speed: float
    now: float


def picture_of(drawing: Drawing, step: int) -> Picture:
    """Draw a scene at one of its steps."""
    ego = drawing.agents[0]
    wide = min(max(_WIDE * ego.length, _LEAST_WIDE), _MOST_WIDE)
    tall = wide * _TALL
    x, y = _place(ego, step) or (0.0, 0.0)
    shapes = tuple(_shape(agent, number, step) for number, agent in enumerate(drawing.agents))
    most = max(5.0, math.ceil(max(value or 0.0 for value in ego.speed) / 5) * 5.0)
    return Picture(
        f"{x - wide / 2:.2f} {y - tall / 2:.2f} {wide:.2f} {tall:.2f}",
        wide,
        tall,
        tuple(" ".join(f"{a:.2f},{-b:.2f}" for a, b in line) for line in drawing.lanes),
        _way(ego, 0, step + 1),
        _way(ego, step, drawing.steps),
        shapes[::-1],
        tuple(dict.fromkeys(agent.role for agent in drawing.agents)),
        _speeds(ego, drawing.steps, most),
        most,
        _value(ego.speed, step - ego.first) or 0.0,
        _SPEED_WIDE * step / max(drawing.steps - 1, 1),
    )


def _shape(agent: AgentDrawn, number: int, step: int) -> Shape:
    place, heading = _place(agent, step), _value(agent.heading, step - agent.first)
    there = place is not None and heading is not None
    x, y = place or (0.0, 0.0)
    return Shape(
        number,
        agent.role,
        f"{agent.kind or agent.role} {agent.id}",
        _outline(agent),
        f"translate({x:.2f} {y:.2f}) rotate({-math.degrees(heading or 0.0):.1f})",
        there,
    )


def _outline(agent: AgentDrawn) -> str:
    """Return the corners of a body with a pointed front, so that its direction shows."""
    corners = ((0.5, 0.26), (0.5, -0.26), (0.34, -0.5), (-0.5, -0.5), (-0.5, 0.5), (0.34, 0.5))
    return " ".join(f"{a * agent.length:.2f},{b * agent.width:.2f}" for a, b in corners)


def _place(agent: AgentDrawn, step: int) -> tuple[float, float] | None:
    x, y = _value(agent.x, step - agent.first), _value(agent.y, step - agent.first)
    return None if x is None or y is None else (x, -y)


def _value(values: tuple[float | None, ...], at: int) -> float | None:
    return values[at] if 0 <= at < len(values) else None


def _way(agent: AgentDrawn, start: int, end: int) -> str:
    places = (_place(agent, step) for step in range(start, end))
    return " ".join(f"{place[0]:.2f},{place[1]:.2f}" for place in places if place is not None)


def _speeds(agent: AgentDrawn, steps: int, most: float) -> str:
    points = []
    for at, value in enumerate(agent.speed):
        if value is not None:
            x = _SPEED_WIDE * (agent.first + at) / max(steps - 1, 1)
            points.append(f"{x:.1f},{_SPEED_TALL * (1 - value / most):.1f}")
    return " ".join(points)
