"""The true farm of the model: blocks, pails, and what a call does to them.

It keeps every state with its ledger, since a node may show an older one. Of the farm's rules it has
those that decide whether a call works: who has planted, worked and harvested, and when.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import lru_cache

from libs.kale.reward import BlockStats, reward
from services.wallet.chain.build.calls import Farm as FarmCalls
from services.wallet.chain.build.calls import raw
from services.wallet.chain.networks import network_for
from services.wallet.domain.blocks import plantable_block
from services.wallet.domain.chain_facts import BlockState, CallResult, ContractError

NETWORK = network_for("localnet")
FARM = FarmCalls(farm=NETWORK.farm, token=NETWORK.token)
#: The block that is running at first, and the last block that any example reaches.
BLOCK, LAST_BLOCK = 10, 40
#: Seconds of a block, and stroops of a stake.
BLOCK_SECONDS, STAKE = 60, 7
#: Last ledger of all temporary entries.
LIVE_UNTIL = 10**6

PAIL_EXISTS = ContractError(raiser="farm", code="PailExists")
PAIL_MISSING = ContractError(raiser="farm", code="PailMissing")
WORK_MISSING = ContractError(raiser="farm", code="WorkMissing")
NOT_READY = ContractError(raiser="farm", code="HarvestNotReady")
GAP_TOO_LOW = ContractError(raiser="farm", code="GapCountTooLow")
ZEROS_TOO_LOW = ContractError(raiser="farm", code="ZeroCountTooLow")
NO_BALANCE = ContractError(raiser="token", code="BalanceError")

#: A farmer's address and a block's index.
Place = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the farm."""

    #: plant, work or harvest.
    function: str
    farmer: str
    #: Stake of a plant, leading zeros of a work, block of a harvest.
    number: int


@dataclass(frozen=True, kw_only=True)
class Pail:
    """A plant, and the best work of it so far."""

    sequence: int
    stake: int
    gap: int | None = None
    zeros: int | None = None


@dataclass(frozen=True, kw_only=True)
class OpenedBlock:
    """A block, and the ledger and close time that opened it."""

    index: int
    ledger: int
    timestamp: int


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The result of a call, and the pail that it leaves; None when it removes the pail."""

    place: Place
    result: CallResult
    pail: Pail | None


@dataclass(kw_only=True)
class Farm:
    """The farm with all of its history."""

    #: Blocks from the oldest on.
    blocks: list[OpenedBlock]
    #: Farmers who have no KALE to stake.
    poor: set[str] = field(default_factory=set)
    #: Numbers of effective plants and harvests: never more than one at a place.
    planted: dict[Place, int] = field(default_factory=lambda: defaultdict(int))
    harvested: dict[Place, int] = field(default_factory=lambda: defaultdict(int))
    #: Stakes of plants.
    stakes: dict[Place, int] = field(default_factory=dict)
    #: Effective works at a place: zeros with their gaps.
    worked: dict[Place, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    #: Reward and stake of what was harvested.
    rewards: dict[Place, tuple[int, int]] = field(default_factory=dict)
    _pails: dict[Place, list[tuple[int, Pail | None]]] = field(default_factory=dict)

    # Reads ------------------------------------------------------------------------------------

    def running(self, at: int) -> OpenedBlock:
        """Return the block that is running at a ledger."""
        return [block for block in self.blocks if block.ledger <= at][-1]

    def plantable(self, at: int, now: int) -> int:
        """Return the block that a plant at this close time goes to, after what a ledger shows."""
        block = self.running(at)
        return plantable_block(
            index=block.index,
            has_block=True,
            timestamp=block.timestamp,
            now=now,
            interval=BLOCK_SECONDS,
        )

    def pail(self, place: Place, at: int) -> Pail | None:
        """Return the pail at a place as of a ledger."""
        found = [pail for since, pail in self._pails.get(place, ()) if since <= at]
        return found[-1] if found else None

    def since(self, place: Place) -> int:
        """Return the ledger that changed a pail last."""
        return self._pails[place][-1][0] if place in self._pails else 0

    def place_of(self, call: Call, at: int, now: int) -> Place:
        """Return the place that a call is about when it runs at this time."""
        match call.function:
            case "plant":
                return call.farmer, self.plantable(at, now)
            case "work":
                return call.farmer, self.running(at).index
        return call.farmer, call.number

    def effect(self, call: Call, at: int, *, ledger: int, now: int) -> Effect:
        """Return what a call would do in a ledger, after what another ledger shows."""
        place = self.place_of(call, at, now)
        pail = self.pail(place, at)
        match call.function:
            case "plant":
                return self._plant(call, place, pail, ledger)
            case "work":
                return _work(call, place, pail, ledger)
        return self._harvest(place, pail, at)

    # Changes ----------------------------------------------------------------------------------

    def run(self, call: Call, *, ledger: int, now: int) -> CallResult:
        """Carry out a call in a ledger."""
        effect = self.effect(call, ledger, ledger=ledger, now=now)
        if effect.result.error is None:
            self._note(call, effect, ledger, now)
        return effect.result

    def open_next(self, *, ledger: int, now: int) -> None:
        """Open the next block, as a stranger does whose plant comes first."""
        block = self.running(ledger)
        if self.plantable(ledger, now) > block.index and block.index < LAST_BLOCK:
            self._open(block.index + 1, ledger, now)

    def begin_with(self, place: Place, pail: Pail) -> None:
        """Have a pail that was there before the example begins."""
        self._pails[place] = [(pail.sequence, pail)]
        self.planted[place] += 1
        if pail.zeros is not None:
            self.worked[place][pail.zeros] = pail.gap or 0

    def _plant(self, call: Call, place: Place, pail: Pail | None, ledger: int) -> Effect:
        error = None
        if pail is not None or self.harvested[place]:
            error = PAIL_EXISTS
        elif call.number and call.farmer in self.poor:
            error = NO_BALANCE
        made = Pail(sequence=ledger, stake=call.number)
        return Effect(place=place, result=CallResult(error=error), pail=made)

    def _harvest(self, place: Place, pail: Pail | None, at: int) -> Effect:
        error, value = None, None
        if place[1] >= self.running(at).index:
            error = NOT_READY
        elif pail is None:
            error = PAIL_MISSING
        elif pail.gap is None or pail.zeros is None:
            error = WORK_MISSING
        else:
            value = _reward(place[1], pail)
        return Effect(place=place, result=CallResult(value=value, error=error), pail=None)

    def _open(self, index: int, ledger: int, now: int) -> None:
        self.blocks.append(OpenedBlock(index=index, ledger=ledger, timestamp=now))

    def _note(self, call: Call, effect: Effect, ledger: int, now: int) -> None:
        place, before = effect.place, self.pail(effect.place, ledger)
        self._pails.setdefault(place, []).append((ledger, effect.pail))
        match call.function:
            case "plant":
                self.planted[place] += 1
                self.stakes[place] = call.number
                if place[1] > self.running(ledger).index:
                    self._open(place[1], ledger, now)
            case "work":
                self.worked[place][call.number] = effect.result.value or 0
            case _:
                self.harvested[place] += 1
                stake = 0 if before is None else before.stake
                self.rewards[place] = (effect.result.value or 0, stake)


def _work(call: Call, place: Place, pail: Pail | None, ledger: int) -> Effect:
    if pail is None:
        return Effect(place=place, result=CallResult(error=PAIL_MISSING), pail=None)
    gap, error = ledger - pail.sequence, None
    if gap == 0:
        error = GAP_TOO_LOW
    elif pail.zeros is not None and call.number <= pail.zeros:
        error = ZEROS_TOO_LOW
    return Effect(
        place=place,
        result=CallResult(error=error) if error else CallResult(value=gap),
        pail=replace(pail, gap=gap, zeros=call.number),
    )


def stats() -> BlockStats:
    """Return the figures by which every block of the model weighs its pails."""
    return BlockStats(
        min_gap=1,
        max_gap=100,
        min_stake=0,
        max_stake=100,
        min_zeros=0,
        max_zeros=64,
        staked_total=0,
        normalized_total=10**9,
    )


def record_of(block: OpenedBlock) -> BlockState:
    """Return the record of a block as a node shows it."""
    return BlockState(
        index=block.index,
        timestamp=block.timestamp,
        entropy=bytes(32),
        live_until=LIVE_UNTIL,
        modified=block.ledger,
        **vars(stats()),
    )


@lru_cache(maxsize=4096)
def keys_of(place: Place) -> frozenset[bytes]:
    """Return the LedgerKeys that a call at this place has to name."""
    farmer, index = place
    return frozenset((FARM.block_key(index), FARM.pail_key(raw(farmer), index)))


def hash_with(zeros: int) -> bytes:
    """Return a hash with so many leading zeros (hex digits)."""
    return bytes.fromhex(("0" * zeros).ljust(64, "f"))


def _reward(index: int, pail: Pail) -> int:
    return reward(stats(), index=index, gap=pail.gap or 0, stake=pail.stake, zeros=pail.zeros or 0)
