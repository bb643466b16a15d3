"""Whose word decides about a farmer's terms, its owner account, and where its money goes."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from stellar_sdk import Keypair

from libs.common.db.pool import Database
from libs.common.ids import PoolerId, new_id
from libs.kale.signed_message import message_hash
from services.wallet.domain.agreements import (
    AgreementRules,
    Giver,
    LeaveWish,
    Objection,
    OwnerWish,
    PayoutWish,
    Proof,
    TermsWish,
    agreement_text,
    in_force,
)
from services.wallet.domain.audit import Findings
from services.wallet.domain.errors import (
    AgreementLimitError,
    FeeTooHighError,
    NothingAnnouncedError,
    OwnerAccountMissingError,
    OwnerAccountNotYoursError,
    OwnerAccountTamperedError,
    PayoutAddressLimitError,
    PayoutAddressNotYoursError,
    PoolerMarkTamperedError,
    SignatureWrongError,
    StakeAboveAgreementError,
    TermsNotOfferedError,
)
from services.wallet.domain.withdrawals import PayoutAddresses
from services.wallet.store.audit_check import AuditCheck
from services.wallet.store.custody import CustodyStore
from services.wallet.store.own_say import text_of
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.own_say import OPERATOR, POOLER, Farmer, OwnSay, terms

A, B, THIEF = (Keypair.random().public_key for _ in range(3))
DAY = timedelta(days=1)


@pytest.fixture
def say(pool: Database) -> OwnSay:
    return OwnSay(pool=pool)


def wait_of(days: int) -> datetime:
    """The moment so many days from now."""
    return datetime.now(UTC) + days * DAY


async def counts(say: OwnSay, farmer: Farmer) -> str:
    """Where the farmer is paid out now."""
    return (await say.withdrawals.addresses(farmer.wallet_id)).address


async def found(say: OwnSay) -> list[str]:
    """What the audit log, and what it tells of, do not have of one another."""
    findings = Findings()
    check = AuditCheck(say.pool)
    await check.rows(findings)
    async for page in CustodyStore(say.pool, ORDERS).records():
        await check.records(page, findings)
    return findings.words()


async def assert_sound(say: OwnSay) -> None:
    """The audit log and what it tells of are the same."""
    assert await found(say) == []


# Addresses ---------------------------------------------------------------------------------------


async def test_the_first_address_counts_when_the_owner_has_signed_it(say: OwnSay) -> None:
    farmer, wish = await say.farmer(), PayoutWish(address=A)
    await say.store.set_address(farmer.farmer_id, A, await say.signed(farmer, wish))
    assert await counts(say, farmer) == A
    await assert_sound(say)


async def test_a_changed_address_cools_though_the_owner_has_signed_it(say: OwnSay) -> None:
    farmer = await say.farmer()
    for address in (A, B):
        giver = await say.signed(farmer, PayoutWish(address=address))
        moment = await say.store.set_address(farmer.farmer_id, address, giver)
    told = await say.withdrawals.addresses(farmer.wallet_id)
    assert told == PayoutAddresses(address=A, pending=B, pending_at=moment)
    assert moment > datetime.now(UTC) + timedelta(minutes=59)


async def test_a_pooler_can_neither_set_nor_change_an_address(say: OwnSay) -> None:
    """With an owner account, without one, and by all ways that a change could take."""
    signed, bare = await say.farmer(), await say.farmer(has_owner=False)
    giver = await say.signed(signed, PayoutWish(address=A))
    await say.store.set_address(signed.farmer_id, A, giver)
    for farmer in (signed, bare):
        for address in (THIEF, A, THIEF):
            with pytest.raises(PayoutAddressNotYoursError):
                await say.store.set_address(farmer.farmer_id, address, POOLER)
    assert (await counts(say, signed), await counts(say, bare)) == (A, "")
    # To have none is possible where nobody else speaks for the farmer, and brings no other one in.
    for _ in range(2):
        await say.store.set_address(bare.farmer_id, "", POOLER)
        with pytest.raises(PayoutAddressNotYoursError):
            await say.store.set_address(bare.farmer_id, THIEF, POOLER)
    assert await counts(say, bare) == ""
    await assert_sound(say)


async def test_a_pooler_keeps_no_owners_farmer_unpaid(say: OwnSay) -> None:
    """The owner's new address would cool each time that the pooler has taken one away."""
    pooler = PoolerId(new_id())
    await say.owners.mark(pooler, farms_for_itself=True, actor="ann")
    farmer = await say.farmer(pooler_id=pooler)
    giver = await say.signed(farmer, PayoutWish(address=A))
    await say.store.set_address(farmer.farmer_id, A, giver)
    with pytest.raises(PayoutAddressNotYoursError):
        await say.store.set_address(farmer.farmer_id, "", POOLER)
    assert await counts(say, farmer) == A
    # It is the farmer's own to stop, at once, and an operator's.
    giver = await say.signed(farmer, PayoutWish(address=""))
    await say.store.set_address(farmer.farmer_id, "", giver)
    assert await counts(say, farmer) == ""
    other = await say.farmer(pooler_id=pooler)
    giver = await say.signed(other, PayoutWish(address=A))
    await say.store.set_address(other.farmer_id, A, giver)
    await say.store.set_address(other.farmer_id, "", OPERATOR)
    assert await counts(say, other) == ""
    await assert_sound(say)


async def test_a_pooler_that_farms_for_itself_decides_where_nobody_else_speaks(
    say: OwnSay,
) -> None:
    pooler = PoolerId(new_id())
    owned = await say.farmer(pooler_id=pooler)
    bare = await say.farmer(pooler_id=pooler, has_owner=False, payout_address=A)
    assert await say.owners.mark(pooler, farms_for_itself=True, actor="ann")
    await say.store.set_address(bare.farmer_id, B, POOLER)
    assert (await say.withdrawals.addresses(bare.wallet_id)).pending == B
    with pytest.raises(PayoutAddressNotYoursError):
        await say.store.set_address(owned.farmer_id, B, POOLER)
    # Once operators take it back, it is as every other.
    assert await say.owners.mark(pooler, farms_for_itself=False, actor="ann")
    with pytest.raises(PayoutAddressNotYoursError):
        await say.store.set_address(bare.farmer_id, THIEF, POOLER)
    await assert_sound(say)


async def test_an_operator_waits_long_and_the_farmer_can_object(say: OwnSay) -> None:
    farmer = await say.farmer()
    giver = await say.signed(farmer, PayoutWish(address=A))
    await say.store.set_address(farmer.farmer_id, A, giver)
    moment = await say.store.set_address(farmer.farmer_id, B, OPERATOR)
    assert moment > datetime.now(UTC) + 29 * DAY
    assert await counts(say, farmer) == A
    await say.store.object_to(farmer.farmer_id, await say.signed(farmer, Objection()))
    told = await say.withdrawals.addresses(farmer.wallet_id)
    assert (told.address, told.pending) == (A, None)
    with pytest.raises(NothingAnnouncedError):
        await say.signed(farmer, Objection())
    await assert_sound(say)


async def test_an_operator_sets_the_address_of_its_poolers_own_farmers_as_ever(
    say: OwnSay,
) -> None:
    pooler = PoolerId(new_id())
    await say.owners.mark(pooler, farms_for_itself=True, actor="ann")
    farmer = await say.farmer(pooler_id=pooler, has_owner=False)
    moment = await say.store.set_address(farmer.farmer_id, A, OPERATOR)
    assert moment < datetime.now(UTC) + timedelta(hours=2)


async def test_a_signature_is_used_once_and_for_what_it_says(say: OwnSay) -> None:
    farmer, other = await say.farmer(), await say.farmer()
    to_a = await say.signed(farmer, PayoutWish(address=A))
    for whose, address, giver in (
        (farmer, THIEF, to_a),
        (other, A, to_a),
        (farmer, A, replace(to_a, signature=bytes(64))),
        (farmer, A, replace(to_a, signature=None)),
        (farmer, A, await say.signed(farmer, PayoutWish(address=A), key=other.owner)),
    ):
        with pytest.raises(SignatureWrongError):
            await say.store.set_address(whose.farmer_id, address, giver)
    await say.store.set_address(farmer.farmer_id, A, to_a)
    # A repeat is answered, and changes nothing; once another one counts, it is of no use.
    await say.store.set_address(farmer.farmer_id, A, to_a)
    to_b = await say.signed(farmer, PayoutWish(address=B))
    await say.store.set_address(farmer.farmer_id, B, to_b)
    with pytest.raises(SignatureWrongError):
        await say.store.set_address(farmer.farmer_id, A, to_a)


async def test_a_stranger_records_nothing_of_a_farmer_that_has_no_address(say: OwnSay) -> None:
    """No address is what such a farmer has, but it is nobody's word: each row makes drafts void."""
    farmer = await say.farmer()
    draft = await say.signed(farmer, PayoutWish(address=A))
    for signature in (bytes(64), None):
        giver = replace(draft, given_by="a stranger", signature=signature)
        with pytest.raises(SignatureWrongError):
            await say.store.set_address(farmer.farmer_id, "", giver)
    assert (await say.withdrawals.past_of(farmer.wallet_id)).number == 0
    await say.store.set_address(farmer.farmer_id, A, draft)
    assert await counts(say, farmer) == A
    await assert_sound(say)


async def test_a_signature_that_is_brought_twenty_times_at_once_is_used_once(say: OwnSay) -> None:
    farmer = await say.farmer(terms=terms())
    wish = TermsWish(terms=terms(pooler_bps=700), address=A)
    giver = await say.signed(farmer, wish)
    made = await asyncio.gather(
        *(say.store.agree(farmer.farmer_id, wish.terms, giver, address=A) for _ in range(20))
    )
    assert {one.number for one in made} == {2}
    assert len(await say.agreements.of_wallet(farmer.wallet_id)) == 2
    assert (await say.withdrawals.past_of(farmer.wallet_id)).number == 1
    await assert_sound(say)


async def test_without_an_owner_account_nobody_signs(say: OwnSay) -> None:
    farmer = await say.farmer(has_owner=False)
    giver = replace(POOLER, proof=Proof.SIGNATURE, signature=bytes(64))
    with pytest.raises(OwnerAccountMissingError):
        await say.store.set_address(farmer.farmer_id, A, giver)


async def test_addresses_have_their_pace_whoever_signs(pool: Database) -> None:
    say = OwnSay(pool=pool, changes=1)
    farmer = await say.farmer()
    giver = await say.signed(farmer, PayoutWish(address=A))
    await say.store.set_address(farmer.farmer_id, A, giver)
    giver = await say.signed(farmer, PayoutWish(address=B))
    with pytest.raises(PayoutAddressLimitError):
        await say.store.set_address(farmer.farmer_id, B, giver)


# Owner accounts ----------------------------------------------------------------------------------


async def test_an_owner_account_changes_by_the_old_ones_signature(say: OwnSay) -> None:
    farmer, new = await say.farmer(), Keypair.random()
    giver = await say.signed(farmer, OwnerWish(owner=new.public_key))
    await say.store.set_owner(farmer.farmer_id, new.public_key, giver)
    assert (await say.owners.accounts(farmer.wallet_id)).address == new.public_key
    # From then on the new one signs, and the old one does not.
    wish = PayoutWish(address=A)
    with pytest.raises(SignatureWrongError):
        await say.store.set_address(farmer.farmer_id, A, await say.signed(farmer, wish))
    signed = await say.signed(farmer, wish, key=new)
    await say.store.set_address(farmer.farmer_id, A, signed)
    await assert_sound(say)


async def test_a_pooler_names_no_owner_account(say: OwnSay) -> None:
    owned, bare = await say.farmer(), await say.farmer(has_owner=False)
    for farmer in (owned, bare):
        with pytest.raises(OwnerAccountNotYoursError):
            await say.store.set_owner(farmer.farmer_id, THIEF, POOLER)


async def test_an_operators_owner_account_waits_and_the_old_one_objects(say: OwnSay) -> None:
    farmer = await say.farmer()
    moment = await say.store.set_owner(farmer.farmer_id, THIEF, OPERATOR)
    assert moment > datetime.now(UTC) + 29 * DAY
    told = await say.owners.accounts(farmer.wallet_id)
    assert (told.address, told.pending) == (farmer.owner.public_key, THIEF)
    assert await say.store.set_owner(farmer.farmer_id, THIEF, OPERATOR) == moment
    await say.store.object_to(farmer.farmer_id, await say.signed(farmer, Objection()))
    told = await say.owners.accounts(farmer.wallet_id)
    assert (told.address, told.pending) == (farmer.owner.public_key, None)
    await assert_sound(say)


async def test_owner_accounts_have_their_pace(pool: Database) -> None:
    say = OwnSay(pool=pool, rules=AgreementRules(changes=1))
    farmer = await say.farmer()
    giver = await say.signed(farmer, OwnerWish(owner=A))
    with pytest.raises(AgreementLimitError):
        await say.store.set_owner(farmer.farmer_id, A, giver)


async def test_an_owner_account_or_a_mark_that_wallet_did_not_write_counts_for_nothing(
    say: OwnSay, database: DatabaseAccess
) -> None:
    farmer = await say.farmer()
    await say.owners.mark(farmer.pooler_id, farms_for_itself=False, actor="ann")
    async with connect(database.admin_dsn) as admin:
        await admin.execute("UPDATE wallet.owner_accounts SET address = $1", THIEF)
        with pytest.raises(OwnerAccountTamperedError):
            await say.owners.accounts(farmer.wallet_id)
        await admin.execute("DELETE FROM wallet.owner_accounts")
        with pytest.raises(OwnerAccountTamperedError):
            await say.owners.accounts(farmer.wallet_id)
        await admin.execute(
            "INSERT INTO wallet.pooler_marks (pooler_id, number, farms_for_itself, registered_at, "
            "effective_at, mac) VALUES ($1, 1, true, now(), now(), $2)",
            farmer.pooler_id,
            bytes(34),
        )
    with pytest.raises(PoolerMarkTamperedError):
        await say.owners.farms_for_itself(farmer.pooler_id)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE wallet.agreements SET pooler_bps = pooler_bps + 1",
        "UPDATE wallet.agreements SET proof = 'operator'",
        "DELETE FROM wallet.agreements",
        "UPDATE wallet.owner_accounts SET address = 'GTHIEF'",
        "DELETE FROM wallet.owner_accounts",
        "UPDATE wallet.pooler_marks SET farms_for_itself = false",
        "DELETE FROM wallet.pooler_marks",
        "UPDATE wallet.agreements SET number = 2",
    ],
)
async def test_the_audit_log_tells_of_what_somebody_changed_or_deleted(
    say: OwnSay, database: DatabaseAccess, change: str
) -> None:
    farmer = await say.farmer(terms=terms())
    await say.owners.mark(farmer.pooler_id, farms_for_itself=True, actor="ann")
    await assert_sound(say)
    async with connect(database.admin_dsn) as admin:
        await admin.execute(change)
    assert len(await found(say)) >= 1


# Agreements --------------------------------------------------------------------------------------


async def test_the_terms_of_a_registration_count_at_once(pool: Database) -> None:
    say = OwnSay(pool=pool, rules=AgreementRules(operator_bps=100))
    farmer = await say.farmer(terms=terms(terms_version=3))
    (first,) = await say.agreements.of_wallet(farmer.wallet_id)
    assert (first.number, first.pooler_bps, first.operator_bps, first.terms_version) == (
        1,
        500,
        100,
        3,
    )
    assert (first.given_by, first.proof) == ("the pooler", Proof.CERTIFICATE)
    assert first.effective_at == first.registered_at
    await assert_sound(say)


async def test_a_higher_fee_of_a_pooler_waits_and_the_farmers_own_does_not(say: OwnSay) -> None:
    farmer = await say.farmer(terms=terms())
    raised = await say.store.agree(farmer.farmer_id, terms(pooler_bps=900), POOLER)
    assert raised.effective_at > datetime.now(UTC) + 6 * DAY
    wish = TermsWish(terms=terms(pooler_bps=700))
    giver = await say.signed(farmer, wish)
    own = await say.store.agree(farmer.farmer_id, wish.terms, giver)
    told = await say.agreements.of_wallet(farmer.wallet_id)
    assert in_force(told, datetime.now(UTC)) == own == told[-1]
    assert (own.given_by, own.proof) == (f"owner {farmer.owner.public_key}", Proof.SIGNATURE)
    # The same, once more, is the same.
    assert await say.store.agree(farmer.farmer_id, wish.terms, giver) == own
    await assert_sound(say)


@pytest.mark.parametrize(
    "changed", [{"pooler_bps": 0}, {"pooler_bps": 499}, {"miners_bps": 0}, {"miners_bps": 10_000}]
)
async def test_a_lower_fee_is_the_poolers_to_give(say: OwnSay, changed: dict[str, int]) -> None:
    """A farmer with an owner account would farm for nothing, and leave nothing to the miners."""
    farmer, wish = await say.farmer(terms=terms()), TermsWish(terms=terms(**changed))
    with pytest.raises(TermsNotOfferedError):
        await say.signed(farmer, wish)
    held = await say.store.held(farmer.farmer_id)
    text = agreement_text(held.parties, held.place, wish.terms, operator_bps=0, address="")
    signature = farmer.owner.sign(message_hash(text))
    giver = Giver(given_by="a courier", proof=Proof.SIGNATURE, signature=signature)
    with pytest.raises(TermsNotOfferedError):
        await say.store.agree(farmer.farmer_id, wish.terms, giver)
    assert len(await say.agreements.of_wallet(farmer.wallet_id)) == 1
    # Once it is offered, the farmer signs it, and need not wait for it.
    offer = terms(stake_bps=9_000, **changed)
    assert (await say.store.agree(farmer.farmer_id, offer, POOLER)).effective_at > wait_of(6)
    own = await say.store.agree(farmer.farmer_id, wish.terms, await say.signed(farmer, wish))
    assert in_force(await say.agreements.of_wallet(farmer.wallet_id), datetime.now(UTC)) == own


async def test_a_change_counts_from_the_next_block_on(
    say: OwnSay, database: DatabaseAccess
) -> None:
    """Whatever the chain's clock: a block that has opened keeps its terms."""
    farmer, opened = await say.farmer(terms=terms()), datetime.now(UTC) + timedelta(seconds=30)
    async with connect(database.admin_dsn) as admin:
        await admin.execute(
            "INSERT INTO chain.blocks (index, opened_ledger, opened_at, closes_at, entropy, "
            "min_gap, max_gap, min_zeros, max_zeros, min_stake, max_stake, staked_total, "
            "normalized_total, expires_ledger, updated_ledger) "
            "VALUES (5, 1, $1, $1, $2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)",
            opened,
            bytes(32),
        )
    lower = await say.store.agree(farmer.farmer_id, terms(pooler_bps=0), POOLER)
    assert opened < lower.effective_at < opened + timedelta(seconds=1)


async def test_one_signature_agrees_to_terms_and_the_address_that_they_name(say: OwnSay) -> None:
    farmer = await say.farmer(terms=terms())
    wish = TermsWish(terms=terms(pooler_bps=2_000), address=A)
    giver = await say.signed(farmer, wish)
    with pytest.raises(SignatureWrongError):
        await say.store.agree(farmer.farmer_id, wish.terms, giver, address=THIEF)
    await say.store.agree(farmer.farmer_id, wish.terms, giver, address=A)
    assert await counts(say, farmer) == A


@pytest.mark.parametrize("fee", [3_001, 10_000])
async def test_no_fee_is_too_high_for_nobody(say: OwnSay, fee: int) -> None:
    """Of 100 %, say: neither the pooler's word nor an operator's nor the farmer's makes it one."""
    farmer = await say.farmer()
    for giver in (POOLER, OPERATOR, replace(POOLER, proof=Proof.SIGNATURE, signature=bytes(64))):
        with pytest.raises(FeeTooHighError):
            await say.store.agree(farmer.farmer_id, terms(pooler_bps=fee), giver)
    assert await say.agreements.of_wallet(farmer.wallet_id) == []


async def test_a_smaller_stake_counts_at_once_and_a_larger_one_is_agreed_to_first(
    say: OwnSay,
) -> None:
    farmer = await say.farmer(terms=terms(stake_bps=5_000), stake_bps=5_000)
    await say.store.agree(farmer.farmer_id, terms(stake_bps=2_000), POOLER)
    assert (await say.wallets.of_farmer(farmer.farmer_id)).stake_bps == 2_000
    with pytest.raises(StakeAboveAgreementError):
        await say.store.set_stake(farmer.farmer_id, 2_001, actor="me")
    await say.store.agree(farmer.farmer_id, terms(stake_bps=9_000), POOLER)
    with pytest.raises(StakeAboveAgreementError):
        await say.store.set_stake(farmer.farmer_id, 2_001, actor="me")
    await say.store.set_stake(farmer.farmer_id, 1_000, actor="me")
    bare = await say.farmer(stake_bps=0)
    await say.store.set_stake(bare.farmer_id, 10_000, actor="me")


async def test_agreements_have_their_pace(pool: Database) -> None:
    say = OwnSay(pool=pool, rules=AgreementRules(changes=1))
    farmer = await say.farmer(terms=terms())
    with pytest.raises(AgreementLimitError):
        await say.store.agree(farmer.farmer_id, terms(pooler_bps=0), POOLER)
    # Nobody uses up what the farmer says itself.
    wish = TermsWish(terms=terms(pooler_bps=600))
    own = await say.store.agree(farmer.farmer_id, wish.terms, await say.signed(farmer, wish))
    assert own.number == 2
    wish = TermsWish(terms=terms(pooler_bps=601))
    giver = await say.signed(farmer, wish)
    with pytest.raises(AgreementLimitError):
        await say.store.agree(farmer.farmer_id, wish.terms, giver)


async def test_what_says_the_same_is_no_other_agreement(pool: Database) -> None:
    say = OwnSay(pool=pool, rules=AgreementRules(changes=1))
    farmer = await say.farmer(terms=terms())
    assert (await say.store.agree(farmer.farmer_id, terms(), POOLER)).number == 1


async def test_a_farmer_signs_that_it_leaves_and_each_signature_counts_once(say: OwnSay) -> None:
    farmer, other = await say.farmer(), await say.farmer()
    first = await say.signed(farmer, LeaveWish())
    for whose, giver in (
        (other, first),
        (farmer, replace(first, signature=bytes(64))),
        (farmer, replace(first, signature=None)),
        (farmer, await say.signed(farmer, LeaveWish(), key=other.owner)),
    ):
        with pytest.raises(SignatureWrongError):
            await say.store.wish_to_leave(whose.farmer_id, giver)
    assert await say.store.wish_to_leave(farmer.farmer_id, first)
    # A repeat is answered, and is none.
    assert not await say.store.wish_to_leave(farmer.farmer_id, first)
    second = await say.signed(farmer, LeaveWish())
    assert await say.store.wish_to_leave(farmer.farmer_id, second)
    # Whoever kept the first one has nothing of it after it was called off.
    with pytest.raises(SignatureWrongError):
        await say.store.wish_to_leave(farmer.farmer_id, first)
    assert (await say.store.held(farmer.farmer_id)).leave_wishes == 2
    assert (await say.store.held(other.farmer_id)).leave_wishes == 0
    await assert_sound(say)
    silent = await say.farmer(has_owner=False)
    with pytest.raises(OwnerAccountMissingError):
        await say.store.wish_to_leave(silent.farmer_id, first)


async def test_what_is_signed_says_where_everything_goes(say: OwnSay) -> None:
    farmer = await say.farmer()
    await say.store.set_address(
        farmer.farmer_id, A, await say.signed(farmer, PayoutWish(address=A))
    )
    held = await say.store.held(farmer.farmer_id)
    lines = text_of(held, LeaveWish(), say.rules).splitlines()
    assert lines[:2] == ["KALE pool", "I leave the pool, with everything."]
    assert lines[-3:-1] == ["Leaving: number 1", f"Payout address: {A}"]
