"""Use cases of wallet's callers: wallets, batches, blocks, and what each refuses."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.common import failpoints
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.agreements import AgreementRules, Joining
from services.wallet.domain.budget import FeeTerms, SponsorTerms
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.errors import (
    BlockUnknownError,
    ChainUnknownError,
    FeeTooHighError,
    HistoryGoneError,
    RequestIdReusedError,
    StakeAboveAgreementError,
    TreasuryMissingError,
    WalletNotFoundError,
    WalletOfOtherPoolerError,
    WrongBlockError,
)
from services.wallet.domain.model import (
    Balances,
    Block,
    ChainHead,
    Intent,
    NewOperation,
    OperationKind,
    Wallet,
)
from services.wallet.engine.chain_view import ChainState, ChainView
from services.wallet.engine.wakeup import Wakeup
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.seal import SealedKey
from services.wallet.store.operations import Check
from services.wallet.store.refusals import Now
from services.wallet.usecases.wallet import UseCases
from tests.support.own_say import terms
from tests.support.signing import BLOCK, LEDGER, chain_state

K = OperationKind
FARMER, POOLER = FarmerId(new_id()), PoolerId(new_id())
SPONSORED = SponsorTerms(pooler=5)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def wallet(farmer_id: FarmerId = FARMER, number: int = 1) -> Wallet:
    return Wallet(
        id=WalletId(new_id()),
        farmer_id=farmer_id,
        pooler_id=POOLER,
        address=f"G{number}",
        is_ready=True,
        balances=Balances(is_funded=True, has_trustline=True, xlm=0, kale=0, reserves=0, ledger=0),
        created_at=NOW,
    )


def block(index: int, **fields: Any) -> Block:
    values: dict[str, Any] = dict.fromkeys(
        ("min_gap", "max_gap", "min_stake", "max_stake", "min_zeros", "max_zeros"), 0
    )
    values |= {"staked_total": 0, "normalized_total": 0, "expires_ledger": 9}
    return Block(
        index=index,
        opened_ledger=LEDGER,
        opened_at=NOW,
        closes_at=NOW,
        entropy=bytes(32),
        **{**values, **fields},
    )


class Wallets:
    """Wallets by farmer."""

    def __init__(self) -> None:
        self.found: dict[FarmerId, Wallet] = {}
        self.inserted: list[tuple[SealedKey, dict[str, Any]]] = []
        self.is_lossy = False
        self.limits: list[tuple[FarmerId, int, str]] = []

    async def by_farmer(self, farmer_id: FarmerId) -> Wallet | None:
        """As the store's."""
        return self.found.get(farmer_id)

    async def insert_farmer(self, sealed: SealedKey, **rest: Any) -> None:
        """As the store's."""
        self.inserted.append((sealed, rest))
        if not self.is_lossy:
            self.found[rest["farmer_id"]] = replace(
                wallet(rest["farmer_id"]), id=sealed.wallet_id, pooler_id=rest["pooler_id"]
            )

    async def set_stake(self, farmer_id: FarmerId, stake_bps: int, *, actor: str) -> None:
        """As the store's."""
        self.limits.append((farmer_id, stake_bps, actor))

    async def of_farmer(self, farmer_id: FarmerId) -> Wallet:
        """As the store's."""
        return self.found[farmer_id]

    async def of_farmers(self, farmer_ids: Sequence[FarmerId]) -> dict[FarmerId, Wallet]:
        """As the store's."""
        return {item: self.found[item] for item in farmer_ids if item in self.found}

    async def ids_of_farmers(self, farmer_ids: Sequence[FarmerId]) -> dict[FarmerId, WalletId]:
        """As the store's."""
        return {item: self.found[item].id for item in farmer_ids if item in self.found}


class Operations:
    """Batches by request id."""

    def __init__(self) -> None:
        self.arguments: dict[str, bytes] = {}
        self.ids: dict[str, list[OperationId]] = {}
        self.recorded: list[tuple[OperationKind, int, list[NewOperation], Now]] = []
        self.kept: ChainHead | None = None
        #: The batch that another call records meanwhile.
        self.faster: bytes | None = None
        self.settled: list[Any] = []

    async def batch_arguments(self, request_id: str) -> bytes | None:
        """As the store's."""
        return self.arguments.get(request_id)

    async def batch_ids(self, request_id: str) -> list[OperationId]:
        """As the store's."""
        return self.ids[request_id]

    async def record_one(
        self,
        *,
        kind: OperationKind,
        block_index: int,
        operation: NewOperation,
        check: Check,
        now: Now,
    ) -> OperationId:
        """As the store's."""
        check(self.kept)
        self.recorded.append((kind, block_index, [operation], now))
        return operation.id

    async def record_batch(
        self,
        request_id: str,
        arguments: bytes,
        *,
        kind: OperationKind,
        block_index: int,
        operations: Sequence[NewOperation],
        check: Check,
        now: Now,
    ) -> list[OperationId] | None:
        """As the store's."""
        check(self.kept)
        if self.faster is not None:
            self.arguments[request_id] = self.faster
            self.ids[request_id] = [OperationId(new_id())]
            return None
        self.recorded.append((kind, block_index, list(operations), now))
        self.arguments[request_id] = arguments
        self.ids[request_id] = [item.id for item in operations]
        return self.ids[request_id]

    async def settled_among(self, _ids: Sequence[OperationId]) -> list[Any]:
        """As the store's."""
        return self.settled


class Blocks:
    """Blocks as they were seen last."""

    def __init__(self) -> None:
        self.newest: ChainHead | None = chain_state().head
        self.kept: dict[int, Block] = {}

    async def head(self) -> ChainHead | None:
        """As the store's."""
        return self.newest

    async def block(self, index: int) -> Block | None:
        """As the store's."""
        return self.kept.get(index)

    async def between(self, after: int, before: int) -> list[Block]:
        """As the store's."""
        return [self.kept[index] for index in sorted(self.kept) if after < index < before]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """As the clock's."""
        return self.now


class World:
    """The use cases over stand-ins."""

    def __init__(self, state: ChainState | None = None, **fields: Any) -> None:
        self.wallets, self.operations, self.blocks = Wallets(), Operations(), Blocks()
        self.wakeup, self.clock = Wakeup(), Clock()
        self.view = ChainView(cast(Any, self.clock), Wakeup())
        self.view.publish(state or chain_state())
        self.treasury_wallet: Any = SimpleNamespace(id=WalletId(new_id()), address="GTREASURY")
        self.read: list[dict[WalletId, str]] = []
        values: dict[str, Any] = {"fees": FeeTerms(), "max_fee": 1000, "sponsored": SPONSORED}
        self.usecases = UseCases(
            wallets=cast(Any, self.wallets),
            operations=cast(Any, self.operations),
            blocks=cast(Any, self.blocks),
            provider=LocalKeyProvider(bytes(32)),
            accounts=cast(Any, SimpleNamespace(read=self._read)),
            treasury_account=cast(Any, self),
            chain_view=self.view,
            wakeup=self.wakeup,
            owners=cast(Any, self),
            own_say=cast(Any, self.wallets),
            rules=AgreementRules(operator_bps=100),
            **{**values, **fields},
        )
        #: Poolers that operators have marked.
        self.marked: set[PoolerId] = set()

    async def farms_for_itself(self, pooler_id: PoolerId) -> bool:
        """As the store's."""
        return pooler_id in self.marked

    @property
    def wallet(self) -> Any:
        """As the treasury's."""
        if self.treasury_wallet is None:
            raise TreasuryMissingError("not open")
        return self.treasury_wallet

    async def _read(self, wallets: dict[WalletId, str]) -> dict[WalletId, Any]:
        self.read.append(wallets)
        return {
            item: (LEDGER, AccountState(address=address, exists=True, kale=len(address)))
            for item, address in wallets.items()
        }

    def have(self, *farmers: FarmerId) -> None:
        """Have wallets of these farmers."""
        for number, item in enumerate(farmers):
            self.wallets.found[item] = wallet(item, number)

    async def submit(
        self,
        *intents: Intent,
        kind: OperationKind = K.HARVEST,
        request_id: str = "",
        index: int = BLOCK - 1,
    ) -> list[OperationId]:
        """Submit intents."""
        return await self.usecases.submit(
            kind, request_id=request_id, block_index=index, intents=intents
        )


def intent(farmer_id: FarmerId = FARMER, **fields: Any) -> Intent:
    return Intent(farmer_id=farmer_id, **fields)


# Wallets


async def test_a_farmers_wallet_is_made_once() -> None:
    world = World()
    made = await world.usecases.create_wallet(FARMER, POOLER, stake_bps=500)
    ((sealed, rest),) = world.wallets.inserted
    assert made.id == sealed.wallet_id
    assert (rest["farmer_id"], rest["pooler_id"]) == (FARMER, POOLER)
    assert (rest["payout_address"], rest["stake_bps"]) == ("", 500)
    assert rest["budget"] is SPONSORED
    assert world.wakeup.count == 1
    assert await world.usecases.create_wallet(FARMER, POOLER) == made
    assert (len(world.wallets.inserted), world.wakeup.count) == (1, 1)
    await world.usecases.create_wallet(FarmerId(new_id()), POOLER)
    assert world.wallets.inserted[-1][1]["stake_bps"] == 10_000


async def test_a_registrations_address_counts_for_a_poolers_own_farmers_alone() -> None:
    for is_marked, owner in ((True, ""), (True, "GOWNER"), (False, ""), (False, "GOWNER")):
        world = World()
        world.marked = {POOLER} if is_marked else set()
        joining = Joining(payout_address="GOUT", owner_account=owner)
        await world.usecases.create_wallet(FARMER, POOLER, joining=joining)
        ((_, rest),) = world.wallets.inserted
        assert rest["payout_address"] == ("GOUT" if is_marked and not owner else "")
        assert rest["joining"] == replace(joining, operator_bps=100)


async def test_no_farmer_joins_with_fees_or_a_stake_that_nobody_may_agree_to() -> None:
    world, small = World(), Joining(terms=terms(stake_bps=499))
    with pytest.raises(FeeTooHighError):
        dear = Joining(terms=terms(pooler_bps=2_901))
        await world.usecases.create_wallet(FARMER, POOLER, joining=dear, stake_bps=0)
    with pytest.raises(StakeAboveAgreementError):
        await world.usecases.create_wallet(FARMER, POOLER, joining=small, stake_bps=500)
    assert world.wallets.inserted == []
    await world.usecases.create_wallet(FARMER, POOLER, joining=small, stake_bps=499)


async def test_no_wallet_is_made_while_the_treasurys_key_does_not_open() -> None:
    world = World()
    world.treasury_wallet = None
    with pytest.raises(TreasuryMissingError):
        await world.usecases.create_wallet(FARMER, POOLER)
    assert world.wallets.inserted == []
    # One that is there is told all the same.
    world.have(FARMER)
    assert (await world.usecases.create_wallet(FARMER, POOLER)).farmer_id == FARMER


async def test_a_farmer_of_another_pooler_and_a_wallet_that_is_lost_are_told() -> None:
    world = World()
    world.have(FARMER)
    with pytest.raises(WalletOfOtherPoolerError, match="belongs to another pooler"):
        await world.usecases.create_wallet(FARMER, PoolerId(new_id()))
    world.wallets.found.clear()
    world.wallets.is_lossy = True
    with pytest.raises(WalletNotFoundError, match="was not recorded"):
        await world.usecases.create_wallet(FARMER, POOLER)


async def test_a_stake_limit_is_set_and_told(capfd: pytest.CaptureFixture[str]) -> None:
    world = World()
    world.have(FARMER)
    found = await world.usecases.set_stake_limit(FARMER, 500, actor="operator")
    assert found is world.wallets.found[FARMER]
    assert world.wallets.limits == [(FARMER, 500, "operator")]
    told = "".join(capfd.readouterr())
    assert "stake limit set" in told
    assert "log=security" in told
    assert "stake_bps=500" in told


async def test_balances_are_read_now_in_the_order_of_the_farmers() -> None:
    world, other = World(), FarmerId(new_id())
    world.have(FARMER, other)
    found = await world.usecases.balances([other, FARMER])
    assert [item.farmer_id for item, _ in found] == [other, FARMER]
    assert {balances.ledger for _, balances in found} == {LEDGER}
    assert sorted(world.read[0].values()) == ["G0", "G1"]
    missing = [FarmerId(new_id()) for _ in range(25)]
    with pytest.raises(
        WalletNotFoundError, match="25 farmers have no wallet, the first is"
    ) as told:
        await world.usecases.balances([FARMER, *missing])
    assert str(missing[0]) in str(told.value)
    assert told.value.metadata is not None
    assert told.value.metadata["farmer_ids"] == ",".join(map(str, missing[:20]))


async def test_the_treasurys_balances_are_read_now() -> None:
    world = World()
    found, balances = await world.usecases.treasury()
    assert found is world.treasury_wallet
    assert (balances.kale, balances.ledger) == (len("GTREASURY"), LEDGER)


# Batches


async def test_a_batch_is_recorded_once() -> None:
    world, other = World(), FarmerId(new_id())
    world.have(FARMER, other)
    first, second = intent(amount=5, nonce=3, hash=bytes(2) + b"\xff" * 30), intent(other)
    ids = await world.submit(first, second, request_id="mine")
    ((kind, index, operations, _),) = world.operations.recorded
    assert (kind, index) == (K.HARVEST, BLOCK - 1)
    assert [item.id for item in operations] == ids
    assert [item.wallet_id for item in operations] == [
        world.wallets.found[item].id for item in (FARMER, other)
    ]
    one, two = operations
    assert (one.amount, one.nonce, one.hash, one.zeros) == (5, 3, first.hash, 4)
    assert (two.hash, two.zeros) == (None, None)
    assert world.wakeup.count == 1
    # The same batch in another order is the same.
    assert await world.submit(second, first, request_id="mine") == ids
    assert len(world.operations.recorded) == 1


@pytest.mark.parametrize(
    ("changed", "more"),
    [
        ({"amount": 6}, {}),
        ({"nonce": 4}, {}),
        ({"hash": bytes(32)}, {}),
        ({"farmer_id": FarmerId(new_id())}, {}),
        ({}, {"index": BLOCK - 2}),
        ({}, {"kind": K.WORK, "index": BLOCK}),
    ],
)
async def test_another_batch_under_the_same_name_is_refused(
    changed: dict[str, Any], more: dict[str, Any]
) -> None:
    world = World()
    given: dict[str, Any] = {"farmer_id": FARMER, "amount": 5, "nonce": 3, "hash": b"\1" * 32}
    world.have(FARMER, changed.get("farmer_id", FARMER))
    await world.submit(Intent(**given), request_id="mine")
    with pytest.raises(RequestIdReusedError, match="'mine' stands for another batch"):
        await world.submit(Intent(**{**given, **changed}), request_id="mine", **more)
    assert len(world.operations.recorded) == 1


async def test_a_call_without_a_name_records_one_operation() -> None:
    world = World()
    world.have(FARMER)
    (made,) = await world.submit(intent())
    ((_, _, (operation,), _),) = world.operations.recorded
    assert (operation.id, world.wakeup.count) == (made, 1)


async def test_the_same_call_twice_at_once_is_one() -> None:
    world = World()
    world.have(FARMER)
    world.operations.faster = b"another"
    with pytest.raises(RequestIdReusedError):
        await world.submit(intent(), request_id="mine")
    assert world.wakeup.count == 0
    other = World()
    other.have(FARMER)
    ids = await other.submit(intent(), request_id="first")
    assert ids == other.operations.ids["first"]
    other.operations.faster = other.operations.arguments["first"]
    assert await other.submit(intent(), request_id="mine") == other.operations.ids["mine"]
    assert other.wakeup.count == 2


async def test_farmers_without_wallets_and_wrong_blocks_record_nothing() -> None:
    world = World()
    with pytest.raises(WalletNotFoundError):
        await world.submit(intent(), request_id="mine")
    world.have(FARMER)
    with pytest.raises(WrongBlockError):
        await world.submit(intent(), kind=K.WORK, index=BLOCK - 1, request_id="mine")
    assert world.operations.recorded == []


async def test_a_process_may_die_after_a_batch_was_recorded() -> None:
    world = World()
    world.have(FARMER)
    failpoints.arm("wallet.batch.recorded=raise")
    try:
        with pytest.raises(failpoints.FailpointError):
            await world.submit(intent(), request_id="mine")
    finally:
        failpoints.arm("")
    assert len(world.operations.recorded) == 1


@pytest.mark.parametrize(
    ("kind", "reserve", "pace", "expected"),
    [
        # A harvest waits for a quiet ledger; half of what the cap leaves is a usual fit.
        (K.HARVEST, 0, 5, (100, 500, 300)),
        (K.HARVEST, 400, 0, (100, 300, 60)),
        (K.HARVEST, 1001, 1, (100, 0, 60)),
        (K.WORK, 0, 5, (200, 500, 300)),
    ],
)
async def test_refusals_are_checked_against_what_holds_now(
    kind: OperationKind, reserve: int, pace: int, expected: tuple[int, int, float]
) -> None:
    fees = FeeTerms(reserve=reserve)
    world = World(replace(chain_state(), pace=pace), fees=fees)
    world.have(FARMER)
    await world.submit(intent(), kind=kind, index=BLOCK if kind is K.WORK else BLOCK - 1)
    now = world.operations.recorded[0][3]
    found = now.circumstances
    assert (found.inclusion_fee, found.usual_fit, found.price_stands) == expected
    assert (now.fees, found.is_paused) == (fees, False)


async def test_only_plants_works_and_harvests_are_the_callers_business() -> None:
    world = World()
    world.operations.settled = [SimpleNamespace(kind=kind) for kind in K]
    found = await world.usecases.judged([])
    assert [item.kind for item in found] == [K.PLANT, K.WORK, K.HARVEST]


# Blocks


async def test_a_block_is_told_as_it_was_seen_last() -> None:
    world = World()
    world.blocks.kept = {BLOCK: block(BLOCK), 3: block(3)}
    assert await world.usecases.block(None) == (block(BLOCK), world.blocks.newest)
    assert await world.usecases.block(3) == (block(3), world.blocks.newest)
    with pytest.raises(BlockUnknownError, match="block 4 was not seen"):
        await world.usecases.block(4)
    world.blocks.kept.clear()
    assert await world.usecases.block(None) == (None, world.blocks.newest)
    assert world.blocks.newest is not None
    world.blocks.newest = replace(world.blocks.newest, current_block=None)
    assert (await world.usecases.block(None))[0] is None
    world.blocks.newest = None
    with pytest.raises(ChainUnknownError) as caught:
        await world.usecases.block(None)
    assert caught.value.retry_after == 1.0


def shown(index: int, **fields: Any) -> ChainState:
    state = chain_state(current=index)
    return replace(state, block=block(index), head=replace(state.head, **fields))


async def first(stream: AsyncIterator[tuple[Block | None, ChainHead]], count: int) -> list[int]:
    """Return the blocks of the first messages."""
    found: list[int] = []
    async for item, _ in stream:
        found.append(-1 if item is None else item.index)
        if len(found) == count:
            break
    return found


async def test_a_stream_begins_with_the_newest_state() -> None:
    world = World(shown(9))
    assert await first(world.usecases.watch_blocks(None), 1) == [9]


@pytest.mark.parametrize(("after", "blocks"), [(8, [9]), (7, [8, 9]), (5, [6, 7, 8, 9]), (9, [9])])
async def test_a_stream_tells_what_was_missed(after: int, blocks: list[int]) -> None:
    world = World(shown(9))
    world.blocks.kept = {index: block(index) for index in range(12)}
    assert await first(world.usecases.watch_blocks(after), len(blocks)) == blocks


async def test_a_stream_does_not_resume_from_too_far_back_or_over_a_gap() -> None:
    world = World(shown(1009))
    world.blocks.kept = {index: block(index) for index in range(1009)}
    assert await first(world.usecases.watch_blocks(9), 1) == [10]
    with pytest.raises(HistoryGoneError, match="block 8 is too old to resume from"):
        await first(world.usecases.watch_blocks(8), 1)
    del world.blocks.kept[500]
    with pytest.raises(HistoryGoneError, match="blocks after 400 were not seen"):
        await first(world.usecases.watch_blocks(400), 1)
    assert await first(world.usecases.watch_blocks(500), 1) == [501]


class Waits:
    """What happens while a stream waits, one thing after the other."""

    def __init__(self, world: World, *states: ChainState | float) -> None:
        self.world, self.states = world, list(states)
        self.waited: list[float] = []
        world.view.changed.wait = self.wait  # type: ignore[method-assign]

    async def wait(self, seen: int, timeout: float) -> None:
        """Publish the next state, or let time go by."""
        self.waited.append(timeout)
        following = self.states.pop(0)
        if isinstance(following, float):
            self.world.clock.now += following
        else:
            self.world.clock.now += 1
            self.world.view.publish(following)


async def test_a_stream_tells_each_change_and_no_ledger_without_one() -> None:
    world = World(shown(9))
    same = replace(shown(9), head=replace(shown(9).head, ledger=LEDGER + 1))
    grown = replace(shown(9), block=block(9, staked_total=5))
    waits = Waits(
        world,
        same,
        grown,
        replace(grown, head=replace(grown.head, plantable_block=10)),
        replace(grown, head=replace(grown.head, plantable_block=10, paused=True)),
        shown(10),
    )
    assert await first(world.usecases.watch_blocks(None), 5) == [9, 9, 9, 9, 10]
    assert waits.states == []
    # One wait more than messages: the ledger in which nothing had happened.
    assert waits.waited == [15.0, 14.0, 15.0, 15.0, 15.0]


async def test_a_stream_gives_a_sign_of_life() -> None:
    world = World(shown(9))
    waits = Waits(world, 10.0, 5.0)
    assert await first(world.usecases.watch_blocks(None), 2) == [9, 9]
    assert waits.waited == [15.0, 5.0]
