"""One scene: its simple fields, the rules that hold, what is drawn of it, and the scenes that are like it."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from isthmus.app.views.opening import bound_rules, has_olap, opened, reading
from isthmus.app.views.scenes import SCENES
from isthmus.core.errors import InputError, UnknownName

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isthmus.app.site import Site
    from isthmus.loop.scene import Scene
    from isthmus.warehouse.query import Reading

Role = Literal["ego", "car", "heavy", "cycle", "person", "other"]
_ROLES: Mapping[str, Role] = {
    "": "car",
    "car": "car",
    "vehicle": "car",
    "auto": "car",
    "van": "car",
    "truck": "heavy",
    "bus": "heavy",
    "trailer": "heavy",
    "tram": "heavy",
    "motorcycle": "cycle",
    "motorcyclist": "cycle",
    "bicycle": "cycle",
    "cyclist": "cycle",
    "rider": "cycle",
    "pedestrian": "person",
    "person": "person",
}
MOST_LIKE = 200


@dataclass(frozen=True, slots=True)
class FieldShown:
    """One simple field of a scene. `value` is a text, number, truth, date, list of these, or None."""

    name: str
    value: Any
    unit: str
    about: str


@dataclass(frozen=True, slots=True)
class RuleHeld:
    """Whether a rule with its usual parameters holds for a scene; None where a field that it needs is null."""

    name: str
    about: str
    condition: str
    holds: bool | None


@dataclass(frozen=True, slots=True)
class AgentDrawn:
    """One agent of a drawing, from its first step to its last; the four lists have one value a step.

    `x` and `y` are metres, `heading` radians, `speed` m/s; None where it is absent for a while between. `length`
    and `width` are metres.
    """

    id: str
    kind: str
    role: Role
    length: float
    width: float
    first: int
    x: tuple[float | None, ...]
    y: tuple[float | None, ...]
    heading: tuple[float | None, ...]
    speed: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A scene as it is drawn: seen from above, turned so that the ego drives to the right at `moment`.

    x points to the right and y up, from where the ego is at that step. `dt` is seconds a step. The first agent is
    the ego. `lanes` are polylines of map hints.
    """

    scene_id: str
    dt: float
    steps: int
    moment: int
    agents: tuple[AgentDrawn, ...]
    lanes: tuple[tuple[tuple[float, float], ...], ...]


@dataclass(frozen=True, slots=True)
class SceneShown:
    """One scene with everything that a person looks at."""

    scene_id: str
    day: datetime.date
    source: str
    fields: tuple[FieldShown, ...]
    rules: tuple[RuleHeld, ...]


@dataclass(frozen=True, slots=True)
class Alike:
    """A scene that is like another. `distance` is Euclidean, between scene vectors."""

    scene_id: str
    distance: float
    source: str
    day: datetime.date | None


def show_scene(toml: Path, scene_id: str) -> SceneShown:
    """Show one scene. Raises UnknownName with the nearest."""
    with opened(toml) as site:
        return _shown(site, _row(site, scene_id, drawn=False))


def draw(toml: Path, scene_id: str) -> Drawing:
    """Say what is drawn of a scene. Raises UnknownName with the nearest, Corrupt."""
    with opened(toml) as site:
        return _drawing(_row(site, scene_id, drawn=True))


def show_and_draw(toml: Path, scene_id: str) -> tuple[SceneShown, Drawing]:
    """Show and draw one scene from one reading of its row. Raises UnknownName, Corrupt."""
    with opened(toml) as site:
        row = _row(site, scene_id, drawn=True)
        return _shown(site, row), _drawing(row)


def list_similar(toml: Path, scene_id: str, count: int = 12) -> tuple[Alike, ...]:
    """List the scenes most like one, the nearest first. Raises UnknownName, InputError where it has no vector."""
    from isthmus.loop.mining.held import columns
    from isthmus.loop.mining.similar import similar
    from isthmus.warehouse.query import quoted

    with opened(toml) as site:
        _need_olap(site)
        with reading(site) as view:
            found = similar(view, SCENES, scene_id, max(1, min(count, MOST_LIKE)))
            ids = found["id"].to_pylist()
            wanted = [name for name in ("source", "day") if name in columns(view, SCENES)]
            listed = ", ".join(quoted(name) for name in ("scene_id", *wanted))
            known = view.query(
                f"SELECT {listed} FROM scenes WHERE scene_id IN (SELECT unnest(?::VARCHAR[]))", [ids]
            )
    by_id = {row["scene_id"]: row for row in known.to_pylist()}
    return tuple(
        Alike(one, float(distance), by_id[one].get("source") or "", by_id[one].get("day"))
        for one, distance in zip(ids, found["distance"].to_pylist(), strict=True)
    )


def _need_olap(site: Site) -> None:
    if not has_olap(site):
        raise InputError("the site holds no scenes yet", "ingest a day first")


def _row(site: Site, scene_id: str, *, drawn: bool) -> dict[str, Any]:
    """Read the scene's row from the warehouse by the row id that the OLAP knows."""
    import pyarrow as pa

    from isthmus.loop.fields import SCENES as FIELDS
    from isthmus.warehouse.idlist import IdList
    from isthmus.warehouse.lookup import take
    from isthmus.warehouse.olap import positions_of

    _need_olap(site)
    with reading(site) as view:
        found = view.query("SELECT scene_id, _rowid FROM scenes WHERE scene_id = ?", [scene_id])
        if not found.num_rows:
            raise UnknownName.among("scene", scene_id, _near(view, scene_id))
        stands = positions_of(view)[SCENES]
    table = site.tables.catalog.open(site.tables.name(SCENES))
    ids = IdList.of(pa.table(found), stands.uri, stands.identity, stands.version)
    names = [one.name for one in FIELDS.fields if one.name != "vector" and (drawn or one.name != "complex")]
    gone: list[str] = []
    rows = [row for batch in take(table, ids, names, missing=gone.extend) for row in batch.to_pylist()]
    if not rows:
        raise UnknownName(
            f"scene {scene_id!r} is no longer in the warehouse", "bring the OLAP level: isthmus olap level"
        )
    return dict(rows[0])


def _near(view: Reading, scene_id: str) -> list[str]:
    found = view.query(
        "SELECT scene_id FROM scenes ORDER BY jaro_winkler_similarity(scene_id, ?) DESC, scene_id LIMIT 3",
        [scene_id],
    )
    return [str(one) for one in found["scene_id"].to_pylist()]


def _shown(site: Site, row: Mapping[str, Any]) -> SceneShown:
    from isthmus.loop.fields import SCENES as FIELDS
    from isthmus.loop.mining.mine import explain

    fields = tuple(
        FieldShown(one.name, _finite(row[one.name]), one.unit, one.about)
        for one in FIELDS.simple
        if one.name != "vector"
    )
    rules = []
    for name, bound in bound_rules(site).items():
        held = explain(row, bound)[0]
        rules.append(RuleHeld(name, site.catalogue.rule(name).about, held.condition, held.holds))
    return SceneShown(row["scene_id"], row["day"], row["source"], fields, tuple(rules))


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _drawing(row: Mapping[str, Any]) -> Drawing:
    from isthmus.loop.draw import default_step, facing_right
    from isthmus.loop.scene import Scene

    scene = Scene.unpack(row, row["complex"])
    moment = default_step(scene)
    turned = facing_right(scene, moment)
    agents = tuple(_agent(turned, number) for number in range(len(turned.states)))
    lanes = tuple(tuple((_metres(x), _metres(y)) for x, y in line.tolist()) for line in turned.lanes)
    return Drawing(scene.scene_id, scene.dt, scene.steps, moment, tuple(one for one in agents if one.x), lanes)


def _agent(scene: Scene, number: int) -> AgentDrawn:
    import numpy as np

    states = scene.states[number]
    there = np.flatnonzero(np.isfinite(states[:, 0]))
    first, end = (int(there[0]), int(there[-1]) + 1) if len(there) else (0, 0)
    x, y, heading, speed = (states[first:end, column] for column in range(4))
    kind = scene.kinds[number]
    length, width = scene.size[number].tolist()
    return AgentDrawn(
        scene.agent_ids[number],
        kind,
        "ego" if number == 0 else _ROLES.get(kind.strip().lower(), "other"),
        _metres(length),
        _metres(width),
        first,
        _rounded(x, 2),
        _rounded(y, 2),
        _rounded(heading, 3),
        _rounded(speed, 1),
    )


def _rounded(values: NDArray[Any], places: int) -> tuple[float | None, ...]:
    return tuple(round(value, places) if math.isfinite(value) else None for value in values.tolist())


def _metres(value: float) -> float:
    return round(float(value), 2)
