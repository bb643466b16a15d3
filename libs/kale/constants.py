"""Numbers of the farm contract (section 2 of its fact sheet) and of the integers it uses."""

#: Seconds after which a plant opens the next block.
INTERVAL_SECONDS = 300
#: Stroops in one KALE.
STROOPS_PER_KALE = 10_000_000
#: Stroops shared out in a block before the decay begins: 2,505 KALE.
FULL_BLOCK_REWARD = 25_050_000_000
#: Index from which the reward decays.
DECAY_START = 30_558
#: Blocks of one decay period.
DECAY_PERIOD = 8_640
#: Fixed-point one of the decay factor.
DECAY_SCALE = 10**12
#: Factor of one period, over DECAY_SCALE.
DECAY_FACTOR = 95 * 10**10
#: Ledgers that a Block or Pail lives, the first one counted: the network's minimum temporary TTL,
#: about a day at 5 s a ledger.
TEMPORARY_TTL = 17_280
#: Entropy of a block whose predecessor saw no work.
ZERO_ENTROPY = bytes(32)
#: Largest block index, ledger and gap.
MAX_U32 = 2**32 - 1
#: Largest nonce.
MAX_U64 = 2**64 - 1
#: Largest balance of a G account.
MAX_I64 = 2**63 - 1
#: Bounds of the contract's amounts and totals.
MAX_I128 = 2**127 - 1
MIN_I128 = -(2**127)
