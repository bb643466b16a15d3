"""Takes up queued plants, works and harvests: checks, simulates, signs, commits, sends."""

import asyncio
from dataclasses import dataclass
from functools import partial

from libs.common.errors import PoolError, UnavailableError
from libs.common.failpoints import failpoint
from libs.common.ids import WalletId
from libs.common.log import get_logger
from services.wallet.chain.calls import FarmCall
from services.wallet.chain.errors import FeeCapExceededError, SimulationError
from services.wallet.chain.facade import Bid, Chain
from services.wallet.chain.model import AccountState, SignedEnvelope
from services.wallet.domain.blocks import readiness
from services.wallet.domain.model import (
    FailureReason,
    OperationKind,
    QueuedOperation,
    Settlement,
)
from services.wallet.domain.outcomes import Action, meaning
from services.wallet.domain.settling import given_up, judged, later, refused
from services.wallet.engine.accounts import CHUNK, Accounts
from services.wallet.engine.bell import Bell
from services.wallet.engine.follower import Follower
from services.wallet.engine.keyring import Keyring
from services.wallet.engine.sender import Outgoing, Sender
from services.wallet.engine.treasury import Treasury
from services.wallet.engine.watch import Sight, Watch
from services.wallet.store.operations import OperationStore
from services.wallet.store.transactions import TransactionStore

log = get_logger(__name__)

#: Seconds for which a process has an operation to itself. Two that work on the same one do no harm
#: (only one can commit an envelope), so a short lease is enough, and a crash costs no more.
LEASE = 5.0
#: Seconds to wait when the node or the database is away.
PAUSE = 1.0
#: Seconds after which the queue is looked at even if nobody rang.
IDLE = 1.0


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The operator's limits for one transaction."""

    #: Seconds (of ledger close time) that an envelope may live.
    lifetime: int
    #: Stroops that the network may charge at most.
    max_fee: int
    #: Operations that are simulated and signed at the same time.
    parallel: int


@dataclass(frozen=True, kw_only=True)
class EngineParts:
    """What the engine works with."""

    chain: Chain
    operations: OperationStore
    transactions: TransactionStore
    keyring: Keyring
    treasury: Treasury
    accounts: Accounts
    follower: Follower
    watch: Watch
    sender: Sender
    #: Rings when an operation was recorded or settled, and with every new ledger.
    bell: Bell
    terms: Terms


class Dispatcher:
    """Works on as many operations at a time as the terms allow, one per farmer."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._running: dict[WalletId, asyncio.Task[None]] = {}

    async def step(self) -> None:
        """One round: takes up what there is, then waits for a free hand or for news."""
        seen = self._parts.bell.rings
        room = 2 * self._parts.terms.parallel - len(self._running)
        claimed = await self._claim(room) if room > 0 else []
        if claimed:
            await self._start(claimed)
        if len(self._running) >= 2 * self._parts.terms.parallel:
            await asyncio.wait(self._running.values(), return_when=asyncio.FIRST_COMPLETED)
        elif not claimed:
            await self._parts.bell.wait(seen, IDLE)

    async def aclose(self) -> None:
        """Cancels what runs; the durable records stay to go on from."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _claim(self, room: int) -> list[QueuedOperation]:
        if not (self._parts.watch.is_fresh and self._parts.accounts.can_pay):
            return []
        return await self._parts.operations.claim(
            limit=min(room, CHUNK),
            lease=LEASE,
            ledger=self._parts.watch.current.ledger.sequence,
            busy=self._running,
        )

    async def _start(self, claimed: list[QueuedOperation]) -> None:
        _, states = await self._parts.chain.accounts([item.address for item in claimed])
        for operation, account in zip(claimed, states, strict=True):
            task = asyncio.create_task(self._guarded(operation, account))
            self._running[operation.wallet_id] = task
            task.add_done_callback(partial(self._ended, operation.wallet_id))

    def _ended(self, wallet_id: WalletId, _: "asyncio.Task[None]") -> None:
        del self._running[wallet_id]
        self._parts.bell.ring()

    async def _guarded(self, operation: QueuedOperation, account: AccountState) -> None:
        """A failure of one operation must not touch the others; its lease ends by itself."""
        try:
            settlement = await self._dispatch(operation, account)
            if settlement is not None:
                await self._parts.operations.settle_queued([settlement])
        except UnavailableError as error:
            log.warning("dispatch delayed", operation=str(operation.id), error=str(error))
        except Exception:
            log.exception("defect", operation=str(operation.id))

    async def _dispatch(
        self, operation: QueuedOperation, account: AccountState
    ) -> Settlement | None:
        """Brings it on its way; gives its settlement when no envelope came of it."""
        sight = self._parts.watch.current
        verdict = readiness(operation.kind, operation.block_index, sight.head)
        settlement = judged(operation, verdict, sight.head)
        if settlement is not None:
            return settlement
        if not account.exists:
            return given_up(operation, FailureReason.NOT_FUNDED, "the account does not exist")
        return await self._try(operation, account.sequence + 1, sight)

    async def _try(
        self, operation: QueuedOperation, sequence: int, sight: Sight
    ) -> Settlement | None:
        bid = Bid(
            max_time=sight.bound(operation.kind, self._parts.terms.lifetime),
            inclusion_fee=sight.inclusion_fee,
            max_fee=self._parts.terms.max_fee,
        )
        if bid.max_time <= sight.ledger.close_time:
            return later(operation, due_ledger=sight.ledger.sequence + 1)
        try:
            await self._submit(operation, sequence, bid, sight)
        except SimulationError as error:
            return await self._refuse(operation, error)
        except FeeCapExceededError as error:
            return given_up(operation, FailureReason.FEE_CAP, error.message)
        except PoolError as error:
            log.warning("dispatch delayed", operation=str(operation.id), error=str(error))
            return later(operation, seconds=PAUSE)
        return None

    async def _submit(
        self, operation: QueuedOperation, sequence: int, bid: Bid, sight: Sight
    ) -> None:
        """Simulates, signs, commits, sends."""
        stake = await self._stake_returned(operation)
        envelope = await self._sign(operation, sequence, bid)
        ledger = sight.ledger.sequence
        transaction_id = await self._parts.transactions.commit_signed(
            envelope, [operation.id], ledger=ledger, stakes_returned=[stake]
        )
        if transaction_id is None:
            return  # somebody else has it; this envelope was never sent and is forgotten
        await failpoint("wallet.transaction.signed")
        outgoing = Outgoing(id=transaction_id, envelope=envelope.xdr, fee_bid=envelope.fee_bid)
        await self._parts.sender.send(outgoing, ledger=ledger)

    async def _sign(self, operation: QueuedOperation, sequence: int, bid: Bid) -> SignedEnvelope:
        ids = [operation.wallet_id, self._parts.treasury.wallet.id]
        async with self._parts.keyring.signers(ids) as (signer, treasury):
            return await self._parts.chain.sign_call(
                self._call(operation),
                signer=signer,
                treasury=treasury,
                sequence=sequence,
                bid=bid,
            )

    def _call(self, operation: QueuedOperation) -> FarmCall:
        chain, farmer = self._parts.chain, operation.address
        if operation.kind is OperationKind.PLANT:
            return chain.plant(farmer=farmer, stake=operation.amount)
        if operation.kind is OperationKind.HARVEST:
            return chain.harvest(farmer=farmer, index=operation.block_index)
        if operation.hash is None or operation.nonce is None:
            raise ValueError(f"operation {operation.id} is no call of the farm")
        return chain.work(farmer=farmer, work_hash=operation.hash, nonce=operation.nonce)

    async def _stake_returned(self, operation: QueuedOperation) -> int:
        """What a harvest will give back: the pail has it, and is gone afterwards."""
        if operation.kind is not OperationKind.HARVEST:
            return 0
        pail = await self._parts.chain.pail(operation.address, operation.block_index)
        return 0 if pail is None else pail.stake

    async def _refuse(self, operation: QueuedOperation, error: SimulationError) -> Settlement:
        sight = await self._parts.follower.refresh()
        pail = None
        if meaning(operation.kind, error.error).action is Action.LOOK_UP_PAIL:
            pail = await self._parts.chain.pail(operation.address, operation.block_index)
        return refused(operation, error.error, sight.head, pail=pail)
