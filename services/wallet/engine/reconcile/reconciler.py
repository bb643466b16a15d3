"""The comparison of records with the chain, block by block and account by account, in bulk."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from libs.common.ids import WalletId
from libs.common.log import get_logger
from services.wallet.chain import Chain, Place
from services.wallet.domain.chain_facts import PailState
from services.wallet.domain.reconciling import (
    DENIED,
    Balance,
    Difference,
    Finding,
    Kept,
    compare,
    compare_balance,
    compare_events,
    is_worth_harvesting,
)
from services.wallet.domain.trust import Decision
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.reconcile.foreign_harvests import ForeignHarvests, Harvested
from services.wallet.engine.wakeup import Wakeup
from services.wallet.store.reconcile import ReconcileStore

log = get_logger(__name__)

#: Farmers that are compared at once: 200 ledger keys.
_PAGE = 100
#: Blocks that are looked at in any case, the current one included: harvests of older ones are long
#: settled.
_BLOCKS = 12
#: Blocks back in which differences are looked at again: pails live for a day.
_OLDEST = 288


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result of one run."""

    #: Farmers, counted once per block.
    compared: int = 0
    #: Differences that were not known before.
    found: int = 0
    #: Operations that were recorded as the chain has them, and harvests that were queued.
    settled: int = 0


class Reconciler:
    """The reconciler, with one run at a time; several processes do no harm."""

    def __init__(
        self, chain: Chain, store: ReconcileStore, chain_view: ChainView, changes: Wakeup
    ) -> None:
        """Ring `changes` when there is something to take up."""
        self._chain = chain
        self._chain_view = chain_view
        self._changes = changes
        self._store = store
        self._foreign_harvests = ForeignHarvests(chain, store)
        self._running = asyncio.Lock()

    async def run(self) -> Report:
        """Compare everything once."""
        async with self._running:
            current = self._chain_view.current.head.current_block
            report = await self._balances()
            if current is not None:
                for block in await self._blocks(current):
                    report = _sum(report, await self._block(block, current))
            log.info(
                "reconciled",
                compared=report.compared,
                found=report.found,
                settled=report.settled,
            )
            return report

    async def _blocks(self, current: int) -> list[int]:
        """Return the blocks to look at, the oldest first.

        The next block is one of them: nodes may have said that plants opened it when they did not.
        Older blocks are looked at again while something differs there: what nodes that lied had
        recorded at the last moment has to be corrected, too.
        """
        first = max(0, current - _BLOCKS + 1)
        differing = await self._store.differing_blocks(
            first=current - _OLDEST, before=first, limit=_BLOCKS
        )
        return [*differing, *range(first, current + 2)]

    async def _block(self, block: int, current: int) -> Report:
        if block <= current and await self._chain.block(block) is None:
            return Report()  # it has expired
        report, after = Report(), None
        while page := await self._store.kept(block, after=after, limit=_PAGE):
            report = _sum(report, await self._page(page, block, current))
            after = page[-1].wallet_id
        return report

    async def _page(self, page: Sequence[Kept], block: int, current: int) -> Report:
        """Compare a page of records with the chain, read between two reads of the records.

        What changed meanwhile waits for the next run.
        """
        ledger = (await self._chain.head()).sequence
        places = [(item.address, block) for item in page]
        pails = await self._chain.pails(places)
        after = _before(page[0].wallet_id)
        again = await self._store.kept(block, after=after, limit=len(page))
        steady = [item for item in page if item in again]
        findings = _compared(steady, pails, ledger)
        if findings and self._chain.configured > 1:
            # The word of one node alone is not recorded.
            pails = await self._chain.trusted(Decision.RECORD_FOUND).pails(places)
            findings = _compared(steady, pails, ledger)
        settled = await self._settle(steady, pails, findings, current)
        taken, is_whole = await self._harvested_by_others(steady, findings)
        findings = [item for item in findings if (item.wallet_id, block) not in taken]
        if is_whole:
            settled += await self._deny(steady, findings, pails)
        findings += await self._events(steady, pails, findings, ledger)
        found = await self._note(findings, ledger)
        await self._store.settle_gone(
            block, [item.wallet_id for item in steady], findings, how="they agree again"
        )
        return Report(compared=len(page), found=found + len(taken), settled=settled + len(taken))

    async def _settle(
        self,
        steady: Sequence[Kept],
        pails: Mapping[Place, PailState],
        findings: Sequence[Finding],
        current: int,
    ) -> int:
        """Record what pails show and no record does, and queue their harvests; return how many."""
        kinds = {(item.wallet_id, item.kind) for item in findings}
        differing = {item.wallet_id for item in findings}
        settled = 0
        for item in steady:
            pail = pails.get((item.address, item.block_index))
            if pail is None or item.wallet_id not in differing:
                continue
            if (item.wallet_id, Difference.PLANT_WITHOUT_RECORD) in kinds:
                await self._store.insert_plant(item, pail)
                settled += 1
            # While a block is open its pails may still grow.
            is_closed = item.block_index < current
            if is_closed and (item.wallet_id, Difference.WORK_WITHOUT_RECORD) in kinds:
                await self._store.insert_work(item, pail)
                settled += 1
            if is_worth_harvesting(item, pail, current_block=current):
                # No record leads to this reward.
                await self._store.queue_harvest(item)
                self._changes.notify()
                settled += 1
        return settled

    async def _harvested_by_others(
        self, steady: Sequence[Kept], findings: Sequence[Finding]
    ) -> tuple[set[Harvested], bool]:
        """Record the harvests that explain why planted pails are gone.

        Return the harvests (wallet and block), and whether nodes told of all harvests as far back
        as the pails were planted.
        """
        missing = {
            item.wallet_id for item in findings if item.kind is Difference.RECORD_WITHOUT_PLANT
        }
        gone = [item for item in steady if item.wallet_id in missing]
        first = min((item.planted_ledger for item in gone), default=0)
        farmers = {item.address: item.wallet_id for item in gone}
        found = await self._foreign_harvests.record(farmers, first=first)
        is_whole = not gone or (await self._chain.head()).oldest <= first
        return set(found or ()), found is not None and is_whole

    async def _deny(
        self,
        steady: Sequence[Kept],
        findings: Sequence[Finding],
        pails: Mapping[Place, PailState],
    ) -> int:
        """Record as failed what never was: an earlier run found no trace of it either.

        The sequence number of its transaction is unused, or only a pail told that it was done, and
        that pail is not there. The number is the proof: nodes that hide a pail for a while must not
        undo what a ledger is recorded to have done.
        """
        if not any(item.kind in DENIED for item in findings):
            return 0
        there = {
            item.wallet_id: pails[item.address, item.block_index]
            for item in steady
            if (item.address, item.block_index) in pails
        }
        denied = await self._store.denied(steady[0].block_index, findings, there)
        if not denied:
            return 0
        chain = self._chain.trusted(Decision.RECORD_FOUND)
        sources = sorted({item.source for item in denied if item.source is not None})
        numbers = (await chain.sequences(sources))[1] if sources else {}
        never = [item for item in denied if item.is_refuted_by(numbers)]
        if not never:
            return 0
        log.critical("recorded as done, and never sent: corrected", operations=len(never))
        return await self._store.deny(never)

    async def _events(
        self,
        steady: Sequence[Kept],
        pails: Mapping[Place, PailState],
        findings: Sequence[Finding],
        ledger: int,
    ) -> list[Finding]:
        """Return the differences of events, for farmers whose operations agree with the chain."""
        differing = {item.wallet_id for item in findings}
        agreeing = [item for item in steady if item.wallet_id not in differing]
        if not agreeing:
            return []
        told = await self._store.told(
            agreeing[0].block_index, [item.wallet_id for item in agreeing]
        )
        return [
            finding
            for item in agreeing
            for finding in compare_events(
                item,
                told[item.wallet_id],
                pails.get((item.address, item.block_index)),
                ledger=ledger,
            )
        ]

    async def _balances(self) -> Report:
        report, after = Report(), None
        while page := await self._store.balances(after=after, limit=_PAGE):
            ledger, kale = await self._kale(page)
            again = await self._store.balances(after=_before(page[0].wallet_id), limit=len(page))
            steady = [
                item
                for item in page
                if item in again and not item.is_moving and item.ledger <= ledger
            ]
            found = {
                item: compare_balance(item, kale[item.address], ledger=ledger) for item in steady
            }
            differing = [item for item, finding in found.items() if finding is not None]
            taken = await self._explain(differing)
            if taken:
                report = _sum(report, Report(found=len(taken), settled=len(taken)))
                continue  # compare the page again, with what is recorded now
            fresh = await self._note([item for item in found.values() if item is not None], ledger)
            # A farmer may be sent money from outside: that is told once, and counted in from then
            # on. A difference that a node may still explain is told, and looked at again from the
            # same ledger.
            counted = [item for item in steady if taken is not None or found[item] is None]
            await self._store.save_balances(
                {item.wallet_id: kale[item.address] for item in counted}, ledger=ledger
            )
            await self._store.settle_gone(
                0, [item.wallet_id for item in counted], [], how="counted in"
            )
            report = _sum(report, Report(found=fresh))
            after = page[-1].wallet_id
        return report

    async def _kale(self, page: Sequence[Balance]) -> tuple[int, dict[str, int]]:
        """Return the ledger that was read and these farmers' KALE, by address.

        It is read by agreement when any farmer has not what it should have.
        """
        addresses = [item.address for item in page]
        ledger, states = await self._chain.accounts(addresses)
        kale = {state.address: state.kale for state in states}
        differs = any(
            compare_balance(item, kale[item.address], ledger=ledger) is not None for item in page
        )
        if differs and self._chain.configured > 1:
            chain = self._chain.trusted(Decision.RECORD_FOUND)
            ledger, states = await chain.accounts(addresses)
        return ledger, {state.address: state.kale for state in states}

    async def _explain(self, differing: Sequence[Balance]) -> Sequence[Harvested] | None:
        """Record harvests since the last look that no record has; return None when nobody tells."""
        first = min((item.since or 0 for item in differing), default=0) + 1
        farmers = {item.address: item.wallet_id for item in differing}
        return await self._foreign_harvests.record(farmers, first=first)

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


def _compared(
    steady: Sequence[Kept], pails: Mapping[Place, PailState], ledger: int
) -> list[Finding]:
    return [
        finding
        for item in steady
        for finding in compare(item, pails.get((item.address, item.block_index)), ledger=ledger)
    ]


def _before(wallet_id: WalletId) -> WalletId:
    """Return the greatest id below this one, so that a page begins with this one."""
    return WalletId(UUID(int=wallet_id.int - 1))


def _sum(one: Report, other: Report) -> Report:
    return Report(
        compared=one.compared + other.compared,
        found=one.found + other.found,
        settled=one.settled + other.settled,
    )
