"""The queue of pending transactions: what it holds, refuses, replaces and bans."""

import pytest
from stellar_sdk import Asset, Keypair
from stellar_sdk.operation import Payment

from localnet.ledger.queue import APPLIED_BAN_LEDGERS, BAN_LEDGERS, MAX_AGE, Status
from localnet.ledger.results import TxCode
from tests.support.localnet_chain import Chain, make_node
from tests.support.localnet_soroban import soroban_envelope

#: Room for two transactions of 1,000 written bytes in a ledger, so for four in the queue.
SMALL = {"contract_ledger_cost_v0.ledger_max_write_bytes": 2000}


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def farmer(chain: Chain) -> Keypair:
    keypair = Keypair.random()
    chain.fund(keypair)
    return keypair


def pay(chain: Chain, amount: str = "1") -> list[Payment]:
    return [Payment(chain.network.root.public_key, Asset.native(), amount)]


def funded(chain: Chain, count: int) -> list[Keypair]:
    keypairs = [Keypair.random() for _ in range(count)]
    chain.fund(*keypairs)
    return keypairs


def test_the_same_envelope_again_is_a_duplicate(chain: Chain, farmer: Keypair) -> None:
    envelope = chain.build(farmer, pay(chain))
    assert chain.send(envelope).status is Status.PENDING
    assert chain.send(envelope).status is Status.DUPLICATE


def test_one_pending_transaction_per_source(chain: Chain, farmer: Keypair) -> None:
    first = chain.build(farmer, pay(chain))
    assert chain.send(first).status is Status.PENDING
    following = chain.build(farmer, pay(chain), sequence=chain.account(farmer).seq_num + 2)
    assert chain.send(following).status is Status.TRY_AGAIN_LATER
    rival = chain.build(farmer, pay(chain, "2"))
    assert chain.send(rival).status is Status.TRY_AGAIN_LATER
    older = chain.build(farmer, pay(chain), sequence=chain.account(farmer).seq_num)
    answer = chain.send(older)
    assert answer.verdict is not None
    assert answer.verdict.outcome.code is TxCode.txBAD_SEQ


def test_an_applied_envelope_is_try_again_later_and_then_bad_seq(
    chain: Chain, farmer: Keypair
) -> None:
    envelope = chain.build(farmer, pay(chain))
    chain.send(envelope)
    chain.close()
    for _ in range(APPLIED_BAN_LEDGERS):
        assert chain.send(envelope).status is Status.TRY_AGAIN_LATER
        chain.close()
    answer = chain.send(envelope)
    assert answer.verdict is not None
    assert answer.verdict.outcome.code is TxCode.txBAD_SEQ


def test_the_inner_of_a_pending_fee_bump_is_a_duplicate(chain: Chain, farmer: Keypair) -> None:
    inner = chain.build(farmer, pay(chain))
    assert chain.send(chain.bump(inner, chain.network.root, 100)).status is Status.PENDING
    assert chain.send(inner).status is Status.DUPLICATE


def test_replacing_takes_ten_times_the_bid_per_operation(chain: Chain, farmer: Keypair) -> None:
    inner = chain.build(farmer, pay(chain))
    assert chain.send(inner).status is Status.PENDING
    low = chain.send(chain.bump(inner, chain.network.root, 999))
    assert low.verdict is not None
    assert low.verdict.outcome.code is TxCode.txINSUFFICIENT_FEE
    # A fee bump counts as two operations: 10 x 100 stroops for each.
    assert low.verdict.fee == 2000
    assert chain.send(chain.bump(inner, chain.network.root, 1000)).status is Status.PENDING
    ledger = chain.close()
    assert [t.inner_hash for t in ledger.transactions] == [inner.hash()]


def test_a_full_queue_names_the_fee_that_would_get_in() -> None:
    chain = Chain(node=make_node(overrides=SMALL))
    sources = funded(chain, 6)
    for source in sources[:4]:
        assert chain.send(soroban_envelope(chain, source, bid=500)).status is Status.PENDING
    refused = soroban_envelope(chain, sources[4], bid=500, resource_fee=90_000)
    answer = chain.send(refused)
    assert answer.verdict is not None
    assert answer.verdict.outcome.code is TxCode.txINSUFFICIENT_FEE
    assert answer.verdict.fee == 90_501
    # The refused envelope is banned for a while; a better one gets in.
    assert chain.send(refused).status is Status.TRY_AGAIN_LATER
    better = soroban_envelope(chain, sources[4], bid=501, resource_fee=90_000)
    assert chain.send(better).status is Status.PENDING
    assert len(chain.node.queue) == 4


def test_an_evicted_transaction_is_banned() -> None:
    chain = Chain(node=make_node(overrides=SMALL))
    sources = funded(chain, 5)
    cheap = [soroban_envelope(chain, s, bid=500) for s in sources[:4]]
    assert all(chain.send(e).status is Status.PENDING for e in cheap)
    assert chain.send(soroban_envelope(chain, sources[4], bid=9000)).status is Status.PENDING
    evicted = [e for e in cheap if chain.send(e).status is Status.TRY_AGAIN_LATER]
    assert len(evicted) == 1
    for _ in range(BAN_LEDGERS - 1):
        chain.close()
        assert chain.send(evicted[0]).status is Status.TRY_AGAIN_LATER
    chain.close()
    assert chain.send(evicted[0]).status is Status.PENDING


def test_a_transaction_that_never_fits_in_leaves_after_four_ledgers() -> None:
    chain = Chain(node=make_node(overrides=SMALL))
    sources = funded(chain, 3 + 2 * MAX_AGE)
    old = soroban_envelope(chain, sources[0], bid=100)
    chain.send(old)
    for round_ in range(MAX_AGE):
        for source in sources[1 + 2 * round_ : 3 + 2 * round_]:
            assert chain.send(soroban_envelope(chain, source, bid=5000)).status is Status.PENDING
        assert old.hash() not in {t.hash for t in chain.close().transactions}
    assert len(chain.node.queue) == 0
    assert chain.send(old).status is Status.TRY_AGAIN_LATER


def test_skipped_transactions_stay_pending(chain: Chain, farmer: Keypair) -> None:
    envelope = chain.build(farmer, pay(chain))
    chain.send(envelope)
    assert chain.node.close_ledger(chain.now + 5, skip_pending=True).transactions == ()
    assert chain.send(envelope).status is Status.DUPLICATE
    assert [t.hash for t in chain.close().transactions] == [envelope.hash()]
