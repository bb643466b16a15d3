"""Agreements: which counts for a block, from when on, and what an owner signs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.common.ids import FarmerId, PoolerId, WalletId, new_id
from services.wallet.domain.agreements import (
    Agreement,
    AgreementRules,
    Giver,
    Parties,
    Place,
    Proof,
    Terms,
    address_text,
    agreement_text,
    check_fees,
    check_offered,
    check_own_change,
    effective_from,
    in_force,
    objection_text,
    owner_text,
    takes_more,
    to_come,
)
from services.wallet.domain.errors import (
    FeeTooHighError,
    NoTermsError,
    OwnerMayNotError,
    TermsAnnouncedError,
    TermsNotOfferedError,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WALLET = WalletId(new_id())
POOLER = Giver(given_by="spiffe://pool/pooler/7", proof=Proof.CERTIFICATE)
OWNER = Giver(given_by="anybody", proof=Proof.SIGNATURE, signature=bytes(64))
RULES = AgreementRules(operator_bps=100)
TERMS: dict[str, Any] = {
    "stake_bps": 5_000,
    "pooler_bps": 500,
    "miners_bps": 2_000,
    "payout_threshold": 10**7,
    "payout_interval_seconds": 86_400,
    "harvest_blocks": 3,
}


def terms(**changed: Any) -> Terms:
    return Terms(**{**TERMS, **changed})


def agreement(number: int, effective_at: datetime, **changed: Any) -> Agreement:
    return Agreement(
        **{**TERMS, "operator_bps": 100, **changed},
        wallet_id=WALLET,
        number=number,
        given_by="pooler",
        proof=Proof.CERTIFICATE,
        registered_at=min(NOW, effective_at),
        effective_at=effective_at,
    )


def counts(new: Terms, *agreements: Agreement, giver: Giver = POOLER, **changed: Any) -> datetime:
    """From when on new terms count."""
    around: dict[str, Any] = {"rules": RULES, "stake_bps": 5_000, "now": NOW, "next_block": NOW}
    return effective_from(new, giver, agreements, **{**around, **changed})


def test_a_block_goes_by_the_agreement_in_force_when_it_opened() -> None:
    first, second = agreement(1, NOW - 2 * DAY), agreement(2, NOW + DAY, pooler_bps=900)
    both = [first, second]
    assert in_force(both, NOW - 3 * DAY) is None
    assert in_force(both, NOW - 2 * DAY) is first
    assert in_force(both, NOW) is first
    assert in_force(both, NOW + DAY) is second
    assert in_force([], NOW) is None


def test_a_newer_one_replaces_what_did_not_count_yet() -> None:
    first, raised = agreement(1, NOW - DAY), agreement(2, NOW + 7 * DAY, pooler_bps=900)
    lowered = agreement(3, NOW, pooler_bps=100)
    assert to_come([first, raised], NOW - DAY / 2) == [raised]
    assert to_come([first, raised, lowered], NOW - DAY / 2) == [lowered]
    assert to_come([first, raised, lowered], NOW) == []
    assert in_force([first, raised, lowered], NOW + 8 * DAY) is lowered


def test_several_may_be_to_come() -> None:
    soon, later = agreement(2, NOW + DAY), agreement(3, NOW + 2 * DAY)
    assert to_come([agreement(1, NOW - DAY), soon, later], NOW) == [soon, later]


@pytest.mark.parametrize(
    "change",
    [
        {"pooler_bps": 501},
        {"stake_bps": 5_001},
        {"payout_threshold": 10**7 + 1},
        {"payout_interval_seconds": 86_401},
        {"payout_interval_seconds": 0},
        {"harvest_blocks": 4},
    ],
)
def test_what_takes_from_the_farmer_counts_after_the_notice(change: dict[str, int]) -> None:
    assert counts(terms(**change), agreement(1, NOW - DAY)) == NOW + 7 * DAY


@pytest.mark.parametrize(
    "change",
    [{}, {"pooler_bps": 0}, {"stake_bps": 0}, {"payout_threshold": 0}, {"miners_bps": 10_000}],
)
def test_what_gives_more_counts_from_the_next_block_on(change: dict[str, int]) -> None:
    opened = NOW + timedelta(seconds=3)
    assert counts(terms(**change), agreement(1, NOW - DAY), next_block=opened) == opened


def test_an_operators_higher_part_takes_more_too() -> None:
    before = agreement(1, NOW - DAY, operator_bps=99)
    assert takes_more(terms(), operator_bps=100, before=before, stake_bps=0)
    assert not takes_more(terms(), operator_bps=99, before=before, stake_bps=0)
    assert counts(terms(), before) == NOW + 7 * DAY


def test_the_farmers_own_signature_needs_no_notice() -> None:
    assert counts(terms(pooler_bps=2_000), agreement(1, NOW - DAY), giver=OWNER) == NOW


def test_without_an_agreement_any_fee_takes_something() -> None:
    rules = AgreementRules()
    assert counts(terms()) == NOW + 7 * DAY
    assert counts(terms(pooler_bps=0), rules=rules) == NOW
    assert counts(terms(pooler_bps=0, stake_bps=5_001), rules=rules) == NOW + 7 * DAY


def test_what_was_announced_already_is_not_announced_anew() -> None:
    kept, raised = agreement(1, NOW - DAY), agreement(2, NOW + DAY, pooler_bps=900)
    assert counts(terms(pooler_bps=800), kept, raised) == NOW + DAY
    assert counts(terms(pooler_bps=901), kept, raised) == NOW + 7 * DAY
    assert counts(terms(pooler_bps=400), kept, raised) == NOW


def test_a_fee_that_was_taken_back_is_announced_anew() -> None:
    """What was replaced before it counted is no reason for a shorter notice."""
    kept, raised = agreement(1, NOW - DAY), agreement(2, NOW + DAY, pooler_bps=900)
    back = agreement(3, NOW - timedelta(seconds=1), pooler_bps=500)
    assert counts(terms(pooler_bps=900), kept, raised, back) == NOW + 7 * DAY


@pytest.mark.parametrize("fee", [2_901, 9_900, 10_000])
def test_no_fee_is_higher_than_the_pool_allows(fee: int) -> None:
    with pytest.raises(FeeTooHighError):
        check_fees(terms(pooler_bps=fee), RULES)


def test_the_highest_fee_is_none_too_many() -> None:
    check_fees(terms(pooler_bps=2_900), RULES)


PARTIES = Parties(
    farmer_id=FarmerId(new_id()), pooler_id=PoolerId(new_id()), account="GACC", owner="GOWN"
)
PLACE = Place(agreement=2, address=1, owner=1)


def test_a_text_says_all_that_is_agreed_to() -> None:
    new = terms(terms_version=7, terms_digest=b"\xab" * 32)
    text = agreement_text(PARTIES, PLACE, new, operator_bps=100, address="GOUT")
    assert text.splitlines() == [
        "KALE pool",
        "I agree to these terms.",
        f"Farmer: {PARTIES.farmer_id}",
        f"Pooler: {PARTIES.pooler_id}",
        "Custodial account: GACC",
        "Owner account: GOWN",
        f"Terms: version 7, SHA-256 {'ab' * 32}",
        "Pooler's fee: 5.00 %",
        "Miners' part of the pooler's fee: 20.00 %",
        "Operator's fee: 1.00 %",
        "Stake at most: 50.00 %",
        "Paid out from: 1.0000000 KALE",
        "Paid out every: 86400 s",
        "Harvested after: 3 blocks",
        "Payout address: GOUT",
        "Numbers: agreement 2, address 1, owner 1",
    ]


def test_no_text_stands_for_another_wish() -> None:
    """Each begins with what is wanted, and has the numbers that are used up by it."""
    texts = {
        agreement_text(PARTIES, PLACE, terms(), operator_bps=100, address="GOUT"),
        address_text(PARTIES, PLACE, agreement(1, NOW), "GOUT"),
        address_text(PARTIES, PLACE, None, "GOUT"),
        address_text(PARTIES, PLACE, None, ""),
        owner_text(PARTIES, PLACE, "GNEW"),
        objection_text(PARTIES, PLACE),
    }
    assert len(texts) == 6
    assert len({text.splitlines()[1] for text in texts}) == 4
    assert all(text.endswith("agreement 2, address 1, owner 1") for text in texts)


# What a farmer may sign ------------------------------------------------------------------------


def own(number: int, effective_at: datetime, **changed: Any) -> Agreement:
    """An agreement that the farmer has signed."""
    return replace(agreement(number, effective_at, **changed), proof=Proof.SIGNATURE)


@pytest.mark.parametrize(
    ("agreements", "changed", "is_offered"),
    [
        ([], {"pooler_bps": 0}, True),
        ([agreement(1, NOW)], {}, True),
        ([agreement(1, NOW)], {"pooler_bps": 501, "stake_bps": 0}, True),
        ([agreement(1, NOW)], {"pooler_bps": 499}, False),
        ([agreement(1, NOW)], {"miners_bps": 2_001}, False),
        ([agreement(1, NOW), agreement(2, NOW + DAY, pooler_bps=300)], {"pooler_bps": 300}, True),
        ([agreement(1, NOW), agreement(2, NOW + DAY, pooler_bps=300)], {"pooler_bps": 301}, False),
        # The pooler's last word stands though the farmer has given more; the one before does not.
        ([agreement(1, NOW), own(2, NOW, pooler_bps=900)], {}, True),
        ([agreement(1, NOW), agreement(2, NOW, pooler_bps=900)], {}, False),
        # What the farmer has signed itself is nobody's offer.
        ([agreement(1, NOW), own(2, NOW + DAY, pooler_bps=300)], {"pooler_bps": 300}, False),
    ],
)
def test_a_farmer_signs_no_lower_fee_than_it_was_offered(
    agreements: list[Agreement], changed: dict[str, int], is_offered: bool
) -> None:
    if is_offered:
        check_offered(terms(**changed), agreements, NOW)
        return
    with pytest.raises(TermsNotOfferedError):
        check_offered(terms(**changed), agreements, NOW)


# What a login changes ----------------------------------------------------------------------------

LOGGED_IN = Giver(given_by="spiffe://pool/owner/G", proof=Proof.OWNER)
IN_FORCE = agreement(1, NOW - DAY)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"payout_threshold": 0},
        {"payout_threshold": 2**60},
        {"payout_interval_seconds": 0},
        {"payout_threshold": 1, "payout_interval_seconds": 1},
    ],
)
def test_an_owner_that_has_logged_in_says_when_it_is_paid(change: dict[str, int]) -> None:
    wanted = terms(**change)
    assert check_own_change(wanted, [IN_FORCE], NOW) is IN_FORCE
    # It counts from the next block on, though the pool may like it less.
    assert counts(wanted, IN_FORCE, giver=LOGGED_IN) == NOW
    later = NOW + timedelta(minutes=3)
    assert counts(wanted, IN_FORCE, giver=LOGGED_IN, next_block=later) == later


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"stake_bps": 5_001}, "stake_bps"),
        ({"stake_bps": 0}, "stake_bps"),
        ({"pooler_bps": 0, "payout_threshold": 1}, "pooler_bps"),
        ({"pooler_bps": 501}, "pooler_bps"),
        ({"miners_bps": 1, "harvest_blocks": 1}, "harvest_blocks,miners_bps"),
        ({"terms_version": 3, "terms_digest": b"\x01" * 32}, "terms_digest,terms_version"),
    ],
)
def test_it_says_nothing_else(change: dict[str, Any], fields: str) -> None:
    with pytest.raises(OwnerMayNotError) as caught:
        check_own_change(terms(**change), [IN_FORCE], NOW)
    assert caught.value.metadata == {"fields": fields}
    assert fields.replace(",", ", ") in caught.value.message


def test_where_nothing_is_in_force_there_is_nothing_to_change() -> None:
    for known in ([], [agreement(1, NOW + DAY)]):
        with pytest.raises(NoTermsError):
            check_own_change(terms(), known, NOW)


def test_a_login_takes_no_announced_terms_away() -> None:
    """A newer agreement takes the place of those that do not count yet."""
    announced = agreement(2, NOW + DAY, pooler_bps=900)
    with pytest.raises(TermsAnnouncedError):
        check_own_change(terms(payout_threshold=1), [IN_FORCE, announced], NOW)
    # Once they count they are what is changed.
    later = NOW + DAY
    wanted = terms(pooler_bps=900, payout_threshold=1)
    assert check_own_change(wanted, [IN_FORCE, announced], later) is announced
    # What it has said itself, and what was replaced, is in nobody's way.
    own = replace(agreement(2, NOW + DAY, payout_threshold=1), proof=Proof.OWNER)
    assert check_own_change(terms(payout_threshold=2), [IN_FORCE, own], NOW) is IN_FORCE


def test_what_a_login_says_is_no_offer_of_the_pooler() -> None:
    """Else a farmer's own change would take away what the pooler has offered before."""
    raised = replace(agreement(2, NOW - DAY / 2, pooler_bps=900), proof=Proof.SIGNATURE)
    own = replace(agreement(3, NOW - DAY / 3, pooler_bps=900), proof=Proof.OWNER)
    check_offered(terms(), [IN_FORCE, raised, own], NOW)
    with pytest.raises(TermsNotOfferedError):
        check_offered(terms(pooler_bps=400), [IN_FORCE, raised, own], NOW)
    # Nor does it make one of what only it has.
    alone = [replace(IN_FORCE, proof=Proof.OWNER), agreement(2, NOW - DAY / 3, pooler_bps=900)]
    with pytest.raises(TermsNotOfferedError):
        check_offered(terms(), alone, NOW)
