"""Which commands are offered as operations, and to whom; which never are, and why.

A command that stands in neither list is not offered; a test says so before it is released.
"""

from __future__ import annotations

from isthmus.app.people.person import Role
from isthmus.app.works.work import Kind

_VIEWER = """
check, keys, sources, query, scenes show, scenes stats, rules list, rules fields, mine,
loop list, loop show, loop triggers, loop models, table list, table show,
acquire status, acquire failed, acquire gate status, acquire gate request, acquire environment list,
gallery list, gallery stat, gallery quarantine, gate status, gate request, device list, device rules,
model list, model show, status, doctor, recovery status, recovery show-progress, recovery request,
recovery get-current-disaster, recovery install-cron
"""
_OPERATOR = """
ingest, loop run, loop resume, loop cancel, loop release, loop rollback, loop withdraw,
warehouse tidy, olap rebuild, olap level,
table create, table alter, table rename, table drop, table index, table compact,
acquire send, acquire retry, acquire pause, acquire resume, acquire cancel, acquire rows,
acquire gate resend, acquire gate snapshot, acquire gate dismiss,
gallery add, gallery replace, gallery remove, gallery import, gallery tidy, gallery feed, gallery audit,
gallery calibrate, gate send, gate receive, gate resend, gate snapshot, gate dismiss,
device sync, device identify, device extract, device tag, device weights,
device models, device rollback, device run, device files, model publish, model withdraw,
recovery backup, recovery restore, recovery verify, recovery drill, recovery check, recovery repair,
recovery stop-backup, recovery stop-restore, recovery start, recovery resend, recovery dismiss,
recovery generate-config, recovery prepare, recovery sql,
recovery create-publication, recovery alter-publication, recovery cancel-publication
"""
_ADMIN = """
table grant, table revoke,
acquire keys add, acquire keys list, acquire keys revoke, acquire environment add, acquire environment retire,
acquire gate keys, acquire gate epoch, gate keys, gate epoch,
audit,
device invite, device enrol, device revoke, device grant, device withdraw,
recovery keys, recovery set-independent, recovery switchover, recovery failover, recovery failback
"""


def _names(text: str) -> frozenset[str]:
    return frozenset(" ".join(name.split()) for name in text.split(","))


OFFERED: dict[Role, frozenset[str]] = {
    Role.VIEWER: _names(_VIEWER),
    Role.OPERATOR: _names(_OPERATOR),
    Role.ADMIN: _names(_ADMIN),
}
"""The operations by the role that they need."""

_RUNS_ON = "it runs until it is ended: isthmus up starts it"
_MAKES = "it makes a site, which is there already"
_PEOPLE = "the doors below /v1/people do it: no password lies in a file, and the audit log names who did it"
_KEYS = "the doors below /v1/keys do it: no key's text lies in a file, and the audit log names who did it"
NEVER: dict[str, str] = {
    "demo": "it tells a story in a folder of its own",
    "init": _MAKES,
    "up": _RUNS_ON,
    "agent": _RUNS_ON,
    "acquire office": _RUNS_ON,
    "acquire watch": "it shows what the events of a batch tell",
    "loop serve": _RUNS_ON,
    "serve sync": _RUNS_ON,
    "serve acquire": _RUNS_ON,
    "serve recovery": _RUNS_ON,
    "serve console": _RUNS_ON,
    "user add": _PEOPLE,
    "user list": _PEOPLE,
    "user logout": _PEOPLE,
    "user role": _PEOPLE,
    "user password": _PEOPLE,
    "user remove": _PEOPLE,
    "key add": _KEYS,
    "key list": _KEYS,
    "key revoke": _KEYS,
}
"""Commands that are no operations, with the reason."""

SECRET = frozenset({"device invite", "acquire keys add", "acquire environment add"})
"""What prints or writes a secret: shown to who began it alone, for a while, and stored nowhere."""

_PLACE = "it names a place of this machine; the TOML says where"
_ON = "it never ends"
LEFT_OUT: dict[tuple[str, str], str] = {
    ("acquire gate keys", "file"): _PLACE,
    ("gate keys", "file"): _PLACE,
    ("recovery keys", "file"): _PLACE,
    ("recovery drill", "into"): _PLACE,
    ("recovery drill", "keep"): "nobody could find the copy",
    ("recovery install-cron", "systemd"): _PLACE,
    ("gallery feed", "mongodb_env"): "it names a secret of this machine",
    ("gallery feed", "mongodb_file"): _ON,
    ("gallery feed", "from_now"): _ON,
    ("device enrol", "token_env"): "it names a secret of this machine",
    ("acquire send", "watch"): "the events of the batch tell it",
    ("gate send", "watch"): _ON,
    ("gate receive", "watch"): _ON,
    ("recovery backup", "watch"): _ON,
    ("recovery restore", "watch"): _ON,
    ("recovery show-progress", "watch"): _ON,
    ("table drop", "yes"): "it is always said",
    ("recovery failover", "yes"): "it is always said",
}
"""Parameters that no operation takes, by command and name, with the reason."""

ALWAYS: dict[str, tuple[str, ...]] = {"table drop": ("--yes",), "recovery failover": ("--yes",)}
"""What is always said, since nobody is there to answer a question."""

NEEDED = frozenset(
    {
        ("gallery feed", "file"),
        ("device enrol", "token_file"),
    }
)
"""Parameters that an operation cannot do without: nobody is there to be asked, or the other way is left out."""

FILES: dict[tuple[str, str], Kind] = {
    ("query", "out"): "file out",
    ("scenes show", "out"): "file out",
    ("mine", "out"): "file out",
    ("mine", "export"): "file out",
    ("acquire send", "file"): "file in",
    ("acquire keys add", "out"): "file out",
    ("acquire environment add", "out"): "file out",
    ("gallery add", "photo"): "file in",
    ("gallery replace", "photo"): "file in",
    ("gallery import", "folder"): "file in",
    ("gallery feed", "file"): "file in",
    ("device enrol", "token_file"): "file in",
    ("device weights", "folder"): "file out",
    ("device files", "folder"): "file out",
    ("device run", "inputs"): "file in",
    ("device run", "out"): "file out",
    ("device identify", "photo"): "file in",
    ("recovery drill", "report"): "file out",
    ("recovery generate-config", "file"): "file out",
    ("recovery create-publication", "disaster_object_list_file"): "file in",
    ("recovery alter-publication", "disaster_object_list_file"): "file in",
    ("recovery cancel-publication", "disaster_object_list_file"): "file in",
    ("recovery get-current-disaster", "file"): "file out",
}
"""Parameters that are files: `in` comes with the call, `out` is written to the work's own folder."""

FOLDERS = frozenset({("gallery import", "folder")})
"""Files in that the command takes as the folder that holds them."""

WRITTEN: dict[tuple[str, str], str] = {
    ("scenes show", "out"): "scene.png",
    ("recovery generate-config", "file"): "backupRestore.ini",
}
"""What a file is called where the call gives it no name, but it is written all the same."""

NAMES = frozenset({("model publish", "what")})
"""Texts for which a place of this machine would do too, and which are therefore taken as plain names alone."""

GRAVE = frozenset(
    {
        "table drop", "gallery remove", "acquire gate epoch", "gate epoch", "recovery set-independent",
        "recovery switchover", "recovery failover", "recovery failback", "model withdraw",
    }
)  # fmt: skip
"""What a person confirms by typing a word before it is run from a page."""
