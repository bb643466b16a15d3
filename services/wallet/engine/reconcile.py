"""Compares records with the chain, block by block and account by account, in bulk."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from libs.common.ids import OperationId, WalletId, new_id
from libs.common.log import get_logger
from services.wallet.domain.model import NewOperation, OperationKind
from services.wallet.domain.reconciling import (
    Difference,
    Finding,
    Kept,
    compare,
    compare_balance,
    is_worth_harvesting,
)
from services.wallet.engine.parts import EngineParts
from services.wallet.store.reconcile import ReconcileStore

log = get_logger(__name__)

#: Farmers that are compared at once: 200 ledger keys.
_PAGE = 100
#: Blocks that are looked at, the current one included: harvests of older ones are long settled.
_BLOCKS = 12


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one run came to."""

    #: Farmers, counted once per block.
    compared: int = 0
    #: Differences that were not known before.
    found: int = 0
    #: Plants that were recorded as the chain has them, and harvests that were queued for them.
    settled: int = 0


class Reconciler:
    """One run at a time; several processes do no harm."""

    def __init__(self, parts: EngineParts, store: ReconcileStore) -> None:
        self._parts = parts
        self._store = store
        self._running = asyncio.Lock()

    async def run(self) -> Report:
        """Everything once."""
        async with self._running:
            current = self._parts.watch.current.head.current_block
            report = await self._balances()
            if current is not None:
                for block in range(max(0, current - _BLOCKS + 1), current + 1):
                    report = _sum(report, await self._block(block, current))
            log.info(
                "reconciled",
                compared=report.compared,
                found=report.found,
                settled=report.settled,
            )
            return report

    async def _block(self, block: int, current: int) -> Report:
        if await self._parts.chain.block(block) is None:
            return Report()
        report, after = Report(), None
        while page := await self._store.kept(block, after=after, limit=_PAGE):
            report = _sum(report, await self._page(page, block, current))
            after = page[-1].wallet_id
        return report

    async def _page(self, page: Sequence[Kept], block: int, current: int) -> Report:
        """Read between two reads of the records: what changed meanwhile waits for the next run."""
        ledger = (await self._parts.chain.head()).sequence
        pails = await self._parts.chain.pails([(item.address, block) for item in page])
        after = _before(page[0].wallet_id)
        again = await self._store.kept(block, after=after, limit=len(page))
        steady = [item for item in page if item in again]
        findings: list[Finding] = []
        settled = 0
        for item in steady:
            pail = pails.get((item.address, block))
            differences = list(compare(item, pail, ledger=ledger))
            findings += differences
            if any(one.kind is Difference.PLANT_WITHOUT_RECORD for one in differences) and pail:
                await self._store.insert_plant(item, pail)
                settled += 1
            if differences and is_worth_harvesting(item, pail, current_block=current):
                await self._harvest(item)
                settled += 1
        found = await self._note(findings, ledger)
        await self._store.settle_gone(
            block, [item.wallet_id for item in steady], findings, how="they agree again"
        )
        return Report(compared=len(page), found=found, settled=settled)

    async def _harvest(self, kept: Kept) -> None:
        """A reward that no record leads to; whoever asks for it later joins this operation."""
        wish = NewOperation(
            id=OperationId(new_id()),
            wallet_id=kept.wallet_id,
            amount=0,
            nonce=None,
            hash=None,
            zeros=None,
        )
        await self._parts.operations.record_one(
            kind=OperationKind.HARVEST, block_index=kept.block_index, operation=wish
        )
        self._parts.bell.ring()

    async def _balances(self) -> Report:
        report, after = Report(), None
        while page := await self._store.balances(after=after, limit=_PAGE):
            ledger, states = await self._parts.chain.accounts([item.address for item in page])
            kale = {state.address: state.kale for state in states}
            again = await self._store.balances(after=_before(page[0].wallet_id), limit=len(page))
            steady = [
                item
                for item in page
                if item in again and not item.is_moving and item.ledger <= ledger
            ]
            found = [compare_balance(item, kale[item.address], ledger=ledger) for item in steady]
            findings = [item for item in found if item is not None]
            fresh = await self._note(findings, ledger)
            await self._store.save_balances(
                {item.wallet_id: kale[item.address] for item in steady}, ledger=ledger
            )
            # A farmer may be sent money from outside: it is told once, and counted in from then on.
            await self._store.settle_gone(
                0, [item.wallet_id for item in steady], [], how="counted in"
            )
            report = _sum(report, Report(found=fresh))
            after = page[-1].wallet_id
        return report

    async def _note(self, findings: Sequence[Finding], ledger: int) -> int:
        if not findings:
            return 0
        for item in findings:
            log.warning(
                "difference",
                kind=item.kind.value,
                wallet=str(item.wallet_id),
                block=item.block_index,
                recorded=item.recorded,
                on_chain=item.on_chain,
            )
        return await self._store.note(findings, ledger=ledger)


def _before(wallet_id: WalletId) -> WalletId:
    """The greatest id below it, so that a page begins with it."""
    return WalletId(UUID(int=wallet_id.int - 1))


def _sum(one: Report, other: Report) -> Report:
    return Report(
        compared=one.compared + other.compared,
        found=one.found + other.found,
        settled=one.settled + other.settled,
    )
