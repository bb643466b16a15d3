"""Keys of closed accounts: whose word destroys one, and what the chain has to show."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.common import failpoints
from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.model import OperationKind, OperationState
from services.wallet.domain.trust import Decision
from services.wallet.engine.treasury.retired_keys import RetiredKeys
from services.wallet.store.closings import RetiredKey


def operation(
    name: OperationId,
    state: OperationState = OperationState.SUCCEEDED,
    kind: OperationKind = OperationKind.CLOSE_ACCOUNT,
) -> Any:
    """An operation that ended, by wallet's own word."""
    return SimpleNamespace(id=name, state=state, kind=kind)


@dataclass
class World:
    """Rows and nodes that say what a test wants."""

    closed: dict[WalletId, OperationId] = field(default_factory=dict)
    keys: list[RetiredKey] = field(default_factory=list)
    #: Keys that have not been retired for long.
    young: list[RetiredKey] = field(default_factory=list)
    settled: list[Any] = field(default_factory=list)
    there: set[str] = field(default_factory=set)
    gone_already: set[WalletId] = field(default_factory=set)
    retired: list[WalletId] = field(default_factory=list)
    destroyed: list[WalletId] = field(default_factory=list)
    asked: list[tuple[float, WalletId | None, int]] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    retiring: RetiredKeys = field(init=False)

    def key(self, operation_id: OperationId | None = None) -> RetiredKey:
        """A key that was retired long ago, by an operation that wallet has settled."""
        name = operation_id or OperationId(new_id())
        self.settled.append(operation(name))
        one = RetiredKey(wallet_id=WalletId(new_id()), address=f"G{name}", operation_id=name)
        self.keys.append(one)
        return one

    # The stores' and the chain's

    async def unretired(self, *, limit: int) -> dict[WalletId, OperationId]:
        assert limit == 19
        return self.closed

    async def retire(self, wallets: list[WalletId]) -> None:
        self.retired += wallets

    async def destroy(self, key: RetiredKey) -> bool:
        self.destroyed.append(key.wallet_id)
        return key.wallet_id not in self.gone_already

    async def settled_among(self, names: Any) -> list[Any]:
        return [one for one in self.settled if one.id in names]

    def trusted(self, decision: Decision) -> "World":
        self.decisions.append(decision)
        return self

    async def accounts(self, addresses: list[str]) -> tuple[int, list[AccountState]]:
        return 1, [AccountState(address=one, exists=one in self.there) for one in addresses]


@pytest.fixture
def world() -> World:
    """Nothing is closed yet."""
    made = World()

    async def retired(**asked: Any) -> list[RetiredKey]:
        made.asked.append((asked["seconds"], asked["after"], asked["limit"]))
        return made.keys if asked["seconds"] else [*made.keys, *made.young]

    store = SimpleNamespace(
        unretired=made.unretired, retire=made.retire, retired=retired, destroy=made.destroy
    )
    made.retiring = RetiredKeys(
        store=cast(Any, store), operations=cast(Any, made), chain=cast(Any, made), holding=9.0
    )
    return made


async def test_only_what_wallet_closed_is_retired(world: World) -> None:
    names = [OperationId(new_id()) for _ in range(4)]
    wallets = [WalletId(new_id()) for _ in range(4)]
    world.closed = dict(zip(wallets, names, strict=True))
    world.settled = [
        operation(names[0]),
        operation(names[1], OperationState.FAILED),
        operation(names[2], kind=OperationKind.ONBOARD),
    ]
    assert await world.retiring.step() == 0
    assert world.retired == wallets[:1]
    assert world.asked == [(0, None, 19), (9.0, None, 19)]
    assert world.decisions == []


async def test_a_key_goes_while_nodes_show_its_account_gone(world: World) -> None:
    old, there, before = world.key(), world.key(), world.key()
    world.there = {there.address}
    world.gone_already = {before.wallet_id}
    assert await world.retiring.step() == 1
    assert world.destroyed == [old.wallet_id, before.wallet_id]
    assert world.decisions == [Decision.DESTROY_KEY]


async def test_another_word_destroys_nothing_and_is_told_once(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = world.key()
    world.settled = []
    world.keys.append(RetiredKey(wallet_id=WalletId(new_id()), address="GX", operation_id=None))
    for _ in range(2):
        assert await world.retiring.step() == 0
    assert world.destroyed == []
    told = capsys.readouterr()
    assert (told.out + told.err).count(str(forged.wallet_id)) == 1


async def test_another_word_is_told_before_the_key_could_be_destroyed(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = RetiredKey(wallet_id=WalletId(new_id()), address="GX", operation_id=None)
    world.young = [forged]
    assert await world.retiring.step() == 0
    told = capsys.readouterr()
    assert str(forged.wallet_id) in told.out + told.err


async def test_all_keys_have_their_turn(world: World) -> None:
    keys = [world.key() for _ in range(19)]
    await world.retiring.step()
    world.keys = keys[:1]
    await world.retiring.step()
    await world.retiring.step()
    last = keys[-1].wallet_id
    for age in (0, 9.0):
        assert [after for old, after, _ in world.asked if old == age] == [None, last, None]


async def test_who_dies_after_a_key_goes_on_with_the_next(world: World) -> None:
    first, second = world.key(), world.key()
    failpoints.arm("wallet.key.destroyed@1=raise")
    try:
        with pytest.raises(failpoints.FailpointError):
            await world.retiring.step()
    finally:
        failpoints.arm("")
    assert world.destroyed == [first.wallet_id]
    world.keys = [second]
    assert await world.retiring.step() == 1
    assert world.destroyed == [first.wallet_id, second.wallet_id]
