"""How accounts of farmers that leave are closed, and what keeps them open."""

from dataclasses import replace
from typing import Any, cast

import pytest
from stellar_sdk import AccountMerge, ChangeTrust, Keypair, Payment, TransactionEnvelope
from stellar_sdk import Asset as StellarAsset

from libs.common.ids import WalletId, new_id
from services.wallet.chain import MAX_FARMERS, Closed, sign_closings
from services.wallet.domain.bids import Bid
from services.wallet.domain.chain_facts import AccountState, PailState
from services.wallet.domain.closing import (
    Closing,
    ClosingAccount,
    closing_of,
    reason_of,
    unharvested,
    workable_from,
)
from services.wallet.domain.errors import (
    AccountHoldsError,
    AccountNotEmptyError,
    PayoutAddressMissingError,
    XlmUnpayableError,
)
from services.wallet.domain.model import FailureReason
from services.wallet.domain.withdrawals import Destination
from tests.support.signing import NETWORK, FakeSigners

LEDGER = 1000
OURS, THEIRS = Keypair.random().public_key, Keypair.random().public_key
#: An account that the pool made, and that holds nothing.
BARE = ClosingAccount(
    state=AccountState(address=OURS, exists=True, has_trustline=True, reserves=-2),
    has_line=True,
    sub_entries=1,
    sponsored=3,
)
#: One that somebody else made, with 4 XLM.
FOREIGN = ClosingAccount(
    state=AccountState(address=OURS, exists=True, has_trustline=True, xlm=40_000_000),
    has_line=True,
    sub_entries=1,
    sponsored=1,
)


def destination(**fields: Any) -> Destination:
    """An account outside."""
    wants_memo = fields.pop("wants_memo", False)
    state = AccountState(**{"address": THEIRS, "exists": True, **fields})
    return Destination(account=state, wants_memo=wants_memo)


def with_state(account: ClosingAccount, **fields: Any) -> ClosingAccount:
    """The account in another state."""
    return replace(account, state=replace(account.state, **fields))


def judged(account: ClosingAccount, outside: Destination | None = None) -> Any:
    """How it is closed, or why not."""
    return closing_of(account, outside, ledger=LEDGER)


def test_what_the_pool_sponsors_and_holds_nothing_needs_no_address() -> None:
    assert judged(BARE) == Closing(has_line=True, xlm=0, pays_to="", is_sponsored=True)
    lineless = replace(BARE, has_line=False, sub_entries=0, sponsored=2)
    assert judged(lineless) == Closing(has_line=False, xlm=0, pays_to="", is_sponsored=True)
    assert BARE.reserves_back == 15_000_000


def test_own_xlm_goes_to_the_address_all_of_it() -> None:
    found = judged(with_state(BARE, xlm=7), destination())
    assert found == Closing(has_line=True, xlm=7, pays_to=THEIRS, is_sponsored=True)


def test_what_others_sponsor_goes_to_the_address_as_a_whole() -> None:
    found = judged(FOREIGN, destination())
    assert found == Closing(has_line=True, xlm=40_000_000, pays_to=THEIRS, is_sponsored=False)
    assert not FOREIGN.is_sponsored
    assert replace(FOREIGN, sponsored=2).is_sponsored


@pytest.mark.parametrize("account", [with_state(BARE, xlm=1), FOREIGN, with_state(FOREIGN, xlm=0)])
def test_without_an_address_it_waits(account: ClosingAccount) -> None:
    found = judged(account)
    assert isinstance(found, PayoutAddressMissingError)
    assert f"{account.state.xlm} stroops" in found.message
    assert reason_of(found) is FailureReason.ACCOUNT_HOLDS


@pytest.mark.parametrize(
    ("outside", "why"),
    [
        (destination(exists=False), "DESTINATION_MISSING"),
        (destination(wants_memo=True), "MEMO_REQUIRED"),
        (destination(xlm_room=6), "DESTINATION_FULL"),
        (destination(address=OURS), "DESTINATION_REFUSES"),
    ],
)
def test_xlm_that_the_address_cannot_take_keeps_it_open(outside: Destination, why: str) -> None:
    found = judged(with_state(BARE, xlm=7), outside)
    assert isinstance(found, XlmUnpayableError)
    assert found.metadata == {"xlm_stroops": "7", "refusal": why}
    assert found.message == f"7 stroops of XLM cannot be paid to {outside.account.address}: {why}"
    assert reason_of(found) is FailureReason.ACCOUNT_HOLDS


def test_room_for_all_of_it_is_enough() -> None:
    assert isinstance(judged(with_state(BARE, xlm=7), destination(xlm_room=7)), Closing)


def test_kale_comes_first() -> None:
    found = judged(replace(BARE, line_balance=1, sponsoring=1))
    assert isinstance(found, AccountNotEmptyError)
    assert found.metadata == {"kale_stroops": "1"}
    assert found.message == "the account has 1 stroops of KALE"
    assert reason_of(found) is FailureReason.ACCOUNT_NOT_EMPTY


@pytest.mark.parametrize(
    ("account", "named"),
    [
        (replace(BARE, sub_entries=2), "1 other trustlines, offers or data entries"),
        (replace(BARE, sub_entries=2, data_names=("memo",)), "data entry memo"),
        (
            replace(BARE, sub_entries=4, data_names=("memo",)),
            "data entry memo; 2 other trustlines, offers or data entries",
        ),
        (replace(BARE, sub_entries=2, signers=("GX",)), "signer GX"),
        (
            replace(BARE, has_line=False),
            "1 other trustlines, offers or data entries",
        ),
        (replace(BARE, sponsoring=2), "2 reserves that it pays for others"),
        (replace(BARE, flags=4), "the flag AUTH_IMMUTABLE"),
        (
            replace(BARE, flags=5, sponsoring=1),
            "1 reserves that it pays for others; the flag AUTH_IMMUTABLE",
        ),
        (with_state(BARE, obeys_fully=False), "the pool's key alone may not merge it"),
        (
            with_state(BARE, sequence=LEDGER << 32),
            f"its sequence number {LEDGER << 32} is too far for a merger",
        ),
    ],
)
def test_what_it_holds_is_named(account: ClosingAccount, named: str) -> None:
    found = judged(account, destination())
    assert isinstance(found, AccountHoldsError)
    assert found.message == f"the account cannot be closed: {named}"
    assert found.metadata == {"address": OURS, "holds": named}
    assert reason_of(found) is FailureReason.ACCOUNT_HOLDS


@pytest.mark.parametrize(
    "account", [replace(BARE, flags=3), with_state(BARE, sequence=(LEDGER << 32) - 1)]
)
def test_what_is_no_obstacle(account: ClosingAccount) -> None:
    assert isinstance(judged(account), Closing)


@pytest.mark.parametrize(("now", "first"), [(1_000, 7), (1_599, 7), (1_600, 8)])
def test_nobody_is_waited_for_when_a_block_has_lasted_twice_its_time(now: int, first: int) -> None:
    assert workable_from(index=7, timestamp=1_000, now=now, interval=300) == first


def pail(zeros: int | None) -> PailState:
    """A pail."""
    return PailState(sequence=1, stake=0, gap=None, zeros=zeros, live_until=9)


@pytest.mark.parametrize(
    ("pails", "block"),
    [
        ({}, None),
        # What was not worked in its block is lost.
        ({4: pail(None)}, None),
        ({5: pail(None)}, 5),
        ({6: pail(None)}, 6),
        ({4: pail(0)}, 4),
        ({5: pail(3), 2: pail(1), 1: pail(None)}, 2),
    ],
)
def test_pails_that_can_be_worked_or_harvested(
    pails: dict[int, PailState], block: int | None
) -> None:
    found = unharvested(pails, 5)
    assert (None if found is None else found.metadata) == (
        None if block is None else {"block": str(block)}
    )
    if found is not None:
        assert found.message == f"the pail in block {block} is not harvested yet"


# The transaction ---------------------------------------------------------------------------------

SIGNERS = FakeSigners()
TREASURY, ONE, OTHER = (SIGNERS.key(WalletId(new_id())) for _ in range(3))
BID = Bid(inclusion_fee=100, max_fee=10_000, max_time=2_000_000_000)


def signed(*closed: Closed) -> Any:
    """The transaction, decoded."""
    envelope = sign_closings(closed, treasury=TREASURY, sequence=8, network=NETWORK, bid=BID)
    assert (envelope.source, envelope.sequence) == (TREASURY.address, 8)
    found = TransactionEnvelope.from_xdr(envelope.xdr, NETWORK.passphrase)
    assert len(found.signatures) == 1 + len(closed)
    return found.transaction


def source(operation: Any) -> str:
    """Whose operation it is."""
    return cast(str, operation.source.account_id)


def test_the_line_goes_then_the_xlm_then_the_account() -> None:
    sponsored = Closing(has_line=True, xlm=12_345_678, pays_to=THEIRS, is_sponsored=True)
    foreign = Closing(has_line=True, xlm=9, pays_to=THEIRS, is_sponsored=False)
    operations = signed(
        Closed(signer=ONE, closing=sponsored), Closed(signer=OTHER, closing=foreign)
    ).operations
    line, paid, merged, other_line, other_merged = operations
    assert isinstance(line, ChangeTrust)
    assert (line.limit, line.asset) == ("0", NETWORK.asset)
    assert isinstance(paid, Payment)
    assert (paid.amount, paid.destination.account_id) == ("1.2345678", THEIRS)
    assert paid.asset == StellarAsset.native()
    assert isinstance(merged, AccountMerge)
    assert merged.destination.account_id == TREASURY.address
    assert isinstance(other_line, ChangeTrust)
    assert isinstance(other_merged, AccountMerge)
    assert other_merged.destination.account_id == THEIRS
    assert [source(item) for item in operations] == [ONE.address] * 3 + [OTHER.address] * 2


def test_what_is_not_there_is_left_out() -> None:
    bare = Closing(has_line=False, xlm=0, pays_to="", is_sponsored=True)
    (merged,) = signed(Closed(signer=ONE, closing=bare)).operations
    assert isinstance(merged, AccountMerge)


@pytest.mark.parametrize("count", [0, MAX_FARMERS + 1])
def test_as_many_as_a_transaction_has_signatures(count: int) -> None:
    bare = Closing(has_line=False, xlm=0, pays_to="", is_sponsored=True)
    with pytest.raises(ValueError, match=f"fit, not {count}"):
        signed(*[Closed(signer=ONE, closing=bare)] * count)
    assert len(signed(*[Closed(signer=ONE, closing=bare)] * MAX_FARMERS).operations) == MAX_FARMERS
