"""What is sent, bid and noted for a list of envelopes, whatever one of them meets."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.common import failpoints
from libs.common.errors import PoolError
from libs.common.ids import new_id
from services.wallet.chain.errors import FeeCapExceededError, RpcUnavailableError
from services.wallet.chain.node.lists import LONGEST
from services.wallet.domain.chain_facts import SendResult, SendStatus
from services.wallet.domain.model import TransactionId
from services.wallet.domain.submission import ABOVE_CAP, UNKNOWN
from services.wallet.engine.alarms import Alarms
from services.wallet.engine.in_flight import InFlight
from services.wallet.engine.sender import Outgoing, Sender
from services.wallet.keys.provider import KeyProviderError
from services.wallet.store.transactions import Noted
from tests.support.clock import FakeClock

PENDING = SendResult(status=SendStatus.PENDING)
LOW = SendResult(status=SendStatus.ERROR, code="txINSUFFICIENT_FEE", required_fee=500)
AWAY = RpcUnavailableError("away")


class World:
    """A network, a database and signers that do as they are told."""

    def __init__(self) -> None:
        #: What the network says to an envelope, where it is not PENDING.
        self.says: dict[str, SendResult | PoolError] = {}
        #: Why the treasury's key does not open.
        self.broken: Exception | None = None
        #: Envelopes whose bid somebody else has raised.
        self.raised_elsewhere: set[str] = set()
        #: What was sent, list by list.
        self.lists: list[list[str]] = []
        self.noted: dict[TransactionId, Noted] = {}
        #: Envelopes that went to a second node, too.
        self.widely: list[str] = []
        #: Nodes in the settings.
        self.configured = 1
        self.network = None

    async def send(
        self, envelopes: Sequence[str], *, widely: bool = False
    ) -> list[SendResult | PoolError]:
        """As the chain's."""
        self.lists.append(list(envelopes))
        self.widely += list(envelopes) if widely else []
        return [self.says.get(envelope, PENDING) for envelope in envelopes]

    def replacing_bid(self, envelope: str, *, network: Any) -> int:
        """As the chain's."""
        return 1000

    def raise_bid(
        self, envelope: str, *, network: Any, treasury: Any, fee: int, max_fee: int
    ) -> Any:
        """As the chain's."""
        if fee > max_fee:
            raise FeeCapExceededError("above")
        return SimpleNamespace(xdr=f"{envelope} for {fee}")

    async def replace_envelope(self, transaction_id: TransactionId, old: str, new: Any) -> bool:
        """As the store's."""
        return old not in self.raised_elsewhere

    async def note_answers(self, noted: Sequence[Noted]) -> None:
        """As the store's."""
        self.noted |= {item.transaction_id: item for item in noted}

    @asynccontextmanager
    async def open(self, wallet_ids: Sequence[Any]) -> AsyncIterator[list[str]]:
        """As Signers."""
        if self.broken is not None:
            raise self.broken
        yield ["the treasury"]

    async def run(self, outgoing: Mapping[str, Outgoing]) -> dict[str, str]:
        """Sends; what was noted for each by the name of its envelope."""
        treasury = SimpleNamespace(wallet=SimpleNamespace(id=new_id()))
        world = cast("Any", self)
        in_flight = InFlight()
        sender = Sender(world, world, world, cast("Any", treasury), in_flight=in_flight)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("services.wallet.engine.sender.raise_bid", self.raise_bid)
            patched.setattr("services.wallet.engine.sender.replacing_bid", self.replacing_bid)
            await sender.send(list(outgoing.values()), ledger=70)
        assert in_flight.ids == set(self.noted) == {item.id for item in outgoing.values()}
        return {name: self.noted[item.id].text for name, item in outgoing.items()}


def outgoing(*names: str, stuck: Sequence[str] = (), max_fee: int = 5000) -> dict[str, Outgoing]:
    """Envelopes by their names."""
    return {
        name: Outgoing(
            id=TransactionId(new_id()), envelope=name, max_fee=max_fee, is_stuck=name in stuck
        )
        for name in names
    }


async def test_many_go_in_lists_and_all_are_noted() -> None:
    world, names = World(), [f"e{number}" for number in range(60)]
    world.says = {"e7": AWAY, "e8": SendResult(status=SendStatus.TRY_AGAIN_LATER)}
    noted = await world.run(outgoing(*names))
    assert sorted(map(len, world.lists)) == [60 - 2 * LONGEST, LONGEST, LONGEST]
    assert sorted(name for some in world.lists for name in some) == sorted(names)
    assert noted == dict.fromkeys(names, "PENDING") | {"e7": UNKNOWN.text, "e8": "TRY_AGAIN_LATER"}


async def test_what_is_refused_for_its_fee_bids_more_where_that_is_allowed() -> None:
    world = World()
    world.says = dict.fromkeys(("low", "capped", "elsewhere"), LOW)
    world.raised_elsewhere = {"elsewhere"}
    items = outgoing("fine", "low", "elsewhere") | outgoing("capped", max_fee=499)
    assert await world.run(items) == {
        "fine": "PENDING",
        "low": "PENDING",
        "elsewhere": "txINSUFFICIENT_FEE",
        "capped": ABOVE_CAP,
    }
    assert world.lists[1:] == [["low for 500"]]


async def test_what_is_stuck_is_replaced_and_goes_with_the_others() -> None:
    world = World()
    world.says = {"b for 1000": LOW}
    noted = await world.run(outgoing("a", "b", stuck="b") | outgoing("c", stuck="c", max_fee=999))
    # It is not raised twice; above its cap it goes as it is.
    assert world.lists == [["a", "b for 1000", "c"]]
    assert noted == {"a": "PENDING", "b": "txINSUFFICIENT_FEE", "c": "PENDING"}


@pytest.mark.parametrize("broken", [KeyProviderError("no"), AWAY])
async def test_a_treasury_whose_key_does_not_open_holds_up_nothing(broken: Exception) -> None:
    world = World()
    world.broken, world.says = broken, {"low": LOW}
    noted = await world.run(outgoing("fine", "stuck", "low", stuck=["stuck"]))
    assert world.lists == [["fine", "stuck", "low"]]
    assert noted == {"fine": "PENDING", "stuck": "PENDING", "low": "txINSUFFICIENT_FEE"}


@pytest.mark.parametrize(("configured", "after"), [(1, 3), (3, 2)])
async def test_what_a_node_may_have_thrown_away_goes_to_another(
    configured: int, after: int
) -> None:
    """Sooner where there is another one."""
    world = World()
    world.configured = configured
    first = outgoing("e1", "e2")
    await world.run(first)
    assert world.widely == []
    assert {item.resend_ledger for item in world.noted.values()} == {70 + after}
    world.noted.clear()
    await world.run({name: replace(item, is_repeat=True) for name, item in first.items()})
    assert world.widely == ["e1", "e2"]


def sender_of(world: World, **more: Any) -> Sender:
    """A sender over the world's stand-ins."""
    treasury = SimpleNamespace(wallet=SimpleNamespace(id=new_id()))
    it = cast("Any", world)
    return Sender(it, it, it, cast("Any", treasury), in_flight=InFlight(), **more)


@pytest.fixture
def bidding(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose bids are raised as it says."""
    world = World()
    monkeypatch.setattr("services.wallet.engine.sender.raise_bid", world.raise_bid)
    monkeypatch.setattr("services.wallet.engine.sender.replacing_bid", world.replacing_bid)
    return world


async def test_that_nodes_ask_for_more_than_the_cap_is_told_once_and_its_end_after_a_minute(
    bidding: World, capfd: pytest.CaptureFixture[str]
) -> None:
    clock, sender = FakeClock(), sender_of(bidding)
    sender._now = clock.monotonic
    clock.seconds = 500.0

    async def send(says: SendResult) -> str:
        bidding.says = {"e": says}
        await sender.send(list(outgoing("e", max_fee=100).values()), ledger=70)
        return "".join(capfd.readouterr())

    told = await send(LOW)
    assert "refused" in told
    assert "cause=MAX_FEE_STROOPS" in told
    assert "what=bids" in told
    assert "cause=MAX_FEE_STROOPS" not in await send(LOW)
    clock.seconds += 60.0
    assert "no longer refused" not in await send(PENDING)
    clock.seconds += 0.5
    assert "no longer refused" in await send(PENDING)
    assert "no longer refused" not in await send(PENDING)


async def test_alarms_of_others_are_the_same_alarms(bidding: World) -> None:
    alarms = Alarms()
    sender = sender_of(bidding, alarms=alarms)
    bidding.says = {"e": LOW}
    await sender.send(list(outgoing("e", max_fee=100).values()), ledger=70)
    assert alarms.message("bids") == "above"


async def test_drafts_that_were_committed_are_sent_under_their_caps(bidding: World) -> None:
    sender = sender_of(bidding)
    drafts = [
        cast("Any", SimpleNamespace(id=TransactionId(new_id()), envelope=SimpleNamespace(xdr=name)))
        for name in ("low", "capped")
    ]
    bidding.says = dict.fromkeys(("low", "capped"), LOW)
    caps = dict(zip((draft.id for draft in drafts), (5000, 499), strict=True))
    await sender.send_committed(drafts, ledger=70, cap=lambda draft: caps[draft.id])
    assert bidding.lists == [["low", "capped"], ["low for 500"]]
    assert [bidding.noted[draft.id].text for draft in drafts] == ["PENDING", ABOVE_CAP]
    bidding.lists.clear()
    await sender.send_committed([], ledger=70, cap=lambda draft: 0)
    await sender.send([], ledger=70)
    assert bidding.lists == []


@pytest.mark.parametrize("place", ["transaction.signed", "transaction.accepted", "bid.raised"])
async def test_a_process_may_die_between_commit_and_answer(bidding: World, place: str) -> None:
    sender = sender_of(bidding)
    bidding.says = {"e": LOW}
    draft = SimpleNamespace(id=TransactionId(new_id()), envelope=SimpleNamespace(xdr="e"))
    failpoints.arm(f"wallet.{place}=raise")
    try:
        with pytest.raises(failpoints.FailpointError):
            await sender.send_committed([cast("Any", draft)], ledger=70, cap=lambda _: 5000)
    finally:
        failpoints.arm("")
    assert bidding.noted == {}
    assert len(bidding.lists) == {"transaction.signed": 0, "transaction.accepted": 2}.get(place, 1)


async def test_where_nobody_answers_every_envelope_may_have_been_taken(bidding: World) -> None:
    async def send(envelopes: Sequence[str], *, widely: bool = False) -> Any:
        raise AWAY

    bidding.send = send  # type: ignore[method-assign]
    assert await bidding.run(outgoing("a", "b")) == {"a": UNKNOWN.text, "b": UNKNOWN.text}
    assert {item.resend_ledger for item in bidding.noted.values()} == {71}


@pytest.mark.parametrize("configured", [1, 2])
async def test_what_a_person_has_to_see_is_told(
    bidding: World, configured: int, capfd: pytest.CaptureFixture[str]
) -> None:
    bidding.configured = configured
    bidding.says = {"e": SendResult(status=SendStatus.ERROR, code="txBAD_AUTH")}
    assert await bidding.run(outgoing("e", "fine")) == {"e": "txBAD_AUTH", "fine": "PENDING"}
    assert "".join(capfd.readouterr()).count("envelope refused") == 1
    # The sooner one counts: a node may throw away what it took.
    ledgers = {item.text: item.resend_ledger for item in bidding.noted.values()}
    assert ledgers == dict.fromkeys(("txBAD_AUTH", "PENDING"), 73 if configured == 1 else 72)


async def test_four_lists_are_on_their_way_at_the_same_time(bidding: World) -> None:
    running = most = 0

    async def send(envelopes: Sequence[str], *, widely: bool = False) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(3):
            await asyncio.sleep(0)
        running -= 1
        return [PENDING] * len(envelopes)

    bidding.send = send  # type: ignore[method-assign]
    await bidding.run(outgoing(*(f"e{number}" for number in range(6 * LONGEST))))
    assert most == 4


async def test_one_repeat_in_a_list_sends_all_of_it_widely(bidding: World) -> None:
    items = outgoing("a", "b")
    items["b"] = replace(items["b"], is_repeat=True)
    await bidding.run(items)
    assert bidding.widely == ["a", "b"]
    assert not items["a"].is_stuck
    assert not items["a"].is_repeat
