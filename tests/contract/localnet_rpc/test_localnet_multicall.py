"""A deployed multicall in ledgers: what it pays, what limits it, what fails as a whole."""

import asyncio
from typing import Any

import pytest
from stellar_sdk import Account, Address, Keypair, StrKey, TransactionBuilder, scval, xdr
from stellar_sdk import TransactionEnvelope as Envelope

from localnet.config import LocalnetSettings
from localnet.ledger.apply import Applied
from localnet.network import contract_id
from localnet.rpc.context import RpcContext
from localnet.rpc.faults import Faults
from localnet.rpc.simulate import simulate_transaction
from tests.support.localnet_chain import Chain, operation_codes
from tests.support.multicall import call, create, error, preimage, upload

#: The farm's BlockMissing.
BLOCK_MISSING = 11
#: Nested harvests that fit into a transaction's memory.
MOST = 27


class Pool:
    """An account that deploys and calls."""

    def __init__(self) -> None:
        self.chain = Chain()
        self.keypair = Keypair.random()
        self.chain.fund(self.keypair)
        raw = contract_id(self.chain.network.id, preimage(self.keypair.public_key))
        self.multicall = StrKey.encode_contract(raw)
        self.farm = StrKey.encode_contract(self.chain.network.farm)

    def envelope(self, function: xdr.HostFunction) -> Envelope:
        """A host function as it is simulated."""
        account = Account(self.keypair.public_key, self.chain.account(self.keypair).seq_num)
        builder = TransactionBuilder(account, self.chain.network.passphrase, base_fee=100)
        builder.add_time_bounds(0, self.chain.now + 300)
        if function.wasm is not None:
            builder.append_upload_contract_wasm_op(function.wasm)
        elif function.create_contract_v2 is not None:
            args = function.create_contract_v2
            assert args.executable.wasm_hash is not None
            assert args.contract_id_preimage.from_address is not None
            builder.append_create_contract_op(
                args.executable.wasm_hash.hash,
                self.keypair.public_key,
                salt=args.contract_id_preimage.from_address.salt.uint256,
            )
        else:
            assert function.invoke_contract is not None
            args_of_exec = function.invoke_contract.args
            builder.append_invoke_contract_function_op(self.multicall, "exec", args_of_exec)
        return builder.build()

    def simulate(self, envelope: Envelope) -> dict[str, Any]:
        """The answer of simulateTransaction."""
        rpc = RpcContext(node=self.chain.node, settings=LocalnetSettings(), faults=Faults())
        params = {"transaction": envelope.to_xdr(), "authMode": "record_allow_nonroot"}
        return asyncio.run(simulate_transaction(rpc, params))

    def apply(self, function: xdr.HostFunction, answer: dict[str, Any] | None = None) -> Applied:
        """Sends it with what `answer` (its own simulation's, if none is given) says it needs."""
        envelope = self.envelope(function)
        answer = answer or self.simulate(envelope)
        assert "error" not in answer, answer["error"]
        transaction = envelope.transaction
        transaction.soroban_data = xdr.SorobanTransactionData.from_xdr(answer["transactionData"])
        transaction.fee = 100 + int(answer["minResourceFee"])
        operation: Any = transaction.operations[0]
        operation.auth = [
            xdr.SorobanAuthorizationEntry.from_xdr(a) for a in answer["results"][0]["auth"]
        ]
        envelope.sign(self.keypair)
        sent = self.chain.send(envelope)
        assert sent.status == "PENDING", sent
        self.chain.close()
        found = self.chain.node.history.find(envelope.hash())
        assert found is not None
        return found.transaction

    def harvests(self, count: int, farmer: Keypair | None = None) -> xdr.HostFunction:
        """Harvests of a block that is not there: each fails, none needs an authorisation."""
        who = scval.to_address((farmer or self.keypair).public_key)
        entry = call(self.farm, "harvest", who, scval.to_uint32(9))
        args = xdr.InvokeContractArgs(
            contract_address=Address(self.multicall).to_xdr_sc_address(),
            function_name=xdr.SCSymbol(b"exec"),
            args=[scval.to_vec([entry] * count)],
        )
        kind = xdr.HostFunctionType.HOST_FUNCTION_TYPE_INVOKE_CONTRACT
        return xdr.HostFunction(kind, invoke_contract=args)


@pytest.fixture
def pool() -> Pool:
    """A pool whose multicall is deployed."""
    fresh = Pool()
    for function in (upload(), create(fresh.keypair.public_key)):
        assert fresh.apply(function).ok
    return fresh


def charged(applied: Applied) -> int:
    """Stroops."""
    return xdr.TransactionResult.from_xdr_bytes(applied.result).fee_charged.int64


def returned(applied: Applied) -> xdr.SCVal | None:
    """The return value in its meta."""
    meta = xdr.TransactionMeta.from_xdr_bytes(applied.meta).v4
    assert meta is not None
    assert meta.soroban_meta is not None
    return meta.soroban_meta.return_value


def test_deploying_pays_the_rent_of_the_parsed_code() -> None:
    fresh = Pool()
    first = fresh.apply(upload())
    created = fresh.apply(create(fresh.keypair.public_key))
    again = fresh.apply(upload())
    assert returned(created) == scval.to_address(fresh.multicall)
    assert returned(again) == returned(first)
    # 52,021 bytes count for the code (1,380 are the entry's) at a third of the rent, 104 for the
    # instance: 167 to 1.
    assert 140 < charged(first) / charged(created) < 190
    assert charged(again) < charged(created)


def test_the_same_contract_twice_fails_when_simulated(pool: Pool) -> None:
    answer = pool.simulate(pool.envelope(create(pool.keypair.public_key)))
    assert answer["error"].startswith("HostError: Error(Storage, ExistingValue)")


def test_errors_come_back_as_values(pool: Pool) -> None:
    applied = pool.apply(pool.harvests(2))
    assert applied.ok
    assert returned(applied) == scval.to_vec([error(BLOCK_MISSING)] * 2)


def test_memory_is_limited_in_simulations_and_in_ledgers(pool: Pool) -> None:
    fits = pool.simulate(pool.envelope(pool.harvests(MOST)))
    too_many = pool.simulate(pool.envelope(pool.harvests(MOST + 1)))
    assert too_many["error"].startswith("HostError: Error(Budget, ExceededLimit)")
    # The footprint is the same, so only the memory is in the way.
    data = xdr.SorobanTransactionData.from_xdr(fits["transactionData"])
    data.resources.instructions = xdr.Uint32(2 * data.resources.instructions.uint32)
    data.resource_fee = xdr.Int64(10**6)
    generous = {**fits, "transactionData": data.to_xdr(), "minResourceFee": str(10**6)}
    assert pool.apply(pool.harvests(MOST), generous).ok
    failed = pool.apply(pool.harvests(MOST + 1), generous)
    assert not failed.ok
    assert "resource_limit_exceeded" in str(operation_codes(failed))


def test_a_missing_footprint_entry_fails_the_whole_list(pool: Pool) -> None:
    answer = pool.simulate(pool.envelope(pool.harvests(3)))
    data = xdr.SorobanTransactionData.from_xdr(answer["transactionData"])
    footprint = data.resources.footprint
    missing = [key for key in footprint.read_only if _is_block(key)]
    assert len(missing) == 1
    footprint.read_only = [key for key in footprint.read_only if not _is_block(key)]
    failed = pool.apply(pool.harvests(3), {**answer, "transactionData": data.to_xdr()})
    assert not failed.ok
    assert "trapped" in str(operation_codes(failed))


def _is_block(key: xdr.LedgerKey) -> bool:
    """Whether it is Block(9)."""
    wanted = scval.to_vec([scval.to_symbol("Block"), scval.to_uint32(9)])
    return key.contract_data is not None and key.contract_data.key == wanted
