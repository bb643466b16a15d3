"""libs.kale's farm and localnet's, written twice on purpose, agree on every history of calls.

Each is pinned by the vectors of the real contract; between the vectors they are held against one
another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.kale import farm
from libs.kale.address import raw_key
from libs.kale.errors import FarmError
from libs.kale.farm import FarmState, Moment
from libs.kale.hash import work_hash
from tests.support.contract_world import World

FARMERS = (
    "GDBZZHQDKZTZXXAVEZ4X4P5A43MYRM764RPFBG45RJVK6M57BDDNE7HN",
    "CD732YC442NOHRL7W26HMRXOFSYVZMI6ZOXQ73XGWBTOSHWTID2GT2NB",
    "GAOOUR2FCVGFVWHP76J4QZAALVERBFPKYXCF64LVKONX53BK7PDLR64P",
)
START = Moment(ledger=1000, time=100_000)
#: More than all stakes of a history: what the token refuses is no rule of the farm.
BALANCE = 10**15


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call, some ledgers after the one before."""

    #: plant, work, harvest, pause or unpause.
    name: str
    #: Position of the farmer.
    farmer: int
    #: Ledgers since the call before.
    ledgers: int
    #: Seconds that each of these ledgers took.
    pace: int
    #: Stroops of a plant, nonce of a work, blocks back of a harvest.
    number: int
    #: A work shows another hash than its nonce's.
    is_forged: bool


CALLS = st.builds(
    Call,
    name=st.sampled_from(
        ["plant"] * 15 + ["work"] * 15 + ["harvest"] * 15 + ["pause"] + ["unpause"] * 4
    ),
    farmer=st.integers(0, len(FARMERS) - 1),
    ledgers=st.sampled_from([0, *[1] * 8, *[7] * 4, *[30] * 4, *[61] * 2]),
    pace=st.integers(4, 7),
    number=st.one_of(st.just(1), st.integers(-1, 5), st.integers(0, 10**12)),
    is_forged=st.sampled_from([False] * 19 + [True]),
)
#: A history ends like this now and then: all pails and blocks expire.
SILENCE = Call(name="plant", farmer=0, ledgers=17_300, pace=5, number=1, is_forged=False)


class Both:
    """The two farms after the same calls."""

    def __init__(self) -> None:
        self.state: FarmState = farm.founded(START)
        self.at = START
        self.world = World(
            {
                "farmers": list(FARMERS),
                "balances": [str(BALANCE)] * len(FARMERS),
                "trustline_limit": [str(2**63 - 1)] * len(FARMERS),
                "constructor_seq": START.ledger,
                "constructor_ts": str(START.time),
            }
        )

    def call(self, call: Call) -> None:
        """Make a call of both, and compare what they answer and what they are afterwards."""
        time = self.at.time + call.ledgers * call.pace
        self.at = Moment(ledger=self.at.ledger + call.ledgers, time=time)
        step = self._step(call)
        expected = self._ours(call, step)
        assert self.world.step(step) == expected, (call, self.at)
        self._compare()

    def _step(self, call: Call) -> dict[str, Any]:
        step = {"op": call.name, "seq": self.at.ledger, "ts": str(self.at.time)}
        index = self.state.index or 0
        if call.name in {"pause", "unpause"}:
            return step
        step["farmer"] = call.farmer
        if call.name == "plant":
            return step | {"amount": str(call.number)}
        if call.name == "harvest":
            return step | {"index": max(0, index - max(0, call.number) % 3)}
        entropy = self.state.blocks[index].entropy if index in self.state.blocks else bytes(32)
        nonce = max(0, call.number)
        digest = work_hash(
            index=index, nonce=nonce, entropy=entropy, farmer_key=raw_key(FARMERS[call.farmer])
        )
        shown = bytes([digest[0] ^ 1]) + digest[1:] if call.is_forged else digest
        return step | {"hash": shown.hex(), "nonce": str(nonce)}

    def _ours(self, call: Call, step: dict[str, Any]) -> dict[str, Any]:
        farmer = FARMERS[call.farmer]
        value: Any = None
        try:
            match call.name:
                case "plant":
                    amount = int(step["amount"])
                    self.state = farm.plant(self.state, farmer=farmer, amount=amount, at=self.at)
                case "work":
                    self.state, value = farm.work(
                        self.state,
                        farmer=farmer,
                        digest=bytes.fromhex(step["hash"]),
                        nonce=int(step["nonce"]),
                        at=self.at,
                    )
                case "harvest":
                    self.state, paid = farm.harvest(
                        self.state, farmer=farmer, index=step["index"], at=self.at
                    )
                    value = str(paid.reward)
                case "pause":
                    self.state = farm.pause(self.state)
                case _:
                    self.state = farm.unpause(self.state)
        except FarmError as error:
            return {"err": {"source": "farm", "code": error.code.value}}
        return {"ok": value}

    def _compare(self) -> None:
        tracked = self.world.tracked()
        assert int(tracked.get("FarmIndex", 0)) == (self.state.index or 0)
        assert bool(tracked.get("FarmPaused", False)) == self.state.paused
        for (farmer, index), pail in self.state.pails.items():
            name = f"Pail({FARMERS.index(farmer)},{index})"
            alive = pail.live_until >= self.at.ledger
            ours = (str(pail.stake), pail.gap, pail.zeros) if alive else (None, None, None)
            theirs = tuple(tracked.get(f"{name}.{field}") for field in ("stake", "gap", "zeros"))
            assert theirs == ours, name
        for index, block in self.state.blocks.items():
            if (block.live_until or 0) < self.at.ledger:
                continue
            stats = block.stats
            for field in ("min_gap", "max_gap", "min_zeros", "max_zeros"):
                assert tracked[f"Block({index}).{field}"] == getattr(stats, field), field
            for field in ("min_stake", "max_stake", "staked_total", "normalized_total"):
                assert int(tracked[f"Block({index}).{field}"]) == getattr(stats, field), field


@settings(max_examples=50, deadline=None)
@given(st.lists(CALLS, min_size=15, max_size=60), st.lists(CALLS, max_size=8))
def test_both_farms_answer_every_history_alike(
    history: Sequence[Call], afterwards: Sequence[Call]
) -> None:
    both = Both()
    for call in (*history, *([SILENCE, *afterwards] if afterwards else [])):
        both.call(call)
