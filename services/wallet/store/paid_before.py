"""What accounts have paid before: numbered payments, judged, and held against the audit log."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from libs.common.db.pool import Database, Session
from libs.common.db.pool import Record as Row
from libs.common.ids import WalletId, new_id
from libs.common.log import get_security_logger
from services.wallet.domain.audit import Action, Record, has_own_hash
from services.wallet.domain.errors import FeesTamperedError
from services.wallet.domain.fees_due import Fate, FeeMark, Fees, Past, are_whole
from services.wallet.domain.model import OperationState
from services.wallet.store.orders import Orders
from services.wallet.store.payers import since
from services.wallet.store.payout_rows import payout_row, pool_payment_row

security = get_security_logger()

#: Milliseconds for which a payment that is said to have failed counts as one that may be made, and
#: after which nothing of what became of it changes: payers are compared with the chain far more
#: often.
_DOUBTED, _FINAL = 10 * 60 * 1000, 24 * 60 * 60 * 1000
#: The number that a record of the log begins with.
_NUMBER = re.compile(r"(?P<number>[0-9]{1,9})\b")
_MADE = OperationState.SUCCEEDED.value
_GIVEN_UP = frozenset({OperationState.FAILED.value, OperationState.EXPIRED.value})


class PaidBefore:
    """Payments of accounts: payouts of farmers, or what poolers' accounts have paid."""

    def __init__(self, database: Database, orders: Orders, action: Action) -> None:
        """Take the action by which the audit log tells of such payments."""
        self._database = database
        self._orders = orders
        self._action = action
        self._is_farmers = action is Action.PAY_FARMER

    async def past(
        self, marks: Mapping[WalletId, FeeMark], *, session: Session | None = None
    ) -> dict[WalletId, list[Past]]:
        """Return what accounts have paid after their marks, in the order of the numbers.

        Raises FeesTamperedError where a row is gone, or is not as wallet wrote it, or is not the
        last one that the audit log tells of.
        """
        source = session or self._database
        query = "payouts_after" if self._is_farmers else "pool_payments_after"
        rows = await source.many(query, list(marks), [item.until_number for item in marks.values()])
        newest = await self._newest(source, list(marks))
        found = defaultdict[WalletId, list[Past]](list)
        for row in rows:
            found[WalletId(row["wallet_id"])].append(self._judged(row))
        for wallet_id, mark in marks.items():
            last = max(newest.get(wallet_id, 0), mark.until_number)
            if newest.get(wallet_id, 0) < mark.until_number or not are_whole(
                mark, found[wallet_id], newest=last
            ):
                raise self._tampered(wallet_id, "a payment of it is gone, or not in the audit log")
        return {one: found[one] for one in marks}

    async def _newest(
        self, source: Database | Session, wallet_ids: Sequence[WalletId]
    ) -> dict[WalletId, int]:
        """Return the numbers of the newest payments by the audit log, by account."""
        subjects = {f"wallet {one}": one for one in wallet_ids}
        found: dict[WalletId, int] = {}
        for row in await source.many("newest_paid", self._action.value, list(subjects)):
            record = Record(**dict(row))
            match = _NUMBER.match(record.details)
            is_own = self._orders.key_of_record(record.number, record.hash, record.mac) > 0
            wallet_id = subjects[record.subject]
            if match is None or not (is_own and has_own_hash(record)):
                raise self._tampered(wallet_id, "the audit log tells of one that is not wallet's")
            found[wallet_id] = int(match["number"])
        return found

    def _judged(self, row: Row) -> Past:
        data = payout_row(row) if self._is_farmers else pool_payment_row(row)
        if not self._orders.is_genuine(data, row["mac"]):
            raise self._tampered(row["wallet_id"], "a payment of it was not written by wallet")
        now, newest = new_id(), row["newest_transaction"]
        fate, is_settled = Fate.OPEN, self._orders.is_end(row)
        if is_settled and row["state"] == _MADE:
            fate = Fate.PAID
        if is_settled and row["state"] in _GIVEN_UP:
            is_young = newest is not None and newest >= since(now, minus=_DOUBTED)
            fate = Fate.OPEN if is_young else Fate.FAILED
        last = max(row["operation_id"], newest or row["operation_id"])
        return Past(
            number=row["number"],
            parts=parts_of(row) if self._is_farmers else part_of_pool(row),
            fate=fate,
            is_final=fate is not Fate.OPEN and last < since(now, minus=_FINAL),
        )

    def _tampered(self, wallet_id: WalletId, why: str) -> FeesTamperedError:
        security.critical("payments not written by wallet", wallet=str(wallet_id), why=why)
        return FeesTamperedError(f"what the account has paid is not as wallet wrote it: {why}")


def parts_of(row: Row) -> Fees:
    """Return the fees of a payout."""
    return Fees(pooler=row["pooler"], operator=row["operator"], miners=row["miners"])


def part_of_pool(row: Row) -> Fees:
    """Return what a payment took from a pooler's account, as a part of fees."""
    if row["is_miner"]:
        return Fees(miners=row["amount"])
    return Fees(pooler=row["amount"])
