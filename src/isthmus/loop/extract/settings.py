"""What a user may choose about cutting records into scenes."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.core.settings import setting


@dataclass(frozen=True, slots=True)
class ExtractSettings:
    """How records become scenes. Raises ValueError where a scene would be shorter than its least length."""

    scene_s: float = setting("longest scene", default=20.0, minimum=1.0, maximum=120.0, unit="s")
    min_s: float = setting("shorter pieces are dropped", default=2.0, minimum=0.5, maximum=60.0, unit="s")
    radius_m: float = setting(
        "an agent that never comes nearer to the ego is left out",
        default=60.0,
        minimum=5.0,
        maximum=500.0,
        unit="m",
    )
    max_agents: int = setting(
        "agents of a scene, the ego among them; the nearest stay, and density counts no others",
        default=24,
        minimum=1,
        maximum=256,
    )
    gap_s: float = setting(
        "gaps in a track up to this length are interpolated", default=0.5, minimum=0.0, maximum=2.0, unit="s"
    )

    def __post_init__(self) -> None:
        if self.min_s > self.scene_s:
            raise ValueError(f"min_s ({self.min_s}) is greater than scene_s ({self.scene_s})")
