"""localnet's contracts against the real one: every step, every changed field, nothing else."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from localnet.soroban.errors import contract_error, describe, host_error
from localnet.soroban.farm_math import BlockRecord, reward_of_block, weights_of
from localnet.soroban.modules import HEAD_FARM_CODE, OLD_BUILD
from localnet.soroban.storage import Key, instance_key
from tests.support.contract_world import (
    FARM,
    VECTORS,
    World,
    block_fields,
    block_key,
    block_of,
    pail_key,
    read,
)


def scenarios(name: str) -> list[Any]:
    """The scenarios of a file as test parameters."""
    return [pytest.param(one, id=one["name"]) for one in read(name)["scenarios"]]


def apply(state: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The state that should follow: whole objects where new, null where gone."""
    after = dict(state)
    for key, value in changes.items():
        if isinstance(value, dict):
            fields = {name: item for name, item in value.items() if name != "live_until"}
            after |= {f"{key}.{name}": item for name, item in fields.items()}
        elif value is None and not key.startswith("Pail(") | key.startswith("Block("):
            after.pop(key, None)
        elif value is None and ")." not in key:
            after = {name: item for name, item in after.items() if not name.startswith(f"{key}.")}
        else:
            after[key] = value
    return after


def check(world: World, step: Mapping[str, Any], *, balances: bool = True) -> Any:
    """Plays a step: the same result, the same changes, and no other; gives the result.

    `balances` False leaves them out, for worlds whose balances are not those of the file.
    """
    before = tracked(world, balances=balances)
    found = world.step(step)
    assert same_result(found, step["result"]), (found, step)
    changes = {
        key: value
        for key, value in step["changes"].items()
        if "live_until" not in key and (balances or not key.startswith("balance"))
    }
    expected = apply(before, changes)
    now = tracked(world, balances=balances)
    # Entries that expired by themselves are no change of the step.
    expired = {key for key in expected if key not in now and key not in changes}
    assert now == {k: v for k, v in expected.items() if k not in expired}, step
    return found


def tracked(world: World, *, balances: bool) -> dict[str, Any]:
    """The state that the vectors track, with or without balances."""
    return {k: v for k, v in world.tracked().items() if balances or not k.startswith("balance")}


def same_result(found: Any, expected: Any) -> bool:
    """Results are equal but for names that the codes imply."""
    if "ok" in expected:
        return bool(found == {"ok": expected["ok"]})
    error = expected["err"]
    if "contract" in error:
        return bool(found.get("err", {}).get("code") == error["contract"])
    names = ("source", "code", "error")
    return bool(found.get("err") == {name: error[name] for name in names if name in error})


def test_all_scenarios_are_here() -> None:
    names = ("errors.json", "tractor.json", "ttl.json")
    counts = [[len(one["steps"]) for one in read(name)["scenarios"]] for name in names]
    assert [(len(steps), sum(steps)) for steps in counts] == [(97, 305), (6, 75), (2, 19)]
    assert len(read("entropy.json")["rows"]) == 72
    files = sorted(VECTORS.glob("blocks_*.json"))
    rows = [row for path in files for row in read(path.name)["blocks"]]
    assert (len(files), len(rows)) == (13, 188)
    assert sum(len(row["ops"]) for row in rows) == 2461
    assert sum(len(row["harvests"]) for row in rows) == 1098


def test_every_vector_file_has_its_test() -> None:
    """A file that is added but read by no test would pass unseen."""
    source = "".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py")
    )
    unread = [
        path.name
        for path in VECTORS.glob("*.json")
        if f'"{path.name}"' not in source and not path.name.startswith("blocks_")
    ]
    assert unread == []


@pytest.mark.parametrize("scenario", scenarios("errors.json"))
def test_errors(scenario: dict[str, Any]) -> None:
    play(scenario)


@pytest.mark.parametrize("scenario", scenarios("tractor.json"))
def test_tractor(scenario: dict[str, Any]) -> None:
    play(scenario)


def play(scenario: Mapping[str, Any]) -> None:
    """All steps of a scenario; the last result is the final one."""
    world = World(scenario["world"])
    results = [check(world, step) for step in scenario["steps"]]
    assert same_result(results[-1], scenario["final"]), results[-1]


def test_what_a_catching_contract_sees() -> None:
    """Host errors lose their names on the way; contracts' numbers do not."""
    errors = [
        one["final"]["err"] for one in read("errors.json")["scenarios"] if "err" in one["final"]
    ]
    caught = [(one["error"], one["at_try_call"]) for one in errors if "at_try_call" in one]
    assert len(caught) == 3
    for name, seen in caught:
        kind, code = name.removeprefix("Error(").removesuffix(")").split(", ")
        error = {"Auth": "AUTH", "WasmVm": "WASM_VM"}[kind]
        assert code == "InvalidAction"
        assert (
            describe(host_error(error, "INVALID_ACTION").caught) == "Error(Context, InvalidAction)"
        )
        assert seen == {"host": "Context(InvalidAction)"}
    assert describe(contract_error(9).caught) == "Error(Contract, #9)"


@pytest.mark.parametrize("build", [HEAD_FARM_CODE, OLD_BUILD], ids=["head", "old"])
def test_replay(build: bytes) -> None:
    replay = read("replay.json")
    world = World(replay["header"]["world"], build=build)
    assert len(replay["steps"]) == 194
    for step in replay["steps"]:
        check(world, step)


@pytest.mark.parametrize("scenario", scenarios("ttl.json"))
def test_lifetimes(scenario: dict[str, Any]) -> None:
    world = World(scenario["world"])
    checked = 0
    for step in scenario["steps"]:
        found = world.step(step)
        assert same_result(found, step["result"]), (found, step)
        for name, value in lives(step["changes"]):
            assert world.live_until(life_key(world, name)) == value, (name, step)
            checked += 1
    assert checked


def lives(changes: Mapping[str, Any]) -> list[tuple[str, int]]:
    """(entry, last ledger) of each entry whose life a step tells."""
    found = []
    for key, value in changes.items():
        if isinstance(value, dict) and "live_until" in value:
            found.append((key, value["live_until"]))
        elif key.endswith("live_until"):
            found.append((key.removesuffix("live_until").rstrip("."), value))
    return found


def life_key(world: World, name: str) -> Key:
    """`instance`, `Block(3)` or `Pail(0,3)`."""
    if name.lower().startswith("inst"):
        return instance_key(FARM)
    numbers = [int(part) for part in name.partition("(")[2].rstrip(")").split(",")]
    if name.startswith("Block"):
        return block_key(numbers[0])
    return pail_key(world.farmers[numbers[0]], numbers[1])


@pytest.mark.parametrize("path", sorted(VECTORS.glob("blocks_*.json")), ids=lambda path: path.stem)
def test_whole_blocks(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    for row in content["blocks"]:
        play_block(content["header"]["world"], row)


def play_block(header: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    """One row stands for itself: 'before' is put in place, then all calls are played."""
    world = World(header)
    index = row["before"]["FarmIndex"]
    if index is not None:
        world.set_index(index)
    world.set_farm_block(block_of(row["before"]["FarmBlock"]))
    for step in row["ops"]:
        check(world, step, balances=False)
    state = world.tracked()
    for name, block in (("Block", row["closed_Block"]), ("FarmBlock", row["closed_FarmBlock"])):
        prefix = f"Block({row['index']})" if name == "Block" else name
        expected = block_fields(block_of(block))
        assert {field: state[f"{prefix}.{field}"] for field in expected} == expected
    harvest_block(world, row)


def harvest_block(world: World, row: Mapping[str, Any]) -> None:
    """All harvests after the block: pail, weights, reward, minted amount, removed pails."""
    world.set_index(row["index"] + 1)
    block = block_of(row["closed_Block"])
    assert reward_of_block(row["index"]) == int(row["block_reward"])
    for harvest in row["harvests"]:
        farmer = world.farmers[harvest["farmer"]]
        check_pail(world, block, harvest, f"Pail({harvest['farmer']},{row['index']})")
        before = world.balance(farmer) or 0
        step = {
            "op": "harvest",
            "ts": str(world.ledger.close_time),
            "index": row["index"],
            **{name: harvest[name] for name in ("seq", "farmer", "result", "changes")},
        }
        check(world, step, balances=False)
        minted = int(harvest["minted"] or 0)
        assert (world.balance(farmer) or 0) - before == minted, harvest


def check_pail(world: World, block: BlockRecord, harvest: Mapping[str, Any], name: str) -> None:
    """The pail just before its harvest, and its weights in the closed block."""
    state = world.tracked()
    prefix = f"{name}."
    found = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    assert (found or None) == harvest["pail"], harvest
    if harvest["weights"] is not None:
        weights = weights_of(block, found["gap"], int(found["stake"]), found["zeros"])
        assert weights == tuple(map(int, harvest["weights"])), harvest


def test_entropy_and_opening() -> None:
    for row in read("entropy.json")["rows"]:
        world = World(
            {
                "constructor_seq": row["opened_at"]["seq"] - 1,
                "constructor_ts": "0",
                "farmers": ["CD732YC442NOHRL7W26HMRXOFSYVZMI6ZOXQ73XGWBTOSHWTID2GT2NB"],
                "balances": [row["opening_amount"]],
                "trustline_limit": ["n/a"],
            }
        )
        if row["FarmIndex_before"] is not None:
            world.set_index(row["FarmIndex_before"])
        world.set_farm_block(block_of(row["FarmBlock_before"]))
        step = {"op": "plant", "farmer": 0, "amount": row["opening_amount"], **row["opened_at"]}
        assert world.step(step) == {"ok": None}
        state = world.tracked()
        for prefix, block in (
            (f"Block({row['index']})", row["Block_after"]),
            ("FarmBlock", row["FarmBlock_after"]),
        ):
            for name, value in block_fields(block_of(block)).items():
                assert state[f"{prefix}.{name}"] == value, (prefix, name, row)
