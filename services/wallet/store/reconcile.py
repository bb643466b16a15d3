"""The records of farmers, block by block, and the differences from the chain that were found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from libs.common.db.pool import Database, Record
from libs.common.ids import FarmerId, OperationId, WalletId, new_id
from services.wallet.domain.chain_facts import PailState
from services.wallet.domain.foreign_harvests import ForeignHarvest, PaidHarvest
from services.wallet.domain.model import Ending, OperationEvent, OperationKind, OperationState
from services.wallet.domain.reconciling import DENIED, Balance, Finding, Holder, Kept, Told
from services.wallet.domain.states import OPERATION_EDGES, sources, target
from services.wallet.store.operations import tell
from services.wallet.store.orders import Orders


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A difference as recorded."""

    id: UUID
    #: A kind of difference, as text: a newer version may know more.
    kind: str
    farmer_id: FarmerId
    block_index: int
    recorded: str
    on_chain: str
    #: The ledger at which the chain was read.
    ledger: int
    found_at: datetime
    #: How the difference was settled; empty while it is open.
    settled: str
    settled_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Denied:
    """An operation that is recorded as done, and of which the chain shows no trace."""

    #: The operation.
    id: OperationId
    #: strkey G... of the account whose number its transaction was to use; None when no transaction
    #: is recorded to have done it: a pail told that it was done.
    source: str | None
    #: That number.
    sequence: int | None
    #: Ledger that is recorded to have it; 0 for none.
    ledger: int

    def is_refuted_by(self, numbers: Mapping[str, int]) -> bool:
        """Tell whether accounts' numbers show that it never was, or nothing but a pail told of it.

        `numbers` are the last used ones by account.
        """
        if self.source is None or self.sequence is None:
            return True
        return numbers.get(self.source, self.sequence) < self.sequence


class ReconcileStore:
    """The tables differences and reconciled_balances, and the operations beside them."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders

    async def kept(self, block: int, *, after: WalletId | None, limit: int) -> list[Kept]:
        """Return what is recorded of farmers in a block, in the order of their wallets."""
        rows = await self._of_farmers("kept_in_block", block, after=after, limit=limit)
        return [Kept(block_index=block, **row) for row in rows]

    async def told(self, block: int, wallets: Sequence[WalletId]) -> dict[WalletId, Told]:
        """Return what the events say of farmers in a block."""
        rows = await self._database.many("events_in_block", block, list(wallets))
        return {row["wallet_id"]: Told(**dict(row)) for row in rows}

    async def balances(self, *, after: WalletId | None, limit: int) -> list[Balance]:
        """Return what is recorded of farmers' KALE, in the order of their wallets."""
        rows = await self._of_farmers("balances_since", after=after, limit=limit)
        return [Balance(**row) for row in rows]

    async def holders(self, *, after: WalletId | None, limit: int) -> list[Holder]:
        """Return farmers' accounts, in the order of their wallets."""
        return [
            Holder(
                wallet_id=row["id"],
                address=row["address"],
                farmer_id=row["farmer_id"],
                pooler_id=row["pooler_id"],
                is_moving=row["is_moving"],
                ledger=row["ledger"],
            )
            for row in await self._genuine("holders", after=after, limit=limit)
        ]

    async def _of_farmers(
        self, query: str, *arguments: int, after: WalletId | None, limit: int
    ) -> list[dict[str, Any]]:
        rows = await self._genuine(query, *arguments, after=after, limit=limit)
        return [_without_wallet(row) for row in rows]

    async def _genuine(
        self, query: str, *arguments: int, after: WalletId | None, limit: int
    ) -> list[Record]:
        """Return the next `limit` rows of farmers whose wallets wallet itself made.

        What the chain has of an account that somebody wrote into the table is none of the pool's.
        """
        found: list[Record] = []
        while True:
            rows = await self._database.many(query, *arguments, after, limit)
            found += [row for row in rows if self._orders.is_wallet(row)]
            if len(rows) < limit or len(found) >= limit:
                return found[:limit]
            after = rows[-1]["id"]

    async def save_balances(self, kale: Mapping[WalletId, int], *, ledger: int) -> None:
        """Save these balances, from which later balances are counted."""
        await self._database.execute(
            "save_balances", ledger, list(kale.keys()), list(kale.values())
        )

    async def note(self, findings: Sequence[Finding], *, ledger: int) -> int:
        """Record differences; return the number of those that were not open already."""
        rows = await self._database.many(
            "insert_differences",
            [new_id() for _ in findings],
            [item.kind.value for item in findings],
            [item.wallet_id for item in findings],
            [item.block_index for item in findings],
            [item.recorded for item in findings],
            [item.on_chain for item in findings],
            ledger,
        )
        return len(rows)

    async def settle_gone(
        self, block: int, wallets: Sequence[WalletId], found: Sequence[Finding], *, how: str
    ) -> int:
        """Close open differences that are not among those found; return their number.

        These are the differences of the wallets in a block (0: their balances).
        """
        names = [f"{item.kind.value} {item.wallet_id}" for item in found]
        return await self._database.execute("settle_differences", block, list(wallets), names, how)

    async def differing_blocks(self, *, first: int, before: int, limit: int) -> list[int]:
        """Return blocks with open differences, the oldest first; block 0 is not among them.

        Differences of balances are noted under block 0.
        """
        rows = await self._database.many("differing_blocks", max(1, first), before, limit)
        return [row["block_index"] for row in rows]

    async def denied(
        self, block: int, findings: Sequence[Finding], pails: Mapping[WalletId, PailState]
    ) -> list[Denied]:
        """Read the operations that these findings deny, when an earlier run noted the same.

        `pails` are the pails that exist.
        """
        rows = [
            (item, kind, pails.get(item.wallet_id))
            for item in findings
            for kind in DENIED.get(item.kind, ())
        ]
        found = await self._database.many(
            "denied_operations",
            block,
            [item.wallet_id for item, _, _ in rows],
            [item.kind.value for item, _, _ in rows],
            [kind.value for _, kind, _ in rows],
            [None if pail is None else pail.zeros or 0 for _, _, pail in rows],
        )
        return [Denied(**dict(row)) for row in found]

    async def deny(self, denied: Sequence[Denied]) -> int:
        """Record operations as failed that were recorded as done and never were; return how
        many."""
        event = OperationEvent.DENY
        state = target(OPERATION_EDGES, event)
        ends = [Ending(operation_id=item.id, state=state, ledger=item.ledger) for item in denied]
        changed = await self._database.many(
            "deny_operations",
            [item.id for item in denied],
            [one.value for one in sources(OPERATION_EDGES, event)],
            state.value,
            [self._orders.for_end(end) for end in ends],
        )
        tell(changed)
        return len(changed)

    async def insert_plant(self, kept: Kept, pail: PailState) -> None:
        """Record a plant as the chain has it."""
        name = OperationId(new_id())
        end = _done(name, amount=pail.stake, ledger=pail.sequence)
        await self._database.execute(
            "insert_found_plant",
            name,
            kept.wallet_id,
            kept.block_index,
            pail.stake,
            pail.sequence,
            self._orders.for_end(end),
        )

    async def insert_work(self, kept: Kept, pail: PailState) -> None:
        """Record the work that a closed block's pail shows."""
        name, gap = OperationId(new_id()), pail.gap or 0
        end = _done(name, gap=gap, ledger=pail.sequence + gap)
        await self._database.execute(
            "insert_found_work",
            name,
            kept.wallet_id,
            kept.block_index,
            pail.zeros,
            gap,
            end.ledger,
            self._orders.for_end(end),
        )

    async def queue_harvest(self, kept: Kept) -> None:
        """Queue a harvest that nobody asked for.

        Whoever asks for the harvest later joins this operation.
        """
        name = OperationId(new_id())
        mac = self._orders.for_own_operation(
            OperationKind.HARVEST,
            row_id=name,
            wallet_id=kept.wallet_id,
            block_index=kept.block_index,
        )
        await self._database.execute(
            "queue_found_harvest", name, kept.wallet_id, kept.block_index, mac
        )

    async def insert_harvest(
        self, wallet_id: WalletId, block: int, found: PaidHarvest, foreign_harvest: ForeignHarvest
    ) -> bool:
        """Record a harvest that somebody else made.

        Return False when a harvest is recorded or on its way.
        """
        name, ledger = OperationId(new_id()), foreign_harvest.ledger
        end = _done(name, amount=found.reward, stake_returned=found.stake, ledger=ledger)
        made = await self._database.execute(
            "insert_found_harvest",
            name,
            wallet_id,
            block,
            found.reward,
            found.stake,
            ledger,
            foreign_harvest.transaction_hash,
            self._orders.for_end(end),
            self._orders.for_own_operation(
                OperationKind.HARVEST, row_id=name, wallet_id=wallet_id, block_index=block
            ),
        )
        return bool(made)

    async def page(self, *, before: UUID | None, settled: bool, limit: int) -> list[Entry]:
        """Return differences, newest first."""
        rows = await self._database.many("differences", before, settled, limit)
        return [Entry(**dict(row)) for row in rows]


def _without_wallet(row: Record) -> dict[str, Any]:
    """Return a row of a farmer without what only judges its wallet."""
    judged = ("id", "kind", "farmer_id", "pooler_id", "stake_bps", "mac")
    rest = {key: value for key, value in dict(row).items() if key not in judged}
    return {"wallet_id": row["id"], **rest}


def _done(
    name: OperationId, *, ledger: int, amount: int = 0, stake_returned: int = 0, gap: int = 0
) -> Ending:
    """Return the end of an operation that was found done on the chain."""
    return Ending(
        operation_id=name,
        state=OperationState.SUCCEEDED,
        amount=amount,
        stake_returned=stake_returned,
        gap=gap,
        ledger=ledger,
    )
