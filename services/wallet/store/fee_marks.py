"""Fees that are agreed of rewards, by what wallet has sealed, and marks that sum them up."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from libs.common.db.pool import Database, Record, Session
from libs.common.ids import WalletId
from libs.common.log import get_security_logger
from services.wallet.domain.errors import AgreementTamperedError, FeesTamperedError
from services.wallet.domain.fees_due import (
    FeeMark,
    Fees,
    Reward,
    Rewards,
    accrued,
    unpacked_blocks,
)
from services.wallet.domain.orders import operation_bytes
from services.wallet.store.agreements import AgreementStore
from services.wallet.store.orders import Orders
from services.wallet.store.payout_rows import fee_mark_row, opening_row

security = get_security_logger()

#: Accounts whose rewards are judged between two turns of the event loop: a day of blocks of each.
_TURN = 4
#: By how much the clocks of wallet and of the chain are apart at most.
_CLOCKS = timedelta(hours=1)


class FeeMarkStore:
    """The table fee_marks, and what marks are made of."""

    def __init__(self, database: Database, orders: Orders, agreements: AgreementStore) -> None:
        self._database = database
        self._orders = orders
        self._agreements = agreements

    async def marks(
        self, wallet_ids: Sequence[WalletId], *, session: Session | None = None
    ) -> dict[WalletId, FeeMark]:
        """Return the marks of accounts; one that has none gets an empty one.

        Raises FeesTamperedError for a mark that wallet did not write.
        """
        found = dict.fromkeys(wallet_ids, FeeMark())
        for row in await (session or self._database).many("fee_marks_of", list(wallet_ids)):
            if not self._orders.is_genuine(fee_mark_row(row), row["mac"]):
                security.critical("fee mark not written by wallet", wallet=str(row["wallet_id"]))
                raise FeesTamperedError("sums of the account's fees are not as wallet wrote them")
            found[WalletId(row["wallet_id"])] = _mark(row)
        return found

    async def accrued(
        self, wallet_ids: Sequence[WalletId]
    ) -> dict[WalletId, Fees | AgreementTamperedError | FeesTamperedError]:
        """Return the fees that are agreed of all rewards of farmers so far.

        Where something is not as wallet wrote it, the farmer has that error in their place.
        """
        found: dict[WalletId, Fees | AgreementTamperedError | FeesTamperedError] = {}
        for first in range(0, len(wallet_ids), _TURN):
            some = wallet_ids[first : first + _TURN]
            try:
                found |= await self._accrued(some)
            except (AgreementTamperedError, FeesTamperedError):
                # Whose it is tells each by itself.
                for one in some:
                    found[one] = await self._accrued_of_one(one)
            await asyncio.sleep(0)
        return found

    async def _accrued(self, wallet_ids: Sequence[WalletId]) -> dict[WalletId, Fees]:
        marks = await self.marks(wallet_ids)
        rewards = await self.rewards(marks)
        return {one: accrued(marks[one], rewards[one]) for one in wallet_ids}

    async def _accrued_of_one(
        self, wallet_id: WalletId
    ) -> Fees | AgreementTamperedError | FeesTamperedError:
        try:
            return (await self._accrued([wallet_id]))[wallet_id]
        except (AgreementTamperedError, FeesTamperedError) as error:
            return error

    async def rewards(self, marks: Mapping[WalletId, FeeMark]) -> dict[WalletId, Rewards]:
        """Return what is known of farmers' rewards beside their marks.

        Only what wallet wrote counts: whose a harvest was, and of which block; how it ended; when
        the block opened; what was agreed. Raises AgreementTamperedError.
        """
        agreements = await self._agreements.of_wallets(list(marks))
        # Without an agreement there are no fees, whatever was harvested.
        whose = {one: mark for one, mark in marks.items() if agreements[one]}
        rewards = await self._harvested(whose)
        opened = await self.opened({item.block_index for each in rewards.values() for item in each})
        return {
            one: Rewards(rewards=rewards.get(one, ()), opened=opened, agreements=agreements[one])
            for one in marks
        }

    async def _harvested(
        self, marks: Mapping[WalletId, FeeMark]
    ) -> Mapping[WalletId, Sequence[Reward]]:
        ends = await self.opened({mark.until_block for mark in marks.values()})
        rows = await self._database.many(
            "rewards_since",
            list(marks),
            [_first_id(ends.get(mark.until_block)) for mark in marks.values()],
            [max(0, mark.first_block) for mark in marks.values()],
        )
        found = defaultdict[WalletId, list[Reward]](list)
        for row in rows:
            if self._is_genuine(row):
                reward = Reward(block_index=row["block_index"], amount=row["amount"])
                found[WalletId(row["wallet_id"])].append(reward)
        return found

    def _is_genuine(self, row: Record) -> bool:
        """Judge a harvest: whose it was, of which block, and how it ended."""
        order = operation_bytes(
            row_id=row["id"],
            kind=row["kind"],
            wallet_id=row["wallet_id"],
            block_index=row["block_index"],
            amount=0,
        )
        return self._orders.is_genuine(order, row["mac"]) and self._orders.is_end(row)

    async def opened(self, blocks: set[int]) -> dict[int, datetime]:
        """Return when blocks opened, as far as wallet has sealed that."""
        rows = await self._database.many("openings_of", [one for one in blocks if one >= 0])
        return {
            row["block_index"]: row["opened_at"]
            for row in rows
            if self._orders.is_genuine(opening_row(row), row["mac"])
        }

    async def to_mark(self, *, older: float, limit: int) -> dict[WalletId, bool]:
        """Return accounts whose marks are older than so many seconds, or missing.

        The result tells of each whether it is a pooler's.
        """
        rows = await self._database.many("wallets_to_mark", older, limit)
        return {WalletId(row["id"]): row["is_pooler"] for row in rows}

    async def markable(self, wallet_ids: Sequence[WalletId]) -> dict[WalletId, int]:
        """Return the last blocks up to which nothing of accounts' rewards can change any more."""
        rows = await self._database.many("markable_blocks", list(wallet_ids))
        return {WalletId(row["wallet_id"]): row["until_block"] for row in rows}

    async def save(self, wallet_id: WalletId, mark: FeeMark) -> None:
        """Keep a mark in place of the one before it."""
        row: dict[str, Any] = {
            "wallet_id": wallet_id,
            "until_block": mark.until_block,
            "blocks": mark.packed_blocks,
            "pooler": mark.accrued.pooler,
            "operator": mark.accrued.operator,
            "miners": mark.accrued.miners,
            "until_number": mark.until_number,
            "paid_pooler": mark.paid.pooler,
            "paid_operator": mark.paid.operator,
            "paid_miners": mark.paid.miners,
        }
        mac = self._orders.mac(fee_mark_row(row))
        await self._database.execute("save_fee_mark", *row.values(), mac)


def _first_id(opened_at: datetime | None) -> UUID:
    """Return the least id that an operation can have that was made after a block opened."""
    if opened_at is None:
        return UUID(int=0)
    millis = int((opened_at - _CLOCKS).timestamp() * 1000)
    return UUID(int=max(0, millis) << 80)


def _mark(row: Record) -> FeeMark:
    return FeeMark(
        until_block=row["until_block"],
        blocks=unpacked_blocks(row["blocks"]),
        accrued=Fees(pooler=row["pooler"], operator=row["operator"], miners=row["miners"]),
        until_number=row["until_number"],
        paid=Fees(
            pooler=row["paid_pooler"], operator=row["paid_operator"], miners=row["paid_miners"]
        ),
    )
