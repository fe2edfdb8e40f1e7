"""The declared simple fields of a scene. Rules, queries and statistics speak in these names."""

from __future__ import annotations

from isthmus.warehouse.schema import Field, FieldType, Schema

VECTOR_SIZE = 32

_S, _I, _F, _D = FieldType.STRING, FieldType.INT, FieldType.FLOAT, FieldType.DATE
_FS, _SS = FieldType.FLOATS, FieldType.STRINGS

SCENES = Schema(
    key="scene_id",
    fields=(
        Field("scene_id", _S, "names the scene: source.day.record.ego.number", nullable=False),
        Field("day", _D, "the day that the source was ingested for", nullable=False),
        Field("source", _S, "the source's name", nullable=False),
        Field("job_type", _S, "the source's job type", nullable=False),
        Field("record_id", _S, "the recording that the scene is cut from", nullable=False),
        Field(
            "leak_group",
            _S,
            "recordings that overlap share it; training and test never part it",
            nullable=False,
        ),
        Field("ego_id", _S, "the agent that the scene follows", nullable=False),
        Field("tags", _SS, "the record's tags", nullable=False),
        Field("duration_s", _F, "from the first step to the last", "s"),
        Field("steps", _I, "number of steps at 10 Hz"),
        Field("agents", _I, "agents in the scene, the ego among them"),
        Field("distance_m", _F, "way that the ego drives", "m"),
        Field("speed_mean", _F, "mean speed of the ego", "m/s"),
        Field("speed_min", _F, "least speed of the ego", "m/s"),
        Field("speed_max", _F, "greatest speed of the ego", "m/s"),
        Field("accel_min", _F, "strongest braking of the ego, smoothed (negative)", "m/s²"),
        Field("accel_max", _F, "strongest acceleration of the ego, smoothed", "m/s²"),
        Field("jerk_max", _F, "greatest absolute jerk of the ego, smoothed", "m/s³"),
        Field("lat_accel_max", _F, "greatest absolute lateral acceleration of the ego", "m/s²"),
        Field("turn_rad", _F, "change of heading over the scene, left positive", "rad"),
        Field("slowdown_3s", _F, "most speed that the ego loses within 3 s", "m/s"),
        Field("gap_min_m", _F, "least bumper-to-bumper gap to the agent ahead; null without one", "m"),
        Field("headway_min_s", _F, "least time headway to the agent ahead while moving; null without one", "s"),
        Field("ttc_min_s", _F, "least time to collision with the agent ahead; null if never closing", "s"),
        Field("cut_ins", _I, "agents that enter the ego's path ahead of it"),
        Field("cut_in_gap_m", _F, "least gap at the moment of a cut-in; null without one", "m"),
        Field("lane_changes", _I, "lane changes of the ego; null where nothing tells the road"),
        Field("stops", _I, "times that the ego comes to a stand"),
        Field("starts", _I, "times that the ego sets off from a stand"),
        Field("stopped_s", _F, "time that the ego stands", "s"),
        Field("density", _F, "mean number of other agents within 50 m of the ego"),
        Field("speed_profile", _FS, "the ego's speed each second", "m/s", nullable=False),
        Field("vector", FieldType.VECTOR, "scene vector: near vectors are similar scenes", size=VECTOR_SIZE),
        Field("complex", FieldType.COMPLEX, "all states, map hints and labels that training needs"),
    ),
)

REJECTS = Schema(
    key="reject_id",
    fields=(
        Field("reject_id", _S, "names the reject: source.day.number", nullable=False),
        Field("day", _D, "the day that the source was ingested for", nullable=False),
        Field("source", _S, "the source's name", nullable=False),
        Field("record_id", _S, "the record that was set aside", nullable=False),
        Field("reason", _S, "one word that says why", nullable=False),
        Field("place", _S, "where to find it: file, row, message", nullable=False),
        Field("detail", _S, "what was seen", nullable=False),
    ),
)
