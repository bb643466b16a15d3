"""Brings farmers onto the chain: accounts and trustlines, up to 19 farmers in one transaction."""

from collections.abc import Sequence

from libs.common.failpoints import failpoint
from libs.common.ids import OperationId
from libs.common.log import get_logger
from services.wallet.chain.errors import FeeCapExceededError
from services.wallet.chain.facade import Bid
from services.wallet.chain.model import AccountState, SignedEnvelope
from services.wallet.chain.onboarding import MAX_FARMERS, Newcomer
from services.wallet.domain.model import OperationEvent, OperationKind, QueuedOperation, Settlement
from services.wallet.domain.settling import later
from services.wallet.engine.parts import LEASE, EngineParts
from services.wallet.engine.sender import Outgoing
from services.wallet.engine.watch import Sight
from services.wallet.store.transactions import Draft

log = get_logger(__name__)

#: Seconds until the next try when the bid was above the cap.
_CAP_PAUSE = 60.0

Arrival = tuple[QueuedOperation, AccountState]


def apart(arrivals: list[Arrival]) -> tuple[list[Arrival], list[Arrival]]:
    """Those that go together now, and those that wait for the next transaction.

    A transaction happens as a whole or not at all, so one that failed before goes alone: it must
    not hold up the others again.
    """
    fresh = [arrival for arrival in arrivals if arrival[0].attempts == 0]
    retried = [arrival for arrival in arrivals if arrival[0].attempts > 0]
    return (fresh, retried) if fresh else (retried[:1], retried[1:])


class Onboarder:
    """One transaction of the treasury at a time."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts

    async def step(self) -> bool:
        """Takes up to 19 farmers; whether there were any."""
        parts = self._parts
        if not (parts.watch.is_fresh and parts.accounts.can_pay):
            return False
        sight, treasury = parts.watch.current, parts.treasury.wallet
        claimed = await parts.operations.claim_for_treasury(
            OperationKind.ONBOARD,
            limit=MAX_FARMERS,
            lease=LEASE,
            ledger=sight.ledger.sequence,
            treasury=treasury.address,
        )
        if not claimed:
            return False
        addresses = [treasury.address, *(item.address for item in claimed)]
        ledger, (payer, *states) = await parts.chain.accounts(addresses)
        arrivals = list(zip(claimed, states, strict=True))
        await self._settle_present(arrivals, ledger)
        missing = [arrival for arrival in arrivals if not arrival[1].has_trustline]
        together, rest = apart(missing)
        await parts.operations.settle_queued([later(operation) for operation, _ in rest])
        if together:
            await self._submit(together, payer.sequence + 1, sight)
        return True

    async def _settle_present(self, arrivals: list[Arrival], ledger: int) -> None:
        """Who has account and trustline, by whomever, is settled without a transaction."""
        present = [operation for operation, state in arrivals if state.has_trustline]
        if not present:
            return
        await self._parts.operations.settle_queued(
            [
                Settlement(operation_id=item.id, event=OperationEvent.SUCCEED, ledger=ledger)
                for item in present
            ]
        )
        self._parts.accounts.touch((item.wallet_id, item.address) for item in present)
        self._parts.settled()

    async def _submit(self, missing: list[Arrival], sequence: int, sight: Sight) -> None:
        parts, ledger = self._parts, sight.ledger.sequence
        wallets = [operation.wallet_id for operation, _ in missing]
        bid = Bid(
            max_time=sight.bound(OperationKind.ONBOARD, 0, parts.terms.lifetime),
            inclusion_fee=sight.inclusion_fee,
            max_fee=parts.terms.max_fee,
        )
        async with parts.keyring.signers([parts.treasury.wallet.id, *wallets]) as signers:
            newcomers = [
                Newcomer(signer=signer, has_account=state.exists)
                for signer, (_, state) in zip(signers[1:], missing, strict=True)
            ]
            try:
                envelope = parts.chain.sign_onboarding(
                    newcomers, treasury=signers[0], sequence=sequence, bid=bid
                )
            except FeeCapExceededError as error:
                log.warning("fee cap", error=str(error))
                waiting = [later(operation, seconds=_CAP_PAUSE) for operation, _ in missing]
                await parts.operations.settle_queued(waiting)
                return
        await submit(parts, envelope, [operation.id for operation, _ in missing], ledger)


async def submit(
    parts: EngineParts, envelope: SignedEnvelope, ids: Sequence[OperationId], ledger: int
) -> None:
    """Commits one of the treasury's transactions and sends it."""
    draft = Draft(envelope=envelope, operation_ids=tuple(ids), stakes_returned=(0,) * len(ids))
    recorded = await parts.transactions.commit_signed([draft], ledger=ledger)
    if not recorded:
        return
    await failpoint("wallet.transaction.signed")
    cap = parts.terms.max_fee * len(ids)
    outgoing = Outgoing(id=draft.id, envelope=envelope.xdr, max_fee=cap)
    await parts.sender.send([outgoing], ledger=ledger)
