"""Orders that wallet did not write end before anything is signed for them, and each is told."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.wallet.domain.model import (
    FailureReason,
    OperationEvent,
    OperationKind,
    Settlement,
)
from services.wallet.engine import forgeries as module
from services.wallet.engine.forgeries import Forgeries
from tests.support.signing import operation


class World:
    """The sieve over a store that keeps what ended."""

    def __init__(self) -> None:
        self.settled: list[Settlement] = []
        self.calls = 0
        self.forgeries = Forgeries(cast(Any, self))

    async def settle_queued(self, settlements: Sequence[Settlement]) -> int:
        """As the store's."""
        self.calls += 1
        self.settled += settlements
        return len(settlements)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, dict[str, str]]]:
    """What the metric is told."""
    found: list[tuple[int, dict[str, str]]] = []

    def add(value: int, labels: dict[str, str]) -> None:
        found.append((value, labels))

    monkeypatch.setattr(module, "_found", SimpleNamespace(add=add))
    return found


async def test_forged_orders_end_and_the_others_go_on(
    counted: list[tuple[int, dict[str, str]]], capfd: pytest.CaptureFixture[str]
) -> None:
    world = World()
    fine = operation(OperationKind.PLANT)
    forged = [
        replace(operation(kind, amount=7), is_genuine=False)
        for kind in (OperationKind.PLANT, OperationKind.HARVEST)
    ]
    assert world.forgeries.found == 0
    assert await world.forgeries.sift([forged[0], fine, forged[1]]) == [fine]
    assert [item.operation_id for item in world.settled] == [item.id for item in forged]
    for settled in world.settled:
        assert (settled.event, settled.reason) == (OperationEvent.FAIL, FailureReason.TAMPERED)
        assert settled.message == module.TAMPERED
    assert (world.forgeries.found, world.calls) == (2, 1)
    assert counted == [(1, {"kind": "plant"}), (1, {"kind": "harvest"})]
    told = "".join(capfd.readouterr())
    assert told.count("order not written by wallet") == 2
    for item in forged:
        assert f"operation={item.id}" in told
        assert f"wallet={item.wallet_id}" in told
    assert "amount=7" in told


async def test_where_nothing_is_forged_nothing_ends(
    counted: list[tuple[int, dict[str, str]]], capfd: pytest.CaptureFixture[str]
) -> None:
    world, items = World(), [operation(), operation()]
    assert await world.forgeries.sift(items) == items
    assert (world.calls, world.forgeries.found, counted) == (0, 0, [])
    assert "order not written" not in "".join(capfd.readouterr())
