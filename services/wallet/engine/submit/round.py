"""The result of a round of operations, and what single calls and packs have in common."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from services.wallet.chain import Chain, FarmCall, FeeCapExceededError, SimulationError, alone
from services.wallet.domain.chain_facts import ContractError
from services.wallet.domain.model import OperationKind, QueuedOperation, Settlement
from services.wallet.domain.outcomes import Action, meaning
from services.wallet.domain.settling import later, refused
from services.wallet.domain.trust import Decision
from services.wallet.engine.chain_view import ChainState
from services.wallet.engine.follower import Follower
from services.wallet.store.transactions import Draft


@dataclass(frozen=True, kw_only=True)
class TooDear:
    """An operation whose bid would exceed the cap."""

    operation: QueuedOperation
    #: The error that says so.
    error: FeeCapExceededError


@dataclass(frozen=True, kw_only=True)
class Round:
    """The result for a group of operations; the parts of a round add up to the round."""

    #: Drafts that are signed and not durable yet.
    drafts: tuple[Draft, ...] = ()
    #: Operations that were settled without a transaction.
    settled: tuple[Settlement, ...] = ()
    #: Operations that are not needed now, as there is no room.
    unused: tuple[QueuedOperation, ...] = ()
    #: Operations whose bid would exceed the cap.
    too_dear: tuple[TooDear, ...] = ()

    def __add__(self, other: "Round") -> "Round":
        return Round(
            drafts=self.drafts + other.drafts,
            settled=self.settled + other.settled,
            unused=self.unused + other.unused,
            too_dear=self.too_dear + other.too_dear,
        )

    def missing(self, group: Iterable[QueuedOperation]) -> tuple[QueuedOperation, ...]:
        """Return the operations of a group that nothing became of."""
        done = {item for draft in self.drafts for item in draft.operation_ids}
        done |= {item.operation_id for item in self.settled} | {item.id for item in self.unused}
        done |= {item.operation.id for item in self.too_dear}
        return tuple(item for item in group if item.id not in done)


def postponed(
    operations: Iterable[QueuedOperation], chain_state: ChainState, *, pack_limit: int | None = None
) -> Round:
    """Put operations off until the next ledger."""
    due = chain_state.ledger.sequence + 1
    return Round(
        settled=tuple(later(item, due_ledger=due, pack_limit=pack_limit) for item in operations)
    )


def call_of(chain: Chain, operation: QueuedOperation) -> FarmCall:
    """Return the call of the farm that an operation stands for."""
    farm, farmer, index = chain.farm_calls, operation.address, operation.block_index
    match operation.kind:
        case OperationKind.PLANT:
            return farm.plant(farmer=farmer, index=index, stake=operation.amount)
        case OperationKind.HARVEST:
            return farm.harvest(farmer=farmer, index=index)
        case OperationKind.WORK:
            if operation.hash is None or operation.nonce is None:
                raise ValueError(f"work {operation.id} has no hash")
            work_hash, nonce = operation.hash, operation.nonce
            return farm.work(farmer=farmer, index=index, work_hash=work_hash, nonce=nonce)
        case (
            OperationKind.DATA_ENTRY
            | OperationKind.CLOSE_ACCOUNT
            | OperationKind.ONBOARD
            | OperationKind.OPEN_CHANNEL
            | OperationKind.OPEN_PAYER
            | OperationKind.TOP_UP
            | OperationKind.WITHDRAW
            | OperationKind.PAYOUT
            | OperationKind.POOL_PAYMENT
        ):
            raise ValueError(f"operation {operation.id} is no call of the farm")
    assert_never(operation.kind)


@dataclass(frozen=True, kw_only=True)
class Refuser:
    """The settler of operations that a simulation refuses."""

    chain: Chain
    follower: Follower

    async def settle(self, operation: QueuedOperation, error: SimulationError) -> Settlement:
        """Return the settlement of an operation that a simulation refused.

        Where there are several nodes, several have to agree, since also a node that only postpones
        the operation could do so until its block is over. Raises DisagreementError while they
        differ.
        """
        chain_state = await self.follower.refresh()
        why: ContractError | None = error.error
        if self.chain.configured > 1:
            load = alone(call_of(self.chain, operation))
            chain = self.chain.trusted(Decision.REFUSE_BY_SIMULATION)
            why = await chain.refusal(load, source=operation.address)
        if why is None:
            return later(operation, due_ledger=chain_state.ledger.sequence + 1)
        pail = None
        if meaning(operation.kind, why).action is Action.LOOK_UP_PAIL:
            chain = self.chain.trusted(Decision.SETTLE_BY_PAIL)
            pail = await chain.pail(operation.address, operation.block_index)
        return refused(operation, why, chain_state.head, pail=pail)
