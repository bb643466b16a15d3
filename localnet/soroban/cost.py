"""The cost of calls in instructions and memory: constants measured on the real network.

A top-level call instantiates the farm's VM; calls below a router or tractor share most of that
cost. The figures are those that simulations declared (tests/vectors/recordings, simulate_*.json).
The real use is about 6 % less. This formula gives single calls to the instruction and calls of a
router within 0.03 %:

    TOP, or CALLER + NESTED of each call
    + OPENING, REWORK, BURN, MINT, DECAY_PERIOD where they apply
    + for each authorisation that is not the source's own: tree, or bare when its account is missing
      + earlier x trees that came before it (the host looks through the trees one by one)
      + nested x calls below the tree's root
"""

from dataclasses import dataclass, field

from localnet.soroban.errors import host_error
from localnet.soroban.model import HostSettings, Resources

#: Instructions of a call of the farm made by a transaction.
TOP = {"plant": 1_532_536, "work": 1_587_198, "harvest": 1_530_000}
#: Instructions of a call of the farm made by another contract.
NESTED = {"plant": 704_645, "work": 767_020, "harvest": 725_746}
#: Instructions of any other call by a transaction.
OTHER_CALL = 1_500_000
#: Instructions of a function of an asset contract called by a transaction: of XLM, of other assets.
ASSET_CALL = {
    "balance": (164_193, 194_506),
    "decimals": (127_569, 147_959),
    "name": (134_660, 160_973),
    "symbol": (134_797, 160_863),
    "admin": (161_290, 161_290),
    "authorized": (148_141, 196_684),
    "allowance": (182_622, 206_498),
    "approve": (249_956, 279_755),
    "transfer": (235_750, 268_128),
    "transfer_from": (365_735, 398_113),
    "burn": (229_365, 229_365),
    "burn_from": (355_482, 355_482),
    "mint": (228_048, 228_048),
    "clawback": (228_400, 228_400),
    "set_admin": (235_076, 235_076),
    "set_authorized": (247_597, 247_597),
}
#: Functions whose cost the farm charges when it calls them.
NESTED_ASSET_CALLS = frozenset({"burn", "mint"})
#: Instructions of the creation of an asset contract, by the letters that a code may have.
_NEW_ASSET = {0: 149_826, 4: 178_670, 12: 182_015}
#: Instructions of a router, a multicall or a tractor without the calls that it makes.
CALLER = 530_008
#: Instructions of the nested burn of a stake.
BURN = 174_185
#: Instructions of the nested mint of a harvest.
MINT = 19_139
#: Extra instructions of a work on a pail that was worked before.
REWORK = 24_601
#: Extra instructions of a plant that opens a block after an existing one.
OPENING = 49_717
#: Extra instructions of a plant that opens the first block of all, where less is read.
FIRST_OPENING = -30_807
#: Instructions of one decay period in a harvest.
DECAY_PERIOD = 17_000

#: Bytes of memory of a call: 27 nested plants or harvests fit into 40 MiB, 28 do not; works take
#: less.
BASE_MEMORY = 1_200_000
MEMORY = {"plant": 1_500_000, "work": 1_400_000, "harvest": 1_500_000}


def new_asset(code: str) -> int:
    """Return the instructions of the creation of an asset's contract; XLM has no code."""
    return next(price for letters, price in _NEW_ASSET.items() if len(code) <= letters)


@dataclass(frozen=True, kw_only=True)
class AuthPrice:
    """The instructions that authorisations take."""

    #: A tree of an existing account: nonce and signature.
    tree: int
    #: A tree of a missing account: only the nonce.
    bare: int
    #: Each tree that came before the tree.
    earlier: int
    #: Each call below a tree's root.
    nested: int


#: Price of trees that a simulation records.
RECORDED = AuthPrice(tree=530_647, bare=80_643, earlier=5_380, nested=10_677)
#: Price of trees that were given with their signatures.
CHECKED = AuthPrice(tree=524_097, bare=0, earlier=7_714, nested=8_513)


@dataclass(kw_only=True)
class Meter:
    """The cost of one invocation.

    Above the limits the meter ends the invocation with Error(Budget, ExceededLimit).
    """

    settings: HostSettings
    instructions: int = 0
    memory: int = field(default=BASE_MEMORY)

    def charge(self, instructions: int, memory: int = 0) -> None:
        """Add instructions and bytes of memory to the cost."""
        self.instructions += instructions
        self.memory += memory
        over = (
            self.instructions > self.settings.tx_max_instructions
            or self.memory > self.settings.tx_memory_limit
        )
        if over:
            raise host_error("BUDGET", "EXCEEDED_LIMIT")

    def total(self) -> Resources:
        """Return the total cost."""
        return Resources(instructions=self.instructions, memory_bytes=self.memory)
