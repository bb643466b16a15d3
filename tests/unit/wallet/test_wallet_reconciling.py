"""What counts as a difference between records and chain."""

from dataclasses import replace
from uuid import UUID

import pytest

from libs.common.ids import WalletId
from services.wallet.domain.chain_facts import PailState
from services.wallet.domain.reconciling import (
    Balance,
    Difference,
    Kept,
    Told,
    compare,
    compare_balance,
    compare_events,
    is_worth_harvesting,
)

D = Difference
NOTHING = Kept(
    wallet_id=WalletId(UUID(int=1)),
    address="G",
    block_index=10,
    stake=None,
    zeros=None,
    is_harvested=False,
    is_moving=False,
    ledger=0,
)
PLANTED = replace(NOTHING, stake=70, ledger=900)
WORKED = replace(PLANTED, zeros=6)
HARVESTED = replace(WORKED, is_harvested=True)
PAIL = PailState(sequence=900, stake=70, gap=None, zeros=None, live_until=5000)
RIPE = replace(PAIL, gap=5, zeros=6)


@pytest.mark.parametrize(
    ("kept", "pail", "expected"),
    [
        (NOTHING, None, []),
        (PLANTED, PAIL, []),
        (WORKED, RIPE, []),
        (HARVESTED, None, []),
        (NOTHING, PAIL, [D.PLANT_WITHOUT_RECORD]),
        (NOTHING, RIPE, [D.PLANT_WITHOUT_RECORD, D.WORK_WITHOUT_RECORD]),
        (PLANTED, None, [D.RECORD_WITHOUT_PLANT]),
        (PLANTED, replace(PAIL, stake=71), [D.STAKE_DIFFERS]),
        (PLANTED, RIPE, [D.WORK_WITHOUT_RECORD]),
        # 0 zeros is a worked value.
        (PLANTED, replace(RIPE, zeros=0), [D.WORK_WITHOUT_RECORD]),
        (WORKED, PAIL, [D.RECORD_WITHOUT_WORK]),
        (WORKED, replace(RIPE, zeros=7), [D.WORK_WITHOUT_RECORD]),
        (HARVESTED, RIPE, [D.RECORD_WITHOUT_HARVEST]),
    ],
)
def test_what_differs(kept: Kept, pail: PailState | None, expected: list[Difference]) -> None:
    assert [item.kind for item in compare(kept, pail, ledger=1000)] == expected
    # What was settled in the very ledger of the look is seen.
    same = compare(replace(kept, ledger=1000), pail, ledger=1000)
    assert [item.kind for item in same] == expected
    # Nothing is said of what is on its way, or was settled after the chain was read.
    assert not list(compare(replace(kept, is_moving=True), pail, ledger=1000))
    assert not list(compare(replace(kept, ledger=1001), pail, ledger=1000))


@pytest.mark.parametrize(
    ("kept", "pail", "recorded", "on_chain"),
    [
        (PLANTED, None, "70", "nothing"),
        (HARVESTED, RIPE, "harvested", "70"),
        (NOTHING, PAIL, "nothing", "70"),
        (PLANTED, replace(PAIL, stake=71), "70", "71"),
        (PLANTED, RIPE, "None", "6"),
        (WORKED, PAIL, "6", "None"),
    ],
)
def test_a_difference_tells_both_sides(
    kept: Kept, pail: PailState | None, recorded: str, on_chain: str
) -> None:
    (found,) = compare(kept, pail, ledger=1000)
    assert (found.recorded, found.on_chain) == (recorded, on_chain)
    assert (found.wallet_id, found.block_index) == (kept.wallet_id, 10)


UNTOLD = Told(
    wallet_id=NOTHING.wallet_id, stake=None, zeros=None, is_harvested=False, is_fresh=False
)
TOLD_PLANT = replace(UNTOLD, stake=70)
TOLD_WORK = replace(TOLD_PLANT, zeros=6)
TOLD_HARVEST = replace(TOLD_WORK, is_harvested=True)


@pytest.mark.parametrize(
    ("kept", "told", "pail", "expected"),
    [
        (NOTHING, UNTOLD, None, []),
        (WORKED, TOLD_WORK, RIPE, []),
        (HARVESTED, TOLD_HARVEST, None, []),
        (PLANTED, UNTOLD, PAIL, [D.PLANT_WITHOUT_EVENT]),
        (WORKED, UNTOLD, RIPE, [D.PLANT_WITHOUT_EVENT, D.WORK_WITHOUT_EVENT]),
        (PLANTED, replace(TOLD_PLANT, stake=71), PAIL, [D.EVENT_STAKE_DIFFERS]),
        (WORKED, TOLD_PLANT, RIPE, [D.WORK_WITHOUT_EVENT]),
        (PLANTED, TOLD_WORK, PAIL, [D.EVENT_WITHOUT_WORK]),
        (WORKED, TOLD_HARVEST, RIPE, [D.EVENT_WITHOUT_HARVEST]),
        # A record that was lost, or an event that was forged: the chain knows of nothing.
        (NOTHING, TOLD_PLANT, None, [D.EVENT_WITHOUT_PLANT]),
        (HARVESTED, TOLD_WORK, None, [D.HARVEST_WITHOUT_EVENT]),
    ],
)
def test_what_differs_of_events(
    kept: Kept, told: Told, pail: PailState | None, expected: list[Difference]
) -> None:
    assert not list(compare(kept, pail, ledger=1000))
    assert [item.kind for item in compare_events(kept, told, pail, ledger=1000)] == expected
    # An event may be on its way, and an operation, too.
    assert not list(compare_events(kept, replace(told, is_fresh=True), pail, ledger=1000))
    moving = replace(kept, is_moving=True)
    assert not list(compare_events(moving, told, pail, ledger=1000))


def test_a_harvest_without_event_tells_both_sides() -> None:
    (found,) = compare_events(HARVESTED, TOLD_WORK, None, ledger=1000)
    assert (found.recorded, found.on_chain) == ("nothing", "harvested")
    assert (found.wallet_id, found.block_index) == (HARVESTED.wallet_id, 10)


def test_while_there_is_a_pail_events_are_compared_with_the_pail() -> None:
    found = compare_events(HARVESTED, TOLD_HARVEST, RIPE, ledger=1000)
    assert [item.kind for item in found] == [D.EVENT_WITHOUT_HARVEST]


@pytest.mark.parametrize(
    ("kept", "pail", "current", "expected"),
    [
        (NOTHING, RIPE, 11, True),
        (PLANTED, RIPE, 11, True),
        (replace(NOTHING, zeros=6), RIPE, 11, True),
        (WORKED, RIPE, 11, False),  # harvest comes for it
        (NOTHING, RIPE, 10, False),  # the block is open
        (NOTHING, PAIL, 11, False),  # nothing to be had
        (NOTHING, None, 11, False),
        (replace(NOTHING, is_moving=True), RIPE, 11, False),
    ],
)
def test_a_reward_that_no_record_leads_to_is_fetched(
    kept: Kept, pail: PailState | None, current: int, expected: bool
) -> None:
    assert is_worth_harvesting(kept, pail, current_block=current) is expected


BALANCE = Balance(
    wallet_id=WalletId(UUID(int=1)),
    address="G",
    since=900,
    kale=100,
    moved=-30,
    is_moving=False,
    ledger=950,
)


@pytest.mark.parametrize(
    ("balance", "kale", "differs"),
    [
        (BALANCE, 70, False),
        (BALANCE, 71, True),
        (replace(BALANCE, since=None), 71, False),
        (replace(BALANCE, is_moving=True), 71, False),
        (replace(BALANCE, ledger=1000), 71, True),
        (replace(BALANCE, ledger=1001), 71, False),
    ],
)
def test_what_a_balance_should_be(balance: Balance, kale: int, differs: bool) -> None:
    found = compare_balance(balance, kale, ledger=1000)
    assert (found is not None) is differs
    if found is not None:
        assert (found.recorded, found.on_chain) == ("70", "71")
        assert found.block_index == 0
