"""The farm's arithmetic (KALE_CONTRACT sections 4, 5 and 7), written for localnet alone.

The pool has its own arithmetic in libs/kale. The same vectors check both, so that neither tests
itself.
"""

from dataclasses import dataclass, replace

import sha3
from stellar_sdk import scval, xdr

from localnet.soroban.values import fields_of, record

UNSET_U32 = 2**32 - 1
UNSET_I128 = 2**127 - 1
UNSET_MAX_STAKE = -(2**127)
FULL_REWARD = 25_050_000_000
SCALE = 10**12
FACTOR = 95 * 10**10
DECAY_START = 30_558
DECAY_PERIOD = 8_640


@dataclass(frozen=True, kw_only=True)
class BlockRecord:
    """A Block or the FarmBlock."""

    timestamp: int
    min_gap: int = UNSET_U32
    min_stake: int = UNSET_I128
    min_zeros: int = UNSET_U32
    max_gap: int = 0
    max_stake: int = UNSET_MAX_STAKE
    max_zeros: int = 0
    entropy: bytes = bytes(32)
    staked_total: int = 0
    normalized_total: int = 0

    def to_value(self) -> xdr.SCVal:
        """Return the record as the farm stores it."""
        return record(
            {
                "entropy": scval.to_bytes(self.entropy),
                "max_gap": scval.to_uint32(self.max_gap),
                "max_stake": scval.to_int128(self.max_stake),
                "max_zeros": scval.to_uint32(self.max_zeros),
                "min_gap": scval.to_uint32(self.min_gap),
                "min_stake": scval.to_int128(self.min_stake),
                "min_zeros": scval.to_uint32(self.min_zeros),
                "normalized_total": scval.to_int128(self.normalized_total),
                "staked_total": scval.to_int128(self.staked_total),
                "timestamp": scval.to_uint64(self.timestamp),
            }
        )

    @staticmethod
    def from_value(value: xdr.SCVal) -> "BlockRecord":
        """Read a record from its stored form."""
        fields = fields_of(value)
        return BlockRecord(
            timestamp=scval.from_uint64(fields["timestamp"]),
            min_gap=scval.from_uint32(fields["min_gap"]),
            min_stake=scval.from_int128(fields["min_stake"]),
            min_zeros=scval.from_uint32(fields["min_zeros"]),
            max_gap=scval.from_uint32(fields["max_gap"]),
            max_stake=scval.from_int128(fields["max_stake"]),
            max_zeros=scval.from_uint32(fields["max_zeros"]),
            entropy=scval.from_bytes(fields["entropy"]),
            staked_total=scval.from_int128(fields["staked_total"]),
            normalized_total=scval.from_int128(fields["normalized_total"]),
        )

    def opened(self, now: int) -> "BlockRecord":
        """Return the Block made of this FarmBlock: unset marks become 0, totals start at 0."""
        return replace(
            self,
            timestamp=now,
            min_gap=0 if self.min_gap == UNSET_U32 else self.min_gap,
            min_stake=0 if self.min_stake == UNSET_I128 else self.min_stake,
            min_zeros=0 if self.min_zeros == UNSET_U32 else self.min_zeros,
            max_stake=0 if self.max_stake == UNSET_MAX_STAKE else self.max_stake,
            staked_total=0,
            normalized_total=0,
        )

    def with_stake(self, stake: int) -> "BlockRecord":
        """Return the FarmBlock after a plant."""
        return replace(
            self,
            min_stake=min(self.min_stake, stake),
            max_stake=max(self.max_stake, stake),
        )

    def with_work(self, gap: int, zeros: int, digest: bytes) -> "BlockRecord":
        """Return the FarmBlock after a work."""
        return replace(
            self,
            min_gap=min(self.min_gap, gap),
            max_gap=max(self.max_gap, gap),
            min_zeros=min(self.min_zeros, zeros),
            max_zeros=max(self.max_zeros, zeros),
            entropy=digest,
        )


@dataclass(frozen=True, kw_only=True)
class PailRecord:
    """A Pail."""

    sequence: int
    stake: int
    gap: int | None = None
    zeros: int | None = None

    def to_value(self) -> xdr.SCVal:
        """Return the record as the farm stores it."""
        return record(
            {
                "gap": _optional(self.gap),
                "sequence": scval.to_uint32(self.sequence),
                "stake": scval.to_int128(self.stake),
                "zeros": _optional(self.zeros),
            }
        )

    @staticmethod
    def from_value(value: xdr.SCVal) -> "PailRecord":
        """Read a record from its stored form."""
        fields = fields_of(value)
        gap, zeros = fields["gap"], fields["zeros"]
        return PailRecord(
            sequence=scval.from_uint32(fields["sequence"]),
            stake=scval.from_int128(fields["stake"]),
            gap=None if gap.u32 is None else gap.u32.uint32,
            zeros=None if zeros.u32 is None else zeros.u32.uint32,
        )


def _optional(number: int | None) -> xdr.SCVal:
    return scval.to_void() if number is None else scval.to_uint32(number)


def digest_of(index: int, nonce: int, entropy: bytes, farmer: bytes) -> bytes:
    """Return the keccak-256 hash of the 76-byte preimage."""
    data = index.to_bytes(4, "big") + nonce.to_bytes(8, "big") + entropy + farmer
    digest: bytes = sha3.keccak_256(data).digest()
    return digest


def zeros_of(digest: bytes) -> int:
    """Return the number of leading zero half bytes."""
    count = 0
    for byte in digest:
        if byte:
            return count + (byte < 16)
        count += 2
    return count


def periods_of(index: int) -> int:
    """Return the number of decay periods that have passed."""
    return max(0, index - DECAY_START) // DECAY_PERIOD


def reward_of_block(index: int) -> int:
    """Return the stroops that a block shares out."""
    factor = SCALE
    for _ in range(periods_of(index)):
        factor = factor * FACTOR // SCALE
        if not factor:
            break
    return FULL_REWARD * factor // SCALE


def weights_of(block: BlockRecord, gap: int, stake: int, zeros: int) -> tuple[int, int, int] | None:
    """Return the weights of gap, stake and zeros.

    Returns None for a block whose maxima lie below its minima.
    """
    lows = (block.min_gap, block.min_stake, block.min_zeros)
    highs = (block.max_gap, block.max_stake, block.max_zeros)
    if any(high < low for low, high in zip(lows, highs, strict=True)):
        return None
    ranges = [max(1, high - low) for low, high in zip(lows, highs, strict=True)]
    scale = max(ranges)
    weights = [
        max(1, (max(low, min(value, high)) - low) * scale // size)
        for low, high, value, size in zip(lows, highs, (gap, stake, zeros), ranges, strict=True)
    ]
    return weights[0], weights[1], weights[2]


def reward_of_pail(index: int, block: BlockRecord, weight: int) -> int:
    """Return the stroops paid on top of the stake."""
    pot = reward_of_block(index) + block.staked_total
    return weight * pot // max(1, block.normalized_total)
