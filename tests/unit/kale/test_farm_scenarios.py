"""The farm's state machine against every recorded call of the real contract.

Each step is played on the model and must give the recorded answer and exactly the recorded
changes, no more and no fewer. Counts are asserted so that nothing is skipped in silence.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from libs.kale import farm
from libs.kale.errors import FarmError
from libs.kale.farm import BlockState, FarmState, Moment, PailState
from libs.kale.reward import BlockStats

VECTORS = Path(__file__).parents[2] / "vectors" / "kale"
Json = dict[str, Any]
#: Ordinal in the worlds of tractor.json.
FARMER_WITHOUT_TRUSTLINE = 3


def read(name: str) -> Json:
    """One vector file."""
    content: Json = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return content


class World:
    """The model with farmers by ordinal and their balances, fed with recorded steps."""

    def __init__(self, description: Json, *, state: FarmState | None = None) -> None:
        at = Moment(ledger=description["constructor_seq"], time=int(description["constructor_ts"]))
        self.state = state or farm.founded(at)
        self.farmers: list[str] = description["farmers"]
        self.balances = [int(balance) for balance in description["balances"]]
        #: Steps by kind of answer.
        self.counts: Counter[str] = Counter()

    def play(self, step: Json) -> None:
        """Plays one step and compares answer and changes."""
        before = self.view()
        expected = step["result"]
        if expected.get("err", {}).get("source") in {"sac", "host"}:
            self._refused_by_others(step)
        else:
            assert self._answer(step) == _plain_result(expected), step
        recorded = {
            key: value for key, value in step["changes"].items() if key != "instance.live_until"
        }
        assert _like(_changes(before, self.view()), recorded) == recorded, step

    def view(self) -> Json:
        """The state as the vectors name it."""
        state = self.state
        view: Json = {
            f"balance({ordinal})": str(balance) for ordinal, balance in enumerate(self.balances)
        }
        view |= {f"Block({index})": _block_view(block) for index, block in state.blocks.items()}
        for (farmer, index), pail in state.pails.items():
            view[f"Pail({self.farmers.index(farmer)},{index})"] = _pail_view(pail)
        view["FarmIndex"] = state.index
        view["FarmPaused"] = state.paused
        view["FarmBlock"] = None if state.running is None else _block_view(state.running)
        return view

    def _answer(self, step: Json) -> Json:
        try:
            answer = CALLS[step["op"]](self, step)
        except FarmError as error:
            self.counts[f"{step['op']} {error.code.value}"] += 1
            return {"err": int(error.code)}
        self.counts[f"{step['op']} ok"] += 1
        return {"ok": answer}

    def _refused_by_others(self, step: Json) -> None:
        """The farm's rules allow the call; the host or the token refuses it afterwards."""
        before, balances = self.state, list(self.balances)
        if step.get("no_auth"):
            self.counts["host auth"] += 1
            return
        try:
            CALLS[step["op"]](self, step)
            assert step["result"]["err"]["source"] == "sac", step
            self.counts["token"] += 1
        except OverflowError:
            assert step["result"]["err"]["source"] == "host", step
            self.counts["trap"] += 1
        self.state, self.balances = before, balances


def _plain_result(result: Json) -> Json:
    if "err" in result:
        error = result["err"]
        return {"err": error["contract"] if "contract" in error else error["code"]}
    return result


def _at(step: Json) -> Moment:
    return Moment(ledger=step["seq"], time=int(step.get("ts", 0)))


def _plant(world: World, step: Json) -> None:
    farmer, amount = step["farmer"], int(step["amount"])
    world.state = farm.plant(world.state, farmer=world.farmers[farmer], amount=amount, at=_at(step))
    world.balances[farmer] -= amount


def _work(world: World, step: Json) -> int:
    world.state, gap = farm.work(
        world.state,
        farmer=world.farmers[step["farmer"]],
        digest=bytes.fromhex(step["hash"]),
        nonce=int(step["nonce"]),
        at=_at(step),
    )
    return gap


def _harvest(world: World, step: Json) -> str:
    farmer = step["farmer"]
    world.state, harvested = farm.harvest(
        world.state, farmer=world.farmers[farmer], index=step["index"], at=_at(step)
    )
    world.balances[farmer] += harvested.minted
    return str(harvested.reward)


def _pause(world: World, step: Json) -> None:
    world.state = farm.pause(world.state)


def _unpause(world: World, step: Json) -> None:
    world.state = farm.unpause(world.state)


def _remove_block(world: World, step: Json) -> None:
    world.state = farm.remove_block(world.state, index=step["index"])


def _delete_instance_key(world: World, step: Json) -> None:
    match step["key"]:
        case "HomesteadAsset":
            world.state = replace(world.state, has_token=False)
        case "Homesteader":
            world.state = replace(world.state, has_admin=False)
        case "FarmBlock":
            world.state = replace(world.state, running=None)
        case unknown:
            raise KeyError(unknown)


def _delete_block(world: World, step: Json) -> None:
    blocks = dict(world.state.blocks)
    del blocks[step["index"]]
    world.state = replace(world.state, blocks=blocks)


def _put_block(world: World, step: Json) -> None:
    block = _block(step["block"], live_until=farm.live_until(made_ledger=step["seq"]))
    world.state = replace(world.state, blocks={**world.state.blocks, step["index"]: block})


def _set_farm_index(world: World, step: Json) -> None:
    world.state = replace(world.state, index=step["index"])


def _extend_block(world: World, step: Json) -> None:
    index = step["index"]
    block = replace(world.state.blocks[index], live_until=step["seq"] + step["extend_to"])
    world.state = replace(world.state, blocks={**world.state.blocks, index: block})


def _extend_pail(world: World, step: Json) -> None:
    key = (world.farmers[step["farmer"]], step["index"])
    pail = replace(world.state.pails[key], live_until=step["seq"] + step["extend_to"])
    world.state = replace(world.state, pails={**world.state.pails, key: pail})


CALLS: dict[str, Callable[[World, Json], object]] = {
    "plant": _plant,
    "work": _work,
    "harvest": _harvest,
    "pause": _pause,
    "unpause": _unpause,
    "remove_block": _remove_block,
    "test:delete_instance_key": _delete_instance_key,
    "test:delete_block": _delete_block,
    "test:put_block": _put_block,
    "test:set_farm_index": _set_farm_index,
    "extend_ttl_block": _extend_block,
    "extend_ttl_pail": _extend_pail,
}


def _block(record: Json, *, live_until: int | None = None) -> BlockState:
    return BlockState(
        opened_at=int(record["timestamp"]),
        entropy=bytes.fromhex(record["entropy"]),
        stats=BlockStats(**{name: int(record[name]) for name in BlockStats.__dataclass_fields__}),
        live_until=live_until,
    )


def _block_view(block: BlockState) -> Json:
    stats = {
        name: value if name.endswith(("_gap", "_zeros")) else str(value)
        for name, value in asdict(block.stats).items()
    }
    return {
        **stats,
        "timestamp": str(block.opened_at),
        "entropy": block.entropy.hex(),
        "live_until": block.live_until,
    }


def _pail_view(pail: PailState) -> Json:
    return {
        "gap": pail.gap,
        "sequence": pail.planted_ledger,
        "stake": str(pail.stake),
        "zeros": pail.zeros,
        "live_until": pail.live_until,
    }


def _changes(before: Json, after: Json) -> Json:
    """What differs: whole entries that came (or None: went), else single fields."""
    found: Json = {}
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found |= {f"{key}.{name}": new[name] for name in new if new[name] != old[name]}
        elif old != new:
            found[key] = new
    return found


def _like(changes: Json, recorded: Mapping[str, Any]) -> Json:
    """Leaves out what a file's recorder did not look at: balances, lifetimes."""
    seen: Json = {}
    for key, value in changes.items():
        if key.endswith(".live_until"):
            continue
        if key.startswith("balance(") and key not in recorded:
            continue
        if isinstance(value, dict) and "live_until" not in recorded.get(key, {}):
            value.pop("live_until")
        seen[key] = value
    return seen


def test_a_whole_unbroken_run() -> None:
    content = read("replay.json")
    world = World(content["header"]["world"])
    for step in content["steps"]:
        world.play(step)
    assert world.counts == {
        "plant ok": 63, "plant 8": 3,
        "work ok": 62, "work 7": 3, "work 9": 1, "work 15": 3,
        "harvest ok": 44, "harvest 10": 14, "harvest 14": 1,
    }  # fmt: skip


def test_every_error_and_edge() -> None:
    scenarios = read("errors.json")["scenarios"]
    assert len(scenarios) == 97
    counts: Counter[str] = Counter()
    for scenario in scenarios:
        world = World(scenario["world"])
        for step in scenario["steps"]:
            world.play(step)
        counts += world.counts
    assert counts.total() == 305
    assert (counts["token"], counts["host auth"], counts["trap"]) == (8, 2, 1)
    codes = {int(name.split()[-1]) for name in counts if name.split()[-1].isdigit()}
    assert codes == set(range(2, 16))


def test_lifetimes() -> None:
    scenarios = read("ttl.json")["scenarios"]
    lives = 0
    for scenario in scenarios:
        world = World(scenario["world"])
        for step in scenario["steps"]:
            world.play(step)
            lives += sum("live_until" in (entry or {}) for entry in _entries(step))
    assert lives == 18


def _entries(step: Json) -> Iterator[Json | None]:
    """Whole entries in a step's changes."""
    return (value for value in step["changes"].values() if not isinstance(value, str | int))


def test_entropy_and_bounds_of_opened_blocks() -> None:
    rows = read("entropy.json")["rows"]
    assert len(rows) == 72
    for row in rows:
        at = Moment(ledger=row["opened_at"]["seq"], time=int(row["opened_at"]["ts"]))
        before = FarmState(running=_block(row["FarmBlock_before"]), index=row["FarmIndex_before"])
        after = farm.plant(before, farmer="any", amount=int(row["opening_amount"]), at=at)
        assert replace(after.blocks[row["index"]], live_until=None) == _block(row["Block_after"])
        assert after.running == _block(row["FarmBlock_after"])


def test_whole_blocks() -> None:
    counts: Counter[str] = Counter()
    files = sorted(VECTORS.glob("blocks_*.json"))
    for path in files:
        content = read(path.name)
        for row in content["blocks"]:
            counts += _play_block(content["header"]["world"], row)
    assert len(files) == 13
    assert counts == {
        "plant ok": 1114, "plant 8": 62,
        "work ok": 1112, "work 7": 62, "work 9": 17, "work 13": 38, "work 15": 46,
        "harvest ok": 858, "harvest 9": 38, "harvest 10": 202, "harvest 14": 10,
    }  # fmt: skip


def _play_block(description: Json, row: Json) -> Counter[str]:
    """Opens, works and harvests one recorded block; gives the number of steps by answer."""
    before = row["before"]
    state = FarmState(running=_block(before["FarmBlock"]), index=before["FarmIndex"])
    world = World(description, state=state)
    for step in row["ops"]:
        world.play(step)
    index = row["index"]
    assert replace(world.state.blocks[index], live_until=None) == _block(row["closed_Block"])
    assert world.state.running == _block(row["closed_FarmBlock"])
    world.state = replace(world.state, index=index + 1)
    for harvest in row["harvests"]:
        world.play({"op": "harvest", "index": index, **harvest})
    return world.counts


def test_many_harvests_in_one_call() -> None:
    """The tractor only calls harvest; its answers follow from the farm's."""
    scenarios = read("tractor.json")["scenarios"]
    calls = 0
    for scenario in scenarios:
        world = World(scenario["world"])
        for step in scenario["steps"]:
            if step["op"] == "tractor_harvest":
                calls += 1
                _play_tractor(world, step)
            else:
                world.play(step)
    assert calls == 6


def _play_tractor(world: World, step: Json) -> None:
    """Harvests each pail; a failure gives 0, and the whole is undone when nothing was paid."""
    before, state, balances = world.view(), world.state, list(world.balances)
    rewards = [_harvested_or_nothing(world, step, index) for index in step["pails"]]
    if "ok" in step["result"]:
        assert [str(reward) for reward in rewards] == step["result"]["ok"]
        assert _like(_changes(before, world.view()), step["changes"]) == step["changes"]
        return
    # The farmer without a trustline: there the token refuses what the farm would pay.
    assert not any(rewards) or step["farmer"] == FARMER_WITHOUT_TRUSTLINE
    world.state, world.balances = state, balances


def _harvested_or_nothing(world: World, step: Json, index: int) -> int:
    try:
        return int(_harvest(world, {**step, "index": index}))
    except FarmError:
        return 0


def test_the_block_of_a_plant_follows_the_clock() -> None:
    """What plant opens is what plantable_index foretells, for every recorded opening."""
    for row in read("entropy.json")["rows"]:
        since, now = int(row["FarmBlock_before"]["timestamp"]), int(row["opened_at"]["ts"])
        expected = farm.plantable_index(
            current=row["FarmIndex_before"], running_since=since, now=now
        )
        if now >= since + 300:
            assert expected == row["index"]
        else:
            assert expected == (row["FarmIndex_before"] or 0)
