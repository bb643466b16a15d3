"""What agreements, owner accounts and poolers' marks have in common: sealed, numbered rows.

Each row is under an authenticator, none may be missing, and the newest has to be the one that the
audit log tells of last: whoever deletes it would have an older one count.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.common.db.pool import Database, Record, Session
from services.wallet.domain.audit import Action
from services.wallet.domain.orders import agreement_bytes, owner_account_bytes, pooler_mark_bytes


@dataclass(frozen=True, kw_only=True)
class Moments:
    """When the next row of something is registered, and from when on a block is the next one."""

    #: Never before the row that it follows.
    now: datetime
    #: After the opening of the last block that was seen.
    next_block: datetime


async def moments_after(session: Session, newest: datetime | None) -> Moments:
    """Return the moments of a row that follows one of a moment (None: none)."""
    row = await session.one("version_moment", newest)
    if row is None:
        raise LookupError("the database told no time")
    return Moments(now=row["moment"], next_block=row["next_block"])


async def recorded_numbers(
    session: Session | Database, action: Action, subjects: Collection[str]
) -> Mapping[str, str]:
    """Return the newest numbers by the audit log, by subject; one without any is absent."""
    rows = await session.many("recorded_versions", action.value, list(subjects))
    return {row["subject"]: row["number"] for row in rows}


def newest_number(rows: Sequence[Record]) -> str:
    """Return the number of the newest row as a record of the audit log has it; none: 0."""
    return str(rows[-1]["number"]) if rows else "0"


def agreement_row(row: Record) -> bytes:
    """Return the bytes of an agreement, as its row has it."""
    return agreement_bytes(
        wallet_id=row["wallet_id"],
        number=row["number"],
        stake_bps=row["stake_bps"],
        pooler_bps=row["pooler_bps"],
        operator_bps=row["operator_bps"],
        miners_bps=row["miners_bps"],
        payout_threshold=row["payout_threshold"],
        payout_interval_seconds=row["payout_interval_seconds"],
        harvest_blocks=row["harvest_blocks"],
        given_by=row["given_by"],
        proof=row["proof"],
        terms_version=row["terms_version"],
        terms_digest=row["terms_digest"],
        signature=row["signature"],
        registered_at=row["registered_at"],
        effective_at=row["effective_at"],
    )


def owner_account_row(row: Record) -> bytes:
    """Return the bytes of an owner account, as its row has it."""
    return owner_account_bytes(
        wallet_id=row["wallet_id"],
        number=row["number"],
        address=row["address"],
        registered_at=row["registered_at"],
        effective_at=row["effective_at"],
    )


def pooler_mark_row(row: Record) -> bytes:
    """Return the bytes of a pooler's mark, as its row has it."""
    return pooler_mark_bytes(
        pooler_id=row["pooler_id"],
        number=row["number"],
        farms_for_itself=row["farms_for_itself"],
        registered_at=row["registered_at"],
        effective_at=row["effective_at"],
    )
