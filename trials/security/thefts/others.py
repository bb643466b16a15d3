"""A pooler that farms for others: each of its farmers has an owner account that signs."""

import asyncio
from dataclasses import dataclass
from typing import Any

from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import agreement_pb2, wallet_pb2, withdrawal_pb2
from stellar_sdk import Keypair
from stellar_sdk.soroban_server_async import SorobanServerAsync

from devstack.callers import Stubs
from devstack.stack import Stack
from devstack.wallet_calls import wait_until
from libs.common.errors import PoolError
from libs.common.grpc.client import call
from libs.common.ids import new_id
from libs.kale.signed_message import message_hash
from trials.security.turns import outside

#: How many such farmers there are.
OTHERS = 14
#: Seconds of a call, and until their accounts are there.
_TIMEOUT, _PATIENCE = 20.0, 120.0
_KALE = 10**7
_READY = wallet_pb2.WALLET_STATUS_READY
#: Terms of these farmers: a fee of 5 %.
TERMS: dict[str, Any] = {
    "stake_percentage": "0.5",
    "pooler_fee": "0.05",
    "miners_part": "0",
    "harvest_blocks": 1,
}


@dataclass(frozen=True, kw_only=True)
class Owned:
    """A farmer with an owner account, which has signed where it is paid."""

    #: Its id, and its address in the pool.
    id: str
    address: str
    #: Its payout address, which has a line for KALE.
    outside: str
    #: The key of its owner account.
    owner: Keypair


@dataclass(frozen=True, kw_only=True)
class Others:
    """The pooler by its certificate, and its farmers."""

    pooler: Stubs
    pooler_id: str
    #: Those that no theft has used.
    stock: list[Owned]

    async def draft(self, farmer: Owned, wish: agreement_pb2.Wish) -> str:
        """Return the text of a wish, which anybody may read."""
        request = agreement_pb2.DraftWishRequest(farmer_id=farmer.id, wish=wish)
        reply = await call(self.pooler.agreements.DraftWish, request, timeout=_TIMEOUT)
        return str(reply.text)

    async def sign(
        self, farmer: Owned, wish: agreement_pb2.Wish, *, key: Keypair | None = None
    ) -> bytes:
        """Have the owner (or another key) sign a wish as things stand, and bring it."""
        signature = (key or farmer.owner).sign(message_hash(await self.draft(farmer, wish)))
        await self.bring(farmer, wish, signature)
        return signature

    async def bring(self, farmer: Owned, wish: agreement_pb2.Wish, signature: bytes) -> None:
        """Bring what is said to be signed."""
        request = agreement_pb2.SignWishRequest(farmer_id=farmer.id, wish=wish, signature=signature)
        await call(self.pooler.agreements.SignWish, request, timeout=_TIMEOUT)

    async def withdraw(self, farmer: Owned) -> str:
        """Have the pooler ask for a payout of 1 KALE; return the reason of a refusal."""
        request = withdrawal_pb2.WithdrawRequest(
            request_id=str(new_id()),
            farmer_id=farmer.id,
            asset=withdrawal_pb2.WITHDRAWAL_ASSET_KALE,
            amount=_KALE,
        )
        try:
            await call(self.pooler.withdrawals.Withdraw, request, timeout=_TIMEOUT)
        except PoolError as error:
            return error.reason
        return ""


async def make_others(
    stack: Stack, rpc: SorobanServerAsync, ann: Stubs, pooler: Stubs, pooler_id: str
) -> Others:
    """Register the farmers, wait for their accounts, and have their owners sign."""
    offer = registry_pb2.PublishTermsRequest(pooler_id=pooler_id, **TERMS)
    await call(pooler.registry.PublishTerms, offer, timeout=_TIMEOUT)

    async def one() -> Owned:
        owner, address = Keypair.random(), await outside(stack, rpc)
        request = registry_pb2.RegisterFarmerRequest(
            request_id=str(new_id()),
            pooler_id=pooler_id,
            stake_percentage="0.5",
            owner_account=owner.public_key,
            terms_version=1,
        )
        made = await call(pooler.registry.RegisterFarmer, request, timeout=60.0)
        return Owned(id=made.farmer_id, address=made.custodial_wallet, outside=address, owner=owner)

    found = await asyncio.gather(*(one() for _ in range(OTHERS)))

    async def have_accounts() -> bool:
        request = wallet_pb2.ListWalletsRequest(pooler_id=pooler_id, page_size=1000)
        reply = await call(ann.wallets.ListWallets, request, timeout=_TIMEOUT)
        return [wallet.status for wallet in reply.wallets] == [_READY] * OTHERS

    await wait_until(have_accounts, "others have no accounts", seconds=_PATIENCE, poll=0.5)
    others = Others(pooler=pooler, pooler_id=pooler_id, stock=list(found))
    for farmer in found:
        await others.sign(farmer, agreement_pb2.Wish(payout_address=farmer.outside))
    return others
