"""Farmers, and a pooler, that leave a whole pool, whose processes are killed meanwhile.

The chain shows their accounts gone, all of their KALE where it was to go, and the reserves back.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from kalepool.harvest.v1 import harvest_pb2, harvest_pb2_grpc, ledger_pb2, payout_pb2
from kalepool.plant.v1 import plant_pb2, plant_pb2_grpc
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import wallet_pb2, wallet_pb2_grpc
from stellar_sdk import Keypair, xdr
from stellar_sdk.soroban_server_async import SorobanServerAsync

from devstack.chain_view import read_kale_balances
from devstack.farming import FarmResult, farm
from devstack.outside import kale
from devstack.paying import Calls, Receivers, calls_of, prepare, set_addresses
from devstack.stack import OPERATOR, Stack, StackConfig, open_stack
from libs.common.errors import PoolError
from libs.common.grpc.client import call, open_channel
from libs.common.grpc.identity import CallerKind
from pooler.report import TextReport
from tests.support.database import connect
from tests.support.pool_world import eventually

pytestmark = pytest.mark.e2e

#: Where a process is killed, once each, while one farmer leaves.
EDGES = (
    ("registry", "registry.leaving.emptied"),
    ("wallet", "wallet.closing.recorded"),
    ("wallet", "wallet.transaction.signed"),
    ("registry", "registry.leaving.closed"),
)
#: Seconds for a call, and for a farmer to leave.
_CALL, _GONE = 20.0, 120.0


async def test_farmers_and_their_pooler_leave_with_everything(tmp_path: Path) -> None:
    receivers = Receivers.made(len(EDGES))
    environment = receivers.environment()
    # Nobody reaches a threshold: only who leaves is paid.
    high = {"PAYOUT_SECONDS": "1", "PAYOUT_MINIMUM_STROOPS": str(10**15)}
    environment["harvest"] |= high | {"PAYOUT_SWEEP_STROOPS": str(10**15)}
    environment["registry"] = {"LEAVING_SECONDS": "0.5"}
    config = StackConfig(
        directory=tmp_path / "stack",
        ledger_seconds=0.5,
        block_seconds=24,
        environment=environment,
    )
    async with open_stack(config) as stack:
        result = await farm(
            stack,
            len(EDGES),
            1,
            TextReport(),
            print,
            prepare=lambda wanted: prepare(stack, wanted, receivers, print, miners_part="0"),
        )
        assert result.verdict.equal, result.verdict.differences
        await set_addresses(stack, result.config, result.verdict, receivers)
        held = await all_is_harvested(stack, result)
        before = await sponsored(stack)
        for number, (process, edge) in enumerate(EDGES[:-1]):
            await leave_and_kill(stack, result, number, process=process, edge=edge)
        await the_rest_leaves_with_its_pooler(stack, result)
        await nothing_is_left(stack, result, receivers, held)
        # Three for each farmer, and for the pooler's own account.
        assert await sponsored(stack) == before - 3 * (len(EDGES) + 1)
        stack.check()


async def all_is_harvested(stack: Stack, result: FarmResult) -> int:
    """Have one farmer open the block after the last one, and all before it harvested.

    Return the stroops of KALE that the farmers' accounts have then.
    """
    first, *others = [str(one.farmer_id) for one in result.verdict.farmers]
    pooler_id, transport = str(result.config.pooler_id), stack.operator()
    async with (
        open_channel(stack.target("wallet"), transport, name="wallet") as wallet,
        open_channel(stack.target("plant"), transport, name="plant") as plant,
        open_channel(stack.target("harvest"), transport, name="harvest") as harvest,
    ):
        blocks = wallet_pb2_grpc.WalletServiceStub(wallet)
        plants = plant_pb2_grpc.PlantServiceStub(plant)
        harvests = harvest_pb2_grpc.HarvestServiceStub(harvest)

        async def is_over() -> bool:
            head = (await call(blocks.GetBlock, wallet_pb2.GetBlockRequest(), timeout=_CALL)).head
            return bool(head.plantable_block > head.current_block)

        await eventually(is_over, patience=_GONE)
        head = (await call(blocks.GetBlock, wallet_pb2.GetBlockRequest(), timeout=_CALL)).head
        planted = await call(
            plants.Plant,
            plant_pb2.PlantRequest(
                block_index=head.plantable_block,
                pooler_id=pooler_id,
                stakes=[plant_pb2.FarmerStake(farmer_id=first, stake=0)],
                sitting_out=others,
            ),
            timeout=_GONE,
        )
        assert planted.successful_plants == 1, planted
        request = harvest_pb2.HarvestPendingRequest(pooler_id=pooler_id)

        async def is_harvested() -> bool:
            swept = await call(harvests.HarvestPending, request, timeout=_GONE)
            return swept.still_pending == 0

        await eventually(is_harvested, patience=_GONE)
    accounts = [one.address for one in result.verdict.farmers]
    return sum((await read_kale_balances(stack.rpc_url, accounts, kale())).values())


async def leave_and_kill(
    stack: Stack, result: FarmResult, number: int, *, process: str, edge: str
) -> None:
    """Have a farmer leave, and kill a process at an edge meanwhile."""
    farmer_id = str(result.verdict.farmers[number].farmer_id)
    await stack.restart(process, environment={"FAILPOINTS": f"{edge}=kill"})
    await stack.wait_ready(process)
    await ask_to_leave(stack, farmer_id)

    async def is_dead() -> bool:
        return stack.has_ended(process)

    await eventually(is_dead, patience=_GONE)
    await stack.begin(process)
    await stack.wait_ready(process)
    await has_left(stack, farmer_id)


async def ask_to_leave(stack: Stack, farmer_id: str) -> None:
    """Have a farmer leave; ask again while somebody is just coming back."""
    request = registry_pb2.LeaveFarmerRequest(farmer_id=farmer_id)

    async def is_asked() -> bool:
        async with calls_of(stack, CallerKind.OPERATOR, OPERATOR) as calls:
            try:
                await call(calls.registry.LeaveFarmer, request, timeout=_CALL)
            except PoolError:
                return False
        return True

    await eventually(is_asked, patience=_GONE)


async def has_left(stack: Stack, farmer_id: str) -> None:
    """Wait until a farmer has left."""

    async def is_gone() -> bool:
        async with calls_of(stack, CallerKind.OPERATOR, OPERATOR) as calls:
            try:
                farmer = await _farmer(calls, farmer_id)
            except PoolError:
                return False
        return farmer.status == registry_pb2.FARMER_STATUS_DEPARTED

    await eventually(is_gone, patience=_GONE)


async def _farmer(calls: Calls, farmer_id: str) -> registry_pb2.Farmer:
    request = registry_pb2.GetFarmerRequest(farmer_id=farmer_id)
    answer: Any = await call(calls.registry.GetFarmer, request, timeout=_CALL)
    found: registry_pb2.Farmer = answer.farmer
    return found


async def the_rest_leaves_with_its_pooler(stack: Stack, result: FarmResult) -> None:
    """Have the pooler leave, which nobody plants for any more; kill registry at its last edge."""
    process, edge = EDGES[-1]
    pooler_id = str(result.config.pooler_id)
    await stack.restart(process, environment={"FAILPOINTS": f"{edge}=kill"})
    await stack.wait_ready(process)
    async with calls_of(stack, CallerKind.OPERATOR, OPERATOR) as calls:
        request = registry_pb2.LeavePoolerRequest(pooler_id=pooler_id)
        await call(calls.registry.LeavePooler, request, timeout=_CALL)

    async def is_dead() -> bool:
        return stack.has_ended(process)

    await eventually(is_dead, patience=_GONE)
    await stack.begin(process)
    await stack.wait_ready(process)
    told = ""

    async def is_gone() -> bool:
        nonlocal told
        async with calls_of(stack, CallerKind.OPERATOR, OPERATOR) as calls:
            wanted = registry_pb2.GetPoolerRequest(pooler_id=pooler_id)
            try:
                answer: Any = await call(calls.registry.GetPooler, wanted, timeout=_CALL)
            except PoolError:
                return False
        told = str(answer.pooler)
        return bool(answer.pooler.stage == registry_pb2.POOLER_STAGE_DEPARTED)

    try:
        await eventually(is_gone, patience=_GONE)
    except AssertionError as error:
        raise AssertionError(told) from error


async def nothing_is_left(
    stack: Stack, result: FarmResult, receivers: Receivers, expected: int
) -> None:
    """All KALE is where it was to go, to the stroop; records and ledger say the same."""
    farmers = result.verdict.farmers
    outside = [key.public_key for key in receivers.all]
    held = await read_kale_balances(stack.rpc_url, outside, kale())
    accounts = [one.address for one in farmers]
    assert await existing(stack, accounts) == []
    assert sum(held.values()) == expected
    async with calls_of(stack, CallerKind.OPERATOR, OPERATOR) as calls:
        for one, key in zip(farmers, receivers.farmers, strict=True):
            listed = await call(
                calls.payouts.ListPayouts,
                payout_pb2.ListPayoutsRequest(farmer_id=str(one.farmer_id)),
                timeout=_CALL,
            )
            paid = [item for item in listed.payouts if item.state == payout_pb2.PAYOUT_STATE_PAID]
            assert {item.cause for item in paid} == {payout_pb2.PAYOUT_CAUSE_LEAVING}
            assert sum(item.amount for item in paid) == held[key.public_key]
            farmer = await _farmer(calls, str(one.farmer_id))
            assert (farmer.payout_wallet_address, farmer.owner_account) == ("", "")
        checked = await call(
            calls.ledger.CheckLedger, ledger_pb2.CheckLedgerRequest(), timeout=_CALL
        )
        assert (list(checked.differences), list(checked.unexplained)) == ([], [])


async def existing(stack: Stack, addresses: Sequence[str]) -> list[str]:
    """Accounts of these that are on the chain."""
    found = {address: await _account(stack, address) for address in addresses}
    return [address for address, account in found.items() if account is not None]


async def sponsored(stack: Stack) -> int:
    """Reserves that the treasury pays for others."""
    async with connect(stack.admin_dsn) as admin:
        treasury = await admin.fetchval(
            "SELECT address FROM wallet.wallets WHERE kind = 'treasury'"
        )
    account = await _account(stack, treasury)
    return int(account.ext.v1.ext.v2.num_sponsoring.uint32)


async def _account(stack: Stack, address: str) -> Any:
    key = xdr.LedgerKey(
        xdr.LedgerEntryType.ACCOUNT,
        account=xdr.LedgerKeyAccount(Keypair.from_public_key(address).xdr_account_id()),
    )
    async with SorobanServerAsync(stack.rpc_url) as rpc:
        entries = (await rpc.get_ledger_entries([key])).entries or []
    return xdr.LedgerEntryData.from_xdr(entries[0].xdr).account if entries else None
