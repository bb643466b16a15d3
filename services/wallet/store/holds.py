"""For whom nothing is signed, as wallet itself wrote whose each operation is.

Whoever may write rows decides by none of them whom a pause holds: while anybody is held, so is an
operation that somebody else wrote, or whose wallet's row somebody else wrote.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from libs.common.db.pool import Record, Session
from libs.common.log import get_security_logger
from services.wallet.domain.model import TransactionId, Wallet
from services.wallet.domain.pausing import Held
from services.wallet.store.kill_switch import KillSwitch, Owner, PausedHereError
from services.wallet.store.orders import Orders

security = get_security_logger()


@dataclass(frozen=True, kw_only=True)
class Holds:
    """The pauses in force, recorded ones and those that this process was told of."""

    #: By judged rows.
    held: Held
    #: What this process was told of.
    switch: KillSwitch
    #: The judge of rows.
    orders: Orders

    def allows(self, row: Record) -> bool:
        """Tell whether an operation (lock_signable, carried_orders) may be signed for now."""
        if not self.held.reaches and not self.switch.holds_anything:
            return True
        is_held = self.held.holds(row["wallet_id"], row["pooler_id"])
        return not is_held and not self.switch.holds([_owner(row)]) and self._is_ordered(row)

    def refuse_told(self, rows: Iterable[Record], merged: Iterable[Wallet]) -> None:
        """Take a last look: raise PausedHereError if this process was told to sign none of these.

        What is about to be committed may have passed all other looks before that.
        """
        if not self.switch.holds_anything:
            return
        is_free = all(map(self.allows, rows)) and all(map(self.allows_merging, merged))
        if self.switch.holds_everything or not is_free:
            raise PausedHereError("signing is paused in this process")

    def allows_merging(self, wallet: Wallet) -> bool:
        """Tell whether no pause is for a wallet (read by its judged row), or its pooler."""
        owner = Owner(farmer_id=wallet.farmer_id, pooler_id=wallet.pooler_id)
        return not self.held.holds(wallet.id, wallet.pooler_id) and not self.switch.holds([owner])

    def _is_ordered(self, row: Record) -> bool:
        if self.orders.is_claimed(row):
            return True
        security.critical("order not written by wallet, in a pause", operation=str(row["id"]))
        return False

    async def allow_bid(self, session: Session, transaction_id: TransactionId) -> bool:
        """Tell whether the bid of a transaction in flight may be raised, by whom it carries."""
        if self.held.everything or not self.held.reaches:
            return not self.held.everything
        carrier = await session.one("payer_transaction", transaction_id)
        rows = await session.many("carried_orders", transaction_id)
        return (
            carrier is not None
            and self.orders.is_transaction(carrier)
            and set(carrier["operation_ids"]) == _ids(rows)
            and all(map(self.allows, rows))
        )


def _ids(rows: Sequence[Record]) -> set[object]:
    return {row["id"] for row in rows}


def _owner(row: Record) -> Owner:
    return Owner(farmer_id=row["farmer_id"], pooler_id=row["pooler_id"])
