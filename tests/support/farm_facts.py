"""An open block as the farm's records have it."""

from services.wallet.domain.chain_facts import BlockState

BLOCK = BlockState(
    index=7,
    timestamp=900,
    entropy=bytes(32),
    min_gap=1,
    max_gap=9,
    min_stake=0,
    max_stake=9,
    min_zeros=0,
    max_zeros=9,
    staked_total=5,
    normalized_total=6,
    live_until=1000,
    modified=99,
)
