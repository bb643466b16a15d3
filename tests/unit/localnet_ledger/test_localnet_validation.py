"""Refusals of sendTransaction, with the codes and fees of the recordings."""

from base64 import b64encode

import pytest
from stellar_sdk import Asset, Keypair, xdr
from stellar_sdk.operation import Payment

from localnet.ledger.queue import Answer, Status
from localnet.rpc.send import error_result
from tests.support.localnet_chain import START, Chain, make_node, result_json
from tests.support.localnet_soroban import soroban_envelope


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def farmer(chain: Chain) -> Keypair:
    keypair = Keypair.random()
    chain.fund(keypair)
    return keypair


def pay(chain: Chain) -> list[Payment]:
    return [Payment(chain.network.root.public_key, Asset.native(), "1")]


def refusal(answer: Answer) -> tuple[object, int]:
    """(result, fee) of an ERROR."""
    assert answer.status is Status.ERROR, answer
    assert answer.verdict is not None
    tx = make_node().submit(_any_envelope())[0]
    packed = error_result(tx, answer.verdict)
    return result_json(packed), answer.verdict.fee


def _any_envelope() -> bytes:
    chain = Chain()
    envelope = chain.build(chain.network.root, pay(chain))
    return envelope.to_xdr_object().to_xdr_bytes()


def test_a_good_payment_is_pending(chain: Chain, farmer: Keypair) -> None:
    assert chain.send(chain.build(farmer, pay(chain))).status is Status.PENDING


@pytest.mark.parametrize("offset", [0, 2, -1])
def test_only_the_next_sequence_will_do(chain: Chain, farmer: Keypair, offset: int) -> None:
    sequence = chain.account(farmer).seq_num + offset
    answer = chain.send(chain.build(farmer, pay(chain), sequence=sequence))
    assert refusal(answer) == ("txbad_seq", 100)


def test_a_missing_account(chain: Chain) -> None:
    answer = chain.send(chain.build(Keypair.random(), pay(chain), sequence=1))
    assert refusal(answer) == ("txno_account", 100)


def test_time_bounds_are_measured_by_the_last_close_time(chain: Chain, farmer: Keypair) -> None:
    late = chain.send(chain.build(farmer, pay(chain), max_time=chain.now - 1))
    assert refusal(late)[0] == "txtoo_late"
    early = chain.send(chain.build(farmer, pay(chain), min_time=chain.now + 1))
    assert refusal(early)[0] == "txtoo_early"
    assert chain.now > START
    assert chain.send(chain.build(farmer, pay(chain), max_time=chain.now)).status == "PENDING"


def test_an_envelope_past_its_bound_leaves_the_queue(chain: Chain, farmer: Keypair) -> None:
    envelope = chain.build(farmer, pay(chain), max_time=chain.now + 1)
    assert chain.send(envelope).status is Status.PENDING
    assert chain.close().transactions == ()
    assert len(chain.node.queue) == 0
    assert chain.send(envelope).status is Status.TRY_AGAIN_LATER


def test_a_signature_by_another_key(chain: Chain, farmer: Keypair) -> None:
    envelope = chain.build(farmer, pay(chain))
    envelope.signatures.clear()
    envelope.sign(Keypair.random())
    assert refusal(chain.send(envelope))[0] == "txbad_auth"


def test_a_signature_too_many(chain: Chain, farmer: Keypair) -> None:
    envelope = chain.build(farmer, pay(chain), Keypair.random())
    assert refusal(chain.send(envelope))[0] == "txbad_auth_extra"


def test_a_bid_below_the_minimum(chain: Chain, farmer: Keypair) -> None:
    assert refusal(chain.send(chain.build(farmer, pay(chain), fee=99))) == (
        "txinsufficient_fee",
        100,
    )


def test_a_fee_that_the_payer_does_not_have(chain: Chain) -> None:
    poor = Keypair.random()
    chain.fund(poor, xlm="1.00001")
    assert chain.send(chain.build(poor, pay(chain), fee=101)).status is Status.ERROR
    answer = chain.send(chain.build(poor, pay(chain), fee=101))
    assert refusal(answer)[0] == "txinsufficient_balance"


def test_a_payer_cannot_promise_the_same_lumens_twice(chain: Chain) -> None:
    """The fees of all pending fee bumps of one payer count together."""
    payer, first, second = (Keypair.random() for _ in range(3))
    chain.fund(first, second)
    chain.fund(payer, xlm="1.00003")
    for inner, taken in ((first, True), (second, False)):
        bump = chain.bump(chain.build(inner, pay(chain)), payer, 100)
        assert (chain.send(bump).status is Status.PENDING) == taken


def test_a_fee_bump_reports_what_is_wrong_inside(chain: Chain, farmer: Keypair) -> None:
    inner = chain.build(farmer, pay(chain), sequence=5)
    bump = chain.bump(inner, chain.network.root, 200)
    answer = chain.send(bump)
    assert answer.verdict is not None
    assert not answer.verdict.outer
    tx = chain.node.submit(bump.to_xdr_object().to_xdr_bytes())[0]
    result = result_json(error_result(tx, answer.verdict))
    inner_result = result["txfee_bump_inner_failed"]
    assert inner_result["transaction_hash"] == inner.hash().hex()
    assert inner_result["result"]["result"] == "txbad_seq"


def test_a_fee_bump_needs_a_signature_of_its_payer(chain: Chain, farmer: Keypair) -> None:
    bump = chain.bump(chain.build(farmer, pay(chain)), chain.network.root, 200)
    bump.signatures.clear()
    bump.sign(farmer)
    answer = chain.send(bump)
    assert answer.verdict is not None
    assert answer.verdict.outer
    assert answer.verdict.outcome.code == xdr.TransactionResultCode.txBAD_AUTH


def test_a_soroban_call_without_its_data_is_malformed(chain: Chain, farmer: Keypair) -> None:
    answer = chain.send(soroban_envelope(chain, farmer, data=False))
    assert refusal(answer) == ("txmalformed", 0)


def test_a_fee_below_the_resource_fee_is_malformed(chain: Chain, farmer: Keypair) -> None:
    answer = chain.send(soroban_envelope(chain, farmer, resource_fee=50_000, fee=49_999))
    assert refusal(answer) == ("txmalformed", 0)


def test_a_resource_fee_too_low_says_what_is_needed(chain: Chain, farmer: Keypair) -> None:
    answer = chain.send(soroban_envelope(chain, farmer, resource_fee=1000, fee=100_000))
    assert refusal(answer) == ("txsoroban_invalid", 1100)
    assert answer.verdict is not None
    event = xdr.DiagnosticEvent.from_xdr(b64encode(answer.verdict.diagnostics[0]).decode())
    text = str(event.to_json_dict())
    assert "`sorobanData.resourceFee` is lower than the actual Soroban resource fee" in text


def test_more_than_a_transaction_may_use(chain: Chain, farmer: Keypair) -> None:
    """Above a transaction's limit it is invalid; above the ledger's it is only 'later'."""
    answer = chain.send(soroban_envelope(chain, farmer, instructions=400_000_001))
    assert refusal(answer)[0] == "txsoroban_invalid"
    answer = chain.send(soroban_envelope(chain, farmer, instructions=580_000_001))
    assert answer.status is Status.TRY_AGAIN_LATER
