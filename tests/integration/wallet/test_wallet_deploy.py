"""The multicall contract deployed on a localnet process, and three plants through it."""

import json
from pathlib import Path

import aiohttp
import pytest
from kalepool.wallet.v1 import engine_pb2, engine_pb2_grpc, wallet_pb2
from stellar_sdk import Address, Keypair, TransactionBuilder, TransactionEnvelope, scval, xdr
from stellar_sdk.auth import authorize_invocation
from stellar_sdk.exceptions import AccountNotFoundException
from stellar_sdk.soroban_rpc import GetTransactionStatus, SendTransactionStatus
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.common.grpc.client import open_channel
from libs.kale.networks import LOCALNET
from services.wallet.chain.build.deploy import (
    LIFE,
    RENEW,
    Deployment,
    DeploymentStep,
    multicall_deployment,
    prepare_step,
    sign_step,
    unsigned_step,
)
from services.wallet.domain.chain_facts import SignedEnvelope
from services.wallet.keys.signer import SeedSigner
from tests.support.database import DatabaseAccess
from tests.support.localnet_process import localnet_process
from tests.support.multicall import call, error
from tests.support.wallet_world import PATIENCE, eventually, open_wallet_world

pytestmark = pytest.mark.e2e

#: Stroops that one step may cost: the upload pays for the code's first life.
CAP = 200_000_000
#: The farm's PailExists.
PAIL_EXISTS = 8


class Treasury:
    """Deploys with the wallet's builders; everything else is the SDK's own."""

    def __init__(self, server: SorobanServerAsync, keypair: Keypair | None = None) -> None:
        self.server = server
        self.keypair = keypair or Keypair.random()
        self.signer = SeedSigner(self.keypair.raw_secret_key())

    @property
    def deployment(self) -> Deployment:
        """Where its multicall is."""
        return multicall_deployment(
            deployer=self.keypair.public_key, passphrase=LOCALNET.passphrase
        )

    async def exists(self) -> bool:
        """Whether its account does."""
        try:
            await self.server.load_account(self.keypair.public_key)
        except AccountNotFoundException:
            return False
        return True

    async def sequence(self) -> int:
        """The next one."""
        return (await self.server.load_account(self.keypair.public_key)).sequence + 1

    async def simulate_and_sign(self, step: DeploymentStep) -> SignedEnvelope:
        """A step as the wallet makes it."""
        max_time = int((await self.server.get_latest_ledger()).close_time) + 60
        sequence = await self.sequence()
        bare = unsigned_step(step, sequence=sequence, max_time=max_time)
        answer = await self.server.simulate_transaction(
            TransactionEnvelope.from_xdr(bare, LOCALNET.passphrase)
        )
        assert answer.error is None, answer.error
        return sign_step(
            step,
            treasury=self.signer,
            sequence=sequence,
            max_time=max_time,
            inclusion_fee=100,
            max_fee=CAP,
            prepared=prepare_step(answer.model_dump(mode="json", by_alias=True)),
        )

    async def missing(self) -> list[str]:
        """Names of the steps that are still to be done."""
        keys = [xdr.LedgerKey.from_xdr(key) for key in self.deployment.entry_keys]
        found = (await self.server.get_ledger_entries(keys)).entries or []
        present = {entry.key for entry in found}
        return [step.name for step in self.deployment.missing(present)]

    async def call(
        self, contract: str, function: str, arguments: list[xdr.SCVal], farmers: list[Keypair]
    ) -> xdr.SCVal:
        """A call in which each farmer allows a plant without stake; what it returned."""
        account = await self.server.load_account(self.keypair.public_key)
        builder = TransactionBuilder(account, LOCALNET.passphrase, 100).set_timeout(60)
        until = (await self.server.get_latest_ledger()).sequence + 50
        builder.append_invoke_contract_function_op(
            contract, function, arguments, auth=[allowed_plant(one, until) for one in farmers]
        )
        prepared = await self.server.prepare_transaction(builder.build())
        prepared.sign(self.keypair)
        return await settle(self.server, prepared)


def plant_arguments(farmer: Keypair) -> list[xdr.SCVal]:
    """plant(farmer, 0)."""
    return [scval.to_address(farmer.public_key), scval.to_int128(0)]


def allowed_plant(farmer: Keypair, until: int) -> xdr.SorobanAuthorizationEntry:
    """The farmer's signature under plant(farmer, 0), whoever makes the call."""
    args = xdr.InvokeContractArgs(
        contract_address=Address(LOCALNET.farm).to_xdr_sc_address(),
        function_name=xdr.SCSymbol(b"plant"),
        args=plant_arguments(farmer),
    )
    kind = xdr.SorobanAuthorizedFunctionType.SOROBAN_AUTHORIZED_FUNCTION_TYPE_CONTRACT_FN
    root = xdr.SorobanAuthorizedInvocation(
        function=xdr.SorobanAuthorizedFunction(kind, contract_fn=args), sub_invocations=[]
    )
    return authorize_invocation(
        farmer,
        farmer.public_key,
        until,
        root,
        LOCALNET.passphrase,
        credentials_type=xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_ADDRESS,
    )


async def settle(server: SorobanServerAsync, envelope: TransactionEnvelope) -> xdr.SCVal:
    """Sends and waits; the return value."""
    sent = await server.send_transaction(envelope)
    assert sent.status is SendTransactionStatus.PENDING, sent
    found = await server.poll_transaction(envelope.hash_hex(), 60)
    assert found.status is GetTransactionStatus.SUCCESS, found
    assert found.result_meta_xdr is not None
    meta = xdr.TransactionMeta.from_xdr(found.result_meta_xdr).v4
    assert meta is not None
    assert meta.soroban_meta is not None
    assert meta.soroban_meta.return_value is not None
    return meta.soroban_meta.return_value


async def fund(url: str, *keypairs: Keypair) -> None:
    """Accounts from the friendbot."""
    async with aiohttp.ClientSession() as http:
        for keypair in keypairs:
            async with http.get(url, params={"addr": keypair.public_key}) as answer:
                assert answer.status == 200


async def test_deployed_it_plants_for_three_farmers_of_whom_one_fails() -> None:
    farmers = [Keypair.random() for _ in range(3)]
    # All of it in one block: a plant that is simulated in one and applied in the next one fails.
    async with (
        localnet_process(block_seconds=300) as localnet,
        SorobanServerAsync(localnet.rpc_url) as server,
    ):
        treasury = Treasury(server)
        await fund(localnet.friendbot_url, treasury.keypair, *farmers)
        deployment = treasury.deployment
        assert await treasury.missing() == ["upload", "create"]
        returned = []
        for step in deployment.steps:
            signed = await treasury.simulate_and_sign(step)
            envelope = TransactionEnvelope.from_xdr(signed.xdr, LOCALNET.passphrase)
            assert envelope.hash_hex() == signed.hash
            returned.append(await settle(server, envelope))
        assert await treasury.missing() == []
        code, contract = returned
        assert scval.from_bytes(code).hex() == deployment.code_hash
        assert scval.from_address(contract).address == deployment.contract

        # One of them has planted already: its plant fails, and nobody else's.
        late = farmers[1]
        await treasury.call(LOCALNET.farm, "plant", plant_arguments(late), [late])
        calls = [call(LOCALNET.farm, "plant", *plant_arguments(farmer)) for farmer in farmers]
        value = await treasury.call(deployment.contract, "exec", [scval.to_vec(calls)], farmers)
        assert scval.from_vec(value) == [scval.to_void(), error(PAIL_EXISTS), scval.to_void()]


async def test_what_would_be_archived_before_long_lives_longer(
    database: DatabaseAccess, tmp_path: Path
) -> None:
    settings = json.dumps({"state_archival.min_persistent_ttl": RENEW // 2})
    async with open_wallet_world(
        database, tmp_path, localnet_environment={"LOCALNET_NETWORK_SETTINGS": settings}
    ) as world:
        await world.wait_until_serving()
        async with open_channel(world.target) as channel:
            engine = engine_pb2_grpc.EngineServiceStub(channel)
            request = engine_pb2.DeployMulticallRequest(max_fee_stroops=10**9)
            first = await engine.DeployMulticall(request, timeout=PATIENCE)
            assert not first.already_there
            assert (await engine.DeployMulticall(request, timeout=PATIENCE)).already_there
        treasury = (await world.stub.GetTreasury(wallet_pb2.GetTreasuryRequest())).address
        deployment = multicall_deployment(deployer=treasury, passphrase=LOCALNET.passphrase)
        assert first.contract_id == deployment.contract
        async with SorobanServerAsync(world.rpc_url) as rpc:
            assert await shortest_life(rpc, deployment) >= LIFE - 100


async def test_the_multicall_in_use_lives_longer_by_itself(
    database: DatabaseAccess, tmp_path: Path
) -> None:
    settings = json.dumps({"state_archival.min_persistent_ttl": RENEW // 2})
    keypair = Keypair.random()
    secret = tmp_path / "treasury"
    secret.write_text(keypair.secret)
    async with open_wallet_world(
        database,
        tmp_path,
        localnet_environment={"LOCALNET_NETWORK_SETTINGS": settings},
        TREASURY_SECRET_FILE=str(secret),
    ) as world:
        await world.wait_until_serving()
        async with SorobanServerAsync(world.rpc_url) as server:
            treasury = Treasury(server, keypair)
            await eventually(treasury.exists, "the treasury is not funded", world.wallet)
            # The wallet must not use the treasury's numbers meanwhile, nor have used one just now.
            await world.wallet.stop(number=9)
            stopped = (await server.get_latest_ledger()).sequence

            async def is_quiet() -> bool:
                return bool((await server.get_latest_ledger()).sequence > stopped + 1)

            await eventually(is_quiet, "no ledger closes")
            for step in treasury.deployment.steps:
                signed = await treasury.simulate_and_sign(step)
                await settle(server, TransactionEnvelope.from_xdr(signed.xdr, LOCALNET.passphrase))
            assert await shortest_life(server, treasury.deployment) < RENEW
            await world.restart(
                MULTICALL_CONTRACT_ID=treasury.deployment.contract, CHANNEL_ACCOUNTS="1"
            )

            async def lives_long() -> bool:
                return await shortest_life(server, treasury.deployment) >= LIFE - 100

            await eventually(lives_long, "nobody lets it live longer", world.wallet)


async def shortest_life(server: SorobanServerAsync, deployment: Deployment) -> int:
    """Ledgers that are left to the contract or its code, whichever has fewer."""
    keys = [xdr.LedgerKey.from_xdr(key) for key in deployment.entry_keys]
    found = await server.get_ledger_entries(keys)
    lives = [entry.live_until_ledger or 0 for entry in found.entries or []]
    assert len(lives) == 2
    return min(lives) - found.latest_ledger
