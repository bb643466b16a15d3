"""The lines of docs/http.md call what they say, as they stand there."""

import shutil

import pytest
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import wallet_pb2
from stellar_sdk import Keypair

from libs.common.grpc.identity import CallerKind, parse_identity
from services.access import ACCESS
from tests.support.documents import run_lines
from tests.support.fake_backends import FARMER, OPERATOR_TOKEN, POOLER
from tests.support.fake_chain import Chain
from tests.support.gateway_world import GatewayWorld

ADDRESS = Keypair.from_raw_ed25519_seed(bytes(32)).public_key


class Blocks:
    """Block 4 is the current one; the third look at the current one finds it over."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self, request: wallet_pb2.GetBlockRequest) -> wallet_pb2.GetBlockResponse:
        """Answer a GetBlock."""
        self.looks += not request.HasField("index")
        head = wallet_pb2.ChainHead(current_block=4, plantable_block=4 if self.looks < 3 else 5)
        block = wallet_pb2.Block(index=request.index, entropy=bytes(32))
        return wallet_pb2.GetBlockResponse(head=head, block=block)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
async def test_every_line_for_a_shell_works(world: GatewayWorld) -> None:
    farmer = registry_pb2.Farmer(is_funded=True, custodial_wallet=ADDRESS)
    pooler = registry_pb2.Pooler(pooler_id=POOLER)
    world.pool.answers |= {
        "WatchBlocks": Chain().watch,
        "GetBlock": Blocks(),
        "RegisterPooler": lambda _: registry_pb2.RegisterPoolerResponse(pooler=pooler),
        "RegisterFarmer": lambda _: registry_pb2.RegisterFarmerResponse(farmer_id=FARMER),
        "GetFarmer": lambda _: registry_pb2.GetFarmerResponse(farmer=farmer),
    }
    variables = {"GATEWAY": f"http://127.0.0.1:{world.port}", "TOKEN": OPERATOR_TOKEN}
    output = await run_lines("docs/http.md", variables, seconds=120)
    assert output.count("id: 5.100") == 2
    called = {call.method.rpartition("/")[2] for call in world.pool.calls}
    assert called == {
        *("ExchangeToken", "GetInfo", "GetBlock", "WatchBlocks", "ListPoolers"),
        *("RegisterPooler", "RegisterFarmer", "GetFarmer", "Plant", "SubmitWork", "Harvest"),
        *("ListPlantings", "ListWorks", "ListHarvests", "GetBalance"),
    }
    # Each line has a token that may do what the line shows, as the table of access says.
    for call in world.pool.calls:
        entry, caller = ACCESS[call.method], parse_identity(call.identity, trust_domain="kalepool")
        assert entry.admits(caller), call.method
        assert entry.by_token or caller.kind is CallerKind.SERVICE, call.method
    register = world.pool.asked("RegisterFarmer")[0].request
    assert (register.request_id, register.stake_percentage) == ("first-farmer", "0.5")
    plants = [call.request for call in world.pool.asked("Plant")]
    assert [plant.block_index for plant in plants] == [4, 5, 5]
    assert plants[2].max_farmers_capacity == 100
    works = [call.request for call in world.pool.asked("SubmitWork")]
    assert [(work.block_index, work.submissions[0].farmer_id) for work in works] == [
        (4, FARMER),
        (5, FARMER),
    ]
    assert [call.request.block_index for call in world.pool.asked("Harvest")] == [4, 4]
