"""The keeper of rent: which entry it pays for, within which budget, and what it tells people."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.wallet.chain import DeploymentStep, FeeCapExceededError, SimulationError
from services.wallet.domain.chain_facts import AccountState, ContractError
from services.wallet.domain.rent import Rule, farm_rule, multicall_rule, token_rule
from services.wallet.domain.trust import Decision
from services.wallet.engine.alarms import Alarms
from services.wallet.engine.chain_view import ChainState
from services.wallet.engine.treasury.rent import RentKeeper, comes_due
from services.wallet.engine.treasury.transactions import RentTurn
from services.wallet.store.transactions import Committed, Draft
from tests.support.signing import LEDGER, FakeSender, chain_state

MAX_TTL = 3_110_400
FARM = farm_rule(MAX_TTL)
#: Ends of entries that nothing is due of for long.
ALIVE = LEDGER + FARM.extend_to
DAILY, BID = 1000, 300
ADDRESS = "GTREASURY"
MULTICALL = "CMULTICALL"


def due_at(rule: Rule, ledger: int = LEDGER) -> int:
    """Return the end of an entry that this ledger is the first to extend."""
    return ledger + rule.threshold + rule.lead


@dataclass
class FakeChain:
    """Tells when entries end."""

    network: Any = field(default_factory=lambda: SimpleNamespace(passphrase="a network"))
    ends_at: dict[str, int] = field(default_factory=lambda: {"token": 10**9})
    #: The farm's ends as read for a simulation.
    farm: tuple[int, int, int] = (LEDGER, ALIVE, ALIVE)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    decisions: set[Decision] = field(default_factory=set)

    def trusted(self, decision: Decision) -> "FakeChain":
        """As the chain's."""
        self.decisions.add(decision)
        return self

    def farm_keys(self, code_hash: str) -> tuple[str, str]:
        """As the chain's."""
        return "instance", "code"

    def token_key(self) -> str:
        """As the chain's."""
        return "token"

    async def ends(self, keys: Sequence[str]) -> dict[str, int]:
        """As the chain's."""
        self.asked.append(tuple(keys))
        return {key: self.ends_at[key] for key in keys if key in self.ends_at}

    async def farm_ends(self) -> tuple[int, int, int]:
        """As the chain's."""
        return self.farm


@dataclass
class FakeDeployer:
    """Signs extensions as told."""

    #: By entry: what stands in the way.
    errors: dict[str, Exception] = field(default_factory=dict)
    has_treasury: bool = True
    #: Keys, ledgers and budgets of the extensions that were asked for.
    asked: list[tuple[str, int, int]] = field(default_factory=list)

    def deployment(self) -> Any:
        """As the deployer's."""
        return SimpleNamespace(contract=MULTICALL, entry_keys=("multicode", "multi"))

    async def signed(self, step: DeploymentStep, *, max_fee: int) -> Any:
        """As the deployer's."""
        (key,) = step.entries
        self.asked.append((key, step.extend_to or 0, max_fee))
        if key in self.errors:
            raise self.errors[key]
        return SimpleNamespace(fee_bid=BID, key=key) if self.has_treasury else None


@dataclass
class FakeTransactions:
    """Records extensions."""

    spent: int = 0
    busy: bool = False
    refuses: bool = False
    committed: list[Draft] = field(default_factory=list)

    async def is_busy(self, source: str) -> bool:
        """As the store's."""
        assert source == ADDRESS
        return self.busy

    async def rent_spent(self) -> int:
        """As the store's."""
        return self.spent

    async def commit_signed(self, drafts: Sequence[Draft], *, ledger: int) -> Committed:
        """As the store's."""
        recorded = [] if self.refuses else list(drafts)
        self.committed += recorded
        return Committed(recorded=recorded, unpaid=frozenset(), spared=frozenset())


def state(*, instance: int = ALIVE, code: int = ALIVE, ledger: int = LEDGER) -> ChainState:
    base = chain_state()
    return replace(
        base,
        ledger=replace(base.ledger, sequence=ledger),
        farm=replace(base.farm, instance_until=instance, code_until=code),
        limits=replace(base.limits, max_entry_ledgers=MAX_TTL),
    )


class World:
    """A keeper over stand-ins."""

    def __init__(self, *, multicall: str = "", xlm: int = 10**9, **ends: int) -> None:
        self.chain, self.deployer = FakeChain(), FakeDeployer()
        self.transactions, self.sender = FakeTransactions(), FakeSender()
        self.alarms, self.turn = Alarms(), RentTurn()
        treasury = AccountState(address=ADDRESS, exists=True, xlm=xlm, reserves=2)
        self.accounts = SimpleNamespace(can_pay=True, treasury_state=treasury)
        self.treasury = SimpleNamespace(is_open=True, wallet=SimpleNamespace(address=ADDRESS))
        self.view = SimpleNamespace(is_fresh=True, current=state(**ends))
        self.keeper = RentKeeper(
            cast(Any, self.deployer),
            chain=cast(Any, self.chain),
            treasury=cast(Any, self.treasury),
            accounts=cast(Any, self.accounts),
            transactions=cast(Any, self.transactions),
            sender=cast(Any, self.sender),
            chain_view=cast(Any, self.view),
            alarms=self.alarms,
            rent_turn=self.turn,
            daily=DAILY,
            multicall=multicall,
        )

    @property
    def paid(self) -> list[str]:
        """The keys of the entries whose extensions were sent."""
        assert len(self.sender.caps) == len(self.transactions.committed)
        return [cast(Any, item.envelope).key for item in self.transactions.committed]

    @property
    def alarm(self) -> str:
        return self.alarms.message("rent")


async def test_nothing_is_paid_while_nothing_is_due() -> None:
    world = World(instance=due_at(FARM) + 1, code=due_at(FARM) + 1)
    await world.keeper.step()
    assert (world.paid, world.alarm, world.turn.is_waiting) == ([], "", False)


async def test_one_entry_is_paid_for_within_the_budget_the_one_due_soonest_first() -> None:
    world = World(instance=due_at(FARM), code=due_at(FARM) - 1)
    world.transactions.spent = 100
    await world.keeper.step()
    assert world.paid == ["code"]
    assert world.deployer.asked == [("code", FARM.extend_to, DAILY - 100)]
    assert world.sender.caps == [DAILY - 100]
    (draft,) = world.transactions.committed
    assert (draft.is_rent, draft.operation_ids) == (True, ())
    assert world.turn.is_waiting
    assert world.alarm == ""


@pytest.mark.parametrize("why", ["stale", "no treasury", "no account", "busy"])
async def test_nothing_is_paid_while_the_treasury_or_the_chain_is_not_ready(why: str) -> None:
    world = World(instance=due_at(FARM))
    world.view.is_fresh = why != "stale"
    world.treasury.is_open = why != "no treasury"
    world.accounts.can_pay = why != "no account"
    world.transactions.busy = why == "busy"
    await world.keeper.step()
    assert world.deployer.asked == []


async def test_the_lives_are_read_by_agreement() -> None:
    world = World()
    await world.keeper.step()
    assert world.chain.decisions == {Decision.PAY_RENT}


async def test_entries_of_others_are_looked_at_now_and_then() -> None:
    world = World()
    for ledger in (LEDGER, LEDGER + 1, LEDGER + 359, LEDGER + 360):
        world.view.current = state(ledger=ledger)
        await world.keeper.step()
    assert len(world.chain.asked) == 2


async def test_a_head_that_was_a_lie_does_not_put_off_the_next_look_for_days() -> None:
    world = World()
    for ledger in (LEDGER, LEDGER + 100_000, LEDGER + 5):
        world.view.current = state(ledger=ledger)
        await world.keeper.step()
    assert len(world.chain.asked) == 3


async def test_a_head_that_was_a_lie_does_not_keep_a_price_for_days() -> None:
    world = World(instance=due_at(FARM))
    world.deployer.errors["instance"] = FeeCapExceededError("too dear", bid=DAILY + 1)
    for ledger in (LEDGER + 100_000, LEDGER + 5):
        world.view.current = state(instance=due_at(FARM), ledger=ledger)
        await world.keeper.step()
    # Twice for the instance; far ahead, the code seems to be due, too.
    assert [key for key, _, _ in world.deployer.asked].count("instance") == 2


async def test_without_a_treasury_they_are_looked_at_with_each_ledger() -> None:
    world = World()
    world.treasury.is_open = False
    for ledger in (LEDGER, LEDGER + 1):
        world.view.current = state(ledger=ledger)
        await world.keeper.step()
    assert len(world.chain.asked) == 2


async def test_an_entry_of_others_is_read_again_before_it_is_paid() -> None:
    world, rule = World(), token_rule(MAX_TTL)
    world.chain.ends_at["token"] = due_at(rule, LEDGER + 5)
    await world.keeper.step()
    world.view.current = state(ledger=LEDGER + 5)
    await world.keeper.step()
    assert world.paid == ["token"]
    assert len(world.chain.asked) == 2
    # The extension is in a ledger now, which the next reading shows.
    world.chain.ends_at["token"] += rule.extend_to
    world.view.current = state(ledger=LEDGER + 6)
    await world.keeper.step()
    assert world.paid == ["token"]


async def test_the_multicall_in_use_is_looked_after_when_it_is_ours() -> None:
    rule = multicall_rule(MAX_TTL)
    for multicall, paid in ((MULTICALL, ["multi"]), ("COTHER", []), ("", [])):
        world = World(multicall=multicall)
        world.chain.ends_at |= {"multi": due_at(rule), "multicode": due_at(rule) + 1}
        await world.keeper.step()
        assert world.paid == paid, multicall


@pytest.mark.parametrize("why", ["not in use", "not open"])
async def test_the_multicall_is_read_only_when_it_is_known_where_it_is(why: str) -> None:
    world = World(multicall="" if why == "not in use" else MULTICALL)
    world.treasury.is_open = why == "not in use"
    await world.keeper.step()
    assert world.chain.asked == [("token",)]


async def test_a_price_above_the_budget_is_told_once_and_not_asked_for_again(
    capfd: pytest.CaptureFixture[str],
) -> None:
    world = World(instance=due_at(FARM))
    world.deployer.errors["instance"] = FeeCapExceededError("too dear", bid=DAILY + 1)
    await world.keeper.step()
    assert "needs 1001 stroops of rent" in world.alarm
    assert "RENT_DAILY_STROOPS leaves 1000 of 1000" in world.alarm
    assert world.paid == []
    told = "".join(capfd.readouterr())
    assert "cause=RENT_DAILY_STROOPS " in told
    assert "entry='farm instance'" in told
    assert f"due_ledger={LEDGER + FARM.lead}" in told
    assert "needed=1001" in told
    for ledger in (LEDGER + 1, LEDGER + 59):
        world.view.current = state(instance=due_at(FARM), ledger=ledger)
        await world.keeper.step()
    assert len(world.deployer.asked) == 1
    # Other transactions of the treasury need not wait for a person.
    assert not world.turn.is_waiting
    world.view.current = state(instance=due_at(FARM), ledger=LEDGER + 60)
    await world.keeper.step()
    assert len(world.deployer.asked) == 2


async def test_a_budget_that_suffices_again_ends_the_alarm() -> None:
    world = World(instance=due_at(FARM))
    world.transactions.spent = 900
    world.deployer.errors["instance"] = FeeCapExceededError("too dear", bid=500)
    await world.keeper.step()
    assert "RENT_DAILY_STROOPS leaves 100 of 1000" in world.alarm
    world.transactions.spent, world.deployer.errors = 500, {}
    await world.keeper.step()
    assert (world.paid, world.alarm) == (["instance"], "")


async def test_an_entry_that_somebody_else_extended_ends_the_alarm_and_its_price() -> None:
    world = World(instance=due_at(FARM))
    world.deployer.errors["instance"] = FeeCapExceededError("too dear", bid=DAILY + 1)
    await world.keeper.step()
    world.view.current = state(ledger=LEDGER + 1)
    await world.keeper.step()
    assert (world.alarm, world.turn.is_waiting) == ("", False)
    world.view.current = state(instance=due_at(FARM), ledger=LEDGER + 2)
    await world.keeper.step()
    assert len(world.deployer.asked) == 2


async def test_a_token_that_nodes_do_not_show_is_left_alone() -> None:
    world = World()
    world.chain.ends_at = {}
    await world.keeper.step()
    assert [entry.name for entry in (await world.keeper.state()).entries] == [
        "farm instance",
        "farm code",
    ]


async def test_the_budget_is_blamed_where_it_leaves_as_much_as_the_treasury_has() -> None:
    world = World(instance=due_at(FARM), xlm=4 * 5_000_000 + DAILY)
    world.deployer.errors["instance"] = FeeCapExceededError("too dear", bid=DAILY + 1)
    await world.keeper.step()
    assert "RENT_DAILY_STROOPS leaves" in world.alarm


async def test_a_treasury_that_has_too_little_asks_for_xlm(
    capfd: pytest.CaptureFixture[str],
) -> None:
    # Two reserves of an account, and the two that it sponsors.
    world = World(instance=due_at(FARM), xlm=4 * 5_000_000 + 200)
    world.deployer.errors["instance"] = FeeCapExceededError("too dear", bid=BID)
    await world.keeper.step()
    assert "the treasury has 200 to spend: send it XLM" in world.alarm
    assert world.deployer.asked == [("instance", FARM.extend_to, 200)]
    assert "cause=treasury " in "".join(capfd.readouterr())


@pytest.mark.parametrize("xlm", [None, 0, 4 * 5_000_000])
async def test_a_treasury_without_anything_spends_nothing(xlm: int | None) -> None:
    world = World(instance=due_at(FARM), xlm=xlm or 0)
    if xlm is None:
        world.accounts.treasury_state = cast(Any, None)
    await world.keeper.step()
    assert world.deployer.asked == [("instance", FARM.extend_to, 0)]


async def test_a_budget_that_is_used_up_allows_nothing() -> None:
    world = World(instance=due_at(FARM))
    world.transactions.spent = DAILY + 5
    await world.keeper.step()
    assert world.deployer.asked == [("instance", FARM.extend_to, 0)]


async def test_an_extension_that_was_paid_is_not_dear_any_more() -> None:
    world = World(instance=due_at(FARM))
    world.deployer.errors["instance"] = FeeCapExceededError("too dear", bid=DAILY)
    world.transactions.spent = 1
    await world.keeper.step()
    world.deployer.errors, world.transactions.spent = {}, 0
    await world.keeper.step()
    assert world.paid == ["instance"]
    # What it cost then says nothing of the next time.
    world.transactions.spent = 1
    await world.keeper.step()
    assert len(world.deployer.asked) == 3


async def test_an_entry_that_is_too_dear_does_not_hold_up_the_next() -> None:
    world = World(instance=due_at(FARM) - 1, code=due_at(FARM))
    world.deployer.errors["instance"] = FeeCapExceededError("too dear", bid=DAILY + 1)
    await world.keeper.step()
    assert world.paid == ["code"]
    assert "farm instance" in world.alarm


async def test_a_refused_simulation_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    world = World(instance=due_at(FARM))
    error = SimulationError(ContractError(raiser="host", code="Budget/ExceededLimit"), "no")
    world.deployer.errors["instance"] = error
    await world.keeper.step()
    assert "the farm instance cannot be extended" in world.alarm
    assert "cause=simulation " in "".join(capfd.readouterr())


async def test_calls_that_wait_are_told_with_the_alarm() -> None:
    world = World(instance=LEDGER + FARM.threshold + FARM.guard)
    world.deployer.errors["instance"] = FeeCapExceededError("too dear", bid=DAILY + 1)
    await world.keeper.step()
    assert world.alarm.startswith("plants, works and harvests wait for the rent of farm instance:")


@pytest.mark.parametrize("why", ["refused", "no treasury yet"])
async def test_what_is_not_recorded_is_not_sent(why: str) -> None:
    world = World(instance=due_at(FARM))
    world.transactions.refuses = why == "refused"
    world.deployer.has_treasury = why == "refused"
    await world.keeper.step()
    assert (world.paid, world.sender.caps, world.alarm) == ([], [], "")


async def test_people_are_shown_entries_and_budget() -> None:
    world = World(instance=LEDGER + FARM.threshold + FARM.guard)
    world.transactions.spent = 40
    await world.keeper.step()
    shown = await world.keeper.state()
    assert [entry.name for entry in shown.entries] == [
        "farm instance",
        "farm code",
        "token instance",
    ]
    assert (shown.ledger, shown.spent, shown.budget) == (LEDGER, 40, DAILY)
    assert (shown.holds_calls, shown.error) == (True, "")


@pytest.mark.parametrize(("ledger", "is_due"), [(LEDGER - 1, False), (LEDGER, True)])
async def test_a_simulation_may_have_been_asked_for_the_farm_s_rent(
    ledger: int, is_due: bool
) -> None:
    world = World()
    world.chain.farm = (ledger, LEDGER + FARM.threshold + FARM.guard, ALIVE)
    found = await comes_due(cast(Any, world.chain), cast(Any, world.view))
    assert found is is_due
