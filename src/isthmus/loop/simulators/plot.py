"""Draws one episode: speed as recorded and under the policy, and the gap to the agent ahead."""

from __future__ import annotations

import io

import numpy as np

from isthmus.core.errors import MissingExtra
from isthmus.loop.scene import Scene, V
from isthmus.loop.simulators.port import Episode

RECORDED, DRIVEN, GAP = "#8a8f98", "#1f6feb", "#b35900"


def trace_figure(scene: Scene | None, episode: Episode) -> bytes:
    """Return a PNG of about 640 × 360 pixels. `scene` may be None where the simulator has none.

    Raises MissingExtra without Matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra.named("Matplotlib", "loop") from error
    figure = Figure(figsize=(6.4, 3.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    speed, room = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    time = np.arange(episode.steps) * episode.dt
    if scene is not None:
        known = scene.ego[:, V]
        speed.plot((np.arange(len(known)) - episode.start) * episode.dt, known, color=RECORDED, lw=0.8, alpha=0.6)
    if np.isfinite(episode.recorded[:, V]).any():
        speed.plot(time, episode.recorded[:, V], color=RECORDED, label="recorded")
    speed.plot(time, episode.ego[:, V], color=DRIVEN, label=episode.policy)
    speed.set_ylabel("speed, m/s")
    speed.set_ylim(bottom=0)
    speed.legend(loc="best", fontsize=8, frameon=False)
    room.plot(time, episode.gap, color=GAP)
    room.set_ylabel("gap, m")
    room.set_xlabel("time, s")
    if episode.at_fault:
        for axes in (speed, room):
            axes.axvline(time[-1], color="#cf222e", lw=1)
    speed.set_title(f"{episode.scene_id}: {_verdict(episode)}", fontsize=9)
    for axes in (speed, room):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _verdict(episode: Episode) -> str:
    parts = [f"score {episode.score:.2f}", f"progress {episode.progress:.0%}"]
    if episode.at_fault:
        parts.append("collision at fault")
    elif episode.collided:
        parts.append("hit by another")
    if episode.discomfort:
        parts.append("uncomfortable: " + ", ".join(episode.discomfort))
    return ", ".join(parts)
