"""The ledger's tables, once for both stores.

A batch's requests have numbers one after the other, the first of which is the batch's own: what belongs to a batch
is a range of numbers and needs no index. An image is shared by the request that fetched it, whose number it has,
and by those that followed. Times are microseconds since 1970.

The indexes are partial, so that what has ended costs nothing: a queued request lies in one index alone.
"""

from __future__ import annotations

from isthmus.acquire.states import State

COUNTED = tuple(state.word for state in State)
"""Columns of `tally`, in the order of the states' numbers."""

BY_DEADLINE = "deadline IS NOT NULL AND state IN (0, 1, 2, 4)"
"""Requests whose deadline may pass now: a leased one's counts when its lease runs out."""

_COUNTERS = ", ".join(f"{word} BIGINT NOT NULL DEFAULT 0" for word in COUNTED)
_LIVE = ", ".join(f"{state.word} BIGINT NOT NULL DEFAULT 0" for state in State if state < State.DONE)

_FIRST = f"""
CREATE TABLE batch (number <key>, name TEXT NOT NULL, owner TEXT NOT NULL, label TEXT NOT NULL,
    trace TEXT NOT NULL, once TEXT NOT NULL, body TEXT NOT NULL, made BIGINT NOT NULL,
    requests BIGINT NOT NULL, followers BIGINT NOT NULL, paused SMALLINT NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX batch_by_once ON batch (owner, once) WHERE once <> '';
CREATE INDEX batch_by_owner ON batch (owner, number);
CREATE TABLE standing (batch <key>, live BIGINT NOT NULL, images BIGINT NOT NULL, ended BIGINT);
CREATE INDEX standing_by_end ON standing (ended) WHERE ended IS NOT NULL;
CREATE TABLE tally (batch BIGINT NOT NULL, environment TEXT NOT NULL, {_COUNTERS},
    PRIMARY KEY (batch, environment)) <clustered>;
CREATE INDEX tally_queued ON tally (environment, batch) WHERE queued > 0;
CREATE TABLE missed_by_kind (batch BIGINT NOT NULL, kind TEXT NOT NULL, failed BIGINT NOT NULL,
    PRIMARY KEY (batch, kind)) <clustered>;
CREATE TABLE depth (environment TEXT PRIMARY KEY, {_LIVE}) <clustered>;
CREATE TABLE course (environment TEXT NOT NULL, priority SMALLINT NOT NULL, turn BIGINT NOT NULL,
    PRIMARY KEY (environment, priority)) <clustered>;
CREATE TABLE share (batch BIGINT NOT NULL, environment TEXT NOT NULL, priority SMALLINT NOT NULL,
    last BIGINT NOT NULL, PRIMARY KEY (batch, environment, priority)) <clustered>;
CREATE TABLE request (number <key>, batch BIGINT NOT NULL, environment TEXT NOT NULL, priority SMALLINT NOT NULL,
    turn BIGINT NOT NULL, state SMALLINT NOT NULL DEFAULT 0, attempts BIGINT NOT NULL DEFAULT 0,
    fence BIGINT NOT NULL DEFAULT 0, missed BIGINT NOT NULL DEFAULT 0, agent TEXT, due BIGINT, deadline BIGINT,
    dedup TEXT, leader BIGINT, image BIGINT, place TEXT, taken BIGINT, kind TEXT, failure <bytes>,
    tags TEXT, wish <bytes> NOT NULL, changed BIGINT NOT NULL);
CREATE INDEX request_queued ON request (environment, priority DESC, turn, number) WHERE state = 0;
CREATE INDEX request_by_due ON request (due) WHERE due IS NOT NULL;
CREATE INDEX request_by_deadline ON request (deadline) WHERE {BY_DEADLINE};
CREATE INDEX request_by_dedup ON request (dedup) WHERE dedup IS NOT NULL;
CREATE INDEX request_by_leader ON request (leader) WHERE leader IS NOT NULL;
CREATE INDEX request_by_place ON request (place, number) WHERE place IS NOT NULL;
CREATE INDEX request_by_taken ON request (taken) WHERE taken IS NOT NULL;
CREATE INDEX request_failed ON request (number) WHERE state = 6;
CREATE TABLE image (number <key>, digest TEXT NOT NULL, size BIGINT NOT NULL, users BIGINT NOT NULL,
    at BIGINT NOT NULL, filed <bytes> NOT NULL);
CREATE INDEX image_by_digest ON image (digest);
CREATE INDEX image_by_age ON image (at, number) WHERE users > 0;
CREATE TABLE event (number <key>, at BIGINT NOT NULL, kind TEXT NOT NULL, batch BIGINT NOT NULL,
    owner TEXT NOT NULL, request BIGINT NOT NULL, image BIGINT, failure <bytes>);
CREATE INDEX event_by_batch ON event (batch, number);
CREATE INDEX event_by_owner ON event (owner, number);
CREATE TABLE counter (id <key>, request BIGINT NOT NULL, event BIGINT NOT NULL, bytes BIGINT NOT NULL);
INSERT INTO counter (id, request, event, bytes) VALUES (1, 0, 0, 0);
CREATE TABLE apikey (name TEXT PRIMARY KEY, role TEXT NOT NULL, digest TEXT NOT NULL, environment TEXT NOT NULL,
    made BIGINT, revoked BIGINT)
"""

_SQLITE = {"<key>": "INTEGER PRIMARY KEY", "<bytes>": "BLOB", "<clustered>": "WITHOUT ROWID"}
_POSTGRES = {"<key>": "BIGINT PRIMARY KEY", "<bytes>": "BYTEA", "<clustered>": ""}


def _in(words: dict[str, str], step: str) -> str:
    for token, meaning in words.items():
        step = step.replace(token, meaning)
    return step


_RESERVE = """;
CREATE SEQUENCE request_number;
CREATE FUNCTION reserve(many BIGINT) RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE last BIGINT;
BEGIN
    PERFORM pg_advisory_lock(hashtextextended(current_schema() || ' reserve', 0));
    last := setval('request_number', nextval('request_number') + many - 1);
    PERFORM pg_advisory_unlock(hashtextextended(current_schema() || ' reserve', 0));
    RETURN last - many + 1;
END $$
"""
# numbers one after the other, without holding other batches up until this one is stored

SQLITE_STEPS = (_in(_SQLITE, _FIRST),)
"""Migrations; one that was released never changes."""
POSTGRES_STEPS = (_in(_POSTGRES, _FIRST + _RESERVE),)
"""The same for PostgreSQL."""

PLAIN = ("environment", "priority", "turn", "wish")
"""What `accept` stores of a request, beside its number, batch and time; the rest begins with its default."""
WIDE = (*PLAIN, "state", "deadline", "dedup", "leader", "tags")
"""The same where any request of the batch has more than that."""
