"""Miners at the door: joining, work, verdicts, figures."""

from base64 import b64decode
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from devstack.stand_in_pooler import block_of
from libs.common.errors import UnavailableError
from libs.kale.address import raw_key
from libs.kale.hash import leading_zeros, work_hash
from pooler.shares.block import Find
from pooler.shares.domain.errors import OtherChainError
from pooler.shares.domain.model import MinerId
from pooler.shares.submitting import Rounds
from tests.support.share_world import (
    ADDRESS,
    DIFFICULTY,
    Rig,
    ShareWorld,
    found_in,
    nonces_of,
    open_share_world,
)

MUXED = "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVAAAAAAAAAAAAAJLK"


async def test_who_joins_is_told_its_credential_once(world: ShareWorld) -> None:
    rig = await world.join(MUXED, "three rigs")
    assert rig.credential.startswith("km_")
    told = (await rig.get("/stats")).json()["miner"]
    assert told["address"] == MUXED
    assert told["name"] == "three rigs"
    assert "credential" not in told
    content = Path(world.shares.settings.place).read_bytes()  # noqa: ASYNC240
    log = Path(world.shares.settings.place + "-wal").read_bytes()  # noqa: ASYNC240
    assert MUXED.encode() in content + log
    assert rig.credential.encode() not in content + log


@pytest.mark.parametrize("address", ["", "G", ADDRESS[:-1] + "A", "S" * 56, 7, None])
async def test_nobody_joins_who_cannot_be_paid(world: ShareWorld, address: Any) -> None:
    terms = world.shares.accounts.terms.version
    answer = await world.http.post("/join", json={"address": address, "terms": terms})
    assert answer.status_code == 400
    problem = answer.json()
    assert problem["reason"] == "MALFORMED"
    assert [one["field"] for one in problem["violations"]] == ["address"]


async def test_who_agrees_to_other_terms_is_told_which_hold(world: ShareWorld) -> None:
    answer = await world.http.post("/join", json={"address": ADDRESS, "terms": "0" * 16})
    assert (answer.status_code, answer.json()["reason"]) == (409, "TERMS_CHANGED")
    assert answer.json()["metadata"] == {"terms": world.shares.accounts.terms.version}


async def test_everybody_sees_the_pool_before_joining(world: ShareWorld) -> None:
    rig = await world.join()
    job = await rig.job()
    await rig.submit(*found_in(job, 3))
    world.clock.now += 10
    world.shares.own_hashes(100, 777)
    pool = (await world.http.get("/v1/pool")).json()
    assert pool["terms"]["version"] == world.shares.accounts.terms.version
    assert (pool["miners"], pool["workers"]) == (1, 1)
    assert pool["block"]["block"] == 100
    assert pool["block"]["points"] == str(3 * DIFFICULTY)
    assert (pool["block"]["ownHashes"], pool["block"]["ownRate"]) == ("777", 78)
    assert sum(pool["block"]["zeros"].values()) == len(world.block.best) > 0
    assert pool["rate"]["rate"] > 0


@pytest.mark.parametrize("path", ["/work", "/stats", "/blocks", "/events", "/submit", "/terms"])
@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer km_" + "x" * 43, "Basic km_x", "Bearer " + "y" * 9000]
)
async def test_nothing_else_is_open_without_a_credential(
    world: ShareWorld, path: str, header: str | None
) -> None:
    method = "POST" if path in {"/submit", "/terms"} else "GET"
    headers = {} if header is None else {"Authorization": header}
    answer = await world.http.request(method, path, headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (401, "BAD_CREDENTIAL")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_job_is_all_that_a_miner_needs(world: ShareWorld) -> None:
    rig = await world.join()
    job = await rig.job()
    farmer = world.block.targets[0]
    assert job["block"] == 100
    assert bytes.fromhex(job["entropy"]) == world.block.entropy
    assert (job["farmer"], bytes.fromhex(job["farmerKey"])) == (farmer.address, farmer.key)
    assert (job["difficulty"], job["target"]) == ("16", str(2**60 - 1))
    answer = await rig.post("/submit", json={"shares": found_in(job, 2)})
    assert answer.json()["accepted"] == 2
    assert answer.json()["points"] == "32"
    for verdict in answer.json()["verdicts"]:
        assert verdict["code"] == "ACCEPTED"
        assert verdict["points"] == "16"
        assert verdict["zeros"] >= 1


async def test_several_jobs_are_of_different_farmers(world: ShareWorld) -> None:
    rig = await world.join()
    answer = await rig.get("/work", params={"count": 7})
    jobs = answer.json()["jobs"]
    targets = world.block.targets
    assert [job["farmer"] for job in jobs] == [targets[n % 5].address for n in range(7)]
    ranges = [(job["farmer"], job["firstNonce"]) for job in jobs]
    assert len(set(ranges)) == 7


async def test_a_better_nonce_reaches_the_pooler_and_farmers_with_fewer_zeros_come_first(
    world: ShareWorld,
) -> None:
    rig = await world.join()
    job = await rig.job()
    (share,) = found_in(job, 1)
    (verdict,) = await rig.submit(share)
    (find,) = world.block.offered
    assert find.farmer_id == world.block.targets[0].farmer_id
    assert (str(find.nonce), find.zeros) == (share["nonce"], verdict["zeros"])
    digest = work_hash(
        index=100,
        nonce=find.nonce,
        entropy=world.block.entropy,
        farmer_key=world.block.targets[0].key,
    )
    assert leading_zeros(digest) == find.zeros
    farmers = {(await rig.job())["farmer"] for _ in range(8)}
    assert farmers == {target.address for target in world.block.targets[1:]}


async def test_every_share_has_its_verdict(world: ShareWorld) -> None:
    rig, other = await world.join(), await world.join()
    job, theirs = await rig.job(), await other.job()
    good, bad = found_in(job, 2), next(nonces_of(job, is_share=False))
    outside = int(job["firstNonce"]) + int(job["nonceCount"])
    codes = await rig.codes(
        good[0],
        good[0],
        {"job": job["job"], "nonce": str(bad)},
        {"job": job["job"], "nonce": str(outside)},
        {"job": job["job"], "nonce": str(2**64 - 1)},
        {"job": theirs["job"], "nonce": theirs["firstNonce"]},
        {"job": job["job"][:-2] + "AA", "nonce": good[1]["nonce"]},
        {"job": "x", "nonce": "1"},
        good[1],
    )
    assert codes == [
        *("ACCEPTED", "DUPLICATE", "LOW_DIFFICULTY", "OUT_OF_RANGE", "OUT_OF_RANGE"),
        *("BAD_TOKEN", "BAD_TOKEN", "BAD_TOKEN", "ACCEPTED"),
    ]
    assert await rig.codes(*good) == ["DUPLICATE", "DUPLICATE"]
    stats = (await rig.get("/stats")).json()
    assert stats["block"]["points"] == "32"
    assert stats["workers"][0]["shares"]["ACCEPTED"] == 2
    assert stats["workers"][0]["shares"]["DUPLICATE"] == 3


async def test_a_share_after_the_works_is_late_and_shown_apart(world: ShareWorld) -> None:
    rig = await world.join()
    job = await rig.job()
    shares = found_in(job, 4)
    assert await rig.codes(shares[0]) == ["ACCEPTED"]
    await world.shares.works_sent(100)
    world.clock.now += 0.25
    (late,) = await rig.submit(shares[1])
    assert late["code"] == "TOO_LATE"
    assert (late["latenessMs"], late["points"]) == (250, "16")
    assert await rig.codes(shares[1], shares[0]) == ["DUPLICATE", "DUPLICATE"]
    assert (await rig.get("/work")).json()["reason"] == "PAUSED"
    await world.next_block()
    world.clock.now += 1
    (stale,) = await rig.submit(shares[2])
    assert stale["code"] == "STALE_BLOCK"
    assert stale["latenessMs"] == 1250
    await world.next_block()
    (older,) = await rig.submit(shares[3])
    assert older == {"code": "STALE_BLOCK"}
    stats = (await rig.get("/stats")).json()
    assert stats["block"]["points"] == "0"
    assert stats["workers"][0]["latestMs"] == 1250


async def test_late_shares_are_kept_apart_from_the_blocks_points(tmp_path: Path) -> None:
    async with open_share_world(tmp_path) as world:
        rig = await world.join()
        shares = found_in(await rig.job(), 3)
        await rig.submit(shares[0])
        await world.shares.works_sent(100)
        world.clock.now += 2
        await rig.submit(*shares[1:])
    async with open_share_world(tmp_path, index=101) as world:
        again = Rig(http=world.http, credential=rig.credential, miner_id=rig.miner_id)
        (block,) = (await again.get("/blocks")).json()["blocks"]
        assert (block["shares"], block["points"]) == (1, "16")
        assert (block["lateShares"], block["latePoints"], block["latestMs"]) == (2, "32", 2000)
        assert block["state"] == "closed"
        assert block["amount"] is None


async def test_a_job_has_an_end(world: ShareWorld) -> None:
    rig = await world.join()
    job = await rig.job()
    world.clock.now = job["expiresAt"] + 0.002
    assert await rig.codes(*found_in(job, 1)) == ["UNKNOWN_JOB"]


async def test_a_farmer_that_a_block_does_not_have_is_unknown(world: ShareWorld) -> None:
    rig = await world.join()
    jobs = [await rig.job() for _ in range(5)]
    world.block = block_of(100, farmers=2)
    await world.shares.open_block(world.block)
    codes = [(await rig.codes(*found_in(job, 1)))[0] for job in jobs]
    assert codes == ["ACCEPTED", "ACCEPTED", *["UNKNOWN_JOB"] * 3]


async def test_a_block_that_is_taken_up_again_has_all_that_was_brought(world: ShareWorld) -> None:
    rig = await world.join()
    job = await rig.job()
    first, second = found_in(job, 2)
    await rig.submit(first)
    await world.shares.open_block(world.block)
    assert await rig.codes(first, second) == ["DUPLICATE", "ACCEPTED"]
    assert (await rig.get("/stats")).json()["block"]["points"] == "32"


async def test_a_worker_brings_only_so_many_shares_in_a_block(tmp_path: Path) -> None:
    async with open_share_world(tmp_path, shares_most_per_block=3) as world:
        rig = await world.join()
        shares = found_in(await rig.job("a"), 5)
        assert await rig.codes(*shares) == ["ACCEPTED"] * 3 + ["LIMITED"] * 2
        assert await rig.codes(*found_in(await rig.job("b"), 1)) == ["ACCEPTED"]
        await world.next_block()
        assert await rig.codes(*found_in(await rig.job("a"), 1)) == ["ACCEPTED"]


async def test_a_flood_of_shares_raises_the_difficulty_and_brings_the_next_job(
    world: ShareWorld,
) -> None:
    rig = await world.join()
    answer = await rig.get("/work", params={"worker": "auto", "rate": 1000})
    job = answer.json()["jobs"][0]
    assert int(job["difficulty"]) == pytest.approx(1000 / 16 * 300 / 20, rel=0.001)
    world.clock.now += 1
    shares = found_in(job, 60)
    first = await rig.post("/submit", json={"shares": shares[:59]})
    assert first.json()["jobs"] == []
    second = await rig.post("/submit", json={"shares": shares[59:]})
    (harder,) = second.json()["jobs"]
    assert int(harder["difficulty"]) == pytest.approx(4 * int(job["difficulty"]), rel=0.01)
    # Shares of the job before count as it was issued.
    (verdict,) = await rig.submit(*found_in(job, 1, skip=60))
    assert verdict["points"] == job["difficulty"]


async def test_a_worker_may_choose_its_difficulty_within_the_limits(tmp_path: Path) -> None:
    bounds = {"shares_lowest_difficulty": 16, "shares_highest_difficulty": 4096}
    async with open_share_world(tmp_path, **bounds) as world:
        rig = await world.join()
        found = [(await rig.job(difficulty=n))["difficulty"] for n in (1, 300, 10**9)]
        assert [int(one) for one in found] == [16, 300, 4096]
        shares = found_in(await rig.job(difficulty=16), 80)
        answer = await rig.post("/submit", json={"shares": shares})
        assert (answer.json()["accepted"], answer.json()["jobs"]) == (80, [])
        worker = (await rig.get("/stats")).json()["workers"][0]
        assert (worker["difficulty"], worker["isFixed"]) == ("16", True)
        await rig.get("/work", params={"worker": "rig"})
        assert not (await rig.get("/stats")).json()["workers"][0]["isFixed"]


async def test_a_line_of_arguments_is_a_job_too(world: ShareWorld) -> None:
    rig = await world.join()
    answer = await rig.get("/work", params={"format": "argv", "difficulty": 300})
    block, entropy, nonce, zeros, farmer = answer.text.split()
    assert answer.headers["content-type"].startswith("text/plain")
    assert (int(block), b64decode(entropy)) == (100, world.block.entropy)
    assert zeros == "2"
    key = raw_key(farmer)
    found = next(
        number
        for number in range(int(nonce), 2**63)
        if leading_zeros(
            work_hash(index=100, nonce=number, entropy=world.block.entropy, farmer_key=key)
        )
        >= 2
    )
    headers = {"Kale-Job": answer.headers["kale-job"]}
    told = await rig.post("/submit", headers=headers, json={"hash": "00", "nonce": found})
    assert told.json()["accepted"] == 1
    assert told.json()["points"] == "256"
    assert (await rig.get("/work", params={"format": "argv", "count": 2})).status_code == 400


async def test_a_block_is_divided_and_everybody_sees_its_part(world: ShareWorld) -> None:
    one, two = await world.join(), await world.join(MUXED)
    await one.submit(*found_in(await one.job(), 3))
    await two.submit(*found_in(await two.job(), 1))
    world.shares.own_hashes(100, 64)
    await world.shares.works_sent(100)
    await world.next_block()
    await world.shares.harvested(100, 1_000_000)
    await world.shares.harvested(100, 2_000_000)
    (mine,) = (await one.get("/blocks")).json()["blocks"]
    assert mine == {
        "block": 100,
        "state": "final",
        "openedAt": "2026-01-31T12:00:00.000Z",
        "shares": 3,
        "points": "48",
        "allPoints": "64",
        "ownHashes": "64",
        "best": mine["best"],
        "lateShares": 0,
        "latePoints": "0",
        "latestMs": 0,
        "pot": "100000",
        "amount": "37500",
    }
    (theirs,) = (await two.get("/stats")).json()["blocks"]
    assert theirs["amount"] == "12500"
    paid = await world.shares.store.paid_parts(100)
    assert [(part.address, part.amount) for part in paid] == [(ADDRESS, 37500), (MUXED, 12500)]


async def test_blocks_are_listed_by_pages(world: ShareWorld) -> None:
    rig = await world.join()
    for _ in range(4):
        await rig.submit(*found_in(await rig.job(), 1))
        await world.next_block()
    pages = [
        (await rig.get("/blocks", params=query)).json()["blocks"]
        for query in ({"limit": 3}, {"before": 101}, {"before": 0})
    ]
    assert [[one["block"] for one in page] for page in pages] == [[103, 102, 101], [100], []]


async def test_the_next_run_goes_on_with_points_and_best_nonces(tmp_path: Path) -> None:
    async with open_share_world(tmp_path) as world:
        rig = await world.join()
        job = await rig.job()
        shares = found_in(job, 4)
        await rig.submit(*shares[:3])
        world.shares.own_hashes(100, 500)
        best = dict(world.block.best)
    async with open_share_world(tmp_path) as world:
        assert world.block.best == best
        again = Rig(http=world.http, credential=rig.credential, miner_id=rig.miner_id)
        # The job outlives the run that gave it out.
        assert await again.codes(*shares) == ["DUPLICATE"] * 3 + ["ACCEPTED"]
        world.clock.now += 60
        world.shares.own_hashes(100, 11)
        stats = (await again.get("/stats")).json()
        assert stats["block"]["points"] == "64"
        assert stats["block"]["ownHashes"] == "511"
        assert stats["workers"][0]["block"]["shares"] == 4
        assert stats["workers"][0]["rates"]["5m"]["shares"] == 4


async def test_works_that_were_sent_before_a_restart_stay_sent(tmp_path: Path) -> None:
    async with open_share_world(tmp_path) as world:
        rig = await world.join()
        job = await rig.job()
        await world.shares.works_sent(100)
    async with open_share_world(tmp_path) as world:
        again = Rig(http=world.http, credential=rig.credential, miner_id=rig.miner_id)
        assert await again.codes(*found_in(job, 1)) == ["TOO_LATE"]


async def test_the_pools_own_finds_are_known_after_a_restart(tmp_path: Path) -> None:
    async with open_share_world(tmp_path) as world:
        farmer = world.block.targets[3].farmer_id
        find = Find(farmer_id=farmer, nonce=2**64 - 5, zeros=9)
        await world.shares.keep_finds(100, [find])
    async with open_share_world(tmp_path) as world:
        assert world.block.best == {farmer: find}


async def test_changed_terms_are_agreed_to_before_there_is_more_work(tmp_path: Path) -> None:
    async with open_share_world(tmp_path) as world:
        rig = await world.join()
        job = await rig.job()
    async with open_share_world(tmp_path, shares_miners_part="0.2") as world:
        again = Rig(http=world.http, credential=rig.credential, miner_id=rig.miner_id)
        answer = await again.get("/work")
        assert (answer.status_code, answer.json()["reason"]) == (409, "TERMS_CHANGED")
        version = answer.json()["metadata"]["terms"]
        # What was searched under the terms of before is credited, and divided by them.
        assert await again.codes(*found_in(job, 1)) == ["ACCEPTED"]
        wrong = await again.post("/terms", json={"terms": "0" * 16})
        assert wrong.json()["reason"] == "TERMS_CHANGED"
        agreed = await again.post("/terms", json={"terms": version})
        assert (agreed.status_code, agreed.json()["terms"]) == (200, version)
        await again.job()
        await world.next_block()
        await world.shares.harvested(100, 1000)
        row = await world.shares.store.block(100)
        assert row is not None
        assert row.pot == 100


async def test_a_database_of_another_chain_is_told(world: ShareWorld) -> None:
    other = block_of(100, farmers=1, chain="another one")
    with pytest.raises(OtherChainError, match="another chain"):
        await world.shares.open_block(other)
    # The block that is mined goes on.
    await (await world.join()).job()


async def test_nothing_is_credited_while_the_database_is_away(
    world: ShareWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await world.join()
    shares = found_in(await rig.job(), 2)
    store = world.shares.store

    async def fail(*_: object) -> Any:
        raise UnavailableError("away", reason="DATABASE_UNAVAILABLE", retry_after=1.0)

    with monkeypatch.context() as patch:
        patch.setattr(store, "credit", fail)
        answer = await rig.post("/submit", json={"shares": shares})
        assert (answer.status_code, answer.json()["reason"]) == (503, "DATABASE_UNAVAILABLE")
        assert answer.headers["retry-after"] == "1"
        assert (await rig.get("/stats")).json()["block"]["points"] == "0"
    assert await rig.codes(*shares) == ["ACCEPTED", "ACCEPTED"]


async def test_the_farmers_that_have_what_counts_are_nobodys_work(tmp_path: Path) -> None:
    async with open_share_world(tmp_path, farmers=1) as world:
        rig = await world.join()
        world.block.cap = 1
        await world.shares.open_block(world.block)
        await rig.submit(*found_in(await rig.job(), 1))
        answer = await rig.get("/work")
        assert (answer.status_code, answer.json()["reason"]) == (409, "PAUSED")


async def test_what_is_credited_is_told_also_when_there_is_no_more_work(tmp_path: Path) -> None:
    async with open_share_world(tmp_path, farmers=1) as world:
        world.block.cap = 1
        await world.shares.open_block(world.block)
        rig = await world.join()
        job = (await rig.get("/work", params={"rate": 1})).json()["jobs"][0]
        answer = await rig.post("/submit", json={"shares": found_in(job, 80)})
        # The flood has raised the difficulty, and the only farmer has what counts.
        assert (answer.status_code, answer.json()["jobs"]) == (200, [])
        assert answer.json()["accepted"] == 80
        assert (await rig.get("/work")).json()["reason"] == "PAUSED"


async def test_an_older_block_changes_nothing(world: ShareWorld) -> None:
    rig = await world.join()
    await world.shares.open_block(block_of(99, farmers=9))
    assert (await rig.job())["block"] == 100


async def test_bans_have_an_end_and_a_reason(world: ShareWorld) -> None:
    rig, other = await world.join(), await world.join()
    miner = await world.shares.accounts.of_credential(rig.credential)
    await world.shares.ban(miner, seconds=60, why="sells our jobs")
    answer = await rig.get("/work")
    assert (answer.status_code, answer.json()["reason"]) == (403, "BANNED")
    assert answer.json()["metadata"] == {
        "until": "2026-01-31T12:01:00Z",
        "why": "sells our jobs",
    }
    assert (await rig.get("/stats")).status_code == 200
    await other.job()
    world.clock.now += 61
    await rig.job()


async def test_shares_that_are_none_end_in_a_ban_and_the_honest_are_spared(
    tmp_path: Path,
) -> None:
    async with open_share_world(tmp_path, shares_faults=50) as world:
        honest, liar = await world.join(), await world.join()
        job = await liar.job()
        shares = [{"job": job["job"], "nonce": "1"}] * 49
        assert await liar.codes(*shares) == ["OUT_OF_RANGE"] * 49
        await liar.submit({"job": "x", "nonce": "1"})
        answer = await liar.get("/work")
        assert answer.json()["reason"] == "BANNED"
        assert "50 shares within 300 s were none" in answer.json()["detail"]
        assert await honest.codes(*found_in(await honest.job(), 1)) == ["ACCEPTED"]


async def test_who_withholds_good_nonces_is_banned(tmp_path: Path) -> None:
    async with open_share_world(tmp_path, shares_most_per_block=100_000) as world:
        rig = await world.join()
        job = await rig.job(difficulty=1)
        shares = []
        for nonce in nonces_of(job):
            digest = work_hash(
                index=100,
                nonce=nonce,
                entropy=bytes.fromhex(job["entropy"]),
                farmer_key=bytes.fromhex(job["farmerKey"]),
            )
            if leading_zeros(digest) == 0:
                shares.append({"job": job["job"], "nonce": str(nonce)})
            if len(shares) == 320:
                break
        await rig.submit(*shares)
        answer = await rig.get("/work")
        assert answer.json()["reason"] == "BANNED"
        assert (
            "nonces are withheld: of 320 shares with 0 zeros or more only 0"
            in (answer.json()["detail"])
        )
        assert answer.json()["metadata"]["until"] == "2026-02-01T12:00:00Z"


async def test_a_miner_has_only_so_many_workers_and_requests(tmp_path: Path) -> None:
    async with open_share_world(tmp_path, shares_max_workers=2, shares_rate_limit=5) as world:
        rig = await world.join()
        codes = [(await rig.get("/work", params={"worker": name})).status_code for name in "abcab"]
        assert codes == [200, 200, 429, 200, 200]
        answer = await rig.get("/work")
        assert (answer.status_code, answer.json()["reason"]) == (429, "LIMITED")
        assert int(answer.headers["retry-after"]) >= 1
        assert (await rig.get("/stats")).status_code == 200


async def test_there_are_only_so_many_miners(tmp_path: Path) -> None:
    async with open_share_world(tmp_path, shares_max_miners=1) as world:
        await world.join()
        body = {"address": ADDRESS, "terms": world.shares.accounts.terms.version}
        answer = await world.http.post("/join", json=body)
        assert (answer.status_code, answer.json()["reason"]) == (429, "LIMITED")


async def test_a_worker_that_was_not_heard_of_for_long_is_told_as_such(world: ShareWorld) -> None:
    rig = await world.join()
    await rig.submit(*found_in(await rig.job("a"), 1))
    await rig.job("b")
    world.clock.now += 8000
    await rig.job("b")
    for worker in world.shares.workers.forget_idle(world.clock.now):
        assert worker.row.name == "a"
    workers = {one["worker"]: one for one in (await rig.get("/stats")).json()["workers"]}
    assert workers["a"] == {"worker": "a", "isThere": False}
    assert workers["b"]["isThere"]
    # It comes back with what it did before, once its block is closed.
    await world.next_block()
    await rig.job("a")
    again = (await rig.get("/stats")).json()["workers"][0]
    assert again["rates"]["24h"]["shares"] == 1


async def test_a_ban_that_a_command_sets_counts_within_a_round(world: ShareWorld) -> None:
    rig = await world.join()
    until = int((world.clock.now + 100) * 1000)
    shares = world.shares
    await shares.store.ban(MinerId(UUID(rig.miner_id)), until=until, why="by hand")
    (banned,) = await shares.accounts.refresh_bans(world.clock.now)
    assert banned.ban_reason == "by hand"
    assert (await rig.get("/work")).json()["reason"] == "BANNED"
    await shares.store.ban(MinerId(UUID(rig.miner_id)), until=0, why="")
    assert await shares.accounts.refresh_bans(world.clock.now) == []
    await rig.job()


async def test_the_reference_is_served(world: ShareWorld) -> None:
    page = await world.http.get("/docs")
    assert page.status_code == 200
    assert 'curl -H "Authorization: Bearer $CREDENTIAL" "$POOL/stats"' in page.text.replace(
        "&#34;", '"'
    )
    assert (await world.http.get("/openapi.json")).json()["openapi"] == "3.1.0"
    assert (await world.http.get("/")).json()["reason"] == "NO_SUCH_PATH"
    assert (await world.http.put("/work")).headers["allow"] == "GET"


async def test_before_a_block_is_taken_up_shares_are_brought_again(tmp_path: Path) -> None:
    async with open_share_world(tmp_path) as world:
        rig = await world.join()
        shares = found_in(await rig.job(), 1)
        world.shares.rounds = Rounds()
        answer = await rig.post("/submit", json={"shares": shares})
        assert (answer.status_code, answer.json()["reason"]) == (409, "PAUSED")
        assert answer.headers["retry-after"] == "1"
        await world.shares.open_block(world.block)
        assert await rig.codes(*shares) == ["ACCEPTED"]


async def test_who_tries_credentials_keeps_nobody_out_who_is_in(tmp_path: Path) -> None:
    async with open_share_world(tmp_path, shares_wrong_credential_limit=3) as world:
        before = await world.join()
        wrong = Rig(http=world.http, credential="km_" + "x" * 43, miner_id="")
        statuses = [(await wrong.get("/stats")).status_code for _ in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        after = await world.join()
        assert [(await rig.get("/stats")).status_code for rig in (before, after)] == [200, 200]
