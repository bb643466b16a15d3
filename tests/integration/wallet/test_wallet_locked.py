"""Accounts that stand in the way: the pool's key does not suffice, or the line takes nothing.

Their owners hold exported keys. What they do is known before anything is signed, is refused with
its true reason, and keeps nobody else waiting.
"""

from collections.abc import AsyncIterator

import pytest
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import wallet_pb2
from stellar_sdk import AccountMerge, ChangeTrust, SetOptions
from stellar_sdk.operation.set_options import AuthorizationFlag
from stellar_sdk.operation.set_trust_line_flags import SetTrustLineFlags, TrustLineFlags
from stellar_sdk.soroban_server_async import SorobanServerAsync

from localnet.network import Network
from tests.support.database import DatabaseFactory
from tests.support.owner import Owner, owner_of
from tests.support.wallet_world import WalletWorld, open_wallet_world

KALE = 10**7
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
FAILED = wallet_pb2.OPERATION_STATE_FAILED
R = common_pb2.FailureReason
#: Seconds of a block, far above what a batch takes.
BLOCK = 25
#: Seconds of it that are left when a batch begins.
ROOM = 15


@pytest.fixture(scope="module", params=[False, True], ids=["singly", "together"])
async def busy(
    request: pytest.FixtureRequest,
    database_factory: DatabaseFactory,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[WalletWorld]:
    """A wallet whose blocks last longer than any batch should, with or without a multicall."""
    logs = tmp_path_factory.mktemp("locked")
    async with (
        database_factory.create() as database,
        open_wallet_world(database, logs, block_seconds=BLOCK) as running,
    ):
        if request.param:
            await running.use_multicall(channels=4)
        yield running


@pytest.fixture
async def rpc(busy: WalletWorld) -> AsyncIterator[SorobanServerAsync]:
    """A node that owners send to."""
    async with SorobanServerAsync(busy.rpc_url) as opened:
        yield opened


async def farmers_of(world: WalletWorld, count: int) -> dict[str, str]:
    """Farmers with KALE; addresses by farmer."""
    farmers = await world.create_farmers(count)
    await world.wait_until_ready(list(farmers))
    await world.pay_kale(list(farmers.values()), 10 * KALE)
    return farmers


async def freeze(owner: Owner) -> None:
    """Have the issuer take a line's authorisation back."""
    network = Network()
    issuer = Owner(rpc=owner.rpc, key=network.issuer)
    await issuer.does(SetOptions(set_flags=AuthorizationFlag.AUTHORIZATION_REVOCABLE))
    await issuer.does(
        SetTrustLineFlags(
            owner.key.public_key, network.kale, clear_flags=TrustLineFlags.AUTHORIZED_FLAG
        )
    )


async def lock(owner: Owner, how: str) -> None:
    """Do what makes the account refuse the pool's key, or KALE."""
    match how:
        case "master weight":
            await owner.does(SetOptions(master_weight=0))
        case "low threshold":
            await owner.does(SetOptions(low_threshold=2))
        case "medium threshold":
            await owner.does(SetOptions(med_threshold=2))
        case "frozen":
            await freeze(owner)
        case "merged":
            line = ChangeTrust(Network().kale, "0")
            await owner.does(line, AccountMerge(Network().faucet.public_key))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("master weight", R.FAILURE_REASON_ACCOUNT_LOCKED),
        ("low threshold", R.FAILURE_REASON_ACCOUNT_LOCKED),
        ("medium threshold", R.FAILURE_REASON_ACCOUNT_LOCKED),
        ("frozen", R.FAILURE_REASON_LINE_FROZEN),
    ],
)
async def test_one_whose_account_does_not_obey_keeps_nobody_waiting(
    busy: WalletWorld, rpc: SorobanServerAsync, how: str, reason: common_pb2.FailureReason.ValueType
) -> None:
    farmers = await farmers_of(busy, 4)
    lost, *_ = farmers
    await lock(await owner_of(busy, lost, rpc), how)
    block = await busy.plantable(room=ROOM)
    done = await busy.plant(f"{how} {block}", block, dict.fromkeys(farmers, KALE))
    refused = [item for item in done if item.farmer_id == lost]
    assert [(item.state, item.reason) for item in refused] == [(FAILED, reason)]
    # Nothing was signed for it, so nothing was paid.
    assert [(item.attempts, item.fee_charged) for item in refused] == [(0, 0)]
    assert {item.state for item in done if item.farmer_id != lost} == {SUCCEEDED}
    # A batch that waits for one item returns when the block is over.
    assert await busy.plantable() == block


async def test_one_that_is_being_locked_meanwhile_costs_no_others_time(
    busy: WalletWorld, rpc: SorobanServerAsync
) -> None:
    farmers = await farmers_of(busy, 4)
    lost, *_ = farmers
    owner = await owner_of(busy, lost, rpc)
    block = await busy.plantable(room=ROOM)
    # In the next ledger, with no number of its own: what is signed by then is refused there.
    lock = SetOptions(master_weight=0, source=owner.key.public_key)
    await owner.sends_from(Network().faucet, lock)
    done = await busy.plant(f"meanwhile {block}", block, dict.fromkeys(farmers, KALE))
    ends = {item.farmer_id: (item.state, item.reason) for item in done}
    assert ends.pop(lost) == (FAILED, R.FAILURE_REASON_ACCOUNT_LOCKED)
    assert {state for state, _ in ends.values()} == {SUCCEEDED}
    # A batch that waits for one item returns when the block is over.
    assert await busy.plantable() == block


async def worked(world: WalletWorld, farmers: dict[str, str], block: int) -> None:
    """Have the farmers plant and work in a block."""
    done = await world.plant(f"plant {block}", block, dict.fromkeys(farmers, KALE))
    assert {item.state for item in done} == {SUCCEEDED}
    nonces = {
        farmer: (await world.nonces_by_zeros(block, address, [1]))[0]
        for farmer, address in farmers.items()
    }
    done = await world.work(f"work {block}", block, nonces, farmers)
    assert {item.state for item in done} == {SUCCEEDED}


async def test_a_line_that_is_full_keeps_one_harvest_back_and_costs_nothing(
    busy: WalletWorld, rpc: SorobanServerAsync
) -> None:
    farmers = await farmers_of(busy, 3)
    full, *_ = farmers
    block = await busy.next_block()
    await worked(busy, farmers, block)
    # The 9 KALE that are left, and not a stroop of the stake.
    owner = await owner_of(busy, full, rpc)
    await owner.does(ChangeTrust(Network().kale, "9"))
    opener = await busy.create_farmers(1)
    await busy.wait_until_ready(list(opener))
    await busy.wait_for_plantable(block + 1)
    await busy.plant(f"opener {block}", block + 1, dict.fromkeys(opener, 0))
    done = {item.farmer_id: item for item in await busy.harvest("first", block, list(farmers))}
    refused = done.pop(full)
    assert (refused.state, refused.reason) == (FAILED, R.FAILURE_REASON_LINE_FULL)
    assert (refused.attempts, refused.fee_charged) == (0, 0)
    assert {item.state for item in done.values()} == {SUCCEEDED}
    # Room for the stake and not for the reward: only a simulation tells.
    await owner.does(ChangeTrust(Network().kale, "10.0000001"))
    (again,) = await busy.harvest("second", block, [full])
    assert (again.state, again.reason) == (FAILED, R.FAILURE_REASON_LINE_FULL)
    assert (again.attempts, again.fee_charged) == (0, 0)
    await owner.does(ChangeTrust(Network().kale))
    (paid,) = await busy.harvest("third", block, [full])
    assert paid.state == SUCCEEDED
