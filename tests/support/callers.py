"""Poolers and farmers of a running pool, registered over mutual TLS as somebody."""

from kalepool.registry.v1 import registry_pb2
from stellar_sdk import Keypair

from devstack.callers import Stubs, own_mark, stubs_of
from libs.common.grpc.client import call

__all__ = ["Stubs", "new_pooler", "register", "stubs_of"]


def new_pooler(name: str) -> registry_pb2.RegisterPoolerRequest:
    """Return the request that registers a pooler."""
    return registry_pb2.RegisterPoolerRequest(
        request_id=name, name=name, public_key=Keypair.random().public_key
    )


async def register(
    by: Stubs,
    name: str,
    *,
    payout_address: str = "",
    new: registry_pb2.RegisterPoolerRequest | None = None,
) -> tuple[str, str]:
    """Return the ids of a new pooler and of its farmer, who stakes half of what it has.

    Where there is a payout address, an operator says that the pooler farms for itself.
    """
    new, registry = new or new_pooler(name), by.registry
    pooler = (await call(registry.RegisterPooler, new, timeout=20)).pooler.pooler_id
    if payout_address:
        await call(by.agreements.MarkPooler, own_mark(pooler), timeout=20)
    farmer = registry_pb2.RegisterFarmerRequest(
        request_id=name,
        pooler_id=pooler,
        stake_percentage="0.5",
        payout_wallet_address=payout_address,
    )
    return pooler, (await call(registry.RegisterFarmer, farmer, timeout=20)).farmer_id
