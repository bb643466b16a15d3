"""Accounts of the pool's own, channels and payers: their keys are made, the treasury creates
them."""

from collections.abc import Sequence

from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.chain import MAX_OPENINGS, Opening, sign_openings
from services.wallet.domain.model import OperationKind, QueuedOperation
from services.wallet.domain.trust import Decision
from services.wallet.engine.parts import EngineParts
from services.wallet.engine.treasury.transactions import (
    next_sequence,
    settle_present,
    submit,
    take_up,
)
from services.wallet.keys.provider import KeyProvider
from services.wallet.keys.seal import SealedKey, seal_new_key

#: Keys that are made at once.
_KEYS = 50


async def make_keys(provider: KeyProvider, missing: int) -> list[tuple[SealedKey, OperationId]]:
    """Seal new keys, as many as are missing or can be made at once, each with the id of the
    operation that is to create its account."""
    return [
        (await seal_new_key(provider, WalletId(new_id())), OperationId(new_id()))
        for _ in range(min(_KEYS, missing))
    ]


async def open_accounts(parts: EngineParts, kind: OperationKind, *, funding: int) -> bool:
    """Have the treasury create accounts with `funding` stroops of XLM each, up to 100 in one
    transaction; whether there were any to create."""
    claimed = await take_up(parts, kind, limit=MAX_OPENINGS)
    if not claimed:
        return False
    addresses = [parts.treasury.wallet.address, *(item.address for item in claimed)]
    chain = parts.chain.trusted(Decision.USE_NUMBER)
    ledger, (treasury, *states) = await chain.accounts(addresses)
    there = [item for item, state in zip(claimed, states, strict=True) if state.exists]
    await settle_present(parts, there, ledger)
    missing = [item for item in claimed if item not in there]
    if missing:
        await _submit(parts, missing, funding, await next_sequence(parts, treasury, ledger))
    return True


async def _submit(
    parts: EngineParts, operations: Sequence[QueuedOperation], funding: int, sequence: int
) -> None:
    bid = parts.watch.current.bid(operations[0].kind, 0, parts.limits)
    openings = [Opening(address=item.address, amount=funding) for item in operations]
    async with parts.keyring.signers([parts.treasury.wallet.id]) as (treasury,):
        await submit(
            parts,
            operations,
            lambda: sign_openings(
                openings, network=parts.chain.network, treasury=treasury, sequence=sequence, bid=bid
            ),
        )
