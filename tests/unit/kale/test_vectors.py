"""Hashes, weights and rewards against what the real contract answered, case by case."""

import json
from pathlib import Path
from typing import Any

import pytest

from libs.kale.address import raw_key
from libs.kale.hash import leading_zeros, preimage, work_hash
from libs.kale.reward import BlockStats, block_reward, reward, weights

VECTORS = Path(__file__).parents[2] / "vectors" / "kale"


def read(name: str) -> dict[str, Any]:
    """One vector file."""
    content: dict[str, Any] = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return content


def stats(block: dict[str, Any]) -> BlockStats:
    """A Block record of the vectors."""
    return BlockStats(**{field: int(block[field]) for field in BlockStats.__dataclass_fields__})


def test_hash_vectors() -> None:
    cases = read("hash.json")["cases"]
    assert len(cases) == 188
    for case in cases:
        digest = work_hash(
            index=case["index"],
            nonce=int(case["nonce"]),
            entropy=bytes.fromhex(case["entropy"]),
            farmer_key=raw_key(case["farmer"]),
        )
        assert digest.hex() == case["hash"], case
        assert leading_zeros(digest) == case["zeros"], case


def test_the_worked_example_of_the_preimage() -> None:
    example = read("hash.json")["header"]["worked_example"]
    data = preimage(
        index=example["index"],
        nonce=int(example["nonce"]),
        entropy=bytes.fromhex(example["entropy"]),
        farmer_key=raw_key(example["farmer"]),
    )
    assert data.hex() == example["preimage_76_bytes"]


def test_decay_vectors() -> None:
    cases = read("decay.json")["cases"]
    assert len(cases) == 835
    assert [block_reward(index) for index, _ in cases] == [int(amount) for _, amount in cases]


def test_normalize_vectors() -> None:
    cases = read("normalize.json")["cases"]
    assert len(cases) == 400
    names = ("min_gap", "max_gap", "min_stake", "max_stake", "min_zeros", "max_zeros")
    for case in cases:
        *bounds, gap, stake, zeros, gap_weight, stake_weight, zeros_weight = map(int, case)
        block = BlockStats(
            staked_total=0, normalized_total=0, **dict(zip(names, bounds, strict=True))
        )
        found = weights(block, gap=gap, stake=stake, zeros=zeros)
        assert (found.gap, found.stake, found.zeros) == (gap_weight, stake_weight, zeros_weight)


def test_harvest_vectors() -> None:
    cases = read("harvest_synthetic.json")["cases"]
    assert len(cases) == 350
    rewarded = 0
    for case in cases:
        pail = case["pail"]
        if pail["gap"] is None:
            continue
        shown = {
            "gap": int(pail["gap"]),
            "stake": int(pail["stake"]),
            "zeros": int(pail["zeros"]),
        }
        block = stats(case["block"])
        found = weights(block, **shown)
        assert [str(found.gap), str(found.stake), str(found.zeros)] == case["weights"]
        assert block_reward(case["index"]) == int(case["block_reward"])
        if "ok" in case["result"]:
            rewarded += 1
            assert reward(block, index=case["index"], **shown) == int(case["result"]["ok"])
    assert rewarded == 340


def test_whole_block_vectors() -> None:
    files = sorted(VECTORS.glob("blocks_*.json"))
    assert len(files) == 13
    paid = 0
    for path in files:
        for row in json.loads(path.read_text(encoding="utf-8"))["blocks"]:
            assert block_reward(row["index"]) == int(row["block_reward"])
            paid += sum(_check_harvest(row, harvest) for harvest in row["harvests"])
    assert paid == 858


def _check_harvest(row: dict[str, Any], harvest: dict[str, Any]) -> bool:
    """Weights and reward of one harvest; False when it had nothing to pay."""
    pail = harvest["pail"]
    if "ok" not in harvest["result"]:
        return False
    shown = {name: int(pail[name]) for name in ("gap", "stake", "zeros")}
    block = stats(row["closed_Block"])
    found = weights(block, **shown)
    assert [found.gap, found.stake, found.zeros] == [int(one) for one in harvest["weights"]]
    assert reward(block, index=row["index"], **shown) == int(harvest["result"]["ok"])
    return True


def test_hashes_of_whole_blocks() -> None:
    checked = 0
    for path in sorted(VECTORS.glob("blocks_*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        farmers = [raw_key(address) for address in content["header"]["world"]["farmers"]]
        for row in content["blocks"]:
            entropy = bytes.fromhex(row["closed_Block"]["entropy"])
            for step in row["ops"]:
                if step["op"] != "work" or "ok" not in step["result"]:
                    continue
                digest = work_hash(
                    index=row["index"],
                    nonce=int(step["nonce"]),
                    entropy=entropy,
                    farmer_key=farmers[step["farmer"]],
                )
                assert digest.hex() == step["hash"]
                checked += 1
    assert checked == 1112


@pytest.mark.parametrize(
    "text", ["", "G", "A" * 56, "GDBZZHQDKZTZXXAVEZ4X4P5A43MYRM764RPFBG45RJVK6M57BDDNE7HM"]
)
def test_a_wrong_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must|checksum"):
        raw_key(text)
