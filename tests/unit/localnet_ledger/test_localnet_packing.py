"""What gets into a ledger, and what it costs there."""

import pytest
from stellar_sdk import Keypair

from localnet.ledger.packing import TransactionSet, build_set
from localnet.ledger.transaction import Transaction, parse
from tests.support.localnet_chain import Chain, make_node
from tests.support.localnet_soroban import soroban_envelope

MILLION = 1_000_000


@pytest.fixture(scope="module")
def chain() -> Chain:
    return Chain()


def call(chain: Chain, **options: object) -> Transaction:
    envelope = soroban_envelope(chain, Keypair.random(), sequence=1, **options)  # type: ignore[arg-type]
    return parse(envelope.to_xdr_object().to_xdr_bytes(), chain.network.id)


def fill(chain: Chain, candidates: list[Transaction]) -> TransactionSet:
    return build_set(candidates, chain.node.settings)


def test_independent_calls_share_the_clusters(chain: Chain) -> None:
    calls = [call(chain, instructions=300 * MILLION, writes=(n,)) for n in range(4)]
    chosen = fill(chain, calls)
    # Two of 300 M do not fit into one cluster of 580 M.
    assert sorted(len(c) for c in chosen.clusters) == [1, 1]
    assert chosen.soroban_base_fee == 100


def test_dependent_calls_run_in_one_cluster(chain: Chain) -> None:
    calls = [call(chain, instructions=200 * MILLION, writes=(7, n)) for n in range(4)]
    chosen = fill(chain, calls)
    assert [len(c) for c in chosen.clusters] == [2]


def test_a_reader_depends_on_the_writer(chain: Chain) -> None:
    writer = call(chain, instructions=300 * MILLION, writes=(1,))
    reader = call(chain, instructions=300 * MILLION, reads=(1,))
    assert len(fill(chain, [writer, reader]).soroban) == 1
    readers = [call(chain, instructions=300 * MILLION, reads=(1,)) for _ in range(2)]
    assert len(fill(chain, readers).soroban) == 2


def test_a_call_that_joins_two_groups_must_fit_with_both(chain: Chain) -> None:
    left = call(chain, instructions=300 * MILLION, writes=(1,), bid=900)
    right = call(chain, instructions=300 * MILLION, writes=(2,), bid=900)
    joining = call(chain, instructions=1, writes=(1, 2), bid=100)
    chosen = fill(chain, [left, right, joining])
    assert joining not in chosen.soroban
    assert len(chosen.soroban) == 2


@pytest.mark.parametrize(
    ("setting", "options"),
    [
        ("contract_ledger_cost_v0.ledger_max_write_bytes", {"write_bytes": 1000}),
        ("contract_ledger_cost_v0.ledger_max_write_ledger_entries", {"writes": tuple(range(1000))}),
        ("contract_execution_lanes.ledger_max_tx_count", {}),
    ],
)
def test_every_dimension_binds(setting: str, options: dict[str, object]) -> None:
    each = {"write_bytes": 1000}.get(next(iter(options), ""), 1000 if "writes" in options else 1)
    chain = Chain(node=make_node(overrides={setting: 2 * each}))
    calls = [call(chain, bid=bid, **options) for bid in (100, 300, 200)]
    chosen = fill(chain, calls)
    assert {t.inclusion_fee for t in chosen.soroban} == {300, 200}
    assert chosen.soroban_base_fee == 200


def test_transaction_bytes_bind(chain: Chain) -> None:
    size = len(call(chain).envelope)
    limit = {"contract_bandwidth_v0.ledger_max_txs_size_bytes": 2 * size + 1}
    small = Chain(node=make_node(overrides=limit))
    assert len(fill(small, [call(small) for _ in range(3)]).soroban) == 2


def test_a_full_ledger_charges_everyone_the_lowest_bid_in_it() -> None:
    limit = {"contract_execution_lanes.ledger_max_tx_count": 2}
    chain = Chain(node=make_node(overrides=limit))
    sources = [Keypair.random() for _ in range(3)]
    chain.fund(*sources)
    for source, bid in zip(sources, (5000, 700, 300), strict=True):
        assert chain.send(soroban_envelope(chain, source, bid=bid)).status == "PENDING"
    first = chain.close()
    assert sorted(t.inclusion_fee for t in first.transactions) == [700, 700]
    second = chain.close()
    assert [t.inclusion_fee for t in second.transactions] == [100]


def test_the_queue_and_the_ledger_handle_hundreds_quickly(chain: Chain) -> None:
    calls = [call(chain, writes=(1, 100 + n), write_bytes=1400) for n in range(250)]
    chosen = fill(chain, calls)
    # Write bytes bind: 286,720 / 1,400, as measured on the real network.
    assert len(chosen.soroban) == 204
