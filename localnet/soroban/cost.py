"""What calls cost in instructions and memory: constants measured on the real network.

A top-level call instantiates the farm's VM; calls below a router or tractor share most of it. The
figures are those that simulations declared (tests/vectors/recordings, simulate_*.json); what is
really used is about 6 % less.
"""

from dataclasses import dataclass, field

from localnet.soroban.errors import host_error
from localnet.soroban.model import HostSettings, Resources

#: Instructions of a call of the farm made by a transaction.
TOP = {"plant": 1_532_536, "work": 1_587_198, "harvest": 1_530_000}
#: Instructions of a call of the farm made by another contract.
NESTED = {"plant": 770_000, "work": 767_000, "harvest": 745_000}
#: Anything else that a transaction may call.
OTHER_CALL = 1_500_000
#: A router or tractor by itself.
CALLER = 530_000
#: A farmer's signature or, when the account is missing, its bare nonce.
AUTH_WITH_ACCOUNT = 530_647
AUTH_WITHOUT_ACCOUNT = 80_643
#: The nested burn of a stake.
BURN = 174_185
#: The nested mint of a harvest.
MINT = 19_139
#: A work on a pail that was worked before.
REWORK = 24_601
#: A plant that opens a block after one that is there.
OPENING = 49_717
#: A plant that opens the first block of all: less to read.
FIRST_OPENING = -30_807
#: One decay period in a harvest.
DECAY_PERIOD = 17_000

#: Memory of a call: 27 nested plants or harvests fit into 40 MiB, 28 do not; works take less.
BASE_MEMORY = 1_200_000
MEMORY = {"plant": 1_500_000, "work": 1_400_000, "harvest": 1_500_000}


@dataclass(kw_only=True)
class Meter:
    """Counts one invocation; ends it with Error(Budget, ExceededLimit) above the limits."""

    settings: HostSettings
    instructions: int = 0
    memory: int = field(default=BASE_MEMORY)

    def charge(self, instructions: int, memory: int = 0) -> None:
        """Adds to the bill."""
        self.instructions += instructions
        self.memory += memory
        over = (
            self.instructions > self.settings.tx_max_instructions
            or self.memory > self.settings.tx_memory_limit
        )
        if over:
            raise host_error("BUDGET", "EXCEEDED_LIMIT")

    def total(self) -> Resources:
        """The bill."""
        return Resources(instructions=self.instructions, memory_bytes=self.memory)
