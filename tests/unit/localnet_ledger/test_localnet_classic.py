"""The classic operations: what they change, what they refuse, and who pays the reserves."""

import json
from typing import Any

import pytest
from stellar_sdk import Asset, Keypair, xdr
from stellar_sdk import Signer as SdkSigner
from stellar_sdk.operation import (
    AccountMerge,
    BeginSponsoringFutureReserves,
    BumpSequence,
    ChangeTrust,
    CreateAccount,
    EndSponsoringFutureReserves,
    Inflation,
    ManageData,
    Payment,
    RevokeSponsorship,
    SetOptions,
    SetTrustLineFlags,
)
from stellar_sdk.operation.revoke_sponsorship import TrustLine
from stellar_sdk.operation.set_options import AuthorizationFlag
from stellar_sdk.operation.set_trust_line_flags import TrustLineFlags

from localnet.ledger import apply
from localnet.ledger.results import TxCode
from localnet.network import BASE_RESERVE
from tests.support.localnet_chain import Chain, operation_codes, result_json


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def farmer(chain: Chain) -> Keypair:
    keypair = Keypair.random()
    chain.fund(keypair)
    return keypair


def sponsored_onboarding(
    pool: Keypair, farmer: Keypair, asset: Asset
) -> list[
    BeginSponsoringFutureReserves | CreateAccount | ChangeTrust | EndSponsoringFutureReserves
]:
    return [
        BeginSponsoringFutureReserves(farmer.public_key),
        CreateAccount(farmer.public_key, "0"),
        ChangeTrust(asset, source=farmer.public_key),
        EndSponsoringFutureReserves(source=farmer.public_key),
    ]


def test_create_account_gives_the_ledgers_first_sequence(chain: Chain) -> None:
    new = Keypair.random()
    applied = chain.apply(chain.network.root, [CreateAccount(new.public_key, "1")])
    assert applied.ok
    account = chain.account(new)
    assert account.balance == 10_000_000
    assert account.seq_num == chain.node.snapshot.sequence << 32


@pytest.mark.parametrize(
    ("starting", "code"), [("0.9999999", "low_reserve"), ("2000000000000", None)]
)
def test_create_account_refusals(chain: Chain, starting: str, code: str | None) -> None:
    poor = Keypair.random()
    chain.fund(poor, xlm="10")
    amount = starting if code else "9.5"
    applied = chain.apply(poor, [CreateAccount(Keypair.random().public_key, amount)])
    assert operation_codes(applied) == [{"create_account": code or "underfunded"}]


def test_create_account_that_exists(chain: Chain, farmer: Keypair) -> None:
    applied = chain.apply(chain.network.root, [CreateAccount(farmer.public_key, "1")])
    assert operation_codes(applied) == [{"create_account": "already_exist"}]


def test_native_payment_keeps_the_reserve(chain: Chain, farmer: Keypair) -> None:
    other = Keypair.random()
    chain.fund(other)
    spendable = chain.account(farmer).available - 100
    too_much = Payment(other.public_key, Asset.native(), f"{(spendable + 1) / 1e7:.7f}")
    assert operation_codes(chain.apply(farmer, [too_much])) == [{"payment": "underfunded"}]
    most = chain.account(farmer).available - 100
    exact = Payment(other.public_key, Asset.native(), f"{most / 1e7:.7f}")
    assert chain.apply(farmer, [exact]).ok
    assert chain.account(farmer).balance == 2 * BASE_RESERVE


def test_payment_to_nobody(chain: Chain, farmer: Keypair) -> None:
    applied = chain.apply(farmer, [Payment(Keypair.random().public_key, Asset.native(), "1")])
    assert operation_codes(applied) == [{"payment": "no_destination"}]


def test_credit_payments(chain: Chain, farmer: Keypair) -> None:
    kale, faucet = chain.network.kale, chain.network.faucet
    pay = Payment(farmer.public_key, kale, "12.5")
    assert operation_codes(chain.apply(faucet, [pay])) == [{"payment": "no_trust"}]
    assert chain.apply(farmer, [ChangeTrust(kale, "10")]).ok
    assert operation_codes(chain.apply(faucet, [pay])) == [{"payment": "line_full"}]
    assert chain.apply(farmer, [ChangeTrust(kale, "20")]).ok
    applied = chain.apply(faucet, [pay])
    assert applied.ok
    assert len(applied.contract_events[0]) == 1
    assert chain.kale(farmer) == 125_000_000
    back = Payment(faucet.public_key, kale, "12.6")
    assert operation_codes(chain.apply(farmer, [back])) == [{"payment": "underfunded"}]


def test_issuer_mints_and_burns(chain: Chain, farmer: Keypair) -> None:
    kale, issuer = chain.network.kale, chain.network.issuer
    assert chain.apply(farmer, [ChangeTrust(kale)]).ok
    assert chain.apply(issuer, [Payment(farmer.public_key, kale, "3")]).ok
    assert chain.kale(farmer) == 30_000_000
    assert chain.apply(farmer, [Payment(issuer.public_key, kale, "1")]).ok
    assert chain.kale(farmer) == 20_000_000


def test_change_trust_refusals(chain: Chain, farmer: Keypair) -> None:
    kale = chain.network.kale
    stranger = Asset("KALE", Keypair.random().public_key)
    assert operation_codes(chain.apply(farmer, [ChangeTrust(stranger)])) == [
        {"change_trust": "no_issuer"}
    ]
    assert operation_codes(chain.apply(farmer, [ChangeTrust(kale, "0")])) == [
        {"change_trust": "invalid_limit"}
    ]
    poor = Keypair.random()
    chain.fund(poor, xlm="1.4")
    assert operation_codes(chain.apply(poor, [ChangeTrust(kale)])) == [
        {"change_trust": "low_reserve"}
    ]


def test_a_trustline_goes_only_when_it_is_empty(chain: Chain, farmer: Keypair) -> None:
    kale = chain.network.kale
    assert chain.apply(farmer, [ChangeTrust(kale)]).ok
    assert chain.account(farmer).sub_entries == 1
    assert chain.apply(chain.network.faucet, [Payment(farmer.public_key, kale, "1")]).ok
    assert not chain.apply(farmer, [ChangeTrust(kale, "0")]).ok
    assert chain.apply(farmer, [Payment(chain.network.faucet.public_key, kale, "1")]).ok
    assert chain.apply(farmer, [ChangeTrust(kale, "0")]).ok
    assert chain.account(farmer).sub_entries == 0
    assert chain.kale(farmer) is None


def test_sponsored_onboarding_costs_the_farmer_nothing(chain: Chain, farmer: Keypair) -> None:
    pool, new = farmer, Keypair.random()
    assert chain.apply(pool, sponsored_onboarding(pool, new, chain.network.kale), new).ok
    account = chain.account(new)
    assert (account.balance, account.num_sponsored, account.sub_entries) == (0, 3, 1)
    assert account.sponsor == pool.raw_public_key()
    assert account.available == 0
    assert chain.account(pool).num_sponsoring == 3
    assert chain.kale(new) == 0


def test_a_sponsor_without_reserve_is_refused(chain: Chain) -> None:
    pool, new = Keypair.random(), Keypair.random()
    chain.fund(pool, xlm="2.4")
    applied = chain.apply(pool, sponsored_onboarding(pool, new, chain.network.kale), new)
    assert operation_codes(applied)[2] == {"change_trust": "low_reserve"}
    assert not chain.exists(new)


def test_an_open_sponsorship_fails_the_transaction(chain: Chain, farmer: Keypair) -> None:
    applied = chain.apply(farmer, [BeginSponsoringFutureReserves(Keypair.random().public_key)])
    assert result_json(applied.result) == "txbad_sponsorship"


def test_sponsorship_codes(chain: Chain, farmer: Keypair) -> None:
    end = EndSponsoringFutureReserves()
    codes = operation_codes(chain.apply(farmer, [end]))
    assert codes == [{"end_sponsoring_future_reserves": "not_sponsored"}]
    begin = BeginSponsoringFutureReserves(Keypair.random().public_key)
    codes = operation_codes(chain.apply(farmer, [begin, begin]))
    assert codes[1] == {"begin_sponsoring_future_reserves": "already_sponsored"}


def test_revoking_hands_the_reserve_back(chain: Chain, farmer: Keypair) -> None:
    pool, new = farmer, Keypair.random()
    kale = chain.network.kale
    assert chain.apply(pool, sponsored_onboarding(pool, new, kale), new).ok
    revoke = RevokeSponsorship.revoke_trustline_sponsorship(new.public_key, kale)
    assert isinstance(revoke.trustline, TrustLine)
    codes = operation_codes(chain.apply(pool, [revoke]))
    assert codes == [{"revoke_sponsorship": "low_reserve"}]
    assert chain.apply(pool, [Payment(new.public_key, Asset.native(), "1")]).ok
    assert chain.apply(pool, [revoke]).ok
    assert chain.account(pool).num_sponsoring == 2
    assert chain.account(new).num_sponsored == 2


def test_merging_returns_everything(chain: Chain, farmer: Keypair) -> None:
    pool, new = farmer, Keypair.random()
    kale = chain.network.kale
    assert chain.apply(pool, sponsored_onboarding(pool, new, kale), new).ok
    merge = AccountMerge(pool.public_key, source=new.public_key)
    codes = operation_codes(chain.apply(pool, [merge], new))
    assert codes == [{"account_merge": "has_sub_entries"}]
    remove = ChangeTrust(kale, "0", source=new.public_key)
    assert chain.apply(pool, [remove, merge], new).ok
    assert not chain.exists(new)
    assert chain.account(pool).num_sponsoring == 0


def test_a_young_account_cannot_merge(chain: Chain, farmer: Keypair) -> None:
    far = (chain.node.snapshot.sequence + 10) << 32
    assert chain.apply(farmer, [BumpSequence(far)]).ok
    merge = AccountMerge(chain.network.root.public_key)
    codes = operation_codes(chain.apply(farmer, [merge], sequence=far + 1))
    assert codes == [{"account_merge": "seqnum_too_far"}]


def test_bump_sequence_never_goes_back(chain: Chain, farmer: Keypair) -> None:
    before = chain.account(farmer).seq_num
    assert chain.apply(farmer, [BumpSequence(before - 5)]).ok
    assert chain.account(farmer).seq_num == before + 1
    assert chain.apply(farmer, [BumpSequence(before + 50)]).ok
    assert chain.account(farmer).seq_num == before + 50


def test_data_entries_count_as_sub_entries(chain: Chain, farmer: Keypair) -> None:
    assert chain.apply(farmer, [ManageData("name", b"one")]).ok
    assert chain.apply(farmer, [ManageData("name", b"two")]).ok
    assert chain.account(farmer).sub_entries == 1
    assert chain.apply(farmer, [ManageData("name", None)]).ok
    assert chain.account(farmer).sub_entries == 0
    codes = operation_codes(chain.apply(farmer, [ManageData("name", None)]))
    assert codes == [{"manage_data": "name_not_found"}]


def test_a_second_signer_must_sign_when_the_threshold_asks(chain: Chain, farmer: Keypair) -> None:
    second = Keypair.random()
    setup = SetOptions(
        med_threshold=2,
        signer=SdkSigner.ed25519_public_key(second.public_key, 1),
    )
    assert chain.apply(farmer, [setup]).ok
    pay = Payment(chain.network.root.public_key, Asset.native(), "1")
    answer = chain.send(chain.build(farmer, [pay]))
    assert answer.verdict is not None
    assert answer.verdict.outcome.code is TxCode.txFAILED
    assert chain.apply(farmer, [pay], second).ok


@pytest.mark.parametrize(
    ("setup", "result"),
    [
        ({"master_weight": 0}, "txbad_auth"),
        ({"low_threshold": 2}, "txbad_auth"),
        ({"med_threshold": 2}, {"txfailed": ["opbad_auth"]}),
    ],
)
def test_what_was_sent_before_the_key_lost_its_weight_is_charged_and_fails(
    chain: Chain, setup: dict[str, Any], result: object
) -> None:
    """As on the network: valid when sent, judged again when applied, its number used."""
    ends: set[str] = set()
    # A ledger's transactions are applied in an order of chance: the locks come last in one of 13.
    for _ in range(20):
        ends |= ends_of_payments_beside_locks(chain, setup)
        if json.dumps(result) in ends:
            break
    assert json.dumps(result) in ends
    assert ends <= {"true", json.dumps(result)}


def ends_of_payments_beside_locks(chain: Chain, setup: dict[str, Any]) -> set[str]:
    """Close a ledger with twelve payments and the locks of their senders; return how they ended."""
    farmers, other = [Keypair.random() for _ in range(12)], Keypair.random()
    chain.fund(*farmers, other)
    pay = Payment(chain.network.root.public_key, Asset.native(), "1")
    payments = [chain.build(farmer, [pay]) for farmer in farmers]
    locks = [SetOptions(**setup, source=farmer.public_key) for farmer in farmers]
    before = {farmer.public_key: chain.account(farmer) for farmer in farmers}
    locking = chain.build(other, locks, *farmers)
    for envelope in (locking, *payments):
        assert chain.send(envelope).status == "PENDING"
    chain.close()
    ends = set()
    for farmer, envelope in zip(farmers, payments, strict=True):
        found = chain.node.history.find(envelope.hash())
        assert found is not None
        was, account = before[farmer.public_key], chain.account(farmer)
        assert account.seq_num == was.seq_num + 1
        sent = 10_000_000 if found.transaction.ok else 0
        assert was.balance - account.balance == 100 + sent
        ends.add(json.dumps(found.transaction.ok or result_json(found.transaction.result)))
    return ends


def test_the_issuer_can_freeze_a_trustline(chain: Chain, farmer: Keypair) -> None:
    kale, issuer = chain.network.kale, chain.network.issuer
    assert chain.apply(farmer, [ChangeTrust(kale)]).ok
    freeze = SetTrustLineFlags(farmer.public_key, kale, clear_flags=TrustLineFlags.AUTHORIZED_FLAG)
    codes = operation_codes(chain.apply(issuer, [freeze]))
    assert codes == [{"set_trust_line_flags": "cant_revoke"}]
    assert chain.apply(issuer, [SetOptions(set_flags=AuthorizationFlag.AUTHORIZATION_REVOCABLE)]).ok
    assert chain.apply(issuer, [freeze]).ok
    pay = Payment(farmer.public_key, kale, "1")
    codes = operation_codes(chain.apply(chain.network.faucet, [pay]))
    assert codes == [{"payment": "not_authorized"}]


def test_one_failed_operation_undoes_all_but_keeps_the_fee(chain: Chain, farmer: Keypair) -> None:
    before = chain.account(farmer)
    operations = [
        Payment(chain.network.root.public_key, Asset.native(), "5"),
        Payment(Keypair.random().public_key, Asset.native(), "5"),
    ]
    applied = chain.apply(farmer, operations)
    assert not applied.ok
    assert applied.contract_events == ()
    after = chain.account(farmer)
    assert after.balance == before.balance - 200
    assert after.seq_num == before.seq_num + 1


def test_what_is_not_modelled_is_not_supported(chain: Chain, farmer: Keypair) -> None:
    answer = chain.send(chain.build(farmer, [Inflation()]))
    assert answer.verdict is not None
    assert answer.verdict.outcome.operations[0].packed == (-3).to_bytes(4, "big", signed=True)


def test_no_stroop_appears_or_vanishes(chain: Chain, farmer: Keypair) -> None:
    """All balances and the fee pool together are what genesis made."""
    others = [Keypair.random() for _ in range(3)]
    chain.fund(*others)
    chain.apply(farmer, [Payment(others[0].public_key, Asset.native(), "7")])
    chain.apply(others[1], [AccountMerge(farmer.public_key)])
    balances = sum(
        record.entry.data.account.balance.int64
        for record in chain.node.snapshot.records.values()
        if record.entry.data.account is not None
    )
    assert balances + chain.node.history.latest.fee_pool == 10**18


def test_a_defect_fails_one_transaction_and_not_the_ledger(
    chain: Chain, farmer: Keypair, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Keypair.random()
    chain.fund(other)
    apply_operation = apply._apply_operation

    def defective(context: Any, body: xdr.OperationBody) -> Any:
        if context.source == farmer.raw_public_key():
            raise ZeroDivisionError
        return apply_operation(context, body)

    monkeypatch.setattr(apply, "_apply_operation", defective)
    before = chain.account(farmer)
    envelopes = [chain.build(who, [ManageData("x", "y")]) for who in (farmer, other)]
    for envelope in envelopes:
        assert chain.send(envelope).status == "PENDING"
    chain.close()
    failed, sound = (chain.node.history.find(one.hash()) for one in envelopes)
    assert failed is not None
    assert sound is not None
    assert sound.transaction.ok
    assert result_json(failed.transaction.result) == "txinternal_error"
    after = chain.account(farmer)
    assert (after.seq_num, after.balance) == (before.seq_num + 1, before.balance - 100)
