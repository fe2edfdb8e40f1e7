"""What a device may say when: the rows of a session at the server."""

from __future__ import annotations

from isthmus.core.machine import Machine, Row

_ANY = (
    Row("told", "Acts", "told", "what was done on the device goes into the audit log"),
    Row("comparing", "Acts", "comparing", "the same, while ranges are compared"),
    Row("listing", "Acts", "listing", "the same, while items are told"),
)

SESSION = Machine(
    "sync session",
    "greeting",
    [
        Row("greeting", "Hello", "greeting", "another page of what the device holds"),
        Row("greeting", "greeted", "told", "the last page came: the server tells what is to be done"),
        Row("told", "compare", "comparing", "the next gallery is brought up to date by comparing ranges"),
        Row("told", "list", "listing", "the next gallery's difference is known at once"),
        Row("told", "Bye", "over", "nothing is left to do"),
        Row("comparing", "Ranges", "comparing", "sums of ranges are compared"),
        Row("comparing", "Leaves", "comparing", "the records of small ranges are compared"),
        Row("comparing", "list", "listing", "all ranges are compared"),
        Row("comparing", "Again", "told", "too much differs: the device wants a snapshot"),
        Row("listing", "More", "listing", "pages were committed, others may follow"),
        Row("listing", "Pull", "listing", "contents are sent"),
        Row("listing", "Again", "told", "the digests differ: the device wants another tier"),
        Row("listing", "Done", "told", "the device holds the gallery"),
        *_ANY,
        Row("comparing", "Bye", "over", "the device gives up"),
        Row("listing", "Bye", "over", "the device gives up"),
    ],
)
