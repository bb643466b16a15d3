"""The lower bound that ledgers are held against, with the figures of STELLAR.md section 3."""

import pytest

from trials.bench.chain import FarmTransaction, Limits, Usage
from trials.bench.fewest import fewest, leanest

LIMITS = Limits(
    ledger=Usage(
        transactions=2000,
        instructions=580_000_000,
        envelope_bytes=266_240,
        disk_reads=1000,
        disk_read_bytes=400_000,
        write_entries=1000,
        write_bytes=286_720,
    ),
    clusters=2,
)
STAKED_PLANT = Usage(
    transactions=1,
    instructions=2_240_000,
    envelope_bytes=1316,
    write_entries=5,
    write_bytes=1592,
)


def transaction(usage: Usage, operations: int) -> FarmTransaction:
    return FarmTransaction(ledger=1, operations=operations, ok=True, fee=1, usage=usage)


def test_single_plants_with_stake_are_bound_by_write_bytes() -> None:
    best = fewest(1000, STAKED_PLANT, LIMITS, collide=True)
    assert (best.ledgers, best.bound_by, best.per_ledger) == (6, "write_bytes", 180)


def test_calls_that_collide_share_one_cluster() -> None:
    heavy = Usage(transactions=1, instructions=5_800_000)
    assert fewest(200, heavy, LIMITS, collide=True).ledgers == 2
    assert fewest(200, heavy, LIMITS, collide=False).ledgers == 1


def test_a_multicall_spreads_what_it_shares() -> None:
    ten = Usage(
        transactions=1,
        instructions=15_000_000,
        envelope_bytes=9804,
        write_entries=32,
        write_bytes=5440,
    )
    each = leanest([transaction(STAKED_PLANT, 1), transaction(ten, 10)])
    assert (each.envelope_bytes, each.write_bytes, each.transactions) == (980.4, 544, 0.1)
    best = fewest(1000, each, LIMITS, collide=True)
    assert (best.ledgers, best.bound_by) == (4, "envelope_bytes")


def test_failed_transactions_say_nothing_about_the_cost() -> None:
    cheap = Usage(transactions=1, write_bytes=1)
    assert leanest([transaction(cheap, 0), transaction(STAKED_PLANT, 1)]) == STAKED_PLANT
    with pytest.raises(ValueError, match="did anything"):
        leanest([transaction(cheap, 0)])
