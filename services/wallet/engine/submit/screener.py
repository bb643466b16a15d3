"""The look at pails and accounts before anything is paid for plants, works and harvests."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from libs.common.ids import OperationId
from libs.common.log import get_logger
from services.wallet.chain import Chain, Place, raw
from services.wallet.domain.chain_facts import AccountState, PailState
from services.wallet.domain.kinds import OPERATION_KINDS
from services.wallet.domain.model import QueuedOperation, Settlement
from services.wallet.domain.screening import Advice, Screening, barrier, screen
from services.wallet.domain.trust import Decision
from services.wallet.engine.chain_view import ChainState
from services.wallet.engine.sequence_sources import Seen

log = get_logger(__name__)

Pails = dict[Place, PailState]
#: Accounts by address.
AccountStates = dict[str, AccountState]


@dataclass(frozen=True, kw_only=True)
class Screened:
    """Operations divided by what pails and accounts show, before anything is paid for them."""

    #: Operations to be simulated one by one.
    exact: tuple[QueuedOperation, ...]
    #: Operations that may be built from a template.
    derived: tuple[QueuedOperation, ...]
    #: Settlements of operations that are shown to be done or hopeless.
    settled: tuple[Settlement, ...]
    #: Stroops of KALE that harvests give back: the pails show these, and are gone afterwards.
    stakes: Mapping[OperationId, int]
    #: The farmers' accounts that were read for this.
    seen: Seen


@dataclass(frozen=True, kw_only=True)
class Screener:
    """The screening of operations that are alike."""

    chain: Chain

    async def screen(
        self, operations: Sequence[QueuedOperation], chain_state: ChainState
    ) -> Screened:
        """Divide operations into those to simulate one by one and those that may use a template.

        Operations that are shown to be done or hopeless are settled here, which costs nothing. So
        one farmer whose account does not obey keeps nobody else waiting.
        """
        shown = await self._shown(operations)
        shown = await self._confirmed(operations, shown, chain_state)
        exact: list[QueuedOperation] = []
        derived: list[QueuedOperation] = []
        settled: list[Settlement] = []
        stakes: dict[OperationId, int] = {}
        for operation in operations:
            pail = shown.pail(operation)
            if pail is not None and OPERATION_KINDS[operation.kind].returns_stake:
                stakes[operation.id] = pail.stake
            screening = shown.screening(operation, chain_state)
            if screening.settlement is not None:
                settled.append(screening.settlement)
            elif screening.advice is Advice.SIMULATE or operation.pack_limit == 1:
                exact.append(operation)
            else:
                derived.append(operation)
        return Screened(
            exact=tuple(exact),
            derived=tuple(derived),
            settled=tuple(settled),
            stakes=stakes,
            seen=Seen(ledger=shown.ledger, accounts=shown.accounts),
        )

    async def _shown(self, operations: Sequence[QueuedOperation]) -> "Shown":
        places = [_place(item) for item in operations]
        addresses = [item.address for item in operations if _needs_account(item)]
        pails, (ledger, accounts) = await asyncio.gather(
            self.chain.pails(places), _accounts(self.chain, addresses)
        )
        return Shown(pails=pails, accounts=accounts, ledger=ledger)

    async def _confirmed(
        self, operations: Sequence[QueuedOperation], shown: "Shown", chain_state: ChainState
    ) -> "Shown":
        """Return what is shown, confirmed by several nodes where much depends on it.

        That is where a pail or an account would end an operation. It is also where a pail tells the
        stake that a harvest brings back: the stake is recorded, and is nowhere on the chain
        afterwards.
        """
        if self.chain.configured == 1:
            return shown
        pails, accounts = dict(shown.pails), dict(shown.accounts)
        ending = [
            _place(item)
            for item in operations
            if OPERATION_KINDS[item.kind].returns_stake
            or shown.by_pail(item, chain_state).settlement is not None
        ]
        if ending:
            pails = {place: pail for place, pail in pails.items() if place not in ending}
            pails |= await self.chain.trusted(Decision.SETTLE_BY_PAIL).pails(ending)
        barred = [item.address for item in operations if shown.by_account(item).settlement]
        if barred:
            chain = self.chain.trusted(Decision.REFUSE_ACCOUNT)
            ledger, confirmed = await _accounts(chain, barred)
            accounts |= confirmed
            shown = replace(shown, ledger=min(shown.ledger, ledger))
        return replace(shown, pails=pails, accounts=accounts)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What nodes show of pails and accounts."""

    #: The pails that there are.
    pails: Pails
    #: The accounts of the operations that depend on them.
    accounts: AccountStates
    #: The ledger that the accounts were read at.
    ledger: int

    def pail(self, operation: QueuedOperation) -> PailState | None:
        """Return an operation's pail."""
        return self.pails.get(_place(operation))

    def screening(self, operation: QueuedOperation, chain_state: ChainState) -> Screening:
        """Advise on an operation; what its pail shows to be done counts before its account."""
        by_pail = self.by_pail(operation, chain_state)
        if by_pail.advice is Advice.SETTLED:
            return by_pail
        by_account = self.by_account(operation)
        return by_pail if by_account.advice is Advice.SEND else by_account

    def by_pail(self, operation: QueuedOperation, chain_state: ChainState) -> Screening:
        """Advise on an operation by its pail."""
        key = raw(operation.address)
        return screen(operation, self.pail(operation), key=key, block=chain_state.block)

    def by_account(self, operation: QueuedOperation) -> Screening:
        """Advise on an operation by its farmer's account, if it depends on that."""
        account = self.accounts.get(operation.address)
        if account is None:
            return Screening(advice=Advice.SEND)
        return barrier(operation, account, pail=self.pail(operation))


def _needs_account(operation: QueuedOperation) -> bool:
    """Tell whether an operation moves the balance of its farmer's account."""
    return OPERATION_KINDS[operation.kind].moves_balance


def _place(operation: QueuedOperation) -> Place:
    return operation.address, operation.block_index


async def _accounts(chain: Chain, addresses: Sequence[str]) -> tuple[int, AccountStates]:
    """Return the ledger that was read, and the accounts by address."""
    if not addresses:
        return 0, {}
    ledger, states = await chain.accounts(addresses)
    return ledger, {state.address: state for state in states}
