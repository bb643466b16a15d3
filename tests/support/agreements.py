"""Agreements as tests record them, by wallet's own store."""

from datetime import UTC, datetime
from typing import Any

from libs.common.db.pool import Database
from libs.common.ids import WalletId
from services.wallet.domain.agreements import Agreement, Giver, Proof, Terms
from services.wallet.store.agreements import AgreementStore, insert_agreement, made_agreement
from services.wallet.store.custody import append
from tests.support.orders import ORDERS

#: Terms with a fee of 5 %, a fifth of which is the miners'.
TERMS: dict[str, Any] = {
    "stake_bps": 5_000,
    "pooler_bps": 500,
    "miners_bps": 2_000,
    "payout_threshold": 10**7,
    "payout_interval_seconds": 86_400,
    "harvest_blocks": 3,
}
POOLER = Giver(given_by="a pooler", proof=Proof.CERTIFICATE)


async def agree(
    pool: Database,
    wallet_id: WalletId,
    *,
    giver: Giver = POOLER,
    operator_bps: int = 0,
    effective_at: datetime | None = None,
    registered_at: datetime | None = None,
    **terms: Any,
) -> Agreement:
    """Record the next agreement of a wallet with its record in the audit log."""
    now = registered_at or datetime.now(UTC)
    async with pool.transaction() as session:
        known = await AgreementStore(pool, ORDERS).of_wallet(wallet_id, session=session)
        made = made_agreement(
            Terms(**{**TERMS, **terms}),
            giver,
            wallet_id=wallet_id,
            number=len(known) + 1,
            operator_bps=operator_bps,
            registered_at=now,
            effective_at=effective_at or now,
        )
        await append(session, [await insert_agreement(session, made, ORDERS)], ORDERS)
    return made
