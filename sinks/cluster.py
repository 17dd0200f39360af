"""The migrations for a cluster: the same statements, on every replica, with engines that replicate.

    statement, cluster ─▶ statement

There is one text of the schema, the migrations. `ReplacingMergeTree` holds what came, and is replicated. `MergeTree` holds what each
replica works out for itself: a refreshable view may replace no replicated table outside of a replicated database.
"""

from __future__ import annotations

import re

_HEAD = re.compile(
    r"^((?:CREATE (?:OR REPLACE )?(?:DATABASE|TABLE|VIEW|MATERIALIZED VIEW)(?: IF NOT EXISTS)?"
    r"|ALTER TABLE|(?:DROP|DETACH) (?:DATABASE|TABLE|VIEW)(?: IF EXISTS)?|TRUNCATE TABLE(?: IF EXISTS)?) )([\w.`]+)",
    re.MULTILINE,
)
_CHANGES = re.compile(
    r"^(?:CREATE|ALTER|DROP|DETACH|ATTACH|TRUNCATE|RENAME|EXCHANGE|DELETE|UPDATE|SYSTEM)\b", re.MULTILINE
)


def on_cluster(statement: str, cluster: str | None) -> str:
    """A statement of a migration as it is run on a cluster; as it is where there is none.

    ValueError for one that would change a single replica, because it is written in a way that is not known here.
    """
    if cluster is None:
        return statement
    out, found = _HEAD.subn(rf"\1\2 ON CLUSTER `{cluster}`", statement, count=1)
    if not found and _CHANGES.search(statement):
        raise ValueError(f"no way is known to run this on a cluster: {statement.strip()[:200]}")
    return out.replace("ENGINE = ReplacingMergeTree(", "ENGINE = ReplicatedReplacingMergeTree(").replace(
        "non_replicated_deduplication_window", "replicated_deduplication_window"
    )
