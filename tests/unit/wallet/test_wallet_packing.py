"""How much fits, how it is found out, and what a pail tells before anything is paid."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.ids import OperationId, WalletId
from libs.kale.hash import leading_zeros, work_hash
from services.wallet.domain.chain_facts import LedgerHead, PailState
from services.wallet.domain.model import (
    Block,
    FailureReason,
    OperationEvent,
    OperationKind,
    QueuedOperation,
)
from services.wallet.domain.packing import (
    IN_FLIGHT,
    WHOLE_LEDGER,
    Limits,
    Usage,
    Window,
    fits,
    ledgers_needed,
    room,
    share,
)
from services.wallet.domain.screening import Advice, screen
from services.wallet.domain.settling import smaller
from services.wallet.engine.pace import Pace

#: Mainnet's, as measured (STELLAR.md section 3).
LIMITS = Limits(
    transaction_instructions=400_000_000,
    ledger_instructions=580_000_000,
    transaction_footprint=400,
    transaction_write_entries=200,
    ledger_write_entries=1000,
    transaction_write_bytes=132_096,
    ledger_write_bytes=286_720,
    transaction_bytes=132_096,
    ledger_bytes=266_240,
    ledger_transactions=2000,
    transaction_event_bytes=16_384,
    temporary_ledgers=17_280,
    max_entry_ledgers=3_110_400,
)
#: A fee-bumped plant without a stake.
PLANT = Usage(
    instructions=1_532_536, footprint=4, write_entries=3, write_bytes=1400, envelope_bytes=940
)
KEY = b"k" * 32
NO_ID = UUID(int=0)


def test_as_many_plants_as_were_measured() -> None:
    """199 to 204 single plants a ledger: write bytes bind."""
    assert WHOLE_LEDGER // share(PLANT, LIMITS) == 204
    assert ledgers_needed(1000, share(PLANT, LIMITS)) == 5
    assert ledgers_needed(1020, share(PLANT, LIMITS)) == 5
    assert ledgers_needed(1021, share(PLANT, LIMITS)) == 6


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("instructions", LIMITS.transaction_instructions),
        ("footprint", LIMITS.transaction_footprint),
        ("write_entries", LIMITS.transaction_write_entries),
        ("write_bytes", LIMITS.transaction_write_bytes),
        ("envelope_bytes", LIMITS.transaction_bytes),
    ],
)
def test_every_limit_of_a_transaction_counts(name: str, most: int) -> None:
    assert fits(replace(PLANT, **{name: most}), LIMITS)
    assert not fits(replace(PLANT, **{name: most + 1}), LIMITS)


def test_shares_are_millionths_of_what_binds_first() -> None:
    whole = replace(PLANT, write_bytes=LIMITS.ledger_write_bytes)
    assert share(whole, LIMITS) == 1_000_000
    # Small ones are limited by their number alone.
    assert share(PLANT, replace(LIMITS, ledger_transactions=10)) == 100_000


@given(st.integers(0, 4 * WHOLE_LEDGER))
def test_room_is_never_more_than_what_may_be_in_flight(used: int) -> None:
    assert room(used) == max(0, IN_FLIGHT - used)
    assert room(used) + used >= IN_FLIGHT


@given(st.integers(1, 70), st.lists(st.integers(1, 100), min_size=40, max_size=60))
def test_the_window_finds_the_limit_that_nobody_tells(limit: int, waiting: list[int]) -> None:
    """Whoever asks with however many: nothing above the limit goes, and nobody is stuck."""
    window = Window()
    for count in waiting:
        for _ in range(10):
            size = min(count, window.next_size)
            assert size >= 1
            if size <= limit:
                window.fitting(size)
                break
            window.too_many(size)
        else:
            pytest.fail("never found a size that goes")
    for _ in range(10):  # with enough that wait, it comes to the limit itself
        size = window.next_size
        if size > limit:
            window.too_many(size)
        else:
            window.fitting(size)
    assert min(limit, 40) <= window.next_size <= max(limit, 40)
    assert window.next_size <= limit


def test_the_window_begins_with_forty_and_halves() -> None:
    window = Window()
    assert window.next_size == 40
    window.too_many(40)
    assert window.next_size == 20
    window.too_many(20)
    assert window.next_size == 10
    # So many go after all: nothing is known to be too many any more.
    window.fitting(20)
    assert window.next_size == 40


def test_a_limit_that_moves_is_found_again() -> None:
    window = Window()
    window.too_many(40)
    for size in (20, 30, 35, 37, 38, 39):
        window.fitting(size)
    assert window.next_size == 39
    window.too_many(39)  # the network lowered it
    assert window.next_size < 39


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 1), (4, 1), (8, 2), (27, 6)])
def test_what_failed_together_is_tried_in_parts(count: int, expected: int) -> None:
    assert smaller(count) == expected


# Screening


def queued(kind: OperationKind, *, nonce: int | None = None) -> QueuedOperation:
    """An operation of block 7."""
    found = None if nonce is None else hash_of(nonce)
    return QueuedOperation(
        id=OperationId(NO_ID),
        kind=kind,
        wallet_id=WalletId(NO_ID),
        address="G",
        block_index=7,
        amount=5,
        nonce=nonce,
        hash=found,
        attempts=0,
        pack_limit=None,
    )


def hash_of(nonce: int) -> bytes:
    """The right one, in block 7."""
    return work_hash(index=7, nonce=nonce, entropy=bytes(32), farmer_key=KEY)


def block(index: int = 7) -> Block:
    """The running block."""
    return Block(
        index=index,
        opened_ledger=1,
        opened_at=datetime.fromtimestamp(0, UTC),
        closes_at=datetime.fromtimestamp(300, UTC),
        entropy=bytes(32),
        min_gap=0,
        max_gap=0,
        min_stake=0,
        max_stake=0,
        min_zeros=0,
        max_zeros=0,
        staked_total=0,
        normalized_total=0,
        expires_ledger=9,
    )


def pail(*, zeros: int | None = None) -> PailState:
    """One that was planted, and worked when it has zeros."""
    gap = None if zeros is None else 3
    return PailState(sequence=50, stake=11, gap=gap, zeros=zeros, live_until=99)


def test_a_plant_whose_pail_is_there_is_settled_as_what_it_is() -> None:
    found = screen(queued(OperationKind.PLANT), pail(), key=KEY, block=block()).settlement
    assert found is not None
    assert (found.event, found.amount, found.ledger) == (OperationEvent.SUCCEED, 11, 50)
    assert screen(queued(OperationKind.PLANT), None, key=KEY, block=None).advice is Advice.SEND


def test_a_wrong_hash_costs_nothing() -> None:
    operation = replace(queued(OperationKind.WORK, nonce=3), hash=bytes(32))
    found = screen(operation, pail(), key=KEY, block=block()).settlement
    assert found is not None
    assert found.reason is FailureReason.HASH_INVALID
    # Another block's entropy says nothing about it.
    assert screen(operation, pail(), key=KEY, block=block(8)).advice is Advice.SEND


def test_only_a_better_hash_is_sent() -> None:
    operation = queued(OperationKind.WORK, nonce=3)
    zeros = leading_zeros(hash_of(3))
    found = screen(operation, pail(zeros=zeros), key=KEY, block=block()).settlement
    assert found is not None
    assert found.reason is FailureReason.ZEROS_TOO_LOW
    assert screen(operation, pail(), key=KEY, block=block()).advice is Advice.SEND


def test_what_an_earlier_envelope_has_shown_is_worked() -> None:
    """Nodes denied it; the pail shows as many zeros as this very hash has."""
    operation = replace(queued(OperationKind.WORK, nonce=3), attempts=1)
    zeros = leading_zeros(hash_of(3))
    there = pail(zeros=zeros)
    found = screen(operation, there, key=KEY, block=block()).settlement
    assert found is not None
    assert (found.event, found.gap) == (OperationEvent.SUCCEED, there.gap)
    assert found.ledger == there.sequence + (there.gap or 0)
    better = screen(operation, pail(zeros=zeros + 1), key=KEY, block=block()).settlement
    assert better is not None
    assert better.reason is FailureReason.ZEROS_TOO_LOW


def test_what_a_node_may_not_show_yet_is_left_to_a_simulation() -> None:
    work, harvest = queued(OperationKind.WORK, nonce=3), queued(OperationKind.HARVEST)
    assert screen(work, None, key=KEY, block=block()).advice is Advice.SIMULATE
    assert screen(harvest, None, key=KEY, block=block()).advice is Advice.SIMULATE
    assert screen(harvest, pail(), key=KEY, block=block()).advice is Advice.SIMULATE
    assert screen(harvest, pail(zeros=0), key=KEY, block=block()).advice is Advice.SEND


# Pace


def test_the_pace_is_the_shortest_step_of_late() -> None:
    pace = Pace()
    heads = [(10, 100), (11, 106), (12, 111), (14, 123)]
    found = [pace.seconds(LedgerHead(sequence=one, close_time=two)) for one, two in heads]
    assert found == [0, 0, 0, 5]
    assert pace.seconds(LedgerHead(sequence=14, close_time=123)) == 5  # the same ledger again
    assert pace.seconds(LedgerHead(sequence=2, close_time=130)) == 0  # another chain
