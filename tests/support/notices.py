"""What wallet has noticed, written as an administrator would: for tests of who takes it."""

import json
from collections.abc import Mapping

from tests.support.database import Connection


async def insert_notice(
    connection: Connection,
    name: str,
    kind: str = "payout.made",
    *,
    pooler_id: str | None = None,
    farmer_id: str | None = None,
    is_public: bool = False,
    facts: Mapping[str, object] | None = None,
) -> int:
    """Add a notice of wallet; return its number."""
    number = await connection.fetchval(
        "INSERT INTO wallet.notices (name, kind, pooler_id, farmer_id, is_public, facts) "
        "VALUES ($1, $2, $3, $4, $5, $6::jsonb) RETURNING number",
        name,
        kind,
        pooler_id,
        farmer_id,
        is_public,
        json.dumps(dict(facts or {})),
    )
    return int(number)
