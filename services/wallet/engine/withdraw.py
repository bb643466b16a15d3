"""Pays withdrawals: up to 19 farmers' accounts in one transaction of the treasury."""

from collections import Counter
from collections.abc import Mapping

from libs.common.ids import OperationId
from services.wallet.chain.model import AccountState
from services.wallet.chain.payouts import MAX_PAYOUTS, Payment
from services.wallet.domain.model import FailureReason, OperationKind, QueuedOperation
from services.wallet.domain.settling import apart, given_up, later
from services.wallet.domain.withdrawals import Asset, Payout, refusal
from services.wallet.engine.carriage import BROKEN, next_sequence, set_aside, submit, take_up
from services.wallet.engine.made import bid_for
from services.wallet.engine.parts import EngineParts


class Withdrawer:
    """One transaction of the treasury at a time."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts

    async def step(self) -> bool:
        """Takes up to 19 withdrawals; whether there were any."""
        claimed = await take_up(self._parts, OperationKind.WITHDRAW, limit=MAX_PAYOUTS)
        if not claimed:
            return False
        payouts = await self._parts.transactions.payouts([item.id for item in claimed])
        treasury = self._parts.treasury.wallet.address
        addresses = [treasury, *(item.address for item in claimed)]
        ledger, found = await self._parts.chain.accounts(addresses)
        payers = {state.address: state for state in found}
        together, rest = apart(await self._refuse(claimed, payouts, payers))
        await self._parts.operations.settle_queued([later(operation) for operation in rest])
        if together:
            try:
                sequence = await next_sequence(self._parts, payers[treasury], ledger)
                await self._submit(together, payouts, sequence)
            except BROKEN as error:
                await set_aside(self._parts, together, error)
        return True

    async def _refuse(
        self,
        claimed: list[QueuedOperation],
        payouts: Mapping[OperationId, Payout],
        payers: Mapping[str, AccountState],
    ) -> list[QueuedOperation]:
        """Gives up what would fail as things stand on the chain; gives the others."""
        destinations = await self._parts.chain.destinations(
            [item.destination for item in payouts.values()]
        )
        sound, refused, waiting = [], [], []
        taken: Counter[tuple[str, Asset]] = Counter()
        for operation in claimed:
            payout = payouts[operation.id]
            payer, destination = payers[operation.address], destinations[payout.destination]
            account = (operation.address, payout.asset)
            reason = FailureReason.REFUSED if payout.is_stopped else None
            reason = reason or refusal(payout.asset, operation.amount, payer, destination)
            if reason is not None:
                refused.append(given_up(operation, reason, "nothing was sent"))
            elif refusal(payout.asset, taken[account] + operation.amount, payer, destination):
                # After those that are paid now: together they would fail, and others with them.
                waiting.append(later(operation))
            else:
                sound.append(operation)
                taken[account] += operation.amount
        await self._parts.operations.settle_queued([*refused, *waiting])
        if refused:
            self._parts.settled()
        return sound

    async def _submit(
        self,
        together: list[QueuedOperation],
        payouts: Mapping[OperationId, Payout],
        sequence: int,
    ) -> None:
        parts = self._parts
        bid = bid_for(parts, together[0], parts.watch.current)
        wallets = [parts.treasury.wallet.id, *(item.wallet_id for item in together)]
        async with parts.keyring.signers(wallets) as (treasury, *signers):
            payments = [
                Payment(
                    signer=signer,
                    destination=payouts[item.id].destination,
                    asset=payouts[item.id].asset,
                    amount=item.amount,
                )
                for signer, item in zip(signers, together, strict=True)
            ]
            await submit(
                parts,
                together,
                lambda: parts.chain.sign_payments(
                    payments, treasury=treasury, sequence=sequence, bid=bid
                ),
            )
