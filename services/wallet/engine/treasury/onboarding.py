"""Brings farmers onto the chain: accounts and trustlines, up to 19 farmers in one transaction."""

from services.wallet.chain import MAX_FARMERS, Newcomer, sign_onboarding
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.model import OperationKind, QueuedOperation
from services.wallet.domain.settling import apart, later
from services.wallet.domain.trust import Decision
from services.wallet.engine.broken_keys import BROKEN, set_aside
from services.wallet.engine.parts import EngineParts
from services.wallet.engine.treasury.transactions import (
    next_sequence,
    settle_present,
    submit,
    take_up,
)


class Onboarder:
    """One transaction of the treasury at a time."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts

    async def step(self) -> bool:
        """Takes up to 19 farmers; whether there were any."""
        parts = self._parts
        claimed = await take_up(parts, OperationKind.ONBOARD, limit=MAX_FARMERS)
        if not claimed:
            return False
        addresses = [parts.treasury.wallet.address, *(item.address for item in claimed)]
        chain = parts.chain.trusted(Decision.USE_NUMBER)
        ledger, (payer, *found) = await chain.accounts(addresses)
        states = {state.address: state for state in found}
        present = [item for item in claimed if states[item.address].has_trustline]
        await settle_present(parts, present, ledger)
        missing = [item for item in claimed if not states[item.address].has_trustline]
        together, rest = apart(missing)
        await parts.operations.settle_queued([later(operation) for operation in rest])
        if together:
            try:
                await self._submit(together, states, await next_sequence(parts, payer, ledger))
            except BROKEN as error:
                await set_aside(parts, together, error)
        return True

    async def _submit(
        self, missing: list[QueuedOperation], states: dict[str, AccountState], sequence: int
    ) -> None:
        parts = self._parts
        wallets = [parts.treasury.wallet.id, *(item.wallet_id for item in missing)]
        bid = parts.watch.current.bid(missing[0].kind, 0, parts.limits)
        async with parts.keyring.signers(wallets) as (treasury, *signers):
            newcomers = [
                Newcomer(signer=signer, has_account=states[signer.address].exists)
                for signer in signers
            ]
            await submit(
                parts,
                missing,
                lambda: sign_onboarding(
                    newcomers,
                    network=parts.chain.network,
                    treasury=treasury,
                    sequence=sequence,
                    bid=bid,
                ),
            )
