"""What a site tells of itself, as types. Drawn from the description of its doors, never changed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal

import msgspec


class ActShown(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the audit log. `digest` continues that of the line before."""

    number: int
    at: str
    who: str
    act: str
    subject: str
    outcome: str
    where: str
    digest: str


class ActionSeen(msgspec.Struct, frozen=True, kw_only=True):
    """How one side stands now. `state` is backuping, restoring, stopped, waiting or abnormal."""

    state: str
    key: str = ""
    step: str = ""
    fraction: float = 0.0
    done: int = 0
    total: int = 0
    error: str = ""
    succeeded: str | None = None


class AgentDrawn(msgspec.Struct, frozen=True, kw_only=True):
    """One agent of a drawing, from its first step to its last; the four lists have one value a step."""

    id: str
    kind: str
    role: Literal["car", "cycle", "ego", "heavy", "other", "person"]
    length: float
    width: float
    first: int
    x: Sequence[float | None]
    y: Sequence[float | None]
    heading: Sequence[float | None]
    speed: Sequence[float | None]


class AlarmSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person has to know, and what to do."""

    kind: str
    what: str
    hint: str
    since: str | None = None


class Alike(msgspec.Struct, frozen=True, kw_only=True):
    """A scene that is like another. `distance` is Euclidean, between scene vectors."""

    scene_id: str
    distance: float
    source: str
    day: date | None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A statement of a person's history. `rows` is None where it failed, by `error`."""

    number: int
    sql: str
    at: str
    took_s: float
    rows: int | None
    error: str


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a table. `kind` is the declared type, such as float or date."""

    name: str
    kind: str
    unit: str
    about: str


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """How many scenes a rule finds among those that the rest of a filter lets through, and what it means in
    words.
    """

    found: int
    of: int
    explanation: str
    table: str
    rule: str
    where: str


class DecisionShown(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate said. `verdict` is promote, continue or keep."""

    verdict: str
    sentence: str
    reasons: Sequence[ReasonShown]


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """A scene as it is drawn: seen from above, turned so that the ego drives to the right at `moment`."""

    scene_id: str
    dt: float
    steps: int
    moment: int
    agents: Sequence[AgentDrawn]
    lanes: Sequence[Sequence[tuple[float, float]]]


class DrillSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A practised restore, as its signed report tells."""

    file: str
    site: str
    barrier: str
    ended: str
    outcome: str
    recovery_time_s: float
    bytes: int
    tables: int
    error: str


class End(msgspec.Struct, frozen=True, kw_only=True):
    """A site's end of a boundary. `mark` joins it to the other end: a stream, an environment."""

    boundary: Literal["acquire", "gate", "recovery", "sync"]
    mark: str
    gives: bool
    far: str
    figures: Sequence[LookingFigure] = ()
    health: Literal["alarm", "unknown", "waiting", "well"] = "well"


class EventShown(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a model."""

    event: str
    source: str
    target: str
    at: str
    why: str


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A moment that the candidate got most wrong: metres off after 3 s, from a step of a scene."""

    scene_id: str
    step: int
    error: float


class FieldShown(msgspec.Struct, frozen=True, kw_only=True):
    """One simple field of a scene. `value` is a text, number, truth, date, list of these, or None."""

    name: str
    value: Any
    unit: str
    about: str


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What crosses one boundary, from a node to another, by name.

    `far` tells which of them is no shown site.
    """

    boundary: Literal["acquire", "gate", "recovery", "sync"]
    source: str
    target: str
    health: Literal["alarm", "unknown", "waiting", "well"]
    figures: Sequence[LookingFigure] = ()
    far: Literal["", "source", "target"] = ""


class Guide(msgspec.Struct, frozen=True, kw_only=True):
    """An act before it is done. `word` is what must be typed, `possible` whether nothing forbids it."""

    act: Literal["failback", "failover", "switchover"]
    looks: Sequence[Look]
    word: str
    possible: bool


class KeyOut(msgspec.Struct, frozen=True, kw_only=True):
    """An API key, never its text; `prefix` are its first signs."""

    name: str
    prefix: str
    role: Literal["admin", "operator", "viewer"]
    made: str
    made_by: str
    expires: str | None = None
    used: str | None = None
    revoked: str | None = None


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    `wrong` forbids the act, `beware` is to be read and may be passed over.
    """

    name: str
    verdict: Literal["beware", "well", "wrong"]
    values: Mapping[str, Any] = msgspec.field(default_factory=dict)


class LookingFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a site or a flow; the faces find its words by `name` and write it by its `unit`."""

    name: str
    value: Any
    unit: Literal["count", "moment", "seconds", "text"] = "count"


class ModelDetails(msgspec.Struct, frozen=True, kw_only=True):
    """One model with its line: `ancestors` from its parent to the first, `children` what was trained from it."""

    model: ModelShown
    ancestors: Sequence[ModelShown]
    children: Sequence[ModelShown]
    events: Sequence[EventShown]
    figures: Sequence[RunsFigure]
    settings: Mapping[str, Any]
    digests: Mapping[str, str]
    software: Mapping[str, str]


class ModelShown(msgspec.Struct, frozen=True, kw_only=True):
    """One model.

    `state` is candidate, champion, retired, rejected or withdrawn; `parent` what it started from.
    """

    id: str
    pipeline: str
    state: str
    run: str
    created: str
    mode: str
    parent: str
    scenes: int
    rules: Sequence[str]
    table: str
    version: int
    id_list: str
    id_list_digest: str
    folder: str
    manifest: str
    decision: str


class OtherSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What the other site told last, by its own clock."""

    site: str
    role: str
    epoch: int
    made: str
    barrier: str
    barrier_at: str | None
    missing: int
    free_bytes: int
    version: str


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment."""

    now: str
    sites: Sequence[SiteSeen]
    flows: Sequence[Flow] = ()


class PartSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a site, as its supervisor wrote it down. `state` is 'down' where the site is not up."""

    name: str
    state: str
    since: str | None = None
    restarts: int = 0
    why: str = ""


class PersonShown(msgspec.Struct, frozen=True, kw_only=True):
    """A person. `seen` is the latest login."""

    name: str
    role: Literal["admin", "operator", "viewer"]
    made: str
    made_by: str
    changed: str
    seen: str | None = None


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the audit log is whole. Note `head` elsewhere: with it a log that was written anew shows."""

    lines: int
    head: str
    faults: Sequence[str]


class PublicationSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A publication and the objects that it names."""

    name: str
    objects: Sequence[str]


class ReasonShown(msgspec.Struct, frozen=True, kw_only=True):
    """How one bound of the gate came out."""

    metric: str
    part: str
    status: str
    sentence: str
    blocks: bool
    value: float | None
    limit: float | None
    baseline: float | None
    unit: str


class RecoverySeen(msgspec.Struct, frozen=True, kw_only=True):
    """All of it.

    `shows` is the barrier that the site shows or took last, `behind_s` what a failover would lose.
    """

    site: str
    peer: str
    road: str
    role: str
    epoch: int
    now: str
    held: str = ""
    shows: str = ""
    shows_at: str | None = None
    behind_s: float | None = None
    stopped: bool = False
    answers: bool = True
    other: OtherSeen | None = None
    primary: ActionSeen = None  # type: ignore
    standby: ActionSeen = None  # type: ignore
    rounds: Sequence[RoundSeen] = ()
    publications: Sequence[PublicationSeen] = ()
    tables: Sequence[TableSeen] = ()
    drills: Sequence[DrillSeen] = ()
    alarms: Sequence[AlarmSeen] = ()
    missing: int = 0
    findings: Sequence[str] = ()
    request: str = ""
    unsent: int = 0
    lag: int = 0
    flaws: Sequence[str] = ()


class Reign(msgspec.Struct, frozen=True, kw_only=True):
    """Who is champion of a pipeline, and which model a rollback would bring back; empty for none."""

    pipeline: str
    champion: str
    before: str


class RoundSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A round on one side. `bytes` are those of contents; `at` is the moment of its barrier."""

    action: Literal["backup", "restore"]
    key: str
    prior: str
    full: bool
    state: str
    tables: int | None
    contents: int
    bytes: int
    at: str
    begun: str | None
    ended: str | None
    error: str
    seconds: float | None = None


class RuleHeld(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a rule with its usual parameters holds for a scene; None where a field that it needs is null."""

    name: str
    about: str
    condition: str
    holds: bool | None


class RuleShown(msgspec.Struct, frozen=True, kw_only=True):
    """One rule.

    `own`: it is the site's own. `found` counts scenes; None where the OLAP lacks a field of it.
    """

    name: str
    about: str
    condition: str
    parameters: Sequence[RulesParameterShown]
    own: bool
    found: int | None
    of: int


class RulesParameterShown(msgspec.Struct, frozen=True, kw_only=True):
    """What may be chosen in a rule; `default` is a number, text, truth or date."""

    name: str
    default: Any
    unit: str
    about: str
    minimum: float | None = None
    maximum: float | None = None


class RunDetails(msgspec.Struct, frozen=True, kw_only=True):
    """One run with everything that its steps left behind."""

    run: RunShown
    steps: Sequence[str]
    passed: Sequence[StepShown]
    champion: str
    considered: int | None
    version: int | None
    table: str
    digest: str
    samples: Mapping[str, int]
    tuned: Mapping[str, Mapping[str, float]]
    trainings: Sequence[Training]
    offline: Sequence[RunsFigure]
    simulation: Sequence[RunsFigure]
    failures: Sequence[Failure]
    decision: DecisionShown | None
    report: bool


class RunShown(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the list."""

    id: str
    pipeline: str
    trigger: str
    state: str
    open: bool
    going: bool
    rule: str
    where: str
    settings: Mapping[str, str]
    mode: str
    scenes: int | None
    attempts: Sequence[str]
    started: str
    changed: str
    error: str
    verdict: str
    model: str


class RunsFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of an evaluation.

    `model` is candidate, champion or a baseline; `value` None for no sample.
    """

    metric: str
    part: str
    model: str
    value: float | None
    count: int
    unit: str
    better: str


class SceneRows(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a list of scenes, or of rows of another table."""

    items: Sequence[Mapping[str, Any]]
    next: str
    matched: int
    total: int
    columns: Sequence[Column]
    where: str
    version: int


class SceneShown(msgspec.Struct, frozen=True, kw_only=True):
    """One scene with everything that a person looks at."""

    scene_id: str
    day: date
    source: str
    fields: Sequence[FieldShown]
    rules: Sequence[RuleHeld]


class SiteSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One site.

    `kinds` say what it is: inner, outer, sync, acquire, agent, loop, device, its role of a pair.
    """

    name: str
    kinds: Sequence[str] = ()
    own: bool = False
    up: bool = False
    parts: Sequence[PartSeen] = ()
    figures: Sequence[LookingFigure] = ()
    alarms: Sequence[AlarmSeen] = ()
    ends: Sequence[End] = ()
    flaws: Sequence[str] = ()
    health: Literal["alarm", "unknown", "waiting", "well"] = "unknown"


class StepShown(msgspec.Struct, frozen=True, kw_only=True):
    """One transition of a run."""

    event: str
    state: str
    at: str
    why: str


class TableSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A published table. `why` says what keeps it from travelling, empty where nothing does."""

    name: str
    distribution: str
    rows: int | None
    version: int | None
    why: str = ""


class TableShown(msgspec.Struct, frozen=True, kw_only=True):
    """One table of the OLAP, with how many rows it has and the warehouse version that it is level with."""

    name: str
    key: str
    rows: int
    version: int
    columns: Sequence[Column]


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """One training: its losses, and the mean error in metres on validation groups, one figure an epoch."""

    number: int
    mode: str
    epochs: int
    train_loss: Sequence[float | None]
    loss: Sequence[float | None]
    ade: Sequence[float | None]
    best: int | None
    seconds: float | None
    trials: int
    over: bool
    settings: Mapping[str, Any]
