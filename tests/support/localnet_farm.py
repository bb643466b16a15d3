"""Calls of the farm on a chain in the test's process: simulated, signed and applied."""

import asyncio
from typing import Any

from stellar_sdk import Account, Address, Keypair, TransactionBuilder, scval, xdr
from stellar_sdk import TransactionEnvelope as Envelope

from localnet.config import LocalnetSettings
from localnet.ledger.apply import Applied
from localnet.rpc.context import RpcContext
from localnet.rpc.faults import Faults
from localnet.rpc.simulate import simulate_transaction
from tests.support.localnet_chain import Chain


def plant_arguments(farmer: Keypair, stake: int) -> list[xdr.SCVal]:
    """Return the arguments of plant(farmer, stake)."""
    return [scval.to_address(farmer.public_key), scval.to_int128(stake)]


def unsigned_call(
    chain: Chain, source: Keypair, function: str, arguments: list[xdr.SCVal], bid: int = 100
) -> Envelope:
    """Return a call in the form that is simulated."""
    account = Account(source.public_key, chain.account(source).seq_num)
    farm = Address.from_raw_contract(chain.network.farm).address
    return (
        TransactionBuilder(account, chain.network.passphrase, base_fee=bid)
        .append_invoke_contract_function_op(farm, function, arguments)
        .add_time_bounds(0, chain.now + 300)
        .build()
    )


def simulate_call(
    chain: Chain,
    source: Keypair,
    function: str,
    arguments: list[xdr.SCVal],
    *,
    rpc: RpcContext | None = None,
) -> dict[str, Any]:
    """Return the answer of simulateTransaction."""
    if rpc is None:
        rpc = RpcContext(node=chain.node, settings=LocalnetSettings(), faults=Faults())
    envelope = unsigned_call(chain, source, function, arguments)
    return asyncio.run(simulate_transaction(rpc, {"transaction": envelope.to_xdr()}))


def farm_envelope(
    chain: Chain,
    source: Keypair,
    function: str,
    arguments: list[xdr.SCVal],
    *,
    simulated: dict[str, Any] | None = None,
    bid: int = 100,
) -> Envelope:
    """Return a signed call with the resources of a simulation (made here unless given)."""
    answer = simulated or simulate_call(chain, source, function, arguments)
    assert "error" not in answer, answer["error"]
    envelope = unsigned_call(chain, source, function, arguments, bid)
    transaction = envelope.transaction
    transaction.soroban_data = xdr.SorobanTransactionData.from_xdr(answer["transactionData"])
    transaction.fee = bid + int(answer["minResourceFee"])
    operation = transaction.operations[0]
    auth = [xdr.SorobanAuthorizationEntry.from_xdr(a) for a in answer["results"][0]["auth"]]
    operation.auth = auth  # type: ignore[attr-defined]
    envelope.sign(source)
    return envelope


def call_farm(chain: Chain, source: Keypair, function: str, arguments: list[xdr.SCVal]) -> Applied:
    """Simulate a call, send it and close a ledger; return the applied transaction."""
    envelope = farm_envelope(chain, source, function, arguments)
    answer = chain.send(envelope)
    assert answer.status == "PENDING", answer
    chain.close()
    found = chain.node.history.find(envelope.hash())
    assert found is not None
    return found.transaction
