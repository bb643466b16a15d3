"""Use cases of the pool's ledger: a look at all of it, and a farmer's page."""

from collections import Counter
from collections.abc import Sequence

from libs.batches.model import FarmerNotFoundError
from libs.common.ids import FarmerId
from libs.common.log import get_security_logger
from services.harvest.domain.ledger import (
    Account,
    Difference,
    Journal,
    LedgerCheck,
    Proven,
    Sum,
    overdrawn,
    wrong_balances,
    wrong_earnings,
    wrong_holdings,
)
from services.harvest.store.ledger import LedgerStore, Snapshot
from services.harvest.store.store import Store

security = get_security_logger()

#: Journals whose entries one statement adds up.
_RANGE = 100_000
#: Blocks whose miners' parts one statement adds up.
_BLOCKS = 1_000
#: Differences that the log tells one by one.
_TOLD = 20


class Ledger:
    """The use cases of one process; it remembers what the last look found."""

    def __init__(self, *, store: Store, ledger: LedgerStore, journals: int = _RANGE) -> None:
        """Add up so many `journals` in one statement."""
        self._store = store
        self._ledger = ledger
        self._range = journals
        #: The last look by night; None before the first one.
        self.last_check: LedgerCheck | None = None

    @property
    def warnings(self) -> list[str]:
        """Return in words what the last look by night found."""
        wrong = 0 if self.last_check is None else len(self.last_check.differences)
        return [f"the ledger does not add up in {wrong} places: kalepool ledger check"] * bool(
            wrong
        )

    async def check(self) -> LedgerCheck:
        """Look at the whole ledger: do entries add up to nothing, and balances to entries?"""
        found, _ = await self._look(Proven())
        return found

    async def watch(self, *, is_full: bool = False) -> LedgerCheck:
        """Look at the ledger, and raise an alarm when anything does not add up.

        The look goes on from what the last one has proven, unless it is to be a full one: so it
        does not grow with the ledger.
        """
        found, proven = await self._look(Proven() if is_full else await self._ledger.proven())
        self.last_check = found
        for difference in found.differences[:_TOLD]:
            security.critical(
                "ledger does not add up",
                what=difference.kind,
                owner=str(difference.owner_id or ""),
                role=difference.role,
                asset=difference.asset,
                journal=difference.journal_id,
                kept=difference.kept,
                expected=difference.expected,
            )
        if not found.differences:
            await self._ledger.save_proven(proven)
        security.info("ledger checked", journals=found.journals, wrong=len(found.differences))
        return found

    async def accounts(self, farmer_id: FarmerId) -> list[Account]:
        """Return a farmer's accounts. Raises FarmerNotFoundError."""
        found = await self._ledger.accounts_of(farmer_id)
        if not found and not await self._store.farmer_exists(farmer_id):
            raise FarmerNotFoundError(f"no farmer {farmer_id}")
        return found

    async def journals(
        self, farmer_id: FarmerId, *, before: int | None, limit: int
    ) -> Sequence[Journal]:
        """Return a farmer's journals, newest first."""
        return await self._ledger.journals_of(farmer_id, before=before, limit=limit)

    async def _look(self, base: Proven) -> tuple[LedgerCheck, Proven]:
        """Look at all journals after those that are proven; return what is proven then, too."""
        async with self._ledger.snapshot() as snapshot:
            reading = _Reading(snapshot, base)
            settled = max(base.journal_id, await snapshot.settled())
            await reading.read(settled, self._range)
            proven = reading.proven(before_block=await snapshot.last_pot() or 0)
            await reading.read(snapshot.last, self._range)
            return await reading.result(), proven


class _Reading:
    """What the journals that were read so far add up to."""

    def __init__(self, snapshot: Snapshot, base: Proven) -> None:
        self._snapshot = snapshot
        self._last, self._journals = base.journal_id, base.journals
        self._sums = dict(base.sums)
        self._earned, self._held = Counter(base.earned), Counter(base.held)
        self._block = base.block_index
        self._differences: list[Difference] = []

    async def read(self, last: int, size: int) -> None:
        """Read the journals up to one, so many numbers at a time."""
        snapshot = self._snapshot
        for after in range(self._last, last, size):
            part = (after, min(after + size, last))
            for account, added in (await snapshot.sums(*part)).items():
                self._sums[account] = self._sums.get(account, Sum()) + added
            self._earned.update(await snapshot.booked_earnings(*part))
            self._held.update(await snapshot.booked_holdings(*part))
            self._differences += await snapshot.unbalanced(*part)
            self._journals += await snapshot.journals(*part)
        self._last = max(self._last, last)

    def proven(self, *, before_block: int) -> Proven:
        """Return what they add up to; the last blocks before this one may still change."""
        return Proven(
            journal_id=self._last,
            journals=self._journals,
            block_index=max(self._block, before_block - _BLOCKS),
            sums=dict(self._sums),
            earned=dict(self._earned),
            held=dict(self._held),
        )

    async def result(self) -> LedgerCheck:
        """Compare what is kept with it."""
        snapshot = self._snapshot
        accounts = await snapshot.accounts()
        differences = [
            *self._differences,
            *wrong_balances(accounts, self._sums),
            *wrong_earnings(await snapshot.kept_earnings(), self._earned),
            *wrong_holdings(await snapshot.kept_holdings(), self._held),
        ]
        last = await snapshot.last_pot()
        for first in range(self._block, 0 if last is None else last + 1, _BLOCKS):
            differences += await snapshot.wrong_pots(first, first + _BLOCKS - 1)
        return LedgerCheck(
            at=snapshot.at,
            accounts=len(accounts),
            journals=self._journals,
            entries=sum(found.entries for found in self._sums.values()),
            differences=differences,
            overdrawn=overdrawn(accounts),
            unexplained=await snapshot.unexplained(),
        )
