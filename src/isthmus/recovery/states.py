"""The states of a backup round, a restore round and a site's role, as rows."""

from __future__ import annotations

from isthmus.core.machine import Machine, Row

BACKUP = Machine(
    "backup round",
    "INIT",
    (
        Row("INIT", "begin", "CUT", "no other round runs and no window suppresses it"),
        Row("CUT", "cut", "PIN", "the versions of all published tables were read twice and agree"),
        Row("PIN", "pinned", "STAGE", "a tag keeps each version from cleanup"),
        Row("PIN", "moved", "CUT", "a version was cleaned up before it was pinned"),
        Row("STAGE", "staged", "SEAL", "every file is linked aside, proven and listed"),
        Row("STAGE", "moved", "CUT", "a file went before it was linked aside, or its table became another"),
        Row("SEAL", "sealed", "SEND", "the parts of the round are fixed"),
        Row("SEND", "sent", "CONFIRM", "the carrier has every part"),
        Row("SEND", "superseded", "UNPIN", "more rounds wait than are to be kept, or a full one began"),
        Row("CONFIRM", "confirmed", "UNPIN", "the standby stands at the round"),
        Row("CONFIRM", "expired", "UNPIN", "the carrier brings nothing back: the lease of the pins has run out"),
        Row("CONFIRM", "superseded", "UNPIN", "a later round was confirmed, or a full one began"),
        Row("UNPIN", "unpinned", "FINISH", "tags and staged files are let go"),
        *(
            Row(state, "fail", "FAILED", "an error; the next round begins anew")
            for state in ("INIT", "CUT", "PIN", "STAGE", "SEAL")
        ),
        Row("FAILED", "unpinned", "DROPPED", "what it held is let go"),
    ),
)

RESTORE = Machine(
    "restore round",
    "RECEIVED",
    (
        Row("RECEIVED", "complete", "VERIFY", "the last part has come"),
        Row("RECEIVED", "begun anew", "DROPPED", "a full round replaces it"),
        Row("VERIFY", "verified", "PUBLISH", "every file has its BLAKE3 and the barrier its digest"),
        Row("VERIFY", "damaged", "RECEIVED", "a content is not what it should be: it is fetched or copied again"),
        Row("PUBLISH", "published", "CONFIRM", "data files, then manifests, then the barrier are in place"),
        Row("PUBLISH", "taken back", "DROPPED", "what it needs was damaged meanwhile, or the site takes over"),
        Row("CONFIRM", "confirmed", "FINISH", "the report of the standby tells of it"),
    ),
)

ROLE = Machine(
    "role of a site",
    "independent",
    (
        Row("independent", "publish", "primary", "the site sends its tables"),
        Row("independent", "follow", "standby", "the site receives another's tables"),
        Row("primary", "hand over", "yielding", "a switchover holds the writers and sends the last round"),
        Row("yielding", "taken over", "standby", "the other site confirmed that it is the primary"),
        Row("yielding", "given up", "primary", "the other site confirmed that it did not take over"),
        Row("standby", "take over", "primary", "a switchover's last round was applied, or a failover was ordered"),
        Row("primary", "outranked", "fenced", "the other site has a higher epoch: nothing is written here"),
        Row("yielding", "outranked", "fenced", "the other site took over without a word"),
        Row("fenced", "fail back", "standby", "what this site had alone is kept aside, and it follows again"),
        Row("fenced", "take over", "primary", "an operator orders it: the other site is lost"),
        Row("yielding", "take over", "primary", "an operator orders it: the site that was to take over is lost"),
        Row("standby", "outranked", "standby", "the other site began a later epoch, which is followed"),
        *(
            Row(state, "leave", "independent", "backup and restore were stopped, and the site leaves the pair")
            for state in ("primary", "standby", "fenced")
        ),
    ),
)
