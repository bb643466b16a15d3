"""What the wallet refuses to start with: wrong keys, wrong networks, a chain that was reset."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from stellar_sdk import Keypair

from libs.common.clock import SystemClock
from libs.common.db.pool import Database
from libs.common.ids import FarmerId, PoolerId, new_id
from libs.kale.networks import TESTNET
from services.wallet.chain.errors import (
    DisagreementError,
    NetworkMismatchError,
    RpcUnavailableError,
)
from services.wallet.chain.facade import Chain
from services.wallet.chain.networks import network_for
from services.wallet.chain.opening import open_chain
from services.wallet.domain.errors import ChainUnknownError, TreasuryMissingError
from services.wallet.domain.model import ChainHead
from services.wallet.engine import turning
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.follower import Follower
from services.wallet.engine.treasury_account import Treasury
from services.wallet.engine.turning import Turning
from services.wallet.engine.wakeup import Wakeup
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.provider import KeyProviderError, MasterKeyError
from services.wallet.store.blocks import BlockStore
from services.wallet.store.turning import TurningStore
from services.wallet.store.wallets import WalletStore
from services.wallet.usecases.wallet import UseCases
from tests.support.orders import ORDERS
from tests.support.wallet_world import WalletWorld

NOBODY = "http://127.0.0.1:1"
PROVIDER = LocalKeyProvider(bytes(32))
FAR_AHEAD = ChainHead(
    ledger=10**6,
    close_time=datetime(2026, 1, 1, tzinfo=UTC),
    current_block=7,
    plantable_block=7,
    paused=False,
    block_seconds=6,
)


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    """A chain that never answers."""
    async with open_chain(network_for("localnet", rpc_url=NOBODY), timeout=2) as opened:
        yield opened


@asynccontextmanager
async def following(
    world: WalletWorld, pool: Database, *, farm: str = "", rpc_url: str = ""
) -> AsyncIterator[tuple[Follower, ChainView]]:
    """A follower of the world's localnet, and what it watches."""
    network = network_for("localnet", farm=farm, rpc_url=rpc_url or world.rpc_url)
    chain_view = ChainView(SystemClock(), Wakeup())
    async with open_chain(network, timeout=2) as opened:
        back = Turning(opened, TurningStore(pool, ORDERS))
        yield (
            Follower(opened, BlockStore(pool, ORDERS), chain_view, back, block_seconds=6),
            chain_view,
        )


# The treasury


async def test_the_treasury_outlives_restarts(pool: Database, chain: Chain) -> None:
    store = WalletStore(pool, ORDERS)
    first = Treasury(PROVIDER, store, chain, None)
    with pytest.raises(TreasuryMissingError):
        _ = first.wallet
    made = await first.open()
    assert (await Treasury(PROVIDER, store, chain, None).open()).address == made.address


async def test_an_existing_account_becomes_the_treasury(pool: Database, chain: Chain) -> None:
    store, pair = WalletStore(pool, ORDERS), Keypair.random()
    imported = Treasury(PROVIDER, store, chain, pair.raw_secret_key())
    assert (await imported.open()).address == pair.public_key
    assert (await Treasury(PROVIDER, store, chain, None).open()).address == pair.public_key
    other = Treasury(PROVIDER, store, chain, Keypair.random().raw_secret_key())
    with pytest.raises(MasterKeyError, match="another account"):
        await other.open()
    assert not other.is_open


async def test_another_master_key_does_not_open_it(pool: Database, chain: Chain) -> None:
    store = WalletStore(pool, ORDERS)
    await Treasury(PROVIDER, store, chain, None).open()
    stranger = Treasury(LocalKeyProvider(bytes([7]) * 32), store, chain, None)
    with pytest.raises(KeyProviderError):
        await stranger.open()
    assert not stranger.is_open


async def test_no_key_is_sealed_that_the_pool_could_not_open(pool: Database, chain: Chain) -> None:
    """With another master key, whatever a farmer's address is sent would be lost."""
    store, provider = WalletStore(pool, ORDERS), LocalKeyProvider(bytes([7]) * 32)
    await Treasury(PROVIDER, store, chain, None).open()
    parts: dict[str, Any] = dict.fromkeys(UseCases.__dataclass_fields__)
    stranger = Treasury(provider, store, chain, None)
    parts |= {"wallets": store, "provider": provider, "treasury_account": stranger}
    farmer_id = FarmerId(new_id())
    with pytest.raises(TreasuryMissingError):
        await UseCases(**parts).create_wallet(farmer_id, PoolerId(new_id()))
    assert await store.by_farmer(farmer_id) is None


# The network


@pytest.mark.e2e
async def test_the_right_network_is_followed(world: WalletWorld, pool: Database) -> None:
    async with following(world, pool) as (follower, chain_view):
        chain_state = await follower.refresh()
        assert chain_view.is_fresh
        assert chain_view.current is chain_state
    assert await BlockStore(pool, ORDERS).head() == chain_state.head


@pytest.mark.e2e
async def test_a_farm_that_is_not_there(world: WalletWorld, pool: Database) -> None:
    async with following(world, pool, farm=TESTNET.farm) as (follower, chain_view):
        with pytest.raises(NetworkMismatchError, match="there is no farm"):
            await follower.refresh()
        assert not chain_view.is_fresh


async def record_transaction(pool: Database, *, ledger: int | None, signed: int = 1) -> UUID:
    """A transaction of ours that a ledger took (None: is in flight)."""
    transaction_id = new_id()
    async with pool.session() as session:
        await session.connection.execute(
            """
            INSERT INTO wallet.transactions (
                id, state, source, sequence, hash, lookup_hash, envelope, max_time, fee_bid,
                signed_ledger, resend_ledger, ledger, closed_at
            )
            VALUES (
                $1, $2::wallet.transaction_state, $3, 1, $4, $4, '', 1, 100, $5, $5 + 2, $6,
                CASE WHEN $6::int IS NULL THEN NULL ELSE now() END
            )
            """,
            transaction_id,
            "sent" if ledger is None else "succeeded",
            Keypair.random().public_key,
            f"{transaction_id.int:064x}",
            signed,
            ledger,
        )
    return transaction_id


@pytest.mark.e2e
@pytest.mark.parametrize("taken_by", [2, 999_999])
async def test_a_chain_that_begins_anew(world: WalletWorld, pool: Database, taken_by: int) -> None:
    """It has nothing of what is recorded."""
    await BlockStore(pool, ORDERS).save_head(FAR_AHEAD)
    await record_transaction(pool, ledger=taken_by)
    async with following(world, pool) as (follower, chain_view):
        with pytest.raises(NetworkMismatchError, match="was reset"):
            await follower.refresh()
        assert not chain_view.is_fresh
    assert await BlockStore(pool, ORDERS).head() == FAR_AHEAD


@pytest.mark.e2e
async def test_a_head_that_was_a_lie_is_turned_back(
    world: WalletWorld, pool: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turning, "UNSEEN_FOR", 2.0)
    store = BlockStore(pool, ORDERS)
    await store.save_head(FAR_AHEAD)
    in_flight = await record_transaction(pool, ledger=None, signed=10**6)
    async with following(world, pool) as (follower, chain_view):
        told: list[int] = []
        follower.on_turned.append(told.append)
        async with asyncio.timeout(20):
            while True:
                try:
                    chain_state = await follower.refresh()
                    break
                except DisagreementError:
                    assert not chain_view.is_fresh
                    assert await store.head() == FAR_AHEAD
                    await asyncio.sleep(0.2)
        assert chain_view.current is chain_state
        assert told == [chain_state.ledger.sequence]
    assert await store.head() == chain_state.head
    async with pool.session() as session:
        (signed, resend) = await session.connection.fetchrow(
            "SELECT signed_ledger, resend_ledger FROM wallet.transactions WHERE id = $1", in_flight
        ) or (None, None)
    assert signed is not None
    assert resend is not None
    assert signed < chain_state.ledger.sequence
    assert resend <= chain_state.ledger.sequence


@pytest.mark.e2e
async def test_a_head_that_another_process_still_sees_is_not_turned_back(
    world: WalletWorld, pool: Database
) -> None:
    store, ahead = BlockStore(pool, ORDERS), FAR_AHEAD
    async with following(world, pool) as (follower, _):
        for _ in range(20):
            ahead = replace(ahead, ledger=ahead.ledger + 1)
            await store.save_head(ahead)
            with pytest.raises(DisagreementError):
                await follower.refresh()
            await asyncio.sleep(0.2)
    assert await store.head() == ahead


@pytest.mark.e2e
async def test_a_process_goes_on_whatever_another_one_keeps(
    world: WalletWorld, pool: Database
) -> None:
    async with following(world, pool) as (follower, chain_view):
        first = await follower.refresh()
        await BlockStore(pool, ORDERS).save_head(FAR_AHEAD)
        async with asyncio.timeout(20):
            while chain_view.current.ledger.sequence < first.ledger.sequence + 5:
                await follower.refresh()
                await asyncio.sleep(0.1)
    assert await BlockStore(pool, ORDERS).head() == FAR_AHEAD


@pytest.mark.e2e
async def test_a_node_that_is_away(world: WalletWorld, pool: Database) -> None:
    async with following(world, pool, rpc_url=NOBODY) as (follower, chain_view):
        with pytest.raises(RpcUnavailableError):
            await follower.refresh()
        with pytest.raises(ChainUnknownError):
            _ = chain_view.current


async def test_an_older_head_is_not_kept(pool: Database) -> None:
    store = BlockStore(pool, ORDERS)
    await store.save_head(FAR_AHEAD)
    await store.save_head(replace(FAR_AHEAD, ledger=10**6 - 1, current_block=6))
    assert await store.head() == FAR_AHEAD
