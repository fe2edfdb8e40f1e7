"""Asking a site: SQL results in four forms, one scene drawn, its facts."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from isthmus.app.site import Site
from isthmus.core.errors import InputError, UnknownName
from isthmus.loop.draw import draw_scene
from isthmus.loop.fields import SCENES
from isthmus.loop.mining.mine import explain
from isthmus.loop.scene import Scene
from isthmus.state.files import replacing


def rows(site: Site, sql: str, limit: int | None = None) -> pa.Table:
    """Ask the OLAP. Raises QueryRefused for anything but one plain read."""
    return site.tables.olap.query(sql, limit=limit)


def write_rows(found: pa.Table, form: str, out: Path | None) -> None:
    """Write a result as csv, jsonl or parquet, to a file or else to the standard output."""
    if form == "parquet" and out is None:
        raise InputError("Parquet is not for a terminal", "name a file with --out")
    if form == "jsonl" and len(set(found.column_names)) < found.num_columns:
        raise InputError("two columns bear the same name", "name them apart with AS, or choose --format csv")
    if out is None:
        sys.stdout.flush()
        _write(found, form, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with replacing(out) as file:
        _write(found, form, file)


def _write(found: pa.Table, form: str, file: Any) -> None:
    """Write one form. Raises InputError for a type that the form has no words for."""
    try:
        _put(found, form, file)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{form} cannot hold this result: {error}", "cast the column in the SQL") from error


def _put(found: pa.Table, form: str, file: Any) -> None:
    if form == "parquet":
        pyarrow.parquet.write_table(found, file)
    elif form == "csv":
        pyarrow.csv.write_csv(_flat(found), file)
    else:
        for batch in found.to_batches():
            for row in batch.to_pylist():
                file.write(
                    json.dumps(_finite(row), default=str, ensure_ascii=False, allow_nan=False).encode() + b"\n"
                )


def _finite(value: Any) -> Any:
    """Put null where a figure is no number: JSON has no word for it."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _flat(found: pa.Table) -> pa.Table:
    """Write nested columns as JSON text: CSV has no lists."""
    for number, column in enumerate(found.schema):
        if pa.types.is_nested(column.type):
            texts = [None if v is None else json.dumps(v, default=str) for v in found.column(number).to_pylist()]
            found = found.set_column(number, column.name, pa.array(texts, pa.string()))
    return found


def count(site: Site, table: str = "scenes") -> int:
    """Count the rows of one of the OLAP's tables."""
    return int(site.tables.olap.query(f"SELECT count(*) AS n FROM {table}")["n"][0].as_py())


def fetch(site: Site, scene_id: str) -> dict[str, Any]:
    """Fetch one scene with its complex field. Raises UnknownName with the nearest ids."""
    site.tables.level_unless_busy()
    quoted = scene_id.replace("'", "''")
    for batch in site.tables.scenes.scan(where=f"scene_id = '{quoted}'"):
        for row in batch.to_pylist():
            return dict(row)
    near = site.tables.olap.query(
        "SELECT scene_id FROM scenes ORDER BY jaro_winkler_similarity(scene_id, ?) DESC LIMIT 3", [scene_id]
    )
    if not near.num_rows:
        raise UnknownName(f"unknown scene {scene_id!r}", empty_hint(site))
    raise UnknownName.among("scene", scene_id, near["scene_id"].to_pylist())


def empty_hint(site: Site) -> str:
    """Say what to do on a site without scenes."""
    names = list(site.config.sources)
    if not names:
        return "the site declares no source yet: add [source.NAME] to its TOML"
    return f"the site holds no scenes yet: isthmus ingest --source {names[0]} --day YYYY-MM-DD"


def draw(site: Site, scene_id: str, path: Path, step: int | None = None) -> dict[str, Any]:
    """Draw one scene and return its row. Raises UnknownName, and InputError for a step it has not."""
    row = fetch(site, scene_id)
    scene = Scene.unpack(row, row["complex"])
    if step is not None and step >= scene.steps:
        raise InputError(f"{scene_id} has no step {step}", f"its steps are 0 to {scene.steps - 1}")
    draw_scene(scene, path, step=step)
    return row


def facts(site: Site, row: Mapping[str, Any]) -> Iterator[tuple[str, Any, str, str]]:
    """List the simple fields of a scene and the rules that hold, as (name, value, unit, meaning)."""
    for field in SCENES.simple:
        if field.name != "vector":
            yield field.name, row[field.name], field.unit, field.about
    for name in site.catalogue.names():
        if explain(row, site.catalogue.bind(name))[0].holds:
            yield f"rule {name}", True, "", site.catalogue.rule(name).about
