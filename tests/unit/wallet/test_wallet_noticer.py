"""What a wallet process reports: a treasury that runs low, and nodes that were set aside."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.wallet.chain import EndpointState
from services.wallet.domain.chain_facts import AccountState
from services.wallet.engine import noticer
from services.wallet.engine.noticer import Noticer
from services.wallet.store.notices import Condition
from tests.support.clock import FakeClock


class World:
    """A noticer over stand-ins."""

    def __init__(self) -> None:
        self.reports: list[tuple[Sequence[Condition], Sequence[str]]] = []
        self.addresses = self.forgotten = 0
        #: Old notices.
        self.old = 0
        self.accounts = SimpleNamespace(
            treasury_state=AccountState(address="GT", exists=True, xlm=70), is_treasury_low=False
        )
        self.endpoints = [
            SimpleNamespace(host="one", state=EndpointState.HEALTHY, reason=""),
            SimpleNamespace(host="one", state=EndpointState.AWAY, reason="silent"),
        ]
        chain = SimpleNamespace(endpoints=lambda: self.endpoints)
        self.noticer = Noticer(
            cast("Any", self), cast("Any", chain), cast("Any", self.accounts), treasury_low=100
        )

    async def report(self, conditions: Sequence[Condition], *, unknown: Sequence[str]) -> None:
        self.reports.append((conditions, unknown))

    async def tell_effective_addresses(self) -> None:
        self.addresses += 1

    async def forget(self) -> int:
        self.forgotten += 1
        return self.old


async def test_nothing_is_reported_while_all_is_well() -> None:
    world = World()
    for _ in range(3):
        await world.noticer.step()
    assert world.reports == [([], [])] * 3
    # Looked for each time, forgotten once an hour.
    assert (world.addresses, world.forgotten) == (3, 1)


async def test_a_low_treasury_and_nodes_of_one_host_are_reported_apart() -> None:
    world = World()
    world.accounts.is_treasury_low = True
    for endpoint in world.endpoints:
        endpoint.state, endpoint.reason = EndpointState.SET_ASIDE, "lies"
    await world.noticer.step()
    ((conditions, unknown),) = world.reports
    assert list(conditions) == [
        Condition(
            name="treasury",
            kind="treasury",
            facts={"address": "GT", "xlmStroops": "70", "lowStroops": "100"},
        ),
        Condition(name="node 0 one", kind="node", facts={"host": "one", "reason": "lies"}),
        Condition(name="node 1 one", kind="node", facts={"host": "one", "reason": "lies"}),
    ]
    assert unknown == []


async def test_a_treasury_that_was_not_read_yet_is_neither_low_nor_restored() -> None:
    world = World()
    world.accounts.treasury_state = None
    await world.noticer.step()
    assert world.reports == [([], ["treasury"])]


async def test_what_is_old_is_forgotten_once_an_hour_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    world, clock = World(), FakeClock()
    monkeypatch.setattr(noticer, "time", clock)
    for seconds, count in ((50.0, 1), (3649.0, 1), (3650.0, 2), (7249.0, 2), (7250.0, 3)):
        clock.seconds = seconds
        await world.noticer.step()
        assert world.forgotten == count
    assert "notices forgotten" not in "".join(capfd.readouterr())
    world.old, clock.seconds = 7, 99_999.0
    await world.noticer.step()
    told = "".join(capfd.readouterr())
    assert "notices forgotten" in told
    assert "count=7" in told


async def test_what_a_node_says_of_itself_is_cut() -> None:
    world = World()
    world.endpoints = [
        SimpleNamespace(host="h" * 300, state=EndpointState.SET_ASIDE, reason="r" * 1100)
    ]
    await world.noticer.step()
    (((condition,), _),) = world.reports
    assert condition.facts == {"host": "h" * 255, "reason": "r" * 1000}
    assert condition.name == f"node 0 {'h' * 255}"


async def test_a_treasury_that_has_enough_is_not_reported_though_its_state_is_known() -> None:
    world = World()
    world.accounts.treasury_state = None
    world.accounts.is_treasury_low = True
    await world.noticer.step()
    assert world.reports == [([], ["treasury"])]
