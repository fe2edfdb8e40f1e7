"""The states of an ingest. The current one is stored, so a killed ingest goes on from there."""

from __future__ import annotations

from isthmus.core.machine import Machine, Row

EXTRACTING, STAGED, COMMITTED, DONE = "extracting", "staged", "committed", "done"

INGEST = Machine(
    "ingest",
    EXTRACTING,
    (
        Row(EXTRACTING, "extracted", STAGED, "every unit of the day is read; its scenes lie in part files"),
        Row(EXTRACTING, "nothing", DONE, "the day gave no scene: what an earlier ingest brought stays"),
        Row(STAGED, "written", COMMITTED, "one warehouse transaction replaced the day's rows of the source"),
        Row(STAGED, "lost", EXTRACTING, "part files are gone from the staging folder"),
        Row(STAGED, "changed", EXTRACTING, "the source or its settings changed while the ingest lay killed"),
        Row(COMMITTED, "changed", EXTRACTING, "the same, found after the commit"),
        Row(COMMITTED, "levelled", DONE, "the OLAP stands at the warehouse's version"),
        Row(DONE, "again", EXTRACTING, "the same source and day are asked for once more"),
    ),
)
