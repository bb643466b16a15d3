"""BumpSequence as the last operation of a payment: its number says what became of it."""

import pytest
from stellar_sdk import Asset, Keypair, xdr
from stellar_sdk.operation import BumpSequence, Payment

from localnet.ledger.results import TxCode
from tests.support.localnet_chain import Chain, operation_codes, result_json

_XLM = Asset.native()


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def payer(chain: Chain) -> Keypair:
    keypair = Keypair.random()
    chain.fund(keypair)
    return keypair


def test_a_success_leaves_the_bumped_number(chain: Chain, payer: Keypair) -> None:
    number = chain.account(payer).seq_num + 1
    applied = chain.apply(
        payer,
        [Payment(chain.network.root.public_key, _XLM, "1"), BumpSequence(number + 999)],
    )
    assert applied.ok
    account = chain.account(payer)
    assert account.seq_num == number + 999
    assert account.sequence_used == (chain.node.snapshot.sequence, chain.now)
    # Neither the next number nor any other that was passed is taken any more.
    for later in (number + 1, number + 999):
        answer = chain.send(chain.build(payer, [BumpSequence(0)], sequence=later))
        assert answer.verdict is not None
        assert answer.verdict.outcome.code is TxCode.txBAD_SEQ
    assert chain.apply(payer, [BumpSequence(0)], sequence=number + 1000).ok


def test_a_failure_uses_its_own_number_alone(chain: Chain, payer: Keypair) -> None:
    number = chain.account(payer).seq_num + 1
    dear = Payment(chain.network.root.public_key, _XLM, "100000")
    applied = chain.apply(payer, [dear, BumpSequence(number + 999)])
    assert operation_codes(applied) == [{"payment": "underfunded"}, {"bump_sequence": "success"}]
    assert chain.account(payer).seq_num == number
    # The same payments again, with the next number and the same target.
    cheap = Payment(chain.network.root.public_key, _XLM, "1")
    assert chain.apply(payer, [cheap, BumpSequence(number + 999)]).ok
    assert chain.account(payer).seq_num == number + 999


def test_a_lower_number_changes_nothing(chain: Chain, payer: Keypair) -> None:
    number = chain.account(payer).seq_num + 1
    assert chain.apply(payer, [BumpSequence(number - 1)]).ok
    assert chain.account(payer).seq_num == number


def test_a_negative_number_is_refused(chain: Chain, payer: Keypair) -> None:
    envelope = chain.build(payer, [_Negative(0)])
    answer = chain.send(envelope)
    assert answer.verdict is not None
    assert answer.verdict.outcome.code is TxCode.txFAILED
    assert answer.verdict.outcome.operations[0].packed[-4:] == (-1).to_bytes(4, "big", signed=True)
    assert chain.account(payer).seq_num == envelope.transaction.sequence - 1


class _Negative(BumpSequence):
    """What the SDK would not build."""

    def _to_operation_body(self) -> xdr.OperationBody:
        body = super()._to_operation_body()
        assert body.bump_sequence_op is not None
        body.bump_sequence_op.bump_to.sequence_number.int64 = -1
        return body


def test_payments_of_several_accounts_under_a_fee_bump(chain: Chain, payer: Keypair) -> None:
    """The payer's number, the farmers' money, somebody else's fee."""
    farmers, pool = [Keypair.random() for _ in range(3)], Keypair.random()
    chain.fund(*farmers, pool)
    number, before = chain.account(payer).seq_num + 1, chain.account(payer).balance
    paid = [
        Payment(chain.network.root.public_key, _XLM, "5", source=farmer.public_key)
        for farmer in farmers
    ]
    inner = chain.build(payer, [*paid, BumpSequence(number + 999)], *farmers)
    assert chain.send(chain.bump(inner, pool, 200)).status == "PENDING"
    (applied,) = chain.close().transactions
    assert applied.ok
    assert "txfee_bump_inner_success" in result_json(applied.result)
    assert chain.account(payer).seq_num == number + 999
    assert chain.account(payer).balance == before
    assert {chain.account(farmer).balance for farmer in farmers} == {995 * 10**7}
    # The same inner transaction in another fee bump, by anybody: it is too late.
    again = chain.send(chain.bump(inner, chain.network.root, 300))
    assert again.status in ("ERROR", "TRY_AGAIN_LATER")
    chain.close()
    assert {chain.account(farmer).balance for farmer in farmers} == {995 * 10**7}


def test_one_signature_less_and_nobody_pays(chain: Chain, payer: Keypair) -> None:
    farmers = [Keypair.random() for _ in range(2)]
    chain.fund(*farmers)
    paid = [
        Payment(chain.network.root.public_key, _XLM, "5", source=farmer.public_key)
        for farmer in farmers
    ]
    number = chain.account(payer).seq_num + 1
    answer = chain.send(chain.build(payer, [*paid, BumpSequence(number + 999)], farmers[0]))
    assert answer.verdict is not None
    assert answer.verdict.outcome.code is TxCode.txFAILED
