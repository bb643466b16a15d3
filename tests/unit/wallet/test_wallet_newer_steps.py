"""Whatever a newer network answers, no step of the engine ends in an error that it cannot take."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stellar_sdk import StrKey
from structlog.testing import capture_logs

from libs.common.clock import SystemClock
from libs.common.errors import UnavailableError
from services.wallet.chain import Chain, NetworkMismatchError, network_for
from services.wallet.chain.node.rpc import Rpc
from services.wallet.chain.node.transport import Transport
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.heights import Heights
from services.wallet.domain.model import (
    Block,
    Closing,
    OpenTransaction,
    OperationKind,
    TransactionId,
)
from services.wallet.domain.packing import CAUTIOUS
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.follower import Follower
from services.wallet.engine.in_flight import InFlight
from services.wallet.engine.settle.tracker import Tracker
from services.wallet.engine.wakeup import Wakeup, Wakeups
from tests.support.newer_network import CHANGES, Change
from tests.support.settling import FakeFollower, FakeNumbers, FakeTemplateBook, carried, in_flight

T = TypeVar("T")

RECORDINGS = Path(__file__).parents[2] / "vectors" / "recordings"
FARM = "CC2V3ZQ3FIBPRT5D5SL7NBH6JLLK3YENWIKN6GGMXEA2BKKA7V5HSID3"
ASSET = "KALE:GDGB2JPCR246BTXHU7MV7EAMS66HRD2C32XUJR3GLI27X3ZFNVHODQRY"
PASSPHRASE = "Standalone Network ; February 2017"
#: The newest ledger of all answers, the ledger that has all transactions, and the time.
LEDGER, USED, NOW = 130, 129, 1_795_480_000
CALLS = {
    "get_tx_plant_success": OperationKind.PLANT,
    "get_tx_work_success": OperationKind.WORK,
    "get_tx_harvest_success": OperationKind.HARVEST,
    "get_tx_failed_pail_exists": OperationKind.PLANT,
    "get_tx_failed_resource_limit": OperationKind.PLANT,
}
ENTRIES = (
    "entries_account",
    "entries_trustline",
    "entries_pail_worked",
    "entries_block",
    "entries_contract_instance",
    "entries_config_settings",
)


def result_of(name: str) -> dict[str, Any]:
    body = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    found = body["response"]["result"]
    assert isinstance(found, dict)
    return found


def _entries() -> dict[str, Any]:
    found = {item["key"]: item for name in ENTRIES for item in result_of(name)["entries"]}
    for item in found.values():
        item["lastModifiedLedgerSeq"] = min(LEDGER, item["lastModifiedLedgerSeq"])
    return found


ITEMS = {name: result_of(name) | {"ledger": USED, "createdAt": str(NOW)} for name in CALLS}
STATE = _entries()
HEAD = {
    "latestLedger": LEDGER,
    "latestLedgerCloseTime": str(NOW),
    "latestLedgerCloseTimestamp": NOW,
    "oldestLedger": 7,
}
SOURCE = StrKey.encode_ed25519_public_key(
    b64decode(next(key for key, item in STATE.items() if key.startswith("AAAAAA")))[8:40]
)


def truth(method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What the recorded network answers."""
    if method == "getTransactions":
        return {**HEAD, "cursor": "", "transactions": list(ITEMS.values())}
    if method == "getTransaction":
        name = parameters["hash"]
        found = [item for item in ITEMS.values() if item["txHash"] == name]
        return {**(found[0] if found else result_of("get_tx_not_found")), **HEAD}
    if method == "getLedgerEntries":
        wanted = [STATE[key] for key in parameters["keys"] if key in STATE]
        return {"latestLedger": LEDGER, "entries": wanted}
    recorded = result_of(method)
    known = {name: value for name, value in HEAD.items() if name in recorded}
    return {**recorded, **known}


class Recorded(Transport):
    """A node that answers as one did, changed as a test asks for."""

    def __init__(self) -> None:
        nothing = cast(aiohttp.ClientSession, None)
        super().__init__((nothing, nothing), "http://node", "node", asyncio.Semaphore())
        self.change: Change = lambda method, result: result

    async def ask(
        self, method: str, body: bytes, read: Callable[[Any], T], *, is_list: bool = False
    ) -> T:
        """Answer like a node."""
        call = json.loads(body)
        told = self.change(method, deepcopy(truth(method, call.get("params", {}))))
        return read({"jsonrpc": "2.0", "id": call["id"], "result": told})


class Store:
    """Has open transactions, and keeps nothing of the chain."""

    def __init__(self, there: Sequence[OpenTransaction]) -> None:
        self.there = {item.id: item for item in there}
        self.closings: list[Closing] = []

    def is_genuine(self, transaction: OpenTransaction) -> bool:
        """As the store's."""
        return True

    async def overdue(self, **_: Any) -> dict[TransactionId, int]:
        """As the store's."""
        return {}

    async def open(self, ids: Collection[TransactionId]) -> list[OpenTransaction]:
        """As the store's."""
        return [self.there[item] for item in sorted(ids) if item in self.there]

    async def close(self, closings: Sequence[Closing], **_: Any) -> None:
        """As the store's."""
        self.closings += closings
        for closing in closings:
            del self.there[closing.transaction_id]

    async def grown(self, harvests: Sequence[object]) -> dict[object, object]:
        """As the store's."""
        return {}

    async def head(self) -> None:
        """As the store's of blocks."""

    async def newest_index(self) -> None:
        """As the store's of blocks."""

    async def save_head(self, head: object) -> bool:
        """As the store's of blocks."""
        return True

    async def save_block(self, block: Block, *, updated_ledger: int) -> int:
        """As the store's of blocks."""
        return updated_ledger


class Steps:
    """A tracker and a follower over a node that answers as one did."""

    def __init__(self, *, max_time: int = NOW + 30) -> None:
        self.node = Recorded()
        rpc = Rpc(self.node, "node", passphrase=PASSPHRASE, seen=Heights(1))
        network = network_for("localnet", passphrase=PASSPHRASE, farm=FARM, asset=ASSET)
        self.chain = Chain(network, rpc)
        self.rpc = rpc
        self.store = Store([_open(name, kind, max_time) for name, kind in CALLS.items()])
        in_flight_now, self.wakeups = InFlight(), Wakeups(changes=Wakeup(), settled=Wakeup())
        in_flight_now.follow(self.store.there, USED - 1)
        current = SimpleNamespace(ledger=SimpleNamespace(sequence=LEDGER, oldest=7))
        self.tracker = Tracker(
            chain=self.chain,
            transactions=cast(Any, self.store),
            follower=cast(Any, FakeFollower()),
            chain_view=cast(Any, SimpleNamespace(newest=object(), current=current)),
            accounts=cast(Any, SimpleNamespace(touch=list)),
            sender=cast(Any, SimpleNamespace(send=self._send)),
            in_flight=in_flight_now,
            templates=cast(Any, FakeTemplateBook()),
            numbers=cast(Any, FakeNumbers()),
            limits=OperatorLimits(lifetime=30, max_fee=700, parallel=2),
            wakeups=self.wakeups,
        )
        self.view = ChainView(SystemClock(), Wakeup())
        turning = SimpleNamespace(forget=lambda: None)
        self.follower = Follower(
            self.chain, cast(Any, self.store), self.view, cast(Any, turning), block_seconds=300
        )

    async def _send(self, outgoing: Sequence[object], *, ledger: int) -> None:
        assert ledger == LEDGER

    async def take(self, step: Callable[[], Any]) -> Exception | None:
        """Take a step; return the error that the loop waits for to be over, if there is one."""
        try:
            await step()
        except (UnavailableError, NetworkMismatchError) as error:
            return error
        return None


def _open(name: str, kind: OperationKind, max_time: int) -> OpenTransaction:
    values = vars(in_flight(carried(kind), max_time=max_time)) | {
        "hash": ITEMS[name]["txHash"],
        "lookup_hash": ITEMS[name]["txHash"],
        "source": SOURCE,
        "fee_bid": 10**6,
    }
    operations = tuple(
        type(item)(**(vars(item) | {"address": SOURCE})) for item in values.pop("operations")
    )
    return OpenTransaction(**values, operations=operations)


async def test_what_was_recorded_settles_by_results() -> None:
    steps = Steps()
    assert await steps.take(steps.tracker.step) is None
    assert len(steps.store.closings) == len(CALLS)
    assert await steps.take(steps.follower.refresh) is None
    assert steps.view.current.limits != CAUTIOUS
    assert steps.chain.warnings == []


@pytest.mark.parametrize("change", CHANGES)
async def test_what_is_newer_settles_in_the_same_step(change: str) -> None:
    steps = Steps()
    steps.node.change = CHANGES[change]
    assert await steps.take(steps.tracker.step) is None
    assert len(steps.store.closings) == len(CALLS)
    assert await steps.take(steps.follower.refresh) is None
    assert steps.rpc.health.failures == 0
    is_low = change in {"limits", "everything"}
    assert (steps.view.current.limits == CAUTIOUS) is is_low


# Anything at all -------------------------------------------------------------------------------

METHODS = ("getTransaction", "getTransactions", "getLedgerEntries", "getFeeStats", "getNetwork")


def places(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """All places in an answer."""
    pairs = enumerate(value) if isinstance(value, list) else ()
    for name, item in value.items() if isinstance(value, dict) else pairs:
        yield (*at, name)
        yield from places(item, (*at, name))


def changed(answer: Any, pick: int, how: str, number: int) -> Any:
    """Change one place of an answer: a field that is gone, or new, or a word of XDR."""
    found = sorted(places(answer), key=str)
    *above, last = found[pick % len(found)]
    parent = answer
    for name in above:
        parent = parent[name]
    old = parent[last]
    if how == "word" and isinstance(old, str) and len(old) >= 8:
        try:
            data = bytearray(b64decode(old, validate=True))
        except ValueError:
            return answer
        at = 4 * (number % max(1, len(data) // 4))
        data[at : at + 4] = (number % 200).to_bytes(4)
        parent[last] = b64encode(data).decode()
    elif how == "gone":
        del parent[last]
    elif how == "renamed" and isinstance(parent, dict):
        parent[f"{last}V2"] = parent.pop(last)
    elif how == "null":
        parent[last] = None
    else:
        parent[last] = {"V2": old}
    return answer


CHANGE = st.tuples(
    st.sampled_from(METHODS),
    st.integers(0, 10**6),
    st.sampled_from(["word", "word", "word", "gone", "renamed", "null", "nested"]),
    st.integers(0, 10**6),
)


@settings(max_examples=150)
@given(changes=st.lists(CHANGE, min_size=1, max_size=3), is_past=st.booleans())
def test_no_step_ends_in_an_error_whatever_is_answered(
    changes: list[tuple[str, int, str, int]], is_past: bool
) -> None:
    def change(method: str, result: dict[str, Any]) -> dict[str, Any]:
        for asked, pick, how, number in changes:
            if asked == method and result:
                result = changed(result, pick, how, number)
        return result

    async def run() -> None:
        steps = Steps(max_time=NOW - 100 if is_past else NOW + 30)
        steps.node.change = change
        with capture_logs() as logs:
            for _ in range(2):
                await steps.take(steps.tracker.step)
                await steps.take(steps.follower.refresh)
        assert [item for item in logs if item["event"] == "defect"] == []
        # Once answers are understood again, all is settled and seen: nothing was lost meanwhile.
        steps.node.change = lambda method, result: result
        closed = len(steps.store.closings)
        assert await steps.take(steps.tracker.step) is None
        assert closed <= len(steps.store.closings) <= len(CALLS)

    asyncio.run(run())
