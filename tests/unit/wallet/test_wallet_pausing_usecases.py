"""The kill switch: in force here at once, recorded in turn, ended everywhere, and told."""

from typing import Any, cast
from uuid import UUID

import pytest

from libs.common.ids import FarmerId, PoolerId, WalletId, new_id
from services.wallet.domain.errors import PauseNotFoundError, WalletNotFoundError
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.engine.wakeup import Wakeup
from services.wallet.store.kill_switch import KillSwitch, Owner, PauseOrder
from services.wallet.usecases import pausing as module
from services.wallet.usecases.pausing import Pausing

ALL = Reach(scope=Scope.EVERYTHING)
FARMER, POOLER, WALLET = new_id(), new_id(), new_id()
OF_FARMER = Reach(scope=Scope.FARMER, target=FARMER)
OF_POOLER = Reach(scope=Scope.POOLER, target=POOLER)
OF_WALLET = Reach(scope=Scope.WALLET, target=WALLET)


class Database:
    """Pauses as they are recorded; it may be away."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.paused: list[tuple[Reach, str, str]] = []
        self.resumed: list[tuple[Reach, str]] = []
        self.is_paused = True
        self.has_wallet = True
        #: Whether wallet wrote the row that says whose the wallet is.
        self.is_sure = True
        self.pings = 0

    async def pause(self, reach: Reach, *, reason: str, actor: str) -> UUID:
        """As the store's."""
        if self.error is not None:
            raise self.error
        self.paused.append((reach, reason, actor))
        return new_id()

    async def resume(self, reach: Reach, *, actor: str) -> bool:
        """As the store's."""
        self.resumed.append((reach, actor))
        return self.is_paused

    async def ping(self) -> None:
        """As the store's."""
        self.pings += 1

    async def to_pause(self, farmer_id: FarmerId) -> tuple[WalletId, bool]:
        """As the wallets' store."""
        if not self.has_wallet:
            raise WalletNotFoundError(f"no wallet of {farmer_id}")
        assert farmer_id == FARMER
        return WalletId(WALLET), self.is_sure

    async def page(self, *, pooler_id: PoolerId, after: object, limit: int) -> list[str]:
        """As the wallets' store."""
        assert (pooler_id, after, limit) == (POOLER, None, 1)
        return ["a wallet"] if self.has_wallet else []


class World:
    """The kill switch over a database."""

    def __init__(self) -> None:
        self.database, self.switch, self.wakeup = Database(), KillSwitch(), Wakeup()
        self.waited: list[float] = []
        self.pausing = Pausing(
            wallets=cast(Any, self.database),
            store=cast(Any, self.database),
            switch=self.switch,
            wakeup=self.wakeup,
        )
        self.pausing.orders.wait = self._wait  # type: ignore[method-assign]

    async def _wait(self, seen: int, timeout: float) -> None:
        self.waited.append(timeout)

    def order(self, reach: Reach) -> None:
        """Put an order in force."""
        self.switch.order(PauseOrder(reach=reach, reason="why", actor="operator"))


def told(capfd: pytest.CaptureFixture[str]) -> str:
    text = "".join(capfd.readouterr())
    assert all("log=security" in line for line in text.splitlines())
    return text


async def test_a_pause_is_in_force_before_it_is_recorded(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    world = World()
    assert not await world.pausing.pause(ALL, reason="why", actor="operator")
    assert world.switch.holds_everything
    assert world.pausing.orders.count == 1
    words = told(capfd)
    assert "signing paused here" in words
    assert "reach=everything" in words
    assert "actor=operator" in words
    # The next step records it.
    await world.pausing.step()
    assert world.database.paused == [(ALL, "why", "operator")]
    assert not world.switch.holds_anything
    assert [*world.switch.take_recorded().values()] == [ALL]
    words = told(capfd)
    assert "signing paused" in words
    assert "actor=operator" in words


async def test_who_pauses_is_told_when_it_is_recorded_in_time() -> None:
    world = World()

    async def at_once(reach: Reach, timeout: float) -> bool:
        assert (reach, timeout) == (ALL, 0.5)
        await world.pausing.step()
        return True

    world.switch.recorded = at_once  # type: ignore[method-assign]
    assert await world.pausing.pause(ALL, reason="why", actor="operator")


@pytest.mark.parametrize(
    ("reach", "recorded"), [(ALL, ALL), (OF_FARMER, OF_WALLET), (OF_POOLER, OF_POOLER)]
)
async def test_a_pause_is_recorded_as_the_database_names_it(reach: Reach, recorded: Reach) -> None:
    world = World()
    world.order(reach)
    await world.pausing.step()
    assert [item for item, _, _ in world.database.paused] == [recorded]
    assert [*world.switch.take_recorded().values()] == [recorded]
    # A wallet is named as itself.
    await world.pausing.resume(recorded, actor="operator")
    assert world.database.resumed == [(recorded, "operator")]


@pytest.mark.parametrize("reach", [OF_FARMER, OF_POOLER])
async def test_nobody_is_paused_by_an_id_that_is_nobodys(
    reach: Reach, capfd: pytest.CaptureFixture[str]
) -> None:
    world = World()
    world.database.has_wallet = False
    world.order(reach)
    waiting = world.switch.recorded(reach, 1.0)
    await world.pausing.step()
    with pytest.raises(WalletNotFoundError):
        await waiting
    assert (world.database.paused, world.switch.holds_anything) == ([], False)
    assert "nobody was paused" in told(capfd)


async def test_all_orders_have_a_try_and_a_pause_of_everything_is_first() -> None:
    world = World()
    for reach in (OF_POOLER, OF_FARMER, ALL):
        world.order(reach)
    await world.pausing.step()
    assert [item for item, _, _ in world.database.paused] == [ALL, OF_POOLER, OF_WALLET]


async def test_an_order_stays_in_force_while_the_database_is_away_and_that_is_told_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    world = World()
    world.database.error = OSError("away")
    world.order(OF_POOLER)
    for _ in range(3):
        await world.pausing.step()
    assert world.switch.holds([Owner(farmer_id=None, pooler_id=POOLER)])
    assert told(capfd).count("pause not recorded yet") == 1
    # It is tried again after a second; without any order the connection is kept open.
    assert world.waited == [1.0] * 3
    assert world.database.pings == 0
    world.database.error = None
    await world.pausing.step()
    await world.pausing.step()
    assert len(world.database.paused) == 1
    assert world.waited[3:] == [10.0] * 2
    assert world.database.pings == 2
    # Another failure is told again.
    world.database.error = OSError("away")
    world.order(OF_POOLER)
    await world.pausing.step()
    assert told(capfd).count("pause not recorded yet") == 1


async def test_a_failure_is_told_again_for_an_id_that_was_nobodys() -> None:
    world = World()
    world.pausing.failing.add(OF_POOLER)
    world.database.has_wallet = False
    world.order(OF_POOLER)
    await world.pausing.step()
    assert world.pausing.failing == set()


async def test_nobody_pings_when_an_order_came_meanwhile() -> None:
    world = World()

    async def wait(seen: int, timeout: float) -> None:
        world.pausing.orders.notify()

    world.pausing.orders.wait = wait  # type: ignore[method-assign]
    await world.pausing.step()
    assert world.database.pings == 0


async def test_an_order_that_waits_is_recorded_before_it_ends(
    capfd: pytest.CaptureFixture[str],
) -> None:
    world = World()
    world.order(OF_FARMER)
    await world.pausing.resume(OF_FARMER, actor="other")
    assert [item for item, _, _ in world.database.paused] == [OF_WALLET]
    assert world.database.resumed == [(OF_WALLET, "other")]
    assert not world.switch.holds_anything
    assert world.wakeup.count == 1
    words = told(capfd)
    assert "signing resumed" in words
    assert "actor=other" in words


async def test_what_is_not_paused_cannot_be_resumed(capfd: pytest.CaptureFixture[str]) -> None:
    world = World()
    world.database.is_paused = False
    with pytest.raises(PauseNotFoundError, match="signing is not paused for everything"):
        await world.pausing.resume(ALL, actor="operator")
    assert (world.wakeup.count, told(capfd)) == (0, "")


async def test_an_order_by_a_row_that_wallet_did_not_write_stays_in_force_until_it_is_sure(
    capfd: pytest.CaptureFixture[str],
) -> None:
    world = World()
    world.database.is_sure = False
    world.order(OF_FARMER)
    for _ in range(3):
        await world.pausing.step()
    # It is recorded once for the wallet that the row names, and stays in force for the farmer.
    assert [item for item, _, _ in world.database.paused] == [OF_WALLET]
    assert world.switch.holds_anything
    assert told(capfd).count("paused by a row that wallet did not write") == 1
    assert world.pausing.doubted == {OF_FARMER: OF_WALLET}
    world.database.is_sure = True
    await world.pausing.step()
    assert not world.switch.holds_anything
    assert (len(world.database.paused), world.pausing.doubted) == (1, {})
    # The next order of the same farmer is another one.
    world.order(OF_FARMER)
    await world.pausing.step()
    assert len(world.database.paused) == 2
