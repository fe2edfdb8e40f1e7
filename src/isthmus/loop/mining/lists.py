"""ID lists of scenes: what mining found, and lists that no rule made."""

from __future__ import annotations

import datetime

import pyarrow as pa

from isthmus.loop.mining.mine import Mined
from isthmus.warehouse.idlist import IdList

SUPPRESSED = "near_duplicates_within"


def listed(mined: Mined, created: datetime.datetime) -> IdList:
    """Make the ID list of what was mined; it carries the rule, its parameters, the filter and the version.

    Where near-duplicates were left out, their distance stands among the parameters as `near_duplicates_within`.
    """
    suppressed = {} if mined.threshold is None else {SUPPRESSED: mined.threshold}
    return IdList.of(
        mined.ids,
        mined.uri or mined.warehouse,
        mined.identity,
        mined.version,
        rule=mined.rule,
        parameters={**mined.parameters, **suppressed},
        where=mined.where,
        created=created,
    )


def without_rule(
    rows: pa.Table, why: str, warehouse: str, version: int, created: datetime.datetime, identity: str = ""
) -> IdList:
    """Make an ID list of rows (id, _rowid) that were chosen otherwise; `why` stands in place of a rule.

    Without the table's `identity` its rows are found again by id and not by row id, which is slower.
    """
    return IdList.of(rows, warehouse, identity, version, rule=why, created=created)
