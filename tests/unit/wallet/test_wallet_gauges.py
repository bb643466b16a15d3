"""Gauges for operators: what each shows, and the warning that the treasury runs low."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.wallet.chain import EndpointState
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.rent import Entry, Rule
from services.wallet.engine import gauges
from services.wallet.engine.gauges import Gauges

Shown = dict[tuple[Any, ...], float]
NAMES = (
    "_ledger",
    "_treasury",
    "_treasury_low",
    "_channels",
    "_payers",
    "_queued",
    "_open",
    "_endpoints",
    "_lives",
    "_rent_spent",
    "_rent_holds",
    "_states",
    "_contradictions",
)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """The gauges' values, by the gauge's name and its labels."""
    values: Shown = {}

    def recorder(name: str) -> Any:
        def put(value: float, labels: dict[str, Any] | None = None) -> None:
            values[(name, *(labels or {}).items())] = value

        return SimpleNamespace(set=put)

    for name in NAMES:
        monkeypatch.setattr(gauges, name, recorder(name))
    return values


class World:
    """Gauges over stand-ins."""

    def __init__(self) -> None:
        self.view = SimpleNamespace(
            newest=SimpleNamespace(ledger=SimpleNamespace(sequence=100)), is_fresh=True
        )
        self.accounts = SimpleNamespace(
            treasury_state=AccountState(address="GT", exists=True, xlm=70), is_treasury_low=False
        )
        endpoints = [
            SimpleNamespace(state=EndpointState.HEALTHY, contradictions=0),
            SimpleNamespace(state=EndpointState.SET_ASIDE, contradictions=3),
        ]
        entry = Entry(name="farm code", until=130, rule=Rule(threshold=1, extend_to=9))
        rent = SimpleNamespace(spent=5, holds_calls=True, entries=[entry], ledger=100)

        async def backlog() -> Any:
            return SimpleNamespace(queued=8, open=9)

        async def channels() -> Any:
            return SimpleNamespace(made=4, ready=3, busy=2, low=1)

        async def payers() -> Any:
            return SimpleNamespace(made=5, ready=4, busy=3, stopped=2)

        async def rent_state() -> Any:
            return rent

        self.gauges = Gauges(
            chain=cast(Any, SimpleNamespace(endpoints=lambda: endpoints)),
            chain_view=cast(Any, self.view),
            accounts=cast(Any, self.accounts),
            transactions=cast(Any, SimpleNamespace(backlog=backlog)),
            channels=cast(Any, SimpleNamespace(totals=channels)),
            payers=cast(Any, SimpleNamespace(totals=payers)),
            rent=cast(Any, SimpleNamespace(state=rent_state)),
        )


async def test_each_gauge_shows_what_its_name_says(shown: Shown) -> None:
    await World().gauges.step()
    states = {key[1:]: value for key, value in shown.items() if key[0] == "_states"}
    assert {key for key, value in states.items() if value} == {
        (("position", 0), ("state", "healthy")),
        (("position", 1), ("state", "set_aside")),
    }
    assert len(states) == 2 * len(EndpointState)
    assert {key: value for key, value in shown.items() if key[0] != "_states"} == {
        ("_ledger",): 100,
        ("_treasury",): 70,
        ("_treasury_low",): 0,
        ("_queued",): 8,
        ("_open",): 9,
        ("_endpoints", ("position", 0)): 1,
        ("_endpoints", ("position", 1)): 0,
        ("_contradictions", ("position", 0)): 0,
        ("_contradictions", ("position", 1)): 3,
        ("_channels", ("state", "made")): 4,
        ("_channels", ("state", "ready")): 3,
        ("_channels", ("state", "busy")): 2,
        ("_channels", ("state", "low")): 1,
        ("_payers", ("state", "made")): 5,
        ("_payers", ("state", "ready")): 4,
        ("_payers", ("state", "busy")): 3,
        ("_payers", ("state", "stopped")): 2,
        ("_rent_spent",): 5,
        ("_rent_holds",): 1,
        ("_lives", ("entry", "farm code")): 30,
    }


async def test_what_is_not_known_yet_is_not_shown(shown: Shown) -> None:
    world = World()
    world.view.newest, world.view.is_fresh = None, False
    world.accounts.treasury_state = None
    await world.gauges.step()
    missing = {"_ledger", "_treasury", "_treasury_low", "_lives", "_rent_spent", "_rent_holds"}
    assert not missing & {key[0] for key in shown}


async def test_a_low_treasury_is_warned_of_once_and_again_after_it_had_enough(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, told = World(), list[str]()
    monkeypatch.setattr(gauges, "log", SimpleNamespace(warning=lambda name, **_: told.append(name)))
    for is_low, count in ((False, 0), (True, 1), (True, 1), (False, 1), (True, 2)):
        world.accounts.is_treasury_low = is_low
        await world.gauges.step()
        assert told == ["treasury low"] * count
        assert shown["_treasury_low",] == is_low
