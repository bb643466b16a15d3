"""What is sent, bid and noted for a list of envelopes, whatever one of them meets."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.common.errors import PoolError
from libs.common.ids import new_id
from services.wallet.chain.errors import FeeCapExceededError, RpcUnavailableError
from services.wallet.chain.node.lists import LONGEST
from services.wallet.domain.chain_facts import SendResult, SendStatus
from services.wallet.domain.model import TransactionId
from services.wallet.domain.submission import ABOVE_CAP, UNKNOWN
from services.wallet.engine.in_flight import InFlight
from services.wallet.engine.sender import Outgoing, Sender
from services.wallet.keys.provider import KeyProviderError
from services.wallet.store.transactions import Noted

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
