"""The picture of the sites: where each box and each line between them stands, as plain figures without words.

Boxes stand in columns by how far they are from where things begin: environments and inner sites on the left, then
what follows them, devices on the right. A line goes from the right edge of one box to the left edge of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from isthmus.app.views.overview import Flow, Overview, SiteSeen

BOX, HIGH = 178, 74
PITCH, ROW = 372, 118
EDGE = 14
_APART = 34
"""How far the labels of lines between the same two boxes are apart."""


@dataclass(frozen=True, slots=True)
class Box:
    """A node. `site` is there for a shown site; `far` for what stands at the other end of a boundary."""

    name: str
    x: int
    y: int
    site: SiteSeen | None = None
    boundary: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A flow: an SVG path, and where its label stands."""

    flow: Flow
    path: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """The picture, in units of a pixel."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def drawn(seen: Overview) -> Drawn:
    """Lay the picture out."""
    sites = {site.name: site for site in seen.sites}
    names = dict.fromkeys(
        [*(_ids(flow)[0] for flow in seen.flows), *sites, *(_ids(flow)[1] for flow in seen.flows)]
    )
    edges = [(*_ids(flow), flow) for flow in seen.flows]
    columns = _columns(list(names), [(source, target) for source, target, _ in edges])
    places = _places(columns, [(source, target) for source, target, _ in edges])
    boxes = []
    for name, (x, y) in places.items():
        far = next(
            (flow for source, target, flow in edges if name in (source, target) and name not in sites), None
        )
        boxes.append(Box(name.removeprefix("far "), x, y, sites.get(name), far.boundary if far else ""))
    width = max((box.x for box in boxes), default=0) + BOX + EDGE
    height = max((box.y for box in boxes), default=0) + HIGH + EDGE
    return Drawn(width, height, tuple(boxes), tuple(_lines(edges, places)))


def _ids(flow: Flow) -> tuple[str, str]:
    source = f"far {flow.source}" if flow.far == "source" else flow.source
    target = f"far {flow.target}" if flow.far == "target" else flow.target
    return source, target


def _columns(names: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Put each node right of what it follows; a circle, such as two sites that follow each other, is cut."""
    follows: dict[str, list[str]] = {name: [] for name in names}
    for source, target in edges:
        follows[target].append(source)
    ranks: dict[str, int] = {}

    def rank(name: str, above: frozenset[str]) -> int:
        if name not in ranks:
            before = [one for one in follows[name] if one not in above and one != name]
            ranks[name] = max((rank(one, above | {name}) + 1 for one in before), default=0)
        return ranks[name]

    for name in names:
        rank(name, frozenset())
    found: list[list[str]] = [[] for _ in range(max(ranks.values(), default=0) + 1)]
    for name in names:
        found[ranks[name]].append(name)
    return found


def _places(columns: Sequence[Sequence[str]], edges: Sequence[tuple[str, str]]) -> dict[str, tuple[int, int]]:
    """Give each node its corner: in a column beside what it follows, so that lines seldom cross."""
    most = max((len(column) for column in columns), default=0)
    found: dict[str, tuple[int, int]] = {}
    for number, column in enumerate(columns):
        wanted = {name: _beside(name, edges, found) for name in column}
        ordered = sorted(column, key=lambda name: wanted[name])
        top = (most - len(column)) * ROW // 2 if number else 0
        for row, name in enumerate(ordered):
            found[name] = (EDGE + number * PITCH, EDGE + top + row * ROW)
    return found


def _beside(name: str, edges: Iterable[tuple[str, str]], known: Mapping[str, tuple[int, int]]) -> float:
    heights = [known[source][1] for source, target in edges if target == name and source in known]
    return sum(heights) / len(heights) if heights else float("inf")


def _lines(edges: Sequence[tuple[str, str, Flow]], places: Mapping[str, tuple[int, int]]) -> Iterable[Line]:
    for place, (source, target, flow) in enumerate(edges):
        same = [one for one in edges[:place] if {one[0], one[1]} == {source, target}]
        shift = _APART * len(same)
        x0, y0 = places[source]
        x1, y1 = places[target]
        if x1 > x0:
            x0 += BOX
        elif x0 > x1:
            x1 += BOX
        y0, y1 = y0 + HIGH // 2 + shift // 2, y1 + HIGH // 2 + shift // 2
        half = (x0 + x1) // 2
        x, y = _on((x0, y0), (x1, y1), half, shift, _where(source, target, edges))
        yield Line(flow, f"M{x0} {y0}C{half} {y0 + shift} {half} {y1 + shift} {x1} {y1}", x, y)


def _where(source: str, target: str, edges: Iterable[tuple[str, str, Flow]]) -> float:
    """Say where on a line its label stands, 0 to 1: away from the end where lines of other boxes come together."""
    known = list(edges)
    arriving = {one[0] for one in known if one[1] == target}
    leaving = {one[1] for one in known if one[0] == source}
    if len(arriving) > 1 >= len(leaving):
        return 0.3
    return 0.7 if len(leaving) > 1 >= len(arriving) else 0.5


def _on(begin: tuple[int, int], end: tuple[int, int], half: int, shift: int, at: float) -> tuple[int, int]:
    """Return the point of a line at a part of its way (de Casteljau's, written out for a cubic)."""
    a, b, c, d = (1 - at) ** 3, 3 * (1 - at) ** 2 * at, 3 * (1 - at) * at**2, at**3
    x = a * begin[0] + (b + c) * half + d * end[0]
    y = a * begin[1] + b * (begin[1] + shift) + c * (end[1] + shift) + d * end[1]
    return round(x), round(y)
