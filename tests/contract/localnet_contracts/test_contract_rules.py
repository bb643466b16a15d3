"""localnet's contracts against the real one, rule by rule: arithmetic, XDR, footprints, cost."""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from stellar_sdk import Address, StrKey, scval, xdr

from localnet.soroban.farm_math import (
    BlockRecord,
    PailRecord,
    digest_of,
    reward_of_block,
    weights_of,
    zeros_of,
)
from localnet.soroban.model import Footprint, InvocationResult
from localnet.soroban.modules import HEAD_FARM_CODE, OLD_BUILD
from localnet.soroban.storage import instance_key
from localnet.soroban.values import vector
from tests.support.contract_world import (
    FARM,
    TOKEN,
    TRACTOR,
    World,
    block_fields,
    block_key,
    block_of,
    outcome,
    pail_fields,
    pail_key,
    read,
)

FARMER_G = read("xdr.json")["header"]["farmer_G"]
FARMER_C = read("xdr.json")["header"]["farmer_C"]
#: By the first word of their names in the files.
BUILDS = {"HEAD": HEAD_FARM_CODE, "older": OLD_BUILD}


def world_of(
    *,
    balances: tuple[int, int] = (10**6, 10**6),
    build: bytes = HEAD_FARM_CODE,
    close_time: int = 0,
) -> World:
    """A new farm in ledger 1000 with farmers G (0) and C (1)."""
    world = {
        "constructor_seq": 1000,
        "constructor_ts": close_time,
        "farmers": [FARMER_G, FARMER_C],
        "balances": balances,
        "trustline_limit": [str(2**63 - 1), None],
    }
    return World(world, build=build)


def step_of(operation: str, farmer: int, *, seq: int, ts: int, **more: Any) -> dict[str, Any]:
    """A step as the vector files write it."""
    return {"op": operation, "farmer": farmer, "seq": seq, "ts": ts, **more}


def work_of(farmer: int, *, index: int, seq: int, ts: int) -> dict[str, Any]:
    """A work with nonce 7 on a block without entropy."""
    key = Address((FARMER_G, FARMER_C)[farmer]).key
    digest = digest_of(index, 7, bytes(32), key).hex()
    return step_of("work", farmer, seq=seq, ts=ts, hash=digest, nonce="7")


def run(world: World, step: Mapping[str, Any], **more: Any) -> InvocationResult:
    """Plays a step as a transaction of its farmer."""
    world.at(step["seq"], step["ts"])
    return world.call(*world.arguments(step), source=FARMER_G, **more)


# ------------------------------------------------------------------ arithmetic


def test_hashes_and_zeros() -> None:
    cases = read("hash.json")["cases"]
    assert len(cases) == 188
    for case in cases:
        digest = digest_of(
            case["index"],
            int(case["nonce"]),
            bytes.fromhex(case["entropy"]),
            Address(case["farmer"]).key,
        )
        assert digest.hex() == case["hash"], case
        assert zeros_of(digest) == case["zeros"], case


def test_block_rewards() -> None:
    cases = read("decay.json")["cases"]
    assert len(cases) == 835
    for index, reward in cases:
        assert reward_of_block(index) == int(reward), index


def test_weights() -> None:
    cases = read("normalize.json")["cases"]
    assert len(cases) == 400
    for case in cases:
        low_gap, high_gap, low_stake, high_stake, low_zeros, high_zeros = map(int, case[:6])
        block = BlockRecord(
            timestamp=0,
            min_gap=low_gap,
            max_gap=high_gap,
            min_stake=low_stake,
            max_stake=high_stake,
            min_zeros=low_zeros,
            max_zeros=high_zeros,
        )
        gap, stake, zeros = map(int, case[6:9])
        assert weights_of(block, gap, stake, zeros) == tuple(map(int, case[9:])), case


def test_harvests_of_made_up_pails() -> None:
    cases = read("harvest_synthetic.json")["cases"]
    assert len(cases) == 350
    for case in cases:
        check_harvest(case)


def check_harvest(case: Mapping[str, Any]) -> None:
    """One real harvest call: result, minted amount, whether the pail goes."""
    farmer = "GC".index(case["farmer"])
    address, index = (FARMER_G, FARMER_C)[farmer], case["index"]
    balance = int(case["farmer_balance"])
    world = world_of(balances=(balance, balance))
    block = block_of(case["block"])
    pail = PailRecord(**case["pail"] | {"stake": int(case["pail"]["stake"])})
    world.put_block(index, block)
    world.put_pail(address, index, pail)
    world.set_index(index + 1)
    assert reward_of_block(index) == int(case["block_reward"]), case
    if pail.gap is not None and pail.zeros is not None:
        weights = weights_of(block, pail.gap, pail.stake, pail.zeros)
        assert weights == tuple(map(int, case["weights"])), case
    found = outcome(run(world, step_of("harvest", farmer, seq=1001, ts=5, index=index)))
    expected = case["result"]
    if "err" in expected:
        expected = {"err": {name: expected["err"][name] for name in ("source", "code")}}
    assert found == expected, case
    minted = max(0, int(expected["ok"]) + pail.stake) if "ok" in expected else 0
    assert (world.balance(address) or 0) - balance == minted, case
    assert (world.live_until(pail_key(address, index)) is None) == case["pail_removed"], case


# ------------------------------------------------------------------ stale footprints

#: Block 1 opens at ledger 1010, second 300; it is over at second 600.
OPENED = 300


def open_block(world: World, *, planted: bool) -> None:
    """Farmer 1 opens block 1 with 5 stroops that it never works for; farmer 0 may plant, too."""
    run(world, step_of("plant", 1, seq=1010, ts=OPENED, amount=5))
    if planted:
        run(world, step_of("plant", 0, seq=1010, ts=OPENED, amount=0))


def open_next(world: World) -> None:
    """Farmer 1 opens block 2 as soon as it can."""
    run(world, step_of("plant", 1, seq=1070, ts=OPENED + 300, amount=0))


def work_and_close(world: World) -> None:
    """Farmer 0 works in block 1, then block 2 opens."""
    run(world, transaction("work", 15))
    open_next(world)


Setup = Callable[[World], object]
#: What the transaction does, at which second it is simulated and applied, what happens before each.
STALE: dict[str, tuple[str, int, int, Setup | None, Setup | None]] = {
    "plant_unchanged": ("plant", 15, 15, None, None),
    "plant_for_old_block_applied_as_opener": ("plant", 15, 300, None, None),
    "plant_for_old_block_applied_in_new": ("plant", 15, 305, None, open_next),
    "plant_as_opener_applied_second": ("plant", 300, 305, None, open_next),
    "plant_as_opener_applied_too_early": ("plant", 300, 299, None, None),
    "work_unchanged": ("work", 15, 15, None, None),
    "work_late_not_rolled": ("work", 15, 300, None, None),
    "work_after_rollover": ("work", 15, 305, None, open_next),
    "work_twice_same": ("work", 15, 20, None, lambda world: run(world, transaction("work", 15))),
    "harvest_unchanged": (
        "harvest",
        310,
        315,
        work_and_close,
        None,
    ),
    "harvest_done_by_other": (
        "harvest",
        310,
        315,
        work_and_close,
        lambda world: run(world, transaction("harvest", 312)),
    ),
}


def transaction(operation: str, second: int) -> dict[str, Any]:
    """Farmer 0's call some seconds after the opening of block 1; a ledger takes five seconds."""
    seq, ts = 1010 + second // 5, OPENED + second
    if operation == "work":
        return work_of(0, index=1, seq=seq, ts=ts)
    more = {"amount": 0} if operation == "plant" else {"index": 1}
    return step_of(operation, 0, seq=seq, ts=ts, **more)


def stale_cases() -> list[Any]:
    """Every case of both builds."""
    cases = read("stale_footprint.json")["cases"]
    return [pytest.param(case, id=f"{case['build'][:4]}-{case['name']}") for case in cases]


def test_all_stale_footprints_are_here() -> None:
    cases = read("stale_footprint.json")["cases"]
    names = [(case["build"].split()[0], case["name"]) for case in cases]
    assert sorted(names) == sorted((build, name) for build in BUILDS for name in STALE)
    assert len(names) == 22


@pytest.mark.parametrize("case", stale_cases())
def test_stale_footprints(case: dict[str, Any]) -> None:
    """A footprint recorded in one state is enforced in another."""
    operation, simulated, applied, before, between = STALE[case["name"]]
    world = world_of(build=BUILDS[case["build"].split()[0]])
    open_block(world, planted=operation != "plant")
    if before is not None:
        before(world)
    footprint = run(world, transaction(operation, simulated), keep=False).footprint
    if between is not None:
        between(world)
    result = run(world, transaction(operation, applied), footprint=footprint)
    assert in_words(result) == case["outcome"]


def in_words(result: InvocationResult) -> str:
    """A result as that file writes it."""
    if result.value is not None:
        return f"ok {json.dumps(shape(result.value), separators=(',', ':'))}"
    error = outcome(result)["err"]
    return str(error.get("error") or f"Error(Contract, #{error['code']})")


# ------------------------------------------------------------------ XDR


#: Values that have no content.
BARE = {
    xdr.SCValType.SCV_VOID: "void",
    xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE: "ledger_key_contract_instance",
}


def shape(value: xdr.SCVal) -> Any:
    """A value as the files write it: {"u32": 1}, {"vec": [...]}, "void"."""
    if value.type in BARE:
        return BARE[value.type]
    if value.vec is not None:
        return {"vec": [shape(item) for item in value.vec.sc_vec]}
    if value.map is not None:
        return {"map": [[shape(item.key), shape(item.val)] for item in value.map.sc_map]}
    native = scval.to_native(value)
    if isinstance(native, Address):
        return {"address": native.address}
    if isinstance(native, bytes):
        return {"bytes": native.hex()} if value.bytes is not None else {"string": native.decode()}
    name = value.type.name.removeprefix("SCV_").lower()
    return {name: str(native) if name in {"u64", "i128"} else native}


def packed(value: xdr.SCVal) -> str:
    """XDR in base64."""
    return value.to_xdr()


def samples(kind: str) -> dict[str, Any]:
    """The samples of one kind by what they are."""
    return {s["what"]: s for s in read("xdr.json")["samples"] if s["kind"] == kind}


def test_sample_counts() -> None:
    content = read("xdr.json")
    assert [len(samples(kind)) for kind in ("storage key", "storage value", "call args")] == [
        9,
        5,
        3,
    ]
    assert {name: len(content[name]) for name in ("samples", "ledger_keys", "calls")} == {
        "samples": 17,
        "ledger_keys": 5,
        "calls": 7,
    }


def test_storage_keys() -> None:
    world = world_of()
    world.set_index(1)
    assert world.call(FARM, "pause", []).ok
    keys = {packed(key) for key in world.instance_keys()}
    for key in (
        block_key(123456),
        block_key(0),
        pail_key(FARMER_G, 123456),
        pail_key(FARMER_C, 123456),
    ):
        assert key.subject is not None
        keys.add(packed(key.subject[1]))
    assert keys == {sample["scval_xdr"] for sample in samples("storage key").values()}


def test_storage_values() -> None:
    found = samples("storage value")
    for what, sample in found.items():
        value = xdr.SCVal.from_xdr(sample["scval_xdr"])
        fields = {key["symbol"]: plain_field(item) for key, item in sample["shape"]["map"]}
        if "Block" in what:
            block = BlockRecord.from_value(value)
            assert block_fields(block) == fields
            assert packed(block.to_value()) == sample["scval_xdr"]
        else:
            pail = PailRecord.from_value(value)
            assert pail_fields(pail) == fields
            assert packed(pail.to_value()) == sample["scval_xdr"]
    fresh = found["FarmBlock as the constructor leaves it at ts 1760000000"]
    assert packed(BlockRecord(timestamp=1_760_000_000).to_value()) == fresh["scval_xdr"]


def plain_field(value: Any) -> Any:
    """A field of a sample without its type."""
    return None if value == "void" else next(iter(value.values()))


def test_arguments() -> None:
    world = world_of()
    digest = "a8982c89d80987fb9a510e25981ee9170206be21af3c8e0eb312ef1d3382e761"
    steps = {
        "plant(farmer G, 5 KALE)": {"op": "plant", "farmer": 0, "amount": 5 * 10**7},
        "work(farmer C, hash, nonce 2^64-1)": {
            "op": "work",
            "farmer": 1,
            "hash": digest,
            "nonce": 2**64 - 1,
        },
        "harvest(farmer G, 123456)": {"op": "harvest", "farmer": 0, "index": 123456},
    }
    expected = {what: sample["scval_xdr"] for what, sample in samples("call args").items()}
    assert {w: packed(vector(*world.arguments(step)[2])) for w, step in steps.items()} == expected


def test_ledger_keys() -> None:
    keys = {
        "instance (holds all instance keys)": instance_key(FARM),
        "Block(123456)": block_key(123456),
        "Block(0)": block_key(0),
        "Pail(G…,123456)": pail_key(FARMER_G, 123456),
        "Pail(C…,123456)": pail_key(FARMER_C, 123456),
    }
    expected = {entry["what"]: entry["ledger_key_xdr"] for entry in read("xdr.json")["ledger_keys"]}
    assert {what: b64encode(key.raw).decode() for what, key in keys.items()} == expected


def test_calls() -> None:
    """Authorisation trees, events and return values of a block's life."""
    world = world_of()
    steps = [
        step_of("plant", 0, seq=1001, ts=5, amount=0),
        step_of("plant", 1, seq=1001, ts=5, amount=70),
        work_of(0, index=0, seq=1004, ts=20),
        work_of(1, index=0, seq=1004, ts=20),
        step_of("plant", 0, seq=1060, ts=300, amount=1234),
        step_of("harvest", 0, seq=1061, ts=305, index=0),
        step_of("harvest", 1, seq=1061, ts=305, index=0),
    ]
    for step, call in zip(steps, read("xdr.json")["calls"], strict=True):
        result = run(world, step)
        assert outcome(result) == {"ok": call["returned"]}, call["call"]
        assert [asked(entry, FARMER_G) for entry in result.auth] == call["auth_needed"]
        assert [told(event) for event in result.events] == call["events"], call["call"]


def asked(entry: xdr.SorobanAuthorizationEntry, source: str) -> dict[str, Any]:
    """An authorisation entry as the file writes it."""
    credentials = entry.credentials.address
    who = source
    if credentials is not None:
        who = Address.from_xdr_sc_address(credentials.address).address
    return {"address": who, "invocation": tree(entry.root_invocation)}


def tree(node: xdr.SorobanAuthorizedInvocation) -> dict[str, Any]:
    """A node of an authorisation tree as the file writes it."""
    call = node.function.contract_fn
    assert call is not None
    return {
        "contract": Address.from_xdr_sc_address(call.contract_address).address,
        "function": call.function_name.sc_symbol.decode(),
        "args": [shape(argument) for argument in call.args],
        "sub_invocations": [tree(child) for child in node.sub_invocations],
    }


def told(event: xdr.ContractEvent) -> dict[str, Any]:
    """A contract event as the file writes it."""
    assert event.contract_id is not None
    assert event.body.v0 is not None
    topics, data = vector(*event.body.v0.topics), event.body.v0.data
    return {
        "contract": StrKey.encode_contract(event.contract_id.contract_id.hash),
        "topics_scval_xdr": packed(topics),
        "topics": shape(topics),
        "data_scval_xdr": packed(data),
        "data": shape(data),
    }


# ------------------------------------------------------------------ footprints and cost


def named(key: bytes) -> str:
    """A ledger key as the files name it."""
    found = xdr.LedgerKey.from_xdr_bytes(key)
    if found.contract_code is not None:
        return "contract code (wasm)"
    if found.trust_line is not None:
        account = StrKey.encode_ed25519_public_key(key[8:40])
        return f"KALE trustline of {account}"
    assert found.contract_data is not None
    contract = Address.from_xdr_sc_address(found.contract_data.contract).address
    owner = {FARM: "farm", TOKEN: "token", TRACTOR: "tractor"}[contract]
    durability = found.contract_data.durability.name.lower()
    content = json.dumps(shape(found.contract_data.key), separators=(",", ":"))
    return f"{owner} {durability} {content}"


def names_of(footprint: Footprint) -> tuple[list[str], list[str]]:
    """Read-only and read-write entries as the files name them, in the host's order."""
    return (
        [named(key) for key in footprint.read_only],
        [named(key) for key in footprint.read_write],
    )


FOOTPRINT_STEPS = {
    "plant_same_block_amount0": step_of("plant", 0, seq=1013, ts=OPENED + 15, amount=0),
    "plant_same_block_amount": step_of("plant", 0, seq=1013, ts=OPENED + 15, amount=70),
    "plant_opens_block": step_of("plant", 0, seq=1070, ts=OPENED + 300, amount=0),
    "work": work_of(1, index=1, seq=1013, ts=OPENED + 15),
    "harvest": step_of("harvest", 1, seq=1072, ts=OPENED + 310, index=1),
}


def footprint_cases() -> list[Any]:
    """Every case of both builds."""
    cases = read("xdr.json")["footprints"]
    return [pytest.param(case, id=f"{case['build'][:4]}-{case['case']}") for case in cases]


def test_all_footprints_are_here() -> None:
    cases = [(c["build"].split()[0], c["case"]) for c in read("xdr.json")["footprints"]]
    assert sorted(cases) == sorted((build, name) for build in BUILDS for name in FOOTPRINT_STEPS)


@pytest.mark.parametrize("case", footprint_cases())
def test_footprints(case: dict[str, Any]) -> None:
    """Which entries a call reads and writes, in the host's order."""
    world = world_of(build=BUILDS[case["build"].split()[0]])
    open_block(world, planted=False)
    if case["call"] == "harvest":
        run(world, FOOTPRINT_STEPS["work"])
        open_next(world)
    result = run(world, FOOTPRINT_STEPS[case["case"]])
    expected = case["footprint"]
    assert result.ok
    assert names_of(result.footprint) == (expected["read_only"], expected["read_write"])
    assert len(result.auth) == expected["auth_entries"]


#: The first block of the tractor's measurements.
FIRST_PAIL = 150_001


def harvests_ready(count: int, *, first: int = FIRST_PAIL) -> World:
    """Farmer 0 has worked `count` blocks in a row."""
    world = world_of()
    for index in range(first, first + count):
        world.put_block(index, BlockRecord(timestamp=0, normalized_total=3).opened(0))
        world.put_block(index, replace(_EMPTY_BLOCK, normalized_total=3))
        world.put_pail(FARMER_G, index, PailRecord(sequence=900, stake=0, gap=1, zeros=0))
    world.set_index(first + count)
    return world


_EMPTY_BLOCK = BlockRecord(timestamp=0).opened(0)


def harvest_many(count: int) -> InvocationResult:
    """The tractor harvests `count` pails, in as much memory as the measurements had."""
    world = harvests_ready(count)
    settings = replace(world.ledger.settings, tx_memory_limit=2**32)
    world.ledger = replace(world.ledger, settings=settings)
    pails = list(range(FIRST_PAIL, FIRST_PAIL + count))
    step = step_of("tractor_harvest", 0, seq=1001, ts=5, pails=pails)
    return run(world, step)


def test_entries_of_the_tractor() -> None:
    rows = read("tractor_cost.json")["tractor"]
    assert [row["pails"] for row in rows] == [1, 2, 5, 10, 20, 29, 40]
    assert [row["pails"] for row in rows if row["read_only"]] == [2]
    for row in rows:
        result = harvest_many(row["pails"])
        assert result.ok == row["ok"]
        assert len(result.footprint.read_only) == row["read_only_entries"]
        assert len(result.footprint.read_write) == row["read_write_entries"]
        if row["read_only"]:
            assert names_of(result.footprint) == (row["read_only"], row["read_write"])
    direct = read("tractor_cost.json")["header"]["direct_harvest"]
    step = step_of("harvest", 0, seq=1001, ts=5, index=FIRST_PAIL)
    result = run(harvests_ready(1), step)
    assert names_of(result.footprint) == (direct["read_only"], direct["read_write"])


def test_tractor_grows_by_the_pail() -> None:
    """Every pail costs the same, and the whole call less than that many harvests."""
    used = [harvest_many(count).resources.instructions for count in (1, 2, 3, 10)]
    steps = [after - before for before, after in pairwise(used[:3])]
    assert steps[0] == steps[1]
    assert used[3] - used[0] == 9 * steps[0]
    single = run(harvests_ready(1), step_of("harvest", 0, seq=1001, ts=5, index=FIRST_PAIL))
    assert steps[0] < single.resources.instructions


def test_harvest_grows_by_the_decay_period(periods: Sequence[int] = (0, 13, 60, 231)) -> None:
    """Within 10 % of the growth that was measured, up to the end of the rewards."""
    rows = read("tractor_cost.json")["direct_harvest_by_index"]
    assert [row["periods"] for row in rows[:-1]] == list(periods)
    measured = [row["instructions_about"] for row in rows[:-1]]
    used = []
    for row in rows[:-1]:
        step = step_of("harvest", 0, seq=1001, ts=5, index=row["index"])
        used.append(run(harvests_ready(1, first=row["index"]), step).resources.instructions)
    for ours, theirs in zip(used[1:], measured[1:], strict=True):
        assert abs((ours - used[0]) / (theirs - measured[0]) - 1) < 0.1
