"""Transactions that wallet did not write: not sent, not raised, and told of once each."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.wallet.domain.model import OpenTransaction, TransactionId
from services.wallet.engine.settle import forged as module
from services.wallet.engine.settle.forged import ForgedTransactions
from tests.support.settling import carried, in_flight


class World:
    """The judge over stand-ins."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.forged: set[TransactionId] = set()
        self.bid: int | None = 1001
        self.counted: list[int] = []
        monkeypatch.setattr(module, "_found", SimpleNamespace(add=self.counted.append))
        chain = SimpleNamespace(bid_in=lambda *_, **__: self.bid)
        transactions = SimpleNamespace(is_genuine=lambda item: item.id not in self.forged)
        self.judge = ForgedTransactions(cast(Any, chain), cast(Any, transactions))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def transaction() -> OpenTransaction:
    return in_flight(carried())


def test_what_wallet_wrote_is_sent_by_its_own_bid(world: World) -> None:
    assert world.judge.bid_of(transaction()) == 1001
    assert world.judge.among([transaction()]) == set()
    assert world.counted == []


@pytest.mark.parametrize("is_row", [True, False])
def test_a_forged_row_or_envelope_is_told_of_once(
    is_row: bool, world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    item = transaction()
    world.forged, world.bid = ({item.id}, 1001) if is_row else (set(), None)
    for _ in range(3):
        assert world.judge.bid_of(item) is None
    told = "".join(capfd.readouterr())
    assert told.count("transaction not written by wallet") == 1
    assert str(item.id) in told
    assert world.counted == [1]


def test_of_several_the_forged_ones_are_named(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second, sound = (transaction() for _ in range(3))
    world.forged = {first.id, second.id}
    assert world.judge.among([first, sound, second]) == world.forged
    assert world.judge.among([first, sound, second]) == world.forged
    assert "".join(capfd.readouterr()).count("transaction not written by wallet") == 2
    assert world.counted == [1, 1]
