"""Events of batches with what all of them have."""

from datetime import UTC, datetime
from typing import Any

from libs.common.ids import FarmerId, new_id

#: When they were settled.
AT = datetime(2026, 11, 1, tzinfo=UTC)


def event_values(status: str, *, block: int = 7) -> dict[str, Any]:
    """Return what an event of some farmer has, of whatever service it is."""
    return {
        "event_id": new_id(),
        "farmer_id": FarmerId(new_id()),
        "block_index": block,
        "custodial_wallet": "G",
        "status": status,
        "reason": "",
        "error_message": "",
        "transaction_hash": "",
        "ledger": 1,
        "fee_charged": 0,
        "settled_at": AT,
    }
