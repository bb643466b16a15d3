"""Use cases of the pool's ledger: a look at all of it, and a farmer's page."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from libs.batches.model import FarmerNotFoundError
from libs.common.ids import FarmerId
from libs.common.log import get_security_logger
from services.harvest.domain.ledger import (
    Account,
    Difference,
    Journal,
    LedgerCheck,
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
        async with self._ledger.snapshot() as snapshot:
            return await self._look(snapshot)

    async def watch(self) -> LedgerCheck:
        """Look at the whole ledger, and raise an alarm when anything does not add up."""
        found = self.last_check = await self.check()
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

    async def _look(self, snapshot: Snapshot) -> LedgerCheck:
        sums: dict[int, Sum] = {}
        booked, held = Counter[UUID](), Counter[UUID]()
        journals, differences = 0, list[Difference]()
        for after in range(0, snapshot.last, self._range):
            part = (after, min(after + self._range, snapshot.last))
            for account, added in (await snapshot.sums(*part)).items():
                sums[account] = sums.get(account, Sum()) + added
            booked.update(await snapshot.booked_earnings(*part))
            held.update(await snapshot.booked_holdings(*part))
            differences += await snapshot.unbalanced(*part)
            journals += await snapshot.journals(*part)
        accounts = await snapshot.accounts()
        differences += wrong_balances(accounts, sums)
        differences += wrong_earnings(await snapshot.kept_earnings(), booked)
        differences += wrong_holdings(await snapshot.kept_holdings(), held)
        last = await snapshot.last_pot()
        for first in range(0, 0 if last is None else last + 1, _BLOCKS):
            differences += await snapshot.wrong_pots(first, first + _BLOCKS - 1)
        return LedgerCheck(
            at=snapshot.at,
            accounts=len(accounts),
            journals=journals,
            entries=sum(found.entries for found in sums.values()),
            differences=differences,
            overdrawn=overdrawn(accounts),
            unexplained=await snapshot.unexplained(),
        )
