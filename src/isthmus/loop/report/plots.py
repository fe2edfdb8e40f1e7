"""The plots of a report as inline SVG. Colours come from the page's CSS, so they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from isthmus.loop.measure import OVERALL, Measure
from isthmus.loop.report.figures import BASELINE, CANDIDATE, CHAMPION, change, figure
from isthmus.loop.report.slices import groups

_MOST_BARS = 14
_TOO_FAR = 1e12  # a loss beyond it says "diverged", and would only flatten the rest of the curve
_TOO_NEAR = 1e-12


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Choose round numbers that cover low to high: steps of 1, 2 or 5 times a power of ten."""
    if not high - low > 1e-9 * max(abs(low), abs(high), _TOO_NEAR):
        spread = abs(low) * 0.1 or 1.0
        low, high = low - spread, high + spread
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def loss_curves(train: Sequence[float], validation: Sequence[float]) -> Markup:
    """Draw the losses over the epochs; the best validation is marked. Empty where there is no finite loss."""
    finite = [loss for loss in (*train, *validation) if _drawable(loss)]
    if not finite:
        return Markup("")
    width, height, left, right, top, bottom = 460, 220, 52, 14, 14, 30
    marks = ticks(min(finite), max(finite))
    low, high = marks[0], marks[-1]
    epochs = max(len(train), len(validation))

    def at(epoch: int, loss: float) -> tuple[float, float]:
        x = left + (width - left - right) * ((epoch - 1) / (epochs - 1) if epochs > 1 else 0.5)
        return x, top + (height - top - bottom) * (1 - (loss - low) / (high - low))

    parts = [_open(width, height, "Training and validation loss over the epochs")]
    for mark in marks:
        y = at(1, mark)[1]
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
                left, width - right, y, y
            )
        )
        parts.append(_text(left - 8, y + 4, _tick(mark, marks), "end"))
    parts += [
        _text(at(epoch, low)[0], height - bottom + 18, str(epoch) if epoch > 1 else "epoch 1", "middle")
        for epoch in _epoch_marks(epochs)
    ]
    for losses, name in ((train, "train"), (validation, "validation")):
        for run in _runs([(epoch, loss) for epoch, loss in enumerate(losses, 1)]):
            points = [at(epoch, loss) for epoch, loss in run]
            if len(points) == 1:
                parts.append(
                    Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(name, *points[0])
                )
            else:
                path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
                parts.append(Markup('<polyline class="curve {}" points="{}"/>').format(name, path))
    best = min(((loss, epoch) for epoch, loss in enumerate(validation, 1) if _drawable(loss)), default=None)
    if best:
        x, y = at(best[1], best[0])
        parts.append(Markup('<circle class="best" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(x, y))
    parts.append(Markup("</svg>"))
    return Markup("\n").join(parts)


def slice_bars(measures: Sequence[Measure], metric: str) -> tuple[Markup, int]:
    """Draw one metric over the slices: the candidate as a bar, the champion below, constant velocity as a mark.

    Overall comes first, then the slices from the worst to the best for the candidate, at most 14; slices with
    the same figures throughout share a bar. Returns the plot and how many slices it leaves out for room. The plot
    is empty where the candidate has no finite figure, or all figures are 0.
    """
    rows = []
    for group in groups(measures):
        of = {model: found for model, found in group.metric(metric).items() if _fits(found.value)}
        if CANDIDATE in of:
            rows.append((group.names, of))
    if not rows:
        return Markup(""), 0
    worst_first = -1.0 if rows[0][1][CANDIDATE].better == "lower" else 1.0
    rows.sort(key=lambda row: (row[0][0] != OVERALL, worst_first * row[1][CANDIDATE].value))
    rows, rest = rows[:_MOST_BARS], rows[_MOST_BARS:]
    most = max(found.value for _, of in rows for found in of.values())
    if most < _TOO_NEAR:
        return Markup(""), 0
    marks = [mark for mark in ticks(0.0, most, 6) if mark <= most]
    row, top, left, right, width = 34, 24, 240, 220, 980
    height = top + row * len(rows) + 26

    def x(value: float) -> float:
        return left + (width - left - right) * value / most

    parts = [_open(width, height, f"{metric} of each slice")]
    heads = ((68, "candidate"), (146, "change"), (216, "samples"))
    parts += [_text(width - right + place, top - 12, head, "end") for place, head in heads]
    for mark in marks:
        parts.append(
            Markup('<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(
                x(mark), top, height - 24
            )
        )
        parts.append(_text(x(mark), height - 8, _tick(mark, marks), "middle"))
    for number, (names, of) in enumerate(rows):
        found, y = of[CANDIDATE], top + row * number + row / 2
        parts.append(_label(left - 12, y + 4, names))
        parts += _marks_of(of, left, y, x)
        parts.append(_text(width - right + 68, y + 4, figure(found.value), "end", "name"))
        against = change(found, of.get(CHAMPION) or of.get(BASELINE))
        parts.append(_text(width - right + 146, y + 4, against.change, "end", against.tone))
        parts.append(_text(width - right + 216, y + 4, f"{found.count:,}", "end"))
    parts.append(Markup("</svg>"))
    return Markup("\n").join(parts), sum(len(names) for names, _ in rest)


def _marks_of(of: Mapping[str, Measure], left: int, y: float, x: Callable[[float], float]) -> list[Markup]:
    """Draw the bars and the mark of one slice."""
    parts = [_bar("candidate", left, y - 9, x(of[CANDIDATE].value) - left, 10)]
    if champion := of.get(CHAMPION):
        parts.append(_bar("champion", left, y + 3, x(champion.value) - left, 5))
    if baseline := of.get(BASELINE):
        parts.append(
            Markup('<line class="baseline" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(
                x(baseline.value), y - 12, y + 11
            )
        )
    return parts


def _label(x: float, y: float, names: Sequence[str]) -> Markup:
    """Write the first of the names and how many more there are; a pointer that rests there shows all."""
    more = f" +{len(names) - 1}" if len(names) > 1 else ""
    kind = "name" if names[0] == OVERALL else ""
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="end" class="{}">{}{}<title>{}</title></text>').format(
        x, y, kind, _short(names[0], 34 - len(more)), more, ", ".join(names)
    )


def _open(width: int, height: int, label: str) -> Markup:
    return Markup('<svg viewBox="0 0 {0} {1}" style="max-width:{0}px" role="img" aria-label="{2}">').format(
        width, height, label
    )


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>').format(
        x, y, anchor, kind, text
    )


def _bar(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    return Markup('<rect class="bar {}" x="{}" y="{:.1f}" width="{:.1f}" height="{}" rx="1.5"/>').format(
        kind, x, y, max(width, 0.5), height
    )


def _tick(mark: float, marks: Sequence[float]) -> str:
    step = marks[1] - marks[0]
    if step < 1e-6:
        return f"{mark:.1e}".replace("-", "−")
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{mark:,.{decimals}f}".replace("-", "−")


def _epoch_marks(epochs: int) -> list[int]:
    """Label the first, the last and some epochs between."""
    step = max(1, math.ceil(epochs / 6))
    between = [epoch for epoch in range(1 + step, epochs, step) if epochs - epoch >= step * 0.6]
    return sorted({1, *between, epochs})


def _runs(points: Sequence[tuple[int, float]]) -> list[list[tuple[int, float]]]:
    """Cut a curve where a loss is no number."""
    runs: list[list[tuple[int, float]]] = [[]]
    for epoch, loss in points:
        if _drawable(loss):
            runs[-1].append((epoch, loss))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _drawable(value: float) -> bool:
    return math.isfinite(value) and abs(value) < _TOO_FAR


def _fits(value: float) -> bool:
    """Whether a bar can show it."""
    return _drawable(value) and value >= 0


def _short(text: str, most: int = 30) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
