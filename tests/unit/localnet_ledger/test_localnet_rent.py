"""Rent of the farm: instance and code come due by themselves, and whoever calls next pays."""

from typing import Any

import pytest
from stellar_sdk import (
    Account,
    Keypair,
    SorobanDataBuilder,
    StrKey,
    TransactionBuilder,
    xdr,
)
from stellar_sdk import TransactionEnvelope as Envelope

from localnet.ledger.sqlite_store import SqliteStore
from localnet.soroban.modules import OLD_BUILD
from localnet.soroban.storage import code_key, instance_key
from localnet.soroban.uploads import FARM_CODE_BYTES
from tests.support.localnet_chain import Chain, make_node, operation_codes
from tests.support.localnet_farm import call_farm, farm_envelope, plant_arguments, simulate_call

#: M of the host's rule, and how much of it may be gone until a call extends.
LONGEST = 3_110_399
WEEK = 120_960
CODE = code_key(OLD_BUILD).raw


@pytest.fixture
def chain() -> Chain:
    return Chain()


def instance(chain: Chain) -> bytes:
    return instance_key(StrKey.encode_contract(chain.network.farm)).raw


def life(chain: Chain, key: bytes) -> int:
    """Ledgers that an entry lives after this one."""
    record = chain.node.snapshot.get(key)
    assert record is not None
    assert record.live_until is not None
    return record.live_until - chain.node.snapshot.sequence


def funded(chain: Chain) -> Keypair:
    farmer = Keypair.random()
    chain.fund(farmer)
    return farmer


def charges(applied: Any) -> tuple[int, int]:
    """(rent, fee) that a call paid, in stroops."""
    meta = xdr.TransactionMeta.from_xdr_bytes(applied.meta).v4
    assert meta is not None
    assert meta.soroban_meta is not None
    assert meta.soroban_meta.ext.v1 is not None
    fee = xdr.TransactionResult.from_xdr_bytes(applied.result).fee_charged.int64
    return meta.soroban_meta.ext.v1.rent_fee_charged.int64, fee


def plant(chain: Chain) -> tuple[int, int, int]:
    """(rent, fee, simulated fee) of the plant of somebody new."""
    farmer = funded(chain)
    arguments = plant_arguments(farmer, 0)
    asked = int(simulate_call(chain, farmer, "plant", arguments)["minResourceFee"])
    rent, fee = charges(call_farm(chain, farmer, "plant", arguments))
    return rent, fee, asked


def usual(chain: Chain) -> int:
    """Rent of a plant that neither opens a block nor extends the farm."""
    return [plant(chain) for _ in range(2)][1][0]


def test_what_the_real_network_charged(chain: Chain) -> None:
    """17.1 million stroops for 120,960 ledgers of both, 26.8 for 189,300; simulation asks 31."""
    plain = usual(chain)
    for ledgers, measured in ((WEEK, 17_100_000), (189_300, 26_800_000)):
        chain.node.set_lives(dict.fromkeys((CODE, instance(chain)), LONGEST - ledgers + 1))
        rent, fee, asked = plant(chain)
        assert abs(rent - plain - measured) < measured // 100
        assert rent < fee < asked
    assert 30_000_000 < asked < 32_000_000


def test_rent_is_paid_for_as_many_bytes_as_are_set() -> None:
    """A code of half its size pays less by its part of what the real one pays."""
    paid = []
    for size in (FARM_CODE_BYTES, FARM_CODE_BYTES // 2, 0):
        chain = Chain(node=make_node(farm_code_bytes=size))
        usual(chain)
        chain.node.set_lives({CODE: LONGEST - WEEK + 1})
        rent, _, asked = plant(chain)
        assert rent < asked
        paid.append(rent)
    whole, half, none = paid
    # Rent of the parsed module, which is the rest, does not depend on it.
    assert abs((whole - half) - (half - none)) < 1000
    assert 0.03 < (whole - none) / whole < 0.04


@pytest.mark.parametrize("due", ["code", "instance", "both", "none"])
def test_each_is_judged_by_itself(chain: Chain, due: str) -> None:
    plain = usual(chain)
    keys = {"code": CODE, "instance": instance(chain)}
    # A ledger passes until the plant is simulated, and another until it is applied: it finds due
    # what has a week left when it is simulated, and not what has a ledger more when it is applied.
    lives = {True: LONGEST - WEEK + 1, False: LONGEST - WEEK + 3}
    chain.node.set_lives({k: lives[due in (n, "both")] for n, k in keys.items()})
    rent, _, _ = plant(chain)
    for name, key in keys.items():
        expected = LONGEST if due in (name, "both") else LONGEST - WEEK + 1
        assert life(chain, key) == expected, name
    least = {"code": 16_000_000, "both": 16_000_000, "instance": 60_000, "none": 0}[due]
    most = {"code": 18_000_000, "both": 18_000_000, "instance": 200_000, "none": 0}[due]
    assert least <= rent - plain <= most


def test_a_call_that_does_not_pay_the_rent_fails(chain: Chain) -> None:
    """Simulated in the last ledger in which it is not due, applied in the next."""
    farmer = funded(chain)
    arguments = plant_arguments(farmer, 0)
    chain.node.set_lives({CODE: LONGEST - WEEK + 1})
    early = simulate_call(chain, farmer, "plant", arguments)
    envelope = farm_envelope(chain, farmer, "plant", arguments, simulated=early)
    assert chain.send(envelope).status == "PENDING"
    (applied,) = chain.close().transactions
    assert operation_codes(applied) == [{"invoke_host_function": "insufficient_refundable_fee"}]
    assert life(chain, CODE) == LONGEST - WEEK


def extension(chain: Chain, source: Keypair, keys: list[bytes], ledgers: int) -> Envelope:
    """ExtendFootprintTTL of these entries, as somebody pays rent ahead."""
    account = Account(source.public_key, chain.account(source).seq_num)
    data: Any = SorobanDataBuilder()  # type: ignore[no-untyped-call]
    data.set_read_only([xdr.LedgerKey.from_xdr_bytes(k) for k in keys])
    data.set_resource_fee(40_000_000)
    envelope = (
        TransactionBuilder(account, chain.network.passphrase, base_fee=100)
        .append_extend_footprint_ttl_op(ledgers)
        .add_time_bounds(0, chain.now + 300)
        .set_soroban_data(data.build())
        .build()
    )
    envelope.transaction.fee = 40_000_100
    envelope.sign(source)
    return envelope


def test_rent_that_is_paid_ahead_leaves_nothing_for_a_call(chain: Chain) -> None:
    plain = usual(chain)
    keys = [CODE, instance(chain)]
    chain.node.set_lives(dict.fromkeys(keys, LONGEST - WEEK - 1000))
    payer = funded(chain)
    assert chain.send(extension(chain, payer, keys, LONGEST)).status == "PENDING"
    (applied,) = chain.close().transactions
    assert applied.ok
    rent, _ = charges(applied)
    assert 17_000_000 < rent < 17_500_000
    assert {life(chain, k) for k in keys} == {LONGEST}
    assert plant(chain)[0] == plain


def test_nobody_may_extend_beyond_the_longest_life(chain: Chain) -> None:
    payer = funded(chain)
    answer = chain.send(extension(chain, payer, [CODE], LONGEST + 1))
    assert answer.status == "ERROR"
    assert chain.send(extension(chain, payer, [CODE], LONGEST)).status == "PENDING"


def test_lives_that_were_set_while_a_ledger_was_computed(chain: Chain) -> None:
    """What the ledger gave an entry counts only when it knew the new life."""
    key = instance(chain)
    prepared = chain.node.prepare([], chain.now + 5)
    chain.node.set_lives({key: 1000})
    chain.node.commit(prepared)
    assert life(chain, key) == 999
    chain.close()
    assert life(chain, key) == 998


def test_lives_are_kept_on_disk(tmp_path: Any) -> None:
    store = SqliteStore(tmp_path, identity={})
    chain = Chain(node=make_node(store=store))
    chain.node.set_lives({CODE: 1000})
    chain.close()
    store.close()
    again = SqliteStore(tmp_path, identity={})
    assert life(Chain(node=make_node(store=again)), CODE) == 999
    again.close()
