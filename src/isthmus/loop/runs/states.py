"""The states of a run. The current one is stored with what the steps before it left behind."""

from __future__ import annotations

from isthmus.core.machine import Machine, Row

SELECTING, EXPORTING, TRAINING, TUNING = "selecting", "exporting", "training", "tuning"
EVALUATING, SIMULATING, DECIDING, RELEASING = "evaluating", "simulating", "deciding", "releasing"
RELEASED, OFFERED, KEPT, CANCELLED = "released", "offered", "kept", "cancelled"

_STEPS = (SELECTING, EXPORTING, TRAINING, TUNING, EVALUATING, SIMULATING, DECIDING, RELEASING)

RUN = Machine(
    "run",
    SELECTING,
    (
        Row(SELECTING, "selected", EXPORTING, "the ID list is written: the mined scenes, or all of them"),
        Row(SELECTING, "nothing", KEPT, "no scene fits: the champion stays"),
        Row(EXPORTING, "exported", TRAINING, "the complex fields of these ids lie in sample shards"),
        Row(EXPORTING, "tune", TUNING, "the run was asked to begin with a search of parameters"),
        Row(EXPORTING, "nothing", KEPT, "the scenes are too few or too short to train and judge a model"),
        Row(TRAINING, "trained", EVALUATING, "a candidate's weights are written"),
        Row(TUNING, "tuned", EVALUATING, "the best of the trials is the candidate"),
        Row(EVALUATING, "evaluated", SIMULATING, "offline metrics of candidate, champion and baseline stand"),
        Row(SIMULATING, "simulated", DECIDING, "closed-loop figures of candidate and champion stand"),
        Row(DECIDING, "promote", RELEASING, "every bound of the gate holds"),
        Row(DECIDING, "retrain", TRAINING, "the gate does not hold after incremental training: train in full"),
        Row(DECIDING, "tune", TUNING, "the gate does not hold after full training: search parameters"),
        Row(DECIDING, "keep", KEPT, "nothing is left to try: the champion stays, the candidate is rejected"),
        Row(RELEASING, "released", RELEASED, "the model's folder is complete and it is the champion"),
        Row(RELEASING, "offered", OFFERED, "the model's folder is complete and waits for a person to release it"),
        *(Row(step, "cancel", CANCELLED, "an operator ends the run") for step in _STEPS),
    ),
)
