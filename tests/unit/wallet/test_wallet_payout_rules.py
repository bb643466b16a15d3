"""What is paid of a payout, and why not: fees never keep a farmer from its own part."""

from dataclasses import replace

import pytest

from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from libs.kale.constants import MAX_I64
from services.wallet.domain.fees_due import Fees
from services.wallet.domain.payouts import (
    FarmerAccount,
    FeeAccounts,
    Hindrance,
    PoolerAccount,
    Refusal,
    Room,
    WantedPayment,
    WantedPayout,
    affordable,
    first_refusals,
    part_of,
    planned,
)

ACCOUNT = FarmerAccount(
    farmer_id=FarmerId(new_id()),
    pooler_id=PoolerId(new_id()),
    wallet_id=WalletId(new_id()),
    address="GFARMER",
    outside="GOUTSIDE",
    hindrance=None,
)
DUE = Fees(pooler=10, operator=5, miners=5)
ROOM = Room(farmer=1_000, pool=1_000)
WANTED = WantedPayout(
    id=OperationId(new_id()),
    account=ACCOUNT,
    amount=100,
    accrued=DUE,
    free=200,
    fee_accounts=FeeAccounts(pooler="GPOOL", operator="GOPERATOR"),
)


def reason(found: Fees | Refusal) -> str:
    assert isinstance(found, Refusal)
    return found.reason


def test_all_that_is_due_goes_with_the_farmers_part() -> None:
    assert planned(WANTED, DUE, ROOM, owed=0) == DUE


def test_fees_wait_where_no_account_can_take_them() -> None:
    found = replace(WANTED, fee_accounts=FeeAccounts(operator="GOPERATOR"))
    assert planned(found, DUE, ROOM, owed=0) == Fees(operator=5)
    found = replace(WANTED, fee_accounts=FeeAccounts(pooler="GPOOL"))
    assert planned(found, DUE, ROOM, owed=0) == Fees(pooler=10, miners=5)


def test_fees_take_only_what_the_farmer_leaves() -> None:
    assert planned(replace(WANTED, free=110), DUE, ROOM, owed=0) == Fees(
        pooler=5, operator=3, miners=2
    )
    assert planned(replace(WANTED, free=100), DUE, ROOM, owed=0) == Fees()
    assert reason(planned(replace(WANTED, free=99), DUE, ROOM, owed=0)) == "INSUFFICIENT_BALANCE"


def test_an_account_is_paid_no_more_than_it_has_room_for() -> None:
    accounts = replace(WANTED.fee_accounts, operator_room=3)
    assert planned(replace(WANTED, fee_accounts=accounts), DUE, ROOM, owed=20) == Fees(
        pooler=10, operator=3, miners=5
    )
    # The pooler's part and its miners' go to one account, each as much less.
    accounts = replace(WANTED.fee_accounts, pooler_room=6)
    assert planned(replace(WANTED, fee_accounts=accounts), DUE, ROOM, owed=20) == Fees(
        pooler=4, operator=5, miners=2
    )
    accounts = accounts.less({"GPOOL": 5, "GOPERATOR": 1})
    assert (accounts.pooler_room, accounts.operator_room) == (1, MAX_I64 - 1)
    accounts = accounts.less({"GPOOL": 5})
    assert planned(replace(WANTED, fee_accounts=accounts), DUE, ROOM, owed=20) == Fees(operator=5)


def test_fees_that_are_owed_are_not_the_farmers_own() -> None:
    assert planned(replace(WANTED, free=120), DUE, ROOM, owed=20) == DUE
    assert reason(planned(replace(WANTED, free=119), DUE, ROOM, owed=20)) == "INSUFFICIENT_BALANCE"
    # Those that are on their way have not left, though nothing more of them is due.
    short = replace(WANTED, free=119)
    assert reason(planned(short, Fees(), ROOM, owed=20)) == "INSUFFICIENT_BALANCE"
    assert reason(planned(replace(short, free=5), DUE, ROOM, owed=20)) == "INSUFFICIENT_BALANCE"


def test_what_leaves_keeps_the_limits_of_a_day() -> None:
    assert planned(WANTED, DUE, Room(farmer=110, pool=1_000), owed=0) == Fees(
        pooler=5, operator=3, miners=2
    )
    assert planned(WANTED, DUE, Room(farmer=1_000, pool=100), owed=0) == Fees()
    assert reason(planned(WANTED, DUE, Room(farmer=99, pool=1_000), owed=0)) == "WITHDRAWAL_LIMIT"
    assert reason(planned(WANTED, DUE, Room(farmer=1_000, pool=-5), owed=0)) == "WITHDRAWAL_LIMIT"


def test_nothing_is_recorded_of_nothing() -> None:
    empty = replace(WANTED, amount=0)
    assert planned(empty, DUE, ROOM, owed=0) == DUE
    assert reason(planned(empty, Fees(), ROOM, owed=0)) == "NOTHING_DUE"
    assert reason(planned(replace(empty, free=0), DUE, ROOM, owed=0)) == "NOTHING_DUE"


@pytest.mark.parametrize("hindrance", Hindrance)
def test_who_is_hindered_is_told_why(hindrance: Hindrance) -> None:
    farmer = ACCOUNT.farmer_id
    found = first_refusals({farmer: replace(ACCOUNT, hindrance=hindrance)}, [farmer])
    assert found[farmer].reason == hindrance.name
    named = first_refusals({farmer: replace(ACCOUNT, hindrance=hindrance)}, [farmer], by_name=True)
    is_standing = hindrance.name.endswith(("_SUSPENDED", "_DEPARTED"))
    assert named == ({} if is_standing else found)
    assert first_refusals({farmer: ACCOUNT}, [farmer]) == {}
    for by_name in (True, False):
        unknown = first_refusals({}, [farmer], by_name=by_name)
        assert unknown[farmer].reason == "WALLET_NOT_FOUND"


def payment(amount: int, *, is_miner: bool) -> WantedPayment:
    return WantedPayment(
        id=OperationId(new_id()), destination="G", amount=amount, is_miner=is_miner
    )


def test_miners_and_pooler_are_paid_of_their_own_parts() -> None:
    wanted = [
        payment(6, is_miner=True),
        payment(5, is_miner=True),
        payment(4, is_miner=True),
        payment(7, is_miner=False),
        payment(8, is_miner=False),
    ]
    found = list(affordable(wanted, left=Fees(pooler=14, miners=10)))
    assert [item for item, _ in found] == wanted
    told = [refusal.reason if refusal else "" for _, refusal in found]
    assert told == ["", "MORE_THAN_DUE", "", "", "MORE_THAN_DUE"]
    assert part_of(wanted[0]) == Fees(miners=6)
    assert part_of(wanted[3]) == Fees(pooler=7)


def test_a_suspended_pooler_gets_nothing_and_its_miners_do() -> None:
    account = PoolerAccount(
        pooler_id=PoolerId(new_id()),
        wallet_id=WalletId(new_id()),
        address="GPOOL",
        is_ready=True,
        hindrance=Hindrance.POOLER_SUSPENDED,
    )
    assert account.is_genuine
    assert account.held is None
    for hindrance in (Hindrance.TAMPERED, Hindrance.SIGNING_PAUSED):
        held = replace(account, hindrance=hindrance)
        assert held.held == hindrance.refusal
        assert held.is_genuine is (hindrance is Hindrance.SIGNING_PAUSED)
