"""Runs every benchmark, prints the figures beside their peers and writes build/bench.json.

    python -m bench [NAME ...] [--scale 0.1]

`--scale` shrinks the tables for a quick look; goals are meant for 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import platform
import sys
from pathlib import Path

from bench.figure import Figure

NAMES = (
    "lookup", "load", "mining", "forecast", "simulator", "oplog", "faces", "search", "sync", "ice",
    "accept", "fetch", "decode", "filing", "push", "acquire", "acquire_floor", "recovery_round",
    "recovery_restore", "checksum", "recovery_copy", "console", "product",
)  # fmt: skip
OUT = Path("build/bench.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the tables, 1 is what the goals mean")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.names) - set(NAMES))
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; known: {', '.join(NAMES)}")
    figures: list[Figure] = []
    for name in chosen.names or NAMES:
        print(f"\n{name}", flush=True)
        for figure in importlib.import_module(f"bench.{name}").run(chosen.scale):
            figures.append(figure)
            print("  " + line(figure), flush=True)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps([dataclasses.asdict(figure) for figure in figures], indent=2) + "\n")
    missed = [figure for figure in figures if figure.holds is False]
    print(f"\n{len(figures)} figures, {len(missed)} short of their goal; {platform.machine()}, written to {OUT}")
    for figure in missed:
        print(f"  short: {line(figure)}")


def line(figure: Figure) -> str:
    """Write one figure as a line: value, peer, ratio, goal, verdict."""
    text = f"{figure.figure:<58} {figure.value:>10.4g} {figure.unit:<8}"
    if figure.peer:
        text += (
            f" | {figure.peer}: {figure.peer_value:.4g}" if figure.peer_value is not None else f" | {figure.peer}"
        )
    if figure.goal:
        text += f" | goal {figure.goal}: {'holds' if figure.holds else 'FALLS SHORT'}"
    return text


if __name__ == "__main__":
    sys.exit(main())
