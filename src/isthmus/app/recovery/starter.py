"""The TOML of a new site of a pair: commented, with a key of its own already made."""

from __future__ import annotations

from pathlib import Path

from isthmus.app.newsite import write_new

_TABLES = """
# The tables under [warehouse] root are kept on another site, or are another site's here.

[recovery]
peer = "{peer}"              # the other site's name, as its [site] says
role = "{role}"           # what this site is before it was ever told
road = "folder"             # or "http", "s3", "gate": nothing comes back
out_place = "exchange/to-{peer}"
in_place = "exchange/from-{peer}"
trust = []                  # the other site's public key: isthmus recovery keys shows it there
backup_s = 300              # a round every five minutes
# windows = ["Mon-Fri 22:00-06:00"]     # when no round begins
"""

NEXT = {"primary": "recovery keys", "standby": "recovery keys"}
"""What comes next at a new site."""


def write_recovery_site(folder: Path, role: str) -> Path:
    """Write a site of a pair into `folder`, and its signing key.

    Raises InputError where a site is there already, ModuleNotFoundError without the extra.
    """
    from isthmus.transfer.signing import SigningKey

    peer = "standby" if role == "primary" else "primary"
    path = write_new(folder, _TABLES.format(role=role, peer=peer), "recovery")
    SigningKey.create().save(folder / "keys" / "recovery.pem")
    return path
