"""What callers may send, and what they are told when it is wrong."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import grpc
import pytest
from kalepool.wallet.v1 import wallet_pb2

from libs.common.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PoolError,
)
from libs.common.grpc.errors import from_rpc_error
from libs.common.ids import new_id
from libs.common.paging import encode_token
from tests.support.wallet_world import WalletWorld

pytestmark = pytest.mark.e2e

SOMEBODY = "0190a5f0-0000-7000-8000-000000000001"
Plant, Work, Harvest = (
    wallet_pb2.PlantOperation,
    wallet_pb2.WorkOperation,
    wallet_pb2.HarvestOperation,
)


async def refusal(call: Any) -> PoolError:
    """The error that a call ends in."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    return from_rpc_error(caught.value)


def batch(count: int, **changes: Any) -> wallet_pb2.BatchPlantRequest:
    """A batch of plants of farmers that nobody knows."""
    operations = [Plant(farmer_id=str(new_id()), stake=0) for _ in range(count)]
    return wallet_pb2.BatchPlantRequest(
        **{"request_id": str(new_id()), "block_index": 1, "operations": operations, **changes}
    )


CASES: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "create without ids": (
        lambda stub: stub.CreateWallet(wallet_pb2.CreateWalletRequest()),
        ["farmer_id", "pooler_id"],
    ),
    "create with rubbish": (
        lambda stub: stub.CreateWallet(
            wallet_pb2.CreateWalletRequest(
                request_id="x" * 129, farmer_id="7", pooler_id=SOMEBODY.replace("-", "")
            )
        ),
        ["request_id", "farmer_id", "pooler_id"],
    ),
    "get by nothing": (lambda stub: stub.GetWallet(wallet_pb2.GetWalletRequest()), ["by"]),
    "get by a bad address": (
        lambda stub: stub.GetWallet(wallet_pb2.GetWalletRequest(address="GABC")),
        ["address"],
    ),
    "list too many": (
        lambda stub: stub.ListWallets(wallet_pb2.ListWalletsRequest(page_size=1001)),
        ["page_size"],
    ),
    "list from rubbish": (
        lambda stub: stub.ListWallets(wallet_pb2.ListWalletsRequest(page_token="%%%")),
        ["page_token"],
    ),
    "list from another list's token": (
        lambda stub: stub.ListWallets(wallet_pb2.ListWalletsRequest(page_token=encode_token([7]))),
        ["page_token"],
    ),
    "no farmers": (lambda s: s.GetBalances(wallet_pb2.GetBalancesRequest()), ["farmer_ids"]),
    "a farmer twice": (
        lambda stub: stub.GetBalances(
            wallet_pb2.GetBalancesRequest(farmer_ids=[SOMEBODY, SOMEBODY])
        ),
        ["farmer_ids[1]"],
    ),
    "batch without a name": (lambda s: s.BatchPlant(batch(1, request_id="")), ["request_id"]),
    "empty batch": (lambda stub: stub.BatchPlant(batch(0)), ["operations"]),
    "oversized batch": (lambda stub: stub.BatchPlant(batch(1001)), ["operations"]),
    "a block that is too large": (
        lambda stub: stub.BatchPlant(batch(1, block_index=2**32 - 1)),
        ["block_index"],
    ),
    "a farmer twice in a batch": (
        lambda stub: stub.BatchPlant(
            batch(
                0,
                operations=[
                    Plant(farmer_id=SOMEBODY, stake=0),
                    Plant(farmer_id=SOMEBODY.upper(), stake=0),
                ],
            )
        ),
        ["operations[1].farmer_id"],
    ),
    "a negative stake": (
        lambda stub: stub.Plant(
            wallet_pb2.PlantRequest(block_index=0, operation=Plant(farmer_id=SOMEBODY, stake=-1))
        ),
        ["operation.stake"],
    ),
    "a short hash": (
        lambda stub: stub.Work(
            wallet_pb2.WorkRequest(
                block_index=0, operation=Work(farmer_id=SOMEBODY, nonce=0, hash=bytes(31))
            )
        ),
        ["operation.hash"],
    ),
    "nothing": (
        lambda stub: stub.Harvest(wallet_pb2.HarvestRequest()),
        ["block_index", "operation"],
    ),
    "a plant without block and stake": (
        lambda stub: stub.Plant(wallet_pb2.PlantRequest(operation=Plant(farmer_id=SOMEBODY))),
        ["block_index", "operation.stake"],
    ),
    "a work without block and nonce": (
        lambda stub: stub.Work(
            wallet_pb2.WorkRequest(operation=Work(farmer_id=SOMEBODY, hash=bytes(32)))
        ),
        ["block_index", "operation.nonce"],
    ),
    "a batch without block and stake": (
        lambda stub: stub.BatchPlant(
            batch(0, block_index=None, operations=[Plant(farmer_id=SOMEBODY)])
        ),
        ["block_index", "operations[0].stake"],
    ),
    "a state that is none": (
        lambda stub: stub.ListOperations(wallet_pb2.ListOperationsRequest(state=cast("Any", 99))),
        ["state"],
    ),
    "an operation that is no id": (
        lambda stub: stub.GetOperation(wallet_pb2.GetOperationRequest(operation_id="x")),
        ["operation_id"],
    ),
    "a block beyond": (lambda s: s.GetBlock(wallet_pb2.GetBlockRequest(index=2**31)), ["index"]),
}


@pytest.mark.parametrize("name", CASES)
async def test_bad_input_is_refused_by_field(world: WalletWorld, name: str) -> None:
    call, expected = CASES[name]
    error = await refusal(call(world.stub))
    assert isinstance(error, InvalidArgumentError)
    assert [violation.field for violation in error.violations] == expected


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            lambda stub: stub.GetWallet(wallet_pb2.GetWalletRequest(farmer_id=SOMEBODY)),
            "WALLET_NOT_FOUND",
        ),
        (
            lambda stub: stub.GetBalances(wallet_pb2.GetBalancesRequest(farmer_ids=[SOMEBODY])),
            "WALLET_NOT_FOUND",
        ),
        (lambda stub: stub.BatchPlant(batch(3)), "WALLET_NOT_FOUND"),
        (
            lambda stub: stub.GetOperation(wallet_pb2.GetOperationRequest(operation_id=SOMEBODY)),
            "OPERATION_NOT_FOUND",
        ),
        (
            lambda stub: stub.GetBlock(wallet_pb2.GetBlockRequest(index=2**31 - 1)),
            "BLOCK_UNKNOWN",
        ),
    ],
)
async def test_unknown_ids_are_not_found(
    world: WalletWorld, call: Callable[[Any], Any], expected: str
) -> None:
    error = await refusal(call(world.stub))
    assert isinstance(error, NotFoundError)
    assert error.reason == expected


async def test_the_treasury_is_no_farmers_wallet(world: WalletWorld) -> None:
    treasury = await world.stub.GetTreasury(wallet_pb2.GetTreasuryRequest())
    assert treasury.is_funded
    assert 0 < treasury.reserved_stroops < treasury.xlm_stroops
    request = wallet_pb2.GetWalletRequest(address=treasury.address)
    assert isinstance(await refusal(world.stub.GetWallet(request)), NotFoundError)


async def test_a_wallet_is_created_once(world: WalletWorld) -> None:
    request = wallet_pb2.CreateWalletRequest(farmer_id=str(new_id()), pooler_id=world.pooler_id)
    replies = await asyncio.gather(*(world.stub.CreateWallet(request) for _ in range(5)))
    assert len({reply.wallet.wallet_id for reply in replies}) == 1
    wallet = replies[0].wallet
    for by in (
        wallet_pb2.GetWalletRequest(wallet_id=wallet.wallet_id),
        wallet_pb2.GetWalletRequest(address=wallet.address),
    ):
        found = (await world.stub.GetWallet(by)).wallet
        assert (found.wallet_id, found.farmer_id) == (wallet.wallet_id, request.farmer_id)
    request.pooler_id = str(new_id())
    error = await refusal(world.stub.CreateWallet(request))
    assert isinstance(error, AlreadyExistsError)
    assert error.reason == "WALLET_OF_OTHER_POOLER"


async def test_pages_give_everything_once(world: WalletWorld) -> None:
    pooler_id = str(new_id())
    made = []
    for _ in range(5):
        request = wallet_pb2.CreateWalletRequest(farmer_id=str(new_id()), pooler_id=pooler_id)
        made.append((await world.stub.CreateWallet(request)).wallet.wallet_id)
    seen, token = [], ""
    for size in (2, 2, 1):
        page = await world.stub.ListWallets(
            wallet_pb2.ListWalletsRequest(pooler_id=pooler_id, page_size=2, page_token=token)
        )
        assert len(page.wallets) == size
        seen += [wallet.wallet_id for wallet in page.wallets]
        token = page.next_page_token
    assert (seen, token) == (made, "")


async def test_wrong_blocks(world: WalletWorld) -> None:
    farmers = await world.create_farmers(1)
    (farmer,) = farmers
    await world.wait_until_ready([farmer])
    block = await world.next_block()
    await world.plant(f"open {block}", block, {farmer: 0})
    await world.wait_for_current(block)
    stub = world.stub
    calls: dict[str, list[Any]] = {
        "WRONG_BLOCK": [
            stub.BatchPlant(
                batch(0, block_index=block + 5, operations=[Plant(farmer_id=farmer, stake=0)])
            ),
            stub.Work(
                wallet_pb2.WorkRequest(
                    block_index=block + 1,
                    operation=Work(farmer_id=farmer, nonce=0, hash=bytes(32)),
                )
            ),
        ],
        "BLOCK_NOT_CLOSED": [
            stub.Harvest(
                wallet_pb2.HarvestRequest(block_index=block, operation=Harvest(farmer_id=farmer))
            )
        ],
    }
    for expected, attempts in calls.items():
        for attempt in attempts:
            error = await refusal(attempt)
            assert isinstance(error, FailedPreconditionError)
            assert error.reason == expected
            assert error.metadata["current_block"] == str(block)


async def test_a_request_id_names_one_batch(world: WalletWorld) -> None:
    farmers = await world.create_farmers(2)
    one, two = farmers
    await world.wait_until_ready([one, two])
    block = await world.next_block()
    first = await world.plant("named", block, {one: 0, two: 0})
    # In another order it is the same batch, and stays so after the block.
    again = await world.plant("named", block, {two: 0, one: 0})
    assert {item.operation_id for item in first} == {item.operation_id for item in again}
    # What has settled by now comes together.
    operations = [Plant(farmer_id=farmer, stake=0) for farmer in farmers]
    joined = world.stub.BatchPlant(
        batch(0, request_id="named", block_index=block, operations=operations)
    )
    (reply,) = [reply async for reply in joined]
    together = [reply.operation, *reply.others]
    assert {item.operation_id: item for item in together} == {
        item.operation_id: item for item in first
    }
    for stakes in ({one: 0}, {one: 1, two: 0}):
        operations = [Plant(farmer_id=farmer, stake=stake) for farmer, stake in stakes.items()]
        request = batch(0, request_id="named", block_index=block, operations=operations)
        error = await refusal(world.stub.BatchPlant(request))
        assert isinstance(error, FailedPreconditionError)
        assert error.reason == "REQUEST_ID_REUSED"
    operation = await world.stub.GetOperation(
        wallet_pb2.GetOperationRequest(operation_id=first[0].operation_id)
    )
    assert operation.operation == first[0]
    listed = await world.stub.ListOperations(
        wallet_pb2.ListOperationsRequest(
            farmer_id=one,
            state=wallet_pb2.OPERATION_STATE_SUCCEEDED,
            kind=wallet_pb2.OPERATION_KIND_PLANT,
        )
    )
    assert [item.block_index for item in listed.operations] == [block]


async def test_blocks_are_watched(world: WalletWorld) -> None:
    farmers = await world.create_farmers(1)
    (farmer,) = farmers
    await world.wait_until_ready([farmer])
    await world.plant("before", await world.next_block(), {farmer: 0})
    block = await world.next_block()
    watching = world.stub.WatchBlocks(wallet_pb2.WatchBlocksRequest())
    blocks = aiter(watching)
    first = await anext(blocks)
    assert first.head.plantable_block == block
    planted = asyncio.create_task(world.plant("watched", block, {farmer: 0}))
    while not (first.block.index == block and first.block.is_current):
        first = await asyncio.wait_for(anext(blocks), 10)
    assert len(first.block.entropy) == 32
    await planted
    watching.cancel()
    resumed = world.stub.WatchBlocks(wallet_pb2.WatchBlocksRequest(after_index=block - 2))
    blocks = aiter(resumed)
    indexes = [(await anext(blocks)).block.index for _ in range(2)]
    resumed.cancel()
    assert indexes == [block - 1, block]


async def test_the_stream_tells_of_a_block_what_get_tells(world: WalletWorld) -> None:
    """Every field, also after ledgers that have changed the block since it was opened."""
    (farmer, *others) = farmers = await world.create_farmers(3)
    await world.wait_until_ready(list(farmers))
    block = await world.next_block()
    await world.plant("opens", block, {farmer: 0})
    for other in others:
        await world.plant(f"changes by {other}", block, {other: 0})
    watching = world.stub.WatchBlocks(wallet_pb2.WatchBlocksRequest())
    told: dict[int, list[wallet_pb2.Block]] = {}
    async with asyncio.timeout(30):
        async for message in watching:
            # Both tell the state as of a ledger; in between there may be another one.
            got = await world.stub.GetBlock(wallet_pb2.GetBlockRequest(index=block))
            told.setdefault(message.head.ledger, []).append(message.block)
            told.setdefault(got.head.ledger, []).append(got.block)
            if message.head.ledger == got.head.ledger:
                break
    watching.cancel()
    assert message.block.index == block
    assert message.block == got.block
    # Opened once: every telling names the same ledger, which is none of the later changes.
    assert {one.opened_ledger for blocks in told.values() for one in blocks} == {
        got.block.opened_ledger
    }
    assert got.block.opened_ledger < got.head.ledger
