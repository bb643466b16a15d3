"""Single refusals of the farm, and its numbers at their edges."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from libs.kale import constants, farm
from libs.kale.errors import FarmCode, FarmError
from libs.kale.farm import FarmState, Moment
from libs.kale.hash import preimage

FARMER = "GDBZZHQDKZTZXXAVEZ4X4P5A43MYRM764RPFBG45RJVK6M57BDDNE7HN"
START = Moment(ledger=1000, time=100_000)
FOUNDED = farm.founded(START)


def test_numbers_have_the_bounds_of_their_types() -> None:
    assert constants.MAX_U32 == 0xFFFF_FFFF
    assert constants.MAX_U64 == 0xFFFF_FFFF_FFFF_FFFF
    assert constants.MAX_I64 == 0x7FFF_FFFF_FFFF_FFFF
    assert constants.MAX_I128 == 0x7FFF_FFFF_FFFF_FFFF_FFFF_FFFF_FFFF_FFFF
    assert constants.MIN_I128 == -0x8000_0000_0000_0000_0000_0000_0000_0000


@pytest.mark.parametrize(
    "call",
    [
        farm.pause,
        lambda state: farm.unpause(replace(state, paused=True)),
        lambda state: farm.remove_block(state, index=0),
    ],
)
def test_without_an_admin_nobody_is_one(call: Callable[[FarmState], FarmState]) -> None:
    call(FOUNDED)
    with pytest.raises(FarmError) as caught:
        call(replace(FOUNDED, has_admin=False))
    assert caught.value.code is FarmCode.HOMESTEAD_MISSING


def test_without_a_running_record_nothing_is_planted_or_worked() -> None:
    broken = replace(FOUNDED, running=None)
    with pytest.raises(FarmError) as planted:
        farm.plant(broken, farmer=FARMER, amount=1, at=START)
    with pytest.raises(FarmError) as worked:
        farm.work(broken, farmer=FARMER, digest=bytes(32), nonce=0, at=START)
    assert planted.value.code is worked.value.code is FarmCode.FARM_BLOCK_MISSING


def with_stakes(total: int) -> FarmState:
    """A farm whose open block holds so many stroops, whatever they come from."""
    opened = farm.plant(FOUNDED, farmer="C" + FARMER[1:], amount=0, at=START)
    block = opened.blocks[0]
    stats = replace(block.stats, staked_total=total)
    return replace(opened, blocks={0: replace(block, stats=stats)})


@pytest.mark.parametrize(
    ("before", "amount", "fits"),
    [
        (0, constants.MAX_I128, True),
        (1, constants.MAX_I128, False),
        (constants.MIN_I128, 0, True),
        (constants.MIN_I128 - 1, 0, False),
    ],
)
def test_stakes_add_up_within_128_bits(before: int, amount: int, *, fits: bool) -> None:
    state = with_stakes(before)
    if fits:
        after = farm.plant(state, farmer=FARMER, amount=amount, at=START)
        assert after.blocks[0].stats.staked_total == before + amount
        return
    with pytest.raises(OverflowError, match="128 bits"):
        farm.plant(state, farmer=FARMER, amount=amount, at=START)


@pytest.mark.parametrize(
    ("index", "nonce"), [(2**32 - 1, 0), (0, 2**64 - 1), (0, 0), (2**32 - 1, 2**64 - 1)]
)
def test_a_hash_is_of_every_number_that_fits(index: int, nonce: int) -> None:
    found = preimage(index=index, nonce=nonce, entropy=bytes(32), farmer_key=bytes(32))
    assert found == index.to_bytes(4, "big") + nonce.to_bytes(8, "big") + bytes(64)


@pytest.mark.parametrize(("index", "nonce"), [(-1, 0), (2**32, 0), (0, -1), (0, 2**64)])
def test_a_hash_is_of_no_other_number(index: int, nonce: int) -> None:
    with pytest.raises(ValueError, match="must fit"):
        preimage(index=index, nonce=nonce, entropy=bytes(32), farmer_key=bytes(32))
