"""Transactions of the treasury: one at a time, each for several operations of one kind."""

from collections.abc import Callable, Sequence

from libs.common.failpoints import failpoint
from libs.common.ids import WalletId
from services.wallet.chain import FeeCapExceededError
from services.wallet.domain.chain_facts import AccountState, SignedEnvelope
from services.wallet.domain.model import OperationEvent, OperationKind, QueuedOperation, Settlement
from services.wallet.domain.settling import later
from services.wallet.domain.trust import Decision
from services.wallet.engine.alarms import Alarm
from services.wallet.engine.parts import LEASE, EngineParts
from services.wallet.engine.sender import Outgoing
from services.wallet.engine.sequence_sources import next_numbers
from services.wallet.store.transactions import Draft

#: Seconds until the next try when the bid was above the cap, or no budget allowed it.
_CAP_PAUSE = 60


async def take_up(parts: EngineParts, kind: OperationKind, *, limit: int) -> list[QueuedOperation]:
    """Operations of a kind, if the treasury can pay and has nothing in flight."""
    if not (parts.watch.is_fresh and parts.accounts.can_pay):
        return []
    if parts.rent_turn.is_waiting:  # farmers' calls may soon have to wait for it
        return []
    return await parts.operations.claim_for_treasury(
        kind,
        limit=limit,
        lease=LEASE,
        ledger=parts.watch.current.ledger.sequence,
        treasury=parts.treasury.wallet.address,
    )


async def next_sequence(parts: EngineParts, treasury: AccountState, ledger: int) -> int:
    """The treasury's next sequence number, after what a node showed at a ledger."""
    read = {treasury.address: treasury.sequence}
    return (await next_numbers(parts.transactions, read, ledger))[treasury.address]


async def settle_present(
    parts: EngineParts, present: Sequence[QueuedOperation], ledger: int
) -> None:
    """What the chain shows to be done, by whomever, is settled without a transaction; where there
    are several nodes, when they agree on it."""
    if not present:
        return
    there = await _confirmed(parts, present)
    await parts.operations.settle_queued(
        [
            Settlement(operation_id=item.id, event=OperationEvent.SUCCEED, ledger=ledger)
            if item.address in there
            else later(item, due_ledger=ledger + 1)
            for item in present
        ]
    )
    parts.accounts.touch((item.wallet_id, item.address) for item in present)
    parts.settled()


async def _confirmed(parts: EngineParts, present: Sequence[QueuedOperation]) -> set[str]:
    """The addresses of those that are there."""
    addresses = {item.address: item.kind for item in present}
    if parts.chain.configured == 1:
        return set(addresses)
    chain = parts.chain.trusted(Decision.SETTLE_FUNDING)
    _, states = await chain.accounts(list(addresses))
    return {
        state.address
        for state in states
        if state.exists
        and (state.has_trustline or addresses[state.address] is not OperationKind.ONBOARD)
    }


async def submit(
    parts: EngineParts,
    operations: Sequence[QueuedOperation],
    sign: Callable[[], SignedEnvelope],
    *,
    payer: WalletId | None = None,
) -> None:
    """Signs for these operations, commits that and sends it; above the cap they wait, which is
    told once. `payer` is whose transaction it is, when they are payments."""
    name = f"{operations[0].kind.value}s"
    try:
        envelope = sign()
    except FeeCapExceededError as error:
        alarm = Alarm(name=name, cause="MAX_FEE_STROOPS", message=error.message)
        parts.alarms.tell(alarm)
        await _postpone(parts, operations)
        return
    ids, ledger = tuple(item.id for item in operations), parts.watch.current.ledger.sequence
    draft = Draft(
        envelope=envelope, operation_ids=ids, stakes_returned=(0,) * len(ids), payer_id=payer
    )
    committed = await parts.transactions.commit_signed([draft], ledger=ledger)
    if committed.unpaid:
        parts.alarms.tell(Alarm(name=name, cause="FEE_DAILY", message="the fee budget is used up"))
        await _postpone(parts, [item for item in operations if item.id in committed.unpaid])
        await parts.operations.release(sorted(committed.spared))
    if not committed.recorded:
        return
    parts.alarms.over(name)
    await failpoint("wallet.transaction.signed")
    cap = parts.limits.cap(len(ids), is_payment=payer is not None)
    outgoing = Outgoing(id=draft.id, envelope=envelope.xdr, max_fee=cap)
    await parts.sender.send([outgoing], ledger=ledger)


async def _postpone(parts: EngineParts, operations: Sequence[QueuedOperation]) -> None:
    waiting = [later(operation, seconds=_CAP_PAUSE) for operation in operations]
    await parts.operations.settle_queued(waiting)
