"""The farm contract as a pure state machine: plant, work, harvest and the admin's calls.

Every function takes a state and returns the next one, or raises FarmError with the contract's code.
The checks run in the contract's order, so that the same call fails for the same reason. Sections
are those of the contract's fact sheet: 3 storage and lifetimes, 5 records, 6 functions, 7 reward.

Not modelled here: authorization (the host's), burning and minting (the token's; a token that
refuses undoes the call), and the life of the contract instance.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from libs.kale.address import raw_key
from libs.kale.constants import (
    INTERVAL_SECONDS,
    MAX_I128,
    MAX_U32,
    MIN_I128,
    TEMPORARY_TTL,
    ZERO_ENTROPY,
)
from libs.kale.errors import FarmCode, FarmError
from libs.kale.hash import leading_zeros, work_hash
from libs.kale.reward import BlockStats, Weights, reward, weights

#: A record's figures before any call has changed them (section 3, "fresh").
FRESH_STATS = BlockStats(
    min_gap=MAX_U32,
    max_gap=0,
    min_stake=MAX_I128,
    max_stake=MIN_I128,
    min_zeros=MAX_U32,
    max_zeros=0,
    staked_total=0,
    normalized_total=0,
)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The ledger in which a call runs."""

    #: Ledger sequence: gaps and lifetimes count in it.
    ledger: int
    #: Close time of that ledger in seconds since 1970: blocks open by it.
    time: int


@dataclass(frozen=True, kw_only=True)
class BlockState:
    """One Block, or the running record (FarmBlock) that collects the figures of the next Block."""

    #: Unix seconds when it was made.
    opened_at: int
    #: Goes into every hash of the block; 32 bytes.
    entropy: bytes
    #: Minima, maxima and totals.
    stats: BlockStats
    #: Last ledger in which it can be read; None for the running record.
    live_until: int | None = None


@dataclass(frozen=True, kw_only=True)
class PailState:
    """The record of one farmer in one block."""

    #: Ledger of the plant: gaps count from here.
    planted_ledger: int
    #: Stroops of KALE, burnt until the harvest gives them back.
    stake: int
    #: Last ledger in which it can be read.
    live_until: int
    #: Ledgers from plant to the last accepted work; None before the first.
    gap: int | None = None
    #: Zeros of the last accepted work; None before the first (0 is a worked value).
    zeros: int | None = None


@dataclass(frozen=True, kw_only=True)
class FarmState:
    """The whole state of the farm."""

    #: FarmBlock; None cannot happen on a sound chain.
    running: BlockState | None
    #: FarmIndex; None (not stored) reads as 0.
    index: int | None = None
    #: Plants are refused.
    paused: bool = False
    #: Blocks by index, expired ones included.
    blocks: Mapping[int, BlockState] = field(default_factory=dict)
    #: Pails by farmer address and index, expired ones included.
    pails: Mapping[tuple[str, int], PailState] = field(default_factory=dict)
    #: An admin is stored; always so on a sound chain.
    has_admin: bool = True
    #: A token address is stored; always so on a sound chain.
    has_token: bool = True
    #: Seconds after which a plant opens the next block.
    interval_seconds: int = INTERVAL_SECONDS
    #: Ledgers that a Block or Pail lives, the first one counted (network setting).
    temporary_ttl: int = TEMPORARY_TTL


@dataclass(frozen=True, kw_only=True)
class Harvested:
    """The amounts that a harvest pays."""

    #: Stroops: the call's return value.
    reward: int
    #: Stroops that the token mints: reward and stake.
    minted: int


def founded(at: Moment) -> FarmState:
    """Return the farm as its constructor leaves it: block 0 counts its 300 s from this moment."""
    return FarmState(running=_fresh(at.time))


def plantable_index(
    *,
    current: int | None,
    running_since: int,
    now: int,
    interval_seconds: int = INTERVAL_SECONDS,
) -> int:
    """Return the index of the block that a plant at `now` goes to, while the current block exists.

    `current` is FarmIndex, `running_since` the running record's time, both in unix seconds. The
    index rises by exactly 1, however long the silence was (section 6, plant, step 6).
    """
    over = now >= running_since + interval_seconds
    return (current or 0) + (1 if over else 0)


def live_until(*, made_ledger: int, temporary_ttl: int = TEMPORARY_TTL) -> int:
    """Return the last ledger in which a Block or Pail can be read (section 3).

    `made_ledger` is the ledger in which it was made.
    """
    return made_ledger + temporary_ttl - 1


def plant(state: FarmState, *, farmer: str, amount: int, at: Moment) -> FarmState:
    """Plant `amount` stroops; the first plant after the interval opens the next block.

    Raise FarmError 6, 4, 2, 3, 8, and OverflowError where the contract's arithmetic traps.
    """
    _require(amount >= 0, FarmCode.PLANT_AMOUNT_TOO_LOW)
    _require(not state.paused, FarmCode.FARM_PAUSED)
    _require(state.has_token, FarmCode.HOMESTEAD_MISSING)
    state = _with_open_block(state, at)
    index, block, running = state.index or 0, state.blocks[state.index or 0], _running(state)
    _require(_pail(state, farmer, index, at) is None, FarmCode.PAIL_EXISTS)
    staked = _checked(block.stats.staked_total + amount)
    stats = replace(
        running.stats,
        min_stake=min(running.stats.min_stake, amount),
        max_stake=max(running.stats.max_stake, amount),
    )
    pail = PailState(
        planted_ledger=at.ledger,
        stake=amount,
        live_until=live_until(made_ledger=at.ledger, temporary_ttl=state.temporary_ttl),
    )
    return replace(
        state,
        running=replace(running, stats=stats),
        blocks={**state.blocks, index: _restated(block, staked_total=staked)},
        pails={**state.pails, (farmer, index): pail},
    )


def work(
    state: FarmState, *, farmer: str, digest: bytes, nonce: int, at: Moment
) -> tuple[FarmState, int]:
    """Show a nonce for the farmer in the current block; return the next state and the gap.

    Raise FarmError 3, 11, 9, 15, 13, 12, 7.
    """
    running = _running(state)
    index = state.index or 0
    block = _required_block(state, index, at)
    pail = _required_pail(state, farmer, index, at)
    gap = at.ledger - pail.planted_ledger
    _require(gap != 0, FarmCode.GAP_COUNT_TOO_LOW)
    expected = work_hash(
        index=index, nonce=nonce, entropy=block.entropy, farmer_key=raw_key(farmer)
    )
    _require(digest == expected, FarmCode.HASH_INVALID)
    zeros = leading_zeros(digest)
    worked = replace(pail, gap=gap, zeros=zeros)
    next_state = replace(
        state,
        blocks={**state.blocks, index: _counted(block, pail, gap=gap, zeros=zeros)},
        running=_collected(running, gap=gap, zeros=zeros, digest=digest),
        pails={**state.pails, (farmer, index): worked},
    )
    return next_state, gap


def harvest(
    state: FarmState, *, farmer: str, index: int, at: Moment
) -> tuple[FarmState, Harvested]:
    """Pay a closed block's reward; return the next state and what is paid.

    Raise FarmError 2, 11, 9, 14, 10, 12, and OverflowError where the contract's arithmetic traps.
    """
    _require(state.has_token, FarmCode.HOMESTEAD_MISSING)
    block = _required_block(state, index, at)
    pail = _required_pail(state, farmer, index, at)
    _require(index < (state.index or 0), FarmCode.HARVEST_NOT_READY)
    if pail.gap is None or pail.zeros is None:
        raise FarmError(FarmCode.WORK_MISSING)
    paid = _checked(
        reward(block.stats, index=index, gap=pail.gap, stake=pail.stake, zeros=pail.zeros)
    )
    harvested = Harvested(reward=paid, minted=_checked(paid + pail.stake))
    pails = {key: kept for key, kept in state.pails.items() if key != (farmer, index)}
    return replace(state, pails=pails), harvested


def pause(state: FarmState) -> FarmState:
    """Stop plants, as the admin; works and harvests go on. Raise FarmError 2, 4."""
    _require(state.has_admin, FarmCode.HOMESTEAD_MISSING)
    _require(not state.paused, FarmCode.FARM_PAUSED)
    return replace(state, paused=True)


def unpause(state: FarmState) -> FarmState:
    """Let plants go on, as the admin. Raise FarmError 2, 5."""
    _require(state.has_admin, FarmCode.HOMESTEAD_MISSING)
    _require(state.paused, FarmCode.FARM_NOT_PAUSED)
    return replace(state, paused=False)


def remove_block(state: FarmState, *, index: int) -> FarmState:
    """Drop a block, as the admin, if the block is there. Raise FarmError 2."""
    _require(state.has_admin, FarmCode.HOMESTEAD_MISSING)
    return replace(state, blocks={key: kept for key, kept in state.blocks.items() if key != index})


def _with_open_block(state: FarmState, at: Moment) -> FarmState:
    """Return the state in which Block(FarmIndex) takes this plant (section 6, plant, step 6)."""
    running, index = _running(state), state.index or 0
    made = _made(running, at, temporary_ttl=state.temporary_ttl)
    if at.time >= running.opened_at + state.interval_seconds:
        return replace(
            state,
            index=index + 1,
            running=_fresh(at.time),
            blocks={**state.blocks, index + 1: made},
        )
    if _block(state, index, at) is not None:
        return state
    # Removed by the admin while open, or the very first plant: the running record goes on as it is.
    if index > 0:
        return replace(state, index=index + 1, blocks={**state.blocks, index + 1: made})
    return replace(state, blocks={**state.blocks, 0: made})


def _made(running: BlockState, at: Moment, *, temporary_ttl: int) -> BlockState:
    """Return a Block with the figures that the running record has collected (section 5)."""
    stats = running.stats
    return BlockState(
        opened_at=at.time,
        entropy=running.entropy,
        stats=BlockStats(
            min_gap=_settled(stats.min_gap, FRESH_STATS.min_gap),
            max_gap=stats.max_gap,
            min_stake=_settled(stats.min_stake, FRESH_STATS.min_stake),
            max_stake=_settled(stats.max_stake, FRESH_STATS.max_stake),
            min_zeros=_settled(stats.min_zeros, FRESH_STATS.min_zeros),
            max_zeros=stats.max_zeros,
            staked_total=0,
            normalized_total=0,
        ),
        live_until=live_until(made_ledger=at.ledger, temporary_ttl=temporary_ttl),
    )


def _settled(value: int, fresh: int) -> int:
    return 0 if value == fresh else value


def _fresh(now: int) -> BlockState:
    return BlockState(opened_at=now, entropy=ZERO_ENTROPY, stats=FRESH_STATS)


def _counted(block: BlockState, pail: PailState, *, gap: int, zeros: int) -> BlockState:
    """Return the block after a work: its shares, and the stake that the first work takes off."""
    added = _weigh(block, pail, gap=gap, zeros=zeros).total
    counted = _checked(block.stats.normalized_total + added)
    if pail.zeros is None:
        staked = _checked(block.stats.staked_total - pail.stake)
        return _restated(block, normalized_total=counted, staked_total=staked)
    _require(zeros > pail.zeros, FarmCode.ZERO_COUNT_TOO_LOW)
    # The contract takes the old share off as if it had been made at the new gap (section 7).
    taken_off = _weigh(block, pail, gap=gap, zeros=pail.zeros).total
    return _restated(block, normalized_total=_checked(counted - taken_off))


def _weigh(block: BlockState, pail: PailState, *, gap: int, zeros: int) -> Weights:
    return weights(block.stats, gap=gap, stake=pail.stake, zeros=zeros)


def _collected(running: BlockState, *, gap: int, zeros: int, digest: bytes) -> BlockState:
    """Return the running record after a work: the next block's bounds and entropy."""
    stats = replace(
        running.stats,
        min_gap=min(running.stats.min_gap, gap),
        max_gap=max(running.stats.max_gap, gap),
        min_zeros=min(running.stats.min_zeros, zeros),
        max_zeros=max(running.stats.max_zeros, zeros),
    )
    return replace(running, entropy=digest, stats=stats)


def _restated(
    block: BlockState, *, staked_total: int | None = None, normalized_total: int | None = None
) -> BlockState:
    stats = block.stats
    return replace(
        block,
        stats=replace(
            stats,
            staked_total=stats.staked_total if staked_total is None else staked_total,
            normalized_total=(
                stats.normalized_total if normalized_total is None else normalized_total
            ),
        ),
    )


def _running(state: FarmState) -> BlockState:
    if state.running is None:
        raise FarmError(FarmCode.FARM_BLOCK_MISSING)
    return state.running


def _block(state: FarmState, index: int, at: Moment) -> BlockState | None:
    block = state.blocks.get(index)
    if block is None or block.live_until is None or block.live_until < at.ledger:
        return None
    return block


def _pail(state: FarmState, farmer: str, index: int, at: Moment) -> PailState | None:
    pail = state.pails.get((farmer, index))
    return None if pail is None or pail.live_until < at.ledger else pail


def _required_block(state: FarmState, index: int, at: Moment) -> BlockState:
    block = _block(state, index, at)
    if block is None:
        raise FarmError(FarmCode.BLOCK_MISSING)
    return block


def _required_pail(state: FarmState, farmer: str, index: int, at: Moment) -> PailState:
    pail = _pail(state, farmer, index, at)
    if pail is None:
        raise FarmError(FarmCode.PAIL_MISSING)
    return pail


def _require(holds: bool, code: FarmCode) -> None:
    if not holds:
        raise FarmError(code)


def _checked(value: int) -> int:
    """Return the value when an i128 holds it.

    Raise OverflowError where the contract's arithmetic traps.
    """
    if not MIN_I128 <= value <= MAX_I128:
        raise OverflowError("does not fit into 128 bits")
    return value
