"""Reserves that are taken back: whose accounts are merged, how, and for how long that is tried."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from stellar_sdk import AccountMerge, ChangeTrust, TransactionEnvelope

from libs.common.errors import DeadlineExceededError
from libs.common.ids import FarmerId, PoolerId, WalletId, new_id
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.errors import SigningPausedError
from services.wallet.domain.model import Balances, Wallet
from services.wallet.domain.reclaiming import Verdict
from services.wallet.domain.trust import Decision
from services.wallet.engine.treasury.reclaim import Reclaimed, Reclaimer
from services.wallet.store.transactions import Committed, Draft
from tests.support.payment_world import TREASURY
from tests.support.signing import (
    CLOSE_TIME,
    LEDGER,
    LIMITS,
    MAX_FEE,
    NETWORK,
    FakeSender,
    FakeSigners,
    chain_state,
)

POOLER = PoolerId(new_id())
#: The treasury's last number on the chain.
NUMBER = 41
BARE: dict[str, Any] = {"exists": True, "has_trustline": True, "reserves": -2}


@dataclass
class World:
    """A reclaimer over stand-ins; a ledger merges what was sent, unless told otherwise."""

    odd: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_busy: bool = False
    is_merging: bool = True
    committed: Committed | None = None
    #: What happens while a ledger is waited for.
    seconds_per_wait: int = 5

    def __post_init__(self) -> None:
        self.network = NETWORK
        self.signers, self.sender = FakeSigners(), FakeSender()
        self.wallets: list[Wallet] = []
        self.gone: set[str] = set()
        self.asked: list[tuple[PoolerId, list[FarmerId], int, int]] = []
        self.touched: list[tuple[WalletId, str]] = []
        self.decisions: list[Decision] = []
        self.drafts: list[tuple[Draft, int]] = []
        self.seconds, self.waits = 1000.0, 0
        me = cast(Any, self)
        store = SimpleNamespace(
            commit_signed=self._commit, is_busy=self._is_busy, last_sequences=self._numbers
        )
        treasury = SimpleNamespace(id=TREASURY, address=self.signers.key(TREASURY).address)
        self.reclaimer = Reclaimer(
            chain=me,
            treasury=cast(Any, SimpleNamespace(wallet=treasury)),
            signers=cast(Any, self.signers),
            wallets=cast(Any, SimpleNamespace(idle=self._idle)),
            transactions=cast(Any, store),
            accounts=cast(Any, SimpleNamespace(touch=self._touch)),
            sender=cast(Any, self.sender),
            chain_view=cast(
                Any, SimpleNamespace(changed=self, current=chain_state(), now=self.now)
            ),
            limits=LIMITS,
        )

    def farmer(self, **account: Any) -> Wallet:
        """Return a farmer's wallet, and show its account."""
        wallet_id = WalletId(new_id())
        address = self.signers.key(wallet_id).address
        wallet = Wallet(
            id=wallet_id,
            farmer_id=FarmerId(new_id()),
            pooler_id=POOLER,
            address=address,
            is_ready=True,
            balances=Balances(
                is_funded=True, has_trustline=True, xlm=0, kale=0, reserves=-2, ledger=1
            ),
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        self.odd[address] = account
        self.wallets.append(wallet)
        return wallet

    async def reclaim(self, *, dry_run: bool = False) -> list[Reclaimed]:
        """Reclaim from all of these farmers."""
        return await self.reclaimer.reclaim(
            POOLER, [], idle_hours=24, dry_run=dry_run, actor="operator"
        )

    # The chain's and the view's

    def now(self) -> float:
        """As the view's."""
        return self.seconds

    @property
    def count(self) -> int:
        """As the wakeup's."""
        return self.waits

    async def wait(self, seen: int, seconds: float) -> None:
        """Let a ledger close, which merges what was sent."""
        assert (seen, seconds) == (self.waits, 2.0)
        self.waits += 1
        self.seconds += self.seconds_per_wait
        if self.is_merging and self.sender.sent:
            self.gone |= {one.address for draft, _ in self.drafts for one in draft.merged}

    def trusted(self, decision: Decision) -> "World":
        """As the chain's."""
        self.decisions.append(decision)
        return self

    async def accounts(self, addresses: Sequence[str]) -> tuple[int, list[AccountState]]:
        """As the chain's."""
        assert addresses
        return LEDGER, [
            AccountState(
                address=item,
                **{**BARE, **self.odd[item], **({"exists": False} if item in self.gone else {})},
            )
            for item in addresses
        ]

    async def sequences(self, addresses: Sequence[str]) -> tuple[int, dict[str, int]]:
        """As the chain's."""
        return LEDGER, dict.fromkeys(addresses, NUMBER)

    # The stores'

    async def _idle(
        self, pooler: PoolerId, farmers: Sequence[FarmerId], *, hours: int, limit: int
    ) -> list[Wallet]:
        self.asked.append((pooler, list(farmers), hours, limit))
        return self.wallets

    async def _numbers(self, addresses: Sequence[str], *, after: int) -> dict[str, int]:
        # A node may not have seen the last one yet.
        assert after == LEDGER
        return dict.fromkeys(addresses, NUMBER + 1)

    def _touch(self, wallets: Iterable[tuple[WalletId, str]]) -> None:
        self.touched += wallets

    async def _is_busy(self, address: str) -> bool:
        assert address == self.signers.key(TREASURY).address
        return self.is_busy

    async def _commit(self, drafts: Sequence[Draft], *, ledger: int) -> Committed:
        self.drafts += [(item, ledger) for item in drafts]
        return self.committed or Committed(
            recorded=list(drafts), unpaid=frozenset(), spared=frozenset()
        )


NOTHING = Committed(recorded=[], unpaid=frozenset(), spared=frozenset())


async def test_accounts_that_hold_nothing_are_merged_into_the_treasury_in_one_transaction(
    capfd: pytest.CaptureFixture[str],
) -> None:
    world = World()
    lined, bare = world.farmer(), world.farmer(has_trustline=False)
    rich, gone = world.farmer(kale=1), world.farmer(exists=False)
    found = await world.reclaim()
    assert [(one.wallet, one.verdict) for one in found] == [
        (lined, Verdict.RECLAIMED),
        (bare, Verdict.RECLAIMED),
        (rich, Verdict.HOLDS_SOMETHING),
        (gone, Verdict.NOTHING_THERE),
    ]
    assert world.asked == [(POOLER, [], 24, 19)]
    ((draft, ledger),) = world.drafts
    assert (ledger, draft.operation_ids, draft.stakes_returned) == (LEDGER, (), ())
    assert draft.merged == (lined, bare)
    envelope = TransactionEnvelope.from_xdr(draft.envelope.xdr, NETWORK.passphrase)
    remove, *merges = envelope.transaction.operations
    treasury = world.signers.key(TREASURY).address
    assert isinstance(remove, ChangeTrust)
    assert (remove.asset, remove.limit) == (NETWORK.asset, "0")
    assert all(isinstance(one, AccountMerge) for one in merges)
    targets = [one.destination.account_id for one in merges if isinstance(one, AccountMerge)]
    assert targets == [treasury, treasury]
    sources = [one.source.account_id for one in (remove, *merges) if one.source is not None]
    assert sources == [lined.address, lined.address, bare.address]
    assert draft.envelope.source == treasury
    assert (draft.envelope.sequence, draft.envelope.max_time) == (
        NUMBER + 2,
        CLOSE_TIME + LIMITS.lifetime,
    )
    assert len(envelope.signatures) == 3
    # The cap holds for each account.
    assert world.sender.sent == [((), 2 * MAX_FEE)]
    assert world.waits == 1
    told = "".join(capfd.readouterr())
    assert "reserves reclaimed" in told
    assert str(rich.id) not in told


async def test_accounts_are_read_by_agreement_before_and_after() -> None:
    world = World()
    idle = world.farmer()
    await world.reclaim()
    assert world.decisions == [
        Decision.REFUSE_ACCOUNT,
        Decision.USE_NUMBER,
        Decision.REFUSE_ACCOUNT,
    ]
    assert world.touched == [(idle.id, idle.address)] * 2


async def test_a_look_merges_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    world = World()
    world.farmer()
    (found,) = await world.reclaim(dry_run=True)
    assert found.verdict is Verdict.RECLAIMED
    assert (world.drafts, world.waits) == ([], 0)
    assert "reserves reclaimed" not in "".join(capfd.readouterr())


async def test_where_nothing_can_be_merged_nothing_is_signed() -> None:
    world = World()
    assert await world.reclaim() == []
    world.farmer(xlm=1)
    await world.reclaim()
    assert (world.drafts, world.waits) == ([], 0)


async def test_what_is_in_flight_is_waited_for_as_it_may_be_this_very_merger() -> None:
    world = World(is_busy=True)
    idle = world.farmer()

    async def wait(seen: int, seconds: float) -> None:
        world.gone.add(idle.address)

    world.wait = wait  # type: ignore[method-assign]
    await world.reclaim()
    assert world.drafts == []


async def test_an_account_that_was_funded_meanwhile_is_left_alone() -> None:
    world = World(is_merging=False)
    first, second = world.farmer(), world.farmer()

    async def wait(seen: int, seconds: float) -> None:
        world.odd[first.address] = {"xlm": 1}
        if len(world.drafts) == 2:
            world.gone.add(second.address)

    world.wait = wait  # type: ignore[method-assign]
    await world.reclaim()
    assert [draft.merged for draft, _ in world.drafts] == [(first, second), (second,)]


async def test_three_transactions_are_tried() -> None:
    world = World(is_merging=False)
    world.farmer()
    with pytest.raises(DeadlineExceededError, match="no ledger has merged"):
        await world.reclaim()
    assert (len(world.drafts), world.waits) == (3, 3)


@pytest.mark.parametrize(("seconds", "waits"), [(60, 3), (61, 2), (120, 2), (121, 1)])
async def test_four_lifetimes_are_waited_for(seconds: int, waits: int) -> None:
    world = World(is_busy=True, seconds_per_wait=seconds)
    world.farmer()
    with pytest.raises(DeadlineExceededError):
        await world.reclaim()
    # An envelope lives for 30 s.
    assert world.waits == waits


async def test_nothing_is_merged_while_signing_is_paused() -> None:
    world = World(committed=replace(NOTHING, is_paused=True))
    world.farmer()
    with pytest.raises(SigningPausedError):
        await world.reclaim()
    assert world.sender.sent == []


async def test_what_was_not_recorded_is_not_sent() -> None:
    world = World(committed=NOTHING)
    world.farmer()
    with pytest.raises(DeadlineExceededError):
        await world.reclaim()
    assert world.sender.sent == []
