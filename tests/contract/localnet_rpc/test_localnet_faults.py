"""Misbehaviour on demand: through POST /faults, as a fault test in another process uses it."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from stellar_sdk import Asset, Keypair
from stellar_sdk.operation import Payment

from localnet.app import RunningLocalnet, open_localnet
from localnet.config import LocalnetSettings
from tests.support.localnet_chain import Chain

pytestmark = pytest.mark.faults


class Client:
    """A localnet whose ledgers close when told, and an HTTP client of it."""

    def __init__(self, running: RunningLocalnet, http: aiohttp.ClientSession) -> None:
        self.running = running
        self.http = http
        self.chain = Chain(node=running.node)

    async def faults(self, status: int = 200, **body: Any) -> dict[str, Any]:
        async with self.http.post(f"{self.running.url}/faults", json=body) as answer:
            assert answer.status == status
            parsed: dict[str, Any] = await answer.json()
            return parsed

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self.http.post(self.running.url, json=body) as answer:
            answer.raise_for_status()
            parsed: dict[str, Any] = await answer.json()
            result: dict[str, Any] = parsed["result"]
            return result

    def payment(self, source: Keypair) -> Any:
        root = self.chain.network.root.public_key
        return self.chain.build(source, [Payment(root, Asset.native(), "1")])

    async def send(self, envelope: Any) -> str:
        return str((await self.call("sendTransaction", transaction=envelope.to_xdr()))["status"])

    async def status(self, envelope: Any) -> str:
        return str((await self.call("getTransaction", hash=envelope.hash_hex()))["status"])


@pytest.fixture(params=["transaction-first"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    settings = LocalnetSettings(port=0, lookup_order=request.param)
    async with open_localnet(settings, timer=False) as running, aiohttp.ClientSession() as http:
        yield Client(running, http)


@pytest.fixture
async def farmer(client: Client) -> Keypair:
    keypair = Keypair.random()
    client.chain.fund(keypair)
    return keypair


async def test_delays(client: Client) -> None:
    await client.faults(delays={"getHealth": 1.0})
    start = time.monotonic()
    delayed = asyncio.create_task(client.call("getHealth"))
    await client.call("getLatestLedger")
    assert not delayed.done()
    await delayed
    assert time.monotonic() - start >= 1.0


async def test_failures_are_counted(client: Client) -> None:
    await client.faults(failures={"getHealth": 2})
    for _ in range(2):
        with pytest.raises(aiohttp.ClientResponseError, match="503"):
            await client.call("getHealth")
    assert (await client.call("getHealth"))["status"] == "healthy"


async def test_older_answers_are_given_again(client: Client) -> None:
    await client.faults(repeats={"getLatestLedger": 2})
    first = (await client.call("getLatestLedger"))["sequence"]
    client.chain.close()
    again = [(await client.call("getLatestLedger"))["sequence"] for _ in range(3)]
    assert again == [first, first, first + 1]
    # Another call has no older answer.
    await client.faults(repeats={"*": 5})
    assert (await client.call("getHealth"))["latestLedger"] == first + 1


async def test_calls_of_other_methods_do_not_end_a_repetition(client: Client) -> None:
    await client.faults(repeats={"getLatestLedger": 5})
    first = (await client.call("getLatestLedger"))["sequence"]
    client.chain.close()
    await client.call("getHealth")
    assert (await client.call("getLatestLedger"))["sequence"] == first
    # What was given before it was told so (again) is no older answer.
    await client.faults(repeats={"getLatestLedger": 5})
    assert (await client.call("getLatestLedger"))["sequence"] == first + 1
    await client.faults(reset=True)
    await client.faults(repeats={"getLatestLedger": 5})
    client.chain.close()
    assert (await client.call("getLatestLedger"))["sequence"] == first + 2


async def test_each_fault_counts_what_it_has_done(client: Client, farmer: Keypair) -> None:
    """A fault that was set and met nothing has not happened."""
    envelope = client.payment(farmer)
    unmet: dict[str, Any] = {
        "delays": {"getNetwork": 0.01},
        "failures": {"getNetwork": 1},
        "drops": {"getNetwork": 1},
        "repeats": {"getNetwork": 1},
        "read_gap": 0.01,
        "try_again_later": 1,
        "skip_ledgers": 2,
    }
    assert not any((await client.faults(**unmet, stale=True))["used"].values())
    client.running.close_ledger()  # nothing is pending
    assert set((await client.faults())["used"].items()) <= {(name, 0) for name in (*unmet, "stale")}
    await client.call("getHealth")  # a ledger behind
    for refused in range(2):
        with pytest.raises(aiohttp.ClientError):
            await client.call("getNetwork")
        assert (await client.faults())["used"]["failures"] == 1, refused
    await client.call("getNetwork")
    await client.call("getNetwork")
    await client.send(envelope)
    await client.send(envelope)
    client.running.close_ledger()
    await client.status(envelope)
    used = (await client.faults(jitter=0.01))["used"]
    assert all(used[name] for name in (*unmet, "stale")), used
    assert used["jitter"] == 0
    await client.call("getHealth")
    assert (await client.faults())["used"]["jitter"] == 1
    assert (await client.faults(reset=True))["used"] == {}


async def test_answers_overtake_each_other(client: Client) -> None:
    await client.faults(jitter=0.2)
    order: list[int] = []

    async def ask(number: int) -> None:
        await client.call("getLatestLedger")
        order.append(number)

    await asyncio.gather(*(ask(number) for number in range(12)))
    assert sorted(order) == list(range(12))
    assert order != list(range(12))


async def test_an_answer_lost_after_acceptance(client: Client, farmer: Keypair) -> None:
    await client.faults(drops={"sendTransaction": 1})
    envelope = client.payment(farmer)
    with pytest.raises(aiohttp.ClientError):
        await client.send(envelope)
    assert await client.send(envelope) == "DUPLICATE"
    client.chain.close()
    assert await client.status(envelope) == "SUCCESS"


async def test_a_storm_of_try_again_later(client: Client, farmer: Keypair) -> None:
    await client.faults(try_again_later=2)
    envelope = client.payment(farmer)
    statuses = [await client.send(envelope) for _ in range(3)]
    assert statuses == ["TRY_AGAIN_LATER", "TRY_AGAIN_LATER", "PENDING"]


async def test_ledgers_that_skip_what_is_pending(client: Client, farmer: Keypair) -> None:
    await client.faults(skip_ledgers=1)
    envelope = client.payment(farmer)
    assert await client.send(envelope) == "PENDING"
    client.running.close_ledger()
    assert await client.status(envelope) == "NOT_FOUND"
    client.running.close_ledger()
    assert await client.status(envelope) == "SUCCESS"


async def test_a_stale_replica_says_that_it_is_healthy(client: Client, farmer: Keypair) -> None:
    before = (await client.call("getLatestLedger"))["sequence"]
    await client.faults(stale=True)
    envelope = client.payment(farmer)
    assert await client.send(envelope) == "PENDING"
    client.chain.close()
    health = await client.call("getHealth")
    assert (health["status"], health["latestLedger"]) == ("healthy", before)
    assert await client.status(envelope) == "NOT_FOUND"
    await client.faults(stale=False)
    assert await client.status(envelope) == "SUCCESS"


async def test_history_can_be_lost(client: Client, farmer: Keypair) -> None:
    envelope = client.payment(farmer)
    await client.send(envelope)
    client.chain.close()
    client.chain.close()
    latest = (await client.call("getHealth"))["latestLedger"]
    await client.faults(forget_before=latest)
    assert (await client.call("getHealth"))["oldestLedger"] == latest
    assert await client.status(envelope) == "NOT_FOUND"


@pytest.mark.parametrize("client", ["transaction-first", "range-first"], indirect=True)
async def test_not_found_with_a_ledger_that_holds_it(client: Client, farmer: Keypair) -> None:
    """With the transaction read first, NOT_FOUND can name a latestLedger that has it."""
    await client.faults(read_gap=0.2)
    envelope = client.payment(farmer)
    await client.send(envelope)
    asked = asyncio.create_task(client.call("getTransaction", hash=envelope.hash_hex()))
    await asyncio.sleep(0.1)
    applied = client.chain.close().sequence
    answer = await asked
    if client.running.rpc.settings.lookup_order == "transaction-first":
        assert (answer["status"], answer["latestLedger"]) == ("NOT_FOUND", applied)
    else:
        assert (answer["status"], answer["latestLedger"]) == ("SUCCESS", applied - 1)


async def test_reset_and_wrong_bodies(client: Client) -> None:
    shown = await client.faults(failures={"*": 5}, skip_ledgers=3)
    assert (shown["failures"], shown["skip_ledgers"]) == ({"*": 5}, 3)
    assert (await client.faults(reset=True))["failures"] == {}
    assert "unknown faults" in (await client.faults(status=400, nonsense=1))["error"]
    assert "at least 0" in (await client.faults(status=400, skip_ledgers=-1))["error"]


async def test_friendbot_and_faucet_refuse_politely(client: Client, farmer: Keypair) -> None:
    """HTTP 400 with a problem in the shape of Horizon's, as SDKs expect it."""
    url, address = client.running.url, farmer.public_key
    for query, text in (
        (f"friendbot?addr={address}", "createAccountAlreadyExist"),
        ("friendbot?addr=nobody", "must be an account"),
        (f"kale?addr={address}&amount=5", "no trustline"),
        (f"kale?addr={address}&amount=-5", "number of stroops"),
    ):
        async with client.http.get(f"{url}/{query}") as answer:
            assert answer.status == 400
            problem = await answer.json()
        assert problem["status"] == 400
        assert text in problem["detail"]
