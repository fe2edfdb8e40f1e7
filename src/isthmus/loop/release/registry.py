"""The registry of models in the site's SQLite file: their states, who reigned, and what happened to each.

Every change is one transaction. At any moment a pipeline has at most one champion: the rows of `MODEL` say so,
and a unique index over the champions makes the file itself refuse a second one.
"""

from __future__ import annotations

import datetime
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from isthmus.core.errors import IllegalTransition, InputError, UnknownName
from isthmus.core.ports import Clock
from isthmus.loop.release.card import Card
from isthmus.loop.release.lifecycle import CANDIDATE, CHAMPION, MODEL, WITHDRAWN, ModelId
from isthmus.state.store import Store

_STATES = ", ".join(f"'{state}'" for state in sorted(MODEL.states))

MIGRATIONS = (
    f"""
    CREATE TABLE model (
        model_id TEXT PRIMARY KEY,
        pipeline TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ({_STATES})),
        folder TEXT NOT NULL UNIQUE,
        manifest TEXT NOT NULL,
        card TEXT NOT NULL,
        created_at TEXT NOT NULL
    );
    CREATE UNIQUE INDEX one_champion ON model (pipeline) WHERE state = '{CHAMPION}';
    CREATE TABLE model_number (
        pipeline TEXT NOT NULL,
        day TEXT NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY (pipeline, day)
    );
    CREATE TABLE reign (
        reign INTEGER PRIMARY KEY AUTOINCREMENT,
        pipeline TEXT NOT NULL,
        model_id TEXT NOT NULL REFERENCES model (model_id),
        rolled_back INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE model_event (
        event_number INTEGER PRIMARY KEY AUTOINCREMENT,
        model_id TEXT NOT NULL REFERENCES model (model_id),
        event TEXT NOT NULL,
        source TEXT NOT NULL,
        target TEXT NOT NULL,
        at TEXT NOT NULL,
        why TEXT NOT NULL
    )
    """,
)


@dataclass(frozen=True, slots=True)
class Model:
    """One row of the registry. `manifest` is the BLAKE3 of the folder's manifest."""

    model_id: str
    pipeline: str
    state: str
    folder: str
    manifest: str
    created_at: str
    card: Card


@dataclass(frozen=True, slots=True)
class Brief:
    """What lists tell of a model: its row, and of its card what is short. `parent` is empty for none."""

    model_id: str
    pipeline: str
    state: str
    folder: str
    manifest: str
    created_at: str
    run_id: str
    mode: str
    parent: str
    id_count: int
    rules: tuple[str, ...]
    table: str
    version: int
    id_list: str
    id_list_digest: str
    decision: str


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a model."""

    model_id: str
    event: str
    source: str
    target: str
    at: str
    why: str


def ignore(step: str) -> None:
    """Take no notice of a step: the default outside of tests that kill the process at one."""


class _SystemClock:
    def now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)


class Registry:
    """The models of all pipelines of a site. Belongs to the thread that opened the store."""

    def __init__(
        self,
        store: Store,
        clock: Clock | None = None,
        reached: Callable[[str], None] = ignore,
    ) -> None:
        """Open the registry in `store`. `reached` is told the name of each step within a transaction."""
        self.store = store
        self._clock = clock or _SystemClock()
        self._reached = reached
        store.migrate("release", MIGRATIONS)

    def allot(self, pipeline: str) -> str:
        """Reserve the next model id of the pipeline for today (UTC). An id is never given out twice."""
        day = self._clock.now().date()
        with self.store.transaction() as connection:
            row = connection.execute(
                "SELECT last FROM model_number WHERE pipeline = ? AND day = ?", (pipeline, day.isoformat())
            ).fetchone()
            name = ModelId(pipeline, day, (row["last"] if row else 0) + 1)
            self._reserve(connection, name)
        return str(name)

    def add_candidate(self, pipeline: str, folder_uri: str, card: Card, manifest: str = "") -> str:
        """Enter the model of `card`, whose folder stands complete, as a candidate; returns its id.

        Entering the same model with the same folder once more changes nothing. Raises InputError where the
        card belongs to another pipeline or the id is taken by another folder.
        """
        name = ModelId.parse(card.model_id)
        if name.pipeline != pipeline or card.pipeline != pipeline:
            raise InputError(
                f"{card.model_id} belongs to pipeline {card.pipeline!r}, not to {pipeline!r}",
                "enter it under its own pipeline",
            )
        with self.store.transaction() as connection:
            known = connection.execute("SELECT folder FROM model WHERE model_id = ?", (str(name),)).fetchone()
            if known and known["folder"] == folder_uri:
                return str(name)
            if known:
                raise InputError(f"{name} is taken: it lies in {known['folder']}", "allot a new model id")
            self._reserve(connection, name)
            at = self._clock.now().isoformat()
            connection.execute(
                "INSERT INTO model (model_id, pipeline, state, folder, manifest, card, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (str(name), pipeline, CANDIDATE, folder_uri, manifest, card.to_json(), at),
            )
            self._note(connection, str(name), "add", "", CANDIDATE, f"run {card.run_id}")
            self._reached("row inserted")
        return str(name)

    def promote(self, model_id: str, why: str = "", compared_with: str | None = None) -> Model:
        """Make the model champion and retire the present one, in one transaction.

        Where `compared_with` is given and is no longer the champion, the comparison is stale and nothing
        happens: IllegalTransition. Promoting the champion changes nothing.
        """
        with self.store.transaction() as connection:
            model = self._get(connection, model_id)
            if model.state == CHAMPION:
                return model
            reigning = self._champion(connection, model.pipeline)
            if compared_with is not None and (reigning is None or reigning.model_id != compared_with):
                now = reigning.model_id if reigning else "nothing"
                raise IllegalTransition(
                    f"{model_id} was compared with {compared_with}, but the champion is {now} by now",
                    "evaluate it again against the present champion",
                )
            MODEL.next(model.state, "promote")  # refused before anything else moves
            if reigning:
                self._apply(connection, reigning, "supersede", f"{model_id} took its place")
                self._reached("old champion retired")
            self._apply(connection, model, "promote", why)
            connection.execute("INSERT INTO reign (pipeline, model_id) VALUES (?, ?)", (model.pipeline, model_id))
            self._reached("new champion set")
            return self._get(connection, model_id)

    def relocate(self, model_id: str, folder_uri: str) -> None:
        """Note that the very same folder of a model lies elsewhere now: its site was moved."""
        with self.store.transaction() as connection:
            connection.execute("UPDATE model SET folder = ? WHERE model_id = ?", (folder_uri, model_id))

    def rollback(self, pipeline: str, why: str = "") -> Model:
        """Retire the champion and bring back the one before it, in one transaction; returns the restored one.

        Rolling back again goes one further back, never forth: a champion that was rolled back returns only
        by `promote`. Withdrawn models are passed over. Raises InputError where there is none to go back to.
        """
        with self.store.transaction() as connection:
            reigning, restored, reign = self._before(connection, pipeline)
            connection.execute(
                "UPDATE reign SET rolled_back = 1 WHERE pipeline = ? AND reign > ?", (pipeline, reign)
            )
            self._apply(connection, reigning, "roll_back", why)
            self._reached("old champion retired")
            self._apply(connection, restored, "restore", f"{reigning.model_id} was rolled back")
            self._reached("new champion set")
            return self._get(connection, restored.model_id)

    def predecessor(self, pipeline: str) -> Model:
        """Return the model that `rollback` would bring back. Raises InputError where there is none."""
        return self._before(self.store, pipeline)[1]

    def reigning(self, pipeline: str) -> tuple[str, str]:
        """Return the names of the champion and of the model that a rollback would bring back; empty for none."""
        rows = self.store.rows("SELECT model_id FROM model WHERE pipeline = ? AND state = ?", (pipeline, CHAMPION))
        if not rows:
            return "", ""
        before = self.store.rows(_BEFORE, (pipeline, WITHDRAWN, rows[0]["model_id"]))
        return rows[0]["model_id"], before[0]["model_id"] if before else ""

    def reject(self, model_id: str, why: str = "") -> Model:
        """Note that the gate did not pass it and its run ended so. Raises IllegalTransition."""
        return self._move(model_id, "reject", why)

    def withdraw(self, model_id: str, why: str = "") -> Model:
        """Rule a model out for good. Raises IllegalTransition for the champion: roll back first."""
        return self._move(model_id, "withdraw", why)

    def get(self, model_id: str) -> Model:
        """Return a model. Raises UnknownName."""
        return self._get(self.store, model_id)

    def champion(self, pipeline: str) -> Model | None:
        """Return the champion of the pipeline, None before the first release."""
        return self._champion(self.store, pipeline)

    def briefs(
        self, pipeline: str | None = None, most: int = -1, before: str | None = None, parent: str | None = None
    ) -> tuple[Brief, ...]:
        """List models in brief, without reading whole cards, the newest first.

        At most so many, with `before` those entered before that one, with `parent` those that started from it.
        """
        rows = self.store.rows(
            f"{_BRIEF} WHERE (?1 IS NULL OR pipeline = ?1) AND (?2 IS NULL OR rowid <"
            " (SELECT rowid FROM model WHERE model_id = ?2))"
            " AND (?3 IS NULL OR json_extract(card, '$.parent') = ?3)"
            " ORDER BY rowid DESC LIMIT ?4",
            (pipeline, before, parent, most),
        )
        return tuple(_brief(row) for row in rows)

    def brief(self, model_id: str) -> Brief | None:
        """Return a model in brief; None where there is none of that name."""
        rows = self.store.rows(f"{_BRIEF} WHERE model_id = ?", (model_id,))
        return _brief(rows[0]) if rows else None

    def list(self, pipeline: str | None = None) -> tuple[Model, ...]:
        """List the models of one pipeline or of all, the newest first."""
        rows = self.store.rows(
            "SELECT * FROM model WHERE ? IS NULL OR pipeline = ? ORDER BY rowid DESC", (pipeline, pipeline)
        )
        return tuple(_model(row) for row in rows)

    def history(self, model_id: str) -> tuple[Event, ...]:
        """List what happened to a model, in order."""
        rows = self.store.rows(
            "SELECT model_id, event, source, target, at, why FROM model_event WHERE model_id = ?"
            " ORDER BY event_number",
            (model_id,),
        )
        return tuple(Event(*row) for row in rows)

    def _move(self, model_id: str, event: str, why: str) -> Model:
        with self.store.transaction() as connection:
            self._apply(connection, self._get(connection, model_id), event, why)
            return self._get(connection, model_id)

    def _apply(self, connection: sqlite3.Connection, model: Model, event: str, why: str) -> None:
        target = MODEL.next(model.state, event)
        connection.execute("UPDATE model SET state = ? WHERE model_id = ?", (target, model.model_id))
        self._note(connection, model.model_id, event, model.state, target, why)

    def _note(
        self, connection: sqlite3.Connection, model_id: str, event: str, source: str, target: str, why: str
    ) -> None:
        connection.execute(
            "INSERT INTO model_event (model_id, event, source, target, at, why) VALUES (?, ?, ?, ?, ?, ?)",
            (model_id, event, source, target, self._clock.now().isoformat(), why),
        )

    @staticmethod
    def _reserve(connection: sqlite3.Connection, name: ModelId) -> None:
        connection.execute(
            "INSERT INTO model_number (pipeline, day, last) VALUES (?, ?, ?)"
            " ON CONFLICT (pipeline, day) DO UPDATE SET last = max(last, excluded.last)",
            (name.pipeline, name.day.isoformat(), name.number),
        )

    @staticmethod
    def _get(connection: sqlite3.Connection | Store, model_id: str) -> Model:
        found = _rows(connection, "SELECT * FROM model WHERE model_id = ?", (model_id,))
        if not found:
            known = [row["model_id"] for row in _rows(connection, "SELECT model_id FROM model", ())]
            raise UnknownName.among("model", model_id, known)
        return _model(found[0])

    def _before(self, connection: sqlite3.Connection | Store, pipeline: str) -> tuple[Model, Model, int]:
        """Return the champion, the one before it, and the number of that one's reign."""
        reigning = self._champion(connection, pipeline)
        if reigning is None:
            raise InputError(f"pipeline {pipeline!r} has no champion", "nothing can be rolled back")
        found = _rows(connection, _BEFORE, (pipeline, WITHDRAWN, reigning.model_id))
        if not found:
            raise InputError(
                f"{reigning.model_id} is the first champion of {pipeline!r}", "there is none to go back to"
            )
        return reigning, self._get(connection, found[0]["model_id"]), found[0]["reign"]

    @staticmethod
    def _champion(connection: sqlite3.Connection | Store, pipeline: str) -> Model | None:
        found = _rows(connection, "SELECT * FROM model WHERE pipeline = ? AND state = ?", (pipeline, CHAMPION))
        return _model(found[0]) if found else None


def _rows(connection: sqlite3.Connection | Store, sql: str, parameters: tuple[str, ...]) -> list[sqlite3.Row]:
    if isinstance(connection, Store):
        return connection.rows(sql, parameters)
    return connection.execute(sql, parameters).fetchall()


_BEFORE = (
    "SELECT reign.reign, reign.model_id FROM reign JOIN model USING (model_id)"
    " WHERE reign.pipeline = ? AND NOT rolled_back AND state <> ? AND model_id <> ?"
    " ORDER BY reign DESC LIMIT 1"
)
_BRIEF = """
    SELECT model_id, pipeline, state, folder, manifest, created_at,
        json_extract(card, '$.run_id') AS run_id, json_extract(card, '$.mode') AS mode,
        coalesce(json_extract(card, '$.parent'), '') AS parent, json_extract(card, '$.id_count') AS id_count,
        json_extract(card, '$.rules') AS rules, json_extract(card, '$.table') AS "table",
        json_extract(card, '$.version') AS version, json_extract(card, '$.id_list') AS id_list,
        json_extract(card, '$.id_list_digest') AS id_list_digest, json_extract(card, '$.decision') AS decision
    FROM model"""


def _brief(row: sqlite3.Row) -> Brief:
    told = {key: row[key] for key in row.keys()}  # noqa: SIM118 - a row iterates over its values
    return Brief(**told | {"rules": tuple(rule["name"] for rule in json.loads(told["rules"]))})


def _model(row: sqlite3.Row) -> Model:
    return Model(
        row["model_id"],
        row["pipeline"],
        row["state"],
        row["folder"],
        row["manifest"],
        row["created_at"],
        Card.from_json(row["card"], f"the registry's row of {row['model_id']}"),
    )
