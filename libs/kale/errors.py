"""Error codes of the farm contract (section 8 of the contract's rules)."""

from enum import IntEnum


class FarmCode(IntEnum):
    """The codes with which the farm refuses a call.

    The token's codes overlap with these: on the chain, the contract id of the first error event
    tells whether a code is the farm's or the token's.
    """

    #: The constructor ran already.
    HOMESTEAD_EXISTS = 1
    #: No admin, or no token address, is stored.
    HOMESTEAD_MISSING = 2
    #: The running record is not stored.
    FARM_BLOCK_MISSING = 3
    #: The admin has paused planting.
    FARM_PAUSED = 4
    #: Unpaused while not paused.
    FARM_NOT_PAUSED = 5
    #: A stake below 0.
    PLANT_AMOUNT_TOO_LOW = 6
    #: No more zeros than an earlier work of the same pail.
    ZERO_COUNT_TOO_LOW = 7
    #: The farmer has planted in this block.
    PAIL_EXISTS = 8
    #: The farmer has not planted, has harvested already, or the pail has expired.
    PAIL_MISSING = 9
    #: Harvested without having worked.
    WORK_MISSING = 10
    #: The block was never opened, has expired, or was removed.
    BLOCK_MISSING = 11
    #: A maximum of the block lies below its minimum.
    BLOCK_INVALID = 12
    #: The hash is not that of index, nonce, entropy and farmer.
    HASH_INVALID = 13
    #: The block is the current one: somebody must plant in the next one first.
    HARVEST_NOT_READY = 14
    #: Worked in the ledger of the plant.
    GAP_COUNT_TOO_LOW = 15


class FarmError(Exception):
    """The farm refuses a call; the call then changes nothing at all."""

    def __init__(self, code: FarmCode) -> None:
        """Set `code`, the contract's answer."""
        super().__init__(f"{code.name} ({code.value})")
        self.code = code


class BlockInvalidError(FarmError):
    """A block whose maxima lie below its minima; no sound chain has one."""

    def __init__(self) -> None:
        """Set code 12 (BLOCK_INVALID), the only code of this error."""
        super().__init__(FarmCode.BLOCK_INVALID)
