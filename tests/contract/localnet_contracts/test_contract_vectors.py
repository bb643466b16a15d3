"""localnet's contracts against the real one: every step, every changed field, nothing else."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from localnet.soroban.farm import OLD_BUILD
from localnet.soroban.registry import HEAD_FARM_CODE
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


def check(world: World, step: Mapping[str, Any]) -> None:
    """Plays a step: the same result, the same changes, and no other."""
    before = world.tracked()
    found = world.step(step)
    assert same_result(found, step["result"]), (found, step)
    changes = {k: v for k, v in step["changes"].items() if "live_until" not in k}
    expected = apply(before, changes)
    now = world.tracked()
    # Entries that expired by themselves are no change of the step.
    expired = {key for key in expected if key not in now and key not in changes}
    assert now == {k: v for k, v in expected.items() if k not in expired}, step


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
    assert len(read("errors.json")["scenarios"]) == 97
    assert len(read("entropy.json")["rows"]) == 72
    assert len(list(VECTORS.glob("blocks_*.json"))) == 13


@pytest.mark.parametrize("scenario", scenarios("errors.json"))
def test_errors(scenario: dict[str, Any]) -> None:
    world = World(scenario["world"])
    for step in scenario["steps"]:
        check(world, step)
    assert same_result_of_last(scenario)


def same_result_of_last(scenario: Mapping[str, Any]) -> bool:
    """The file says the final result twice."""
    return bool(scenario["steps"][-1]["result"] == scenario["final"])


@pytest.mark.parametrize("scenario", scenarios("tractor.json"))
def test_tractor(scenario: dict[str, Any]) -> None:
    world = World(scenario["world"])
    for step in scenario["steps"]:
        check(world, step)


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
        check_farm(world, step)
    state = world.tracked()
    for name, block in (("Block", row["closed_Block"]), ("FarmBlock", row["closed_FarmBlock"])):
        prefix = f"Block({row['index']})" if name == "Block" else name
        expected = block_fields(block_of(block))
        assert {field: state[f"{prefix}.{field}"] for field in expected} == expected
    harvest_block(world, row)


def check_farm(world: World, step: Mapping[str, Any]) -> None:
    """Like check, for worlds whose balances are not those of the file."""
    found = world.step(step)
    assert same_result(found, step["result"]), (found, step)
    state = world.tracked()
    for key, value in step["changes"].items():
        if key.startswith("balance"):
            continue
        if isinstance(value, dict):
            for name, item in value.items():
                assert state[f"{key}.{name}"] == item, (key, name, step)
        else:
            assert state.get(key) == value, (key, step)


def harvest_block(world: World, row: Mapping[str, Any]) -> None:
    """All harvests after the block: reward, minted amount, removed pails."""
    world.set_index(row["index"] + 1)
    for harvest in row["harvests"]:
        farmer = world.farmers[harvest["farmer"]]
        before = world.balance(farmer) or 0
        step = {
            "op": "harvest",
            "ts": str(world.ledger.close_time),
            "index": row["index"],
            **{name: harvest[name] for name in ("seq", "farmer")},
        }
        found = world.step(step)
        assert same_result(found, harvest["result"]), (found, harvest)
        minted = int(harvest["minted"] or 0)
        assert (world.balance(farmer) or 0) - before == minted, harvest


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
                if name not in {"staked_total"}:
                    assert state[f"{prefix}.{name}"] == value, (prefix, name, row)
