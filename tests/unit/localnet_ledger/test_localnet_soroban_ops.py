"""Soroban operations in ledgers: charges and refunds, limits, lifetimes, extension."""

from typing import Any

import pytest
import sha3
from stellar_sdk import Account, Keypair, SorobanDataBuilder, TransactionBuilder, scval, xdr
from stellar_sdk import TransactionEnvelope as Envelope
from stellar_sdk.operation import ChangeTrust, Payment

from localnet.ledger.keys import is_persistent
from localnet.ledger.xdr_json import to_json
from tests.support.localnet_chain import Chain, make_node, operation_codes
from tests.support.localnet_farm import (
    call_farm,
    farm_envelope,
    plant_arguments,
    simulate_call,
)


@pytest.fixture
def chain() -> Chain:
    return Chain()


def farmers(chain: Chain, count: int) -> list[Keypair]:
    keypairs = [Keypair.random() for _ in range(count)]
    chain.fund(*keypairs)
    return keypairs


def temporary_keys(chain: Chain) -> list[bytes]:
    """Keys of all temporary entries that the state still holds, dead or alive."""
    records = chain.node.snapshot.records
    return [k for k, r in records.items() if r.live_until is not None and not is_persistent(k)]


def total_stroops(chain: Chain) -> int:
    accounts = (r.entry.data.account for r in chain.node.snapshot.records.values())
    balances = sum(a.balance.int64 for a in accounts if a is not None)
    return balances + chain.node.history.latest.fee_pool


def test_what_is_charged_is_what_the_meta_says(chain: Chain) -> None:
    (farmer,) = farmers(chain, 1)
    before = chain.account(farmer).balance
    applied = call_farm(chain, farmer, "plant", plant_arguments(farmer, 0))
    meta = xdr.TransactionMeta.from_xdr_bytes(applied.meta).v4
    assert meta is not None
    assert meta.soroban_meta is not None
    charges = meta.soroban_meta.ext.v1
    assert charges is not None
    resources = (
        charges.total_non_refundable_resource_fee_charged.int64
        + charges.total_refundable_resource_fee_charged.int64
    )
    fee = int.from_bytes(applied.result[:8], "big")
    assert fee == resources + 100
    assert chain.account(farmer).balance == before - fee
    assert total_stroops(chain) == 10**18


def test_a_failed_call_keeps_only_its_fixed_fee(chain: Chain) -> None:
    (farmer,) = farmers(chain, 1)
    arguments = plant_arguments(farmer, 0)
    envelope = farm_envelope(chain, farmer, "plant", arguments)
    again = simulate_call(chain, farmer, "plant", arguments)
    assert call_farm(chain, farmer, "plant", arguments).ok
    assert envelope.transaction.sequence == chain.account(farmer).seq_num
    second = farm_envelope(chain, farmer, "plant", arguments, simulated=again)
    assert chain.send(second).status == "PENDING"
    (applied,) = chain.close().transactions
    assert operation_codes(applied) == [{"invoke_host_function": "trapped"}]
    assert applied.contract_events == ()
    assert total_stroops(chain) == 10**18
    assert chain.account(farmer).seq_num == second.transaction.sequence


def with_resources(chain: Chain, farmer: Keypair, **changes: int) -> Envelope:
    """A plant whose declared resources are changed after the simulation."""
    arguments = plant_arguments(farmer, 0)
    simulated = simulate_call(chain, farmer, "plant", arguments)
    data = xdr.SorobanTransactionData.from_xdr(simulated["transactionData"])
    for name, value in changes.items():
        if name == "resource_fee":
            data.resource_fee = xdr.Int64(value)
            simulated["minResourceFee"] = str(value)
        else:
            setattr(data.resources, name, xdr.Uint32(value))
    return farm_envelope(
        chain, farmer, "plant", arguments, simulated={**simulated, "transactionData": data.to_xdr()}
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"instructions": 100_000}, "resource_limit_exceeded"),
        ({"write_bytes": 1000}, "resource_limit_exceeded"),
        # Enough for the declared resources, not for the rent of the pail.
        ({"resource_fee": 18_000}, "insufficient_refundable_fee"),
    ],
)
def test_what_was_declared_is_enforced(chain: Chain, changes: dict[str, int], code: str) -> None:
    (farmer,) = farmers(chain, 1)
    assert chain.send(with_resources(chain, farmer, **changes)).status == "PENDING"
    (applied,) = chain.close().transactions
    assert operation_codes(applied) == [{"invoke_host_function": code}]
    assert temporary_keys(chain) == []


def test_temporary_entries_die_and_are_evicted() -> None:
    chain = Chain(node=make_node(overrides={"state_archival.min_temporary_ttl": 20}))
    (farmer,) = farmers(chain, 1)
    assert call_farm(chain, farmer, "plant", plant_arguments(farmer, 0)).ok
    planted = chain.node.snapshot.sequence
    keys = temporary_keys(chain)
    assert len(keys) == 2
    while chain.node.snapshot.sequence < planted + 19:
        chain.close(seconds=1)
    assert all(chain.node.snapshot.get(k) is not None for k in keys)
    chain.close(seconds=1)
    assert all(chain.node.snapshot.get(k) is None for k in keys)
    while chain.node.snapshot.sequence < 64:
        chain.close(seconds=1)
    assert temporary_keys(chain) == []


def extension(chain: Chain, source: Keypair, keys: list[bytes], ledgers: int) -> Envelope:
    """ExtendFootprintTTL of these entries with a generous fee."""
    account = Account(source.public_key, chain.account(source).seq_num)
    data: Any = SorobanDataBuilder()  # type: ignore[no-untyped-call]
    data.set_read_only([xdr.LedgerKey.from_xdr_bytes(k) for k in keys])
    data.set_resource_fee(5_000_000)
    envelope = (
        TransactionBuilder(account, chain.network.passphrase, base_fee=100)
        .append_extend_footprint_ttl_op(ledgers)
        .add_time_bounds(0, chain.now + 300)
        .set_soroban_data(data.build())
        .build()
    )
    envelope.transaction.fee = 5_000_100
    envelope.sign(source)
    return envelope


def test_anyone_may_extend_a_pail(chain: Chain) -> None:
    farmer, other = farmers(chain, 2)
    assert call_farm(chain, farmer, "plant", plant_arguments(farmer, 0)).ok
    keys = temporary_keys(chain)
    assert chain.send(extension(chain, other, keys, 30_000)).status == "PENDING"
    (applied,) = chain.close().transactions
    assert applied.ok
    lives = {chain.node.snapshot.records[k].live_until for k in keys}
    assert lives == {chain.node.snapshot.sequence + 30_000}
    meta = xdr.TransactionMeta.from_xdr_bytes(applied.meta).v4
    assert meta is not None
    # Only lifetimes changed: a state and an update of each.
    kinds = [next(iter(c)) for c in to_json(meta.operations[0].changes)]
    assert kinds == ["state", "updated"] * 2
    assert total_stroops(chain) == 10**18


def test_no_one_may_extend_beyond_the_longest_life(chain: Chain) -> None:
    farmer, other = farmers(chain, 2)
    assert call_farm(chain, farmer, "plant", plant_arguments(farmer, 0)).ok
    longest = chain.node.settings.max_entry_ttl
    answer = chain.send(extension(chain, other, temporary_keys(chain), longest))
    assert answer.verdict is not None
    assert answer.verdict.outcome.operations[0].packed[-4:] == (-1).to_bytes(4, "big", signed=True)
    assert chain.send(extension(chain, other, temporary_keys(chain), longest - 1)).verdict is None


def test_a_footprint_of_the_wrong_kind_is_malformed(chain: Chain) -> None:
    (farmer,) = farmers(chain, 1)
    answer = chain.send(extension(chain, farmer, [chain.account(farmer).key], 1000))
    assert answer.verdict is not None
    assert answer.verdict.outcome.operations[0].packed[-4:] == (-1).to_bytes(4, "big", signed=True)


def test_a_pool_pays_for_a_farmer_without_lumens(chain: Chain) -> None:
    """The farmer is the inner source; the pool's fee bump pays everything."""
    pool, farmer = farmers(chain, 2)
    before = chain.account(farmer).balance
    inner = farm_envelope(chain, farmer, "plant", plant_arguments(farmer, 0))
    resource_fee = inner.transaction.fee - 100
    bump = chain.bump(inner, pool, 100 + resource_fee)
    assert bump.transaction.fee >= 200 + resource_fee
    assert chain.send(bump).status == "PENDING"
    (applied,) = chain.close().transactions
    assert applied.ok
    assert chain.account(farmer).balance == before
    found = chain.node.history.find(inner.hash())
    assert found is not None
    assert found.transaction.hash == bump.hash()
    assert total_stroops(chain) == 10**18


def test_harvest_pays_what_it_returns(chain: Chain) -> None:
    """Stake and reward come back by the token's mint; the return value is the reward alone."""
    (farmer,) = farmers(chain, 1)
    _give_kale(chain, farmer)
    assert call_farm(chain, farmer, "plant", plant_arguments(farmer, 50_000_000)).ok
    assert chain.kale(farmer) == 50_000_000
    chain.close()
    entropy = _entropy(chain)
    arguments = _work_arguments(farmer, 0, entropy)
    assert call_farm(chain, farmer, "work", arguments).ok
    chain.close(seconds=300)
    assert call_farm(chain, farmer, "plant", plant_arguments(farmer, 0)).ok
    harvest = [scval.to_address(farmer.public_key), scval.to_uint32(0)]
    applied = call_farm(chain, farmer, "harvest", harvest)
    meta = xdr.TransactionMeta.from_xdr_bytes(applied.meta).v4
    assert meta is not None
    assert meta.soroban_meta is not None
    assert meta.soroban_meta.return_value is not None
    reward: Any = scval.to_native(meta.soroban_meta.return_value)
    assert reward > 0
    assert chain.kale(farmer) == 100_000_000 + reward


def _give_kale(chain: Chain, farmer: Keypair) -> None:
    kale = chain.network.kale
    assert chain.apply(farmer, [ChangeTrust(kale)]).ok
    assert chain.apply(chain.network.faucet, [Payment(farmer.public_key, kale, "10")]).ok


def _entropy(chain: Chain) -> bytes:
    """Entropy of the only Block there is."""
    for key in temporary_keys(chain):
        data = chain.node.snapshot.records[key].entry.data.contract_data
        record: Any = scval.to_native(data.val) if data is not None else None
        if isinstance(record, dict) and "entropy" in record:
            return bytes(record["entropy"])
    raise AssertionError("no Block")


def _work_arguments(farmer: Keypair, index: int, entropy: bytes) -> list[xdr.SCVal]:
    nonce = 7
    preimage = index.to_bytes(4, "big") + nonce.to_bytes(8, "big") + entropy
    digest = sha3.keccak_256(preimage + farmer.raw_public_key()).digest()
    return [scval.to_address(farmer.public_key), scval.to_bytes(digest), scval.to_uint64(nonce)]
