"""Use cases of operators: each is told in the security log, and refusals say why."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from libs.common import failpoints
from libs.common.errors import InvalidArgumentError
from libs.common.grpc.second_person import Order
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from libs.common.spans import Span, SpanPage
from services.wallet.domain.approvals import ApprovalId
from services.wallet.domain.audit import Act, Action, Findings, Head, Record, chained
from services.wallet.domain.errors import (
    KeyExportOffError,
    NotHeldError,
    PoolerNotFoundError,
    SecondPersonError,
    WithdrawalNotFoundError,
    WrongAddressError,
)
from services.wallet.domain.withdrawals import Asset, CountLimits, DailyLimit, NewWithdrawal
from services.wallet.engine.wakeup import Wakeup
from services.wallet.usecases.approvals import Approvals
from services.wallet.usecases.custody import Custody
from services.wallet.usecases.fees import list_fees
from services.wallet.usecases.withdrawals import Withdrawals

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
FARMER, WALLET = FarmerId(new_id()), WalletId(new_id())
ADDRESS = "G" + "A" * 55


def told(capfd: pytest.CaptureFixture[str]) -> str:
    """Return what was logged; all of it in the security log."""
    text = "".join(capfd.readouterr())
    assert all("log=security" in line for line in text.splitlines())
    return text


# Keys


class Store:
    """The audit log, and what waits for a person."""

    def __init__(self) -> None:
        self.held: set[OperationId] = set()
        self.acts: list[Act] = []
        self.log: list[Record] = []
        self.read_after: list[int] = []

    async def release(self, operation_id: OperationId, *, actor: str) -> bool:
        """As the store's."""
        return operation_id in self.held

    async def record(self, act: Act) -> None:
        """As the store's."""
        self.acts.append(act)

    async def head(self) -> Head:
        """As the store's."""
        last = self.log[-1] if self.log else None
        return Head() if last is None else Head(number=last.number, hash=last.hash)

    async def judge(self) -> Any:
        """As the store's: the second record is not wallet's."""
        return SimpleNamespace(
            strangers=lambda page: ["record 2 is not wallet's" for one in page if one.number == 2]
        )

    async def records(self, *, after: int) -> AsyncIterator[list[Record]]:
        """As the store's, two records to a page."""
        self.read_after.append(after)
        found = [item for item in self.log if item.number > after]
        for start in range(0, len(found), 2):
            yield found[start : start + 2]


class Check:
    """The comparison of the log with the rows beside it."""

    def __init__(self) -> None:
        self.pages: list[list[int]] = []
        self.since: list[datetime | None] = []

    async def records(self, page: Sequence[Record], findings: Findings) -> None:
        """As the check's."""
        self.pages.append([item.number for item in page])

    async def rows(self, findings: Findings, *, since: datetime | None) -> None:
        """As the check's."""
        self.since.append(since)


class World:
    """Custody over stand-ins."""

    def __init__(self, *, may_export: bool = True) -> None:
        self.store, self.check, self.wakeup = Store(), Check(), Wakeup()
        self.exported: list[tuple[WalletId, bytes]] = []
        wallet = SimpleNamespace(id=WALLET, address=ADDRESS, pooler_id=PoolerId(new_id()))

        async def of_farmer(farmer_id: FarmerId) -> Any:
            assert farmer_id == FARMER
            return wallet

        async def export(wallet_id: WalletId, receiver_key: bytes) -> str:
            self.exported.append((wallet_id, receiver_key))
            return "parcel"

        self.wallets = cast(Any, SimpleNamespace(of_farmer=of_farmer))
        self.custody = Custody(
            wallets=self.wallets,
            store=cast(Any, self.store),
            check=cast(Any, self.check),
            signers=cast(Any, SimpleNamespace(export=export)),
            wakeup=self.wakeup,
            may_export=may_export,
        )

    async def export(self, address: str = ADDRESS) -> Any:
        """Export the farmer's key."""
        return await self.custody.export_key(
            FARMER, address=address, reason="asked for", receiver_key=b"r", actor="operator"
        )

    def write(self, count: int) -> None:
        """Write records."""
        acts = [Act(actor="a", action=Action.PAUSE, subject=str(n)) for n in range(count)]
        self.store.log = list(chained(acts, Head(), NOW))


async def test_an_operation_that_waits_for_a_person_is_released(
    capfd: pytest.CaptureFixture[str],
) -> None:
    world, held, free = World(), OperationId(new_id()), OperationId(new_id())
    world.store.held = {held}
    await world.custody.release(held, actor="operator")
    assert world.wakeup.count == 1
    words = told(capfd)
    assert "operation released" in words
    assert "actor=operator" in words
    with pytest.raises(NotHeldError, match=f"{free} does not wait for a person"):
        await world.custody.release(free, actor="operator")
    assert (world.wakeup.count, told(capfd)) == (1, "")


async def test_a_key_is_exported_after_that_is_recorded(capfd: pytest.CaptureFixture[str]) -> None:
    world = World()
    assert await world.export() == "parcel"
    (act,) = world.store.acts
    assert (act.actor, act.action) == ("operator", Action.EXPORT_KEY)
    assert (act.subject, act.details) == (f"wallet {WALLET}", "asked for")
    assert world.exported == [(WALLET, b"r")]
    words = told(capfd)
    assert "key exported" in words
    assert str(WALLET) in words
    assert "asked for" in words


async def test_no_key_leaves_a_pool_that_forbids_it_or_for_another_address() -> None:
    world = World(may_export=False)
    with pytest.raises(KeyExportOffError):
        await world.export()
    other = World()
    with pytest.raises(WrongAddressError, match=f"not the address of farmer {FARMER}"):
        await other.export("G" + "B" * 55)
    assert (world.exported, other.exported, other.store.acts) == ([], [], [])


async def test_a_process_may_die_after_an_export_was_recorded() -> None:
    world = World()
    failpoints.arm("wallet.key.exported=raise")
    try:
        with pytest.raises(failpoints.FailpointError):
            await world.export()
    finally:
        failpoints.arm("")
    assert len(world.store.acts) == 1


async def test_the_log_is_verified_record_by_record() -> None:
    world = World()
    world.write(5)
    verifier, findings = await world.custody.verify(None)
    assert (verifier.broken, verifier.head.number) == ("", 5)
    assert world.check.pages == [[1, 2], [3, 4], [5]]
    assert world.store.read_after[0] < 0
    assert findings.words() == ["record 2 is not wallet's"]
    # All rows are compared, however old.
    assert world.check.since == [None]


async def test_the_log_is_verified_from_a_noted_record_on() -> None:
    world = World()
    world.write(5)
    third = world.store.log[2]
    noted = Head(number=3, hash=third.hash)
    verifier, _ = await world.custody.verify(noted, begins_there=True)
    assert (verifier.broken, world.store.read_after) == ("", [2])
    assert world.check.pages == [[3, 4], [5]]
    assert world.check.since == [third.at]


async def test_a_log_is_read_up_to_its_first_flaw() -> None:
    world = World()
    world.write(6)
    world.store.log[3] = replace(world.store.log[3], actor="somebody else")
    verifier, _ = await world.custody.verify(None)
    assert verifier.broken == "record 4 was changed"
    assert world.check.pages == [[1, 2], [3, 4]]
    # What is missing at the end is told, too.
    world.write(3)
    end = await world.store.head()
    world.store.log.pop()

    async def head() -> Head:
        return end

    world.store.head = head  # type: ignore[method-assign]
    verifier, _ = await world.custody.verify(None)
    assert verifier.broken == "the records after 2 are missing"


# A second person


def order(**fields: Any) -> Order:
    values: dict[str, Any] = {"missing": (), "actor": "operator via gateway"}
    return Order(
        method="/a.B/C",
        digest=b"\xca\xfe",
        request="{}",
        asked_by="operator",
        is_repeatable=False,
        **{**values, **fields},
    )


class Requests:
    """Requests that were approved, or that wait."""

    def __init__(self, waits_for: ApprovalId | None = None) -> None:
        self.waits_for = waits_for
        self.used: list[tuple[Order, int]] = []

    async def use(self, order: Order, *, seconds: int) -> ApprovalId | None:
        """As the store's."""
        self.used.append((order, seconds))
        return self.waits_for

    async def approve(self, approval_id: ApprovalId, *, actor: str) -> Any:
        """As the store's."""
        return SimpleNamespace(method="/a.B/C", id=approval_id)


async def test_an_order_that_was_approved_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    requests, asked = Requests(), order()
    await Approvals(store=cast(Any, requests), seconds=600).use(asked)
    assert requests.used == [(asked, 600)]
    words = told(capfd)
    assert "order goes on" in words
    assert "digest=cafe" in words
    assert "operator via gateway" in words


async def test_an_order_waits_for_another_operator(capfd: pytest.CaptureFixture[str]) -> None:
    waits_for = ApprovalId(new_id())
    with pytest.raises(SecondPersonError, match=str(waits_for)) as caught:
        await Approvals(store=cast(Any, Requests(waits_for)), seconds=600).use(order())
    assert caught.value.metadata == {"approval_id": str(waits_for)}
    words = told(capfd)
    assert "order takes a second person" in words
    assert str(waits_for) in words


async def test_an_order_that_leaves_open_what_it_moves_is_refused() -> None:
    requests = Requests()
    with pytest.raises(InvalidArgumentError) as caught:
        await Approvals(store=cast(Any, requests), seconds=600).use(order(missing=("address",)))
    assert [item.field for item in caught.value.violations] == ["address"]
    assert requests.used == []


async def test_where_no_second_person_is_wanted_nobody_is_asked(
    capfd: pytest.CaptureFixture[str],
) -> None:
    requests = Requests(ApprovalId(new_id()))
    await Approvals(store=cast(Any, requests), seconds=0).use(order(missing=("address",)))
    assert (requests.used, told(capfd)) == ([], "")


async def test_an_approval_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    name = ApprovalId(new_id())
    found = await Approvals(store=cast(Any, Requests()), seconds=600).approve(name, actor="other")
    assert found.id == name
    words = told(capfd)
    assert "order approved" in words
    assert "actor=other" in words
    assert str(name) in words


# Withdrawals


class Payouts:
    """Withdrawals and addresses."""

    def __init__(self) -> None:
        self.new: list[tuple[NewWithdrawal, DailyLimit, CountLimits]] = []
        self.waited: list[OperationId] = []
        self.found: Any = "withdrawal"

    async def record(
        self, new: NewWithdrawal, limit: DailyLimit, counts: CountLimits
    ) -> OperationId:
        """As the store's."""
        self.new.append((new, limit, counts))
        return new.id

    async def by_id(self, _withdrawal_id: OperationId) -> Any:
        """As the store's."""
        return self.found

    async def one(self, operation_id: OperationId) -> None:
        """As the feed's."""
        self.waited.append(operation_id)


def withdrawals(payouts: Payouts, wakeup: Wakeup) -> Withdrawals:
    terms = SimpleNamespace(
        limits={Asset.KALE: DailyLimit(farmer=1, pool=2), Asset.XLM: DailyLimit(farmer=3, pool=4)},
        counts=CountLimits(),
    )
    return Withdrawals(
        wallets=World().wallets,
        store=cast(Any, payouts),
        terms=cast(Any, terms),
        wakeup=wakeup,
        settled=cast(Any, payouts),
    )


async def withdrawn(payouts: Payouts, wakeup: Wakeup, asset: Asset = Asset.XLM) -> Any:
    return await withdrawals(payouts, wakeup).withdraw(
        FARMER,
        request_id="mine",
        asset=asset,
        amount=7,
        destination=ADDRESS,
        actor="pooler",
    )


@pytest.mark.parametrize(("asset", "pool"), [(Asset.KALE, 2), (Asset.XLM, 4)])
async def test_a_withdrawal_is_recorded_within_its_assets_limit_and_waited_for(
    asset: Asset, pool: int, capfd: pytest.CaptureFixture[str]
) -> None:
    payouts, wakeup = Payouts(), Wakeup()
    assert await withdrawn(payouts, wakeup, asset) == "withdrawal"
    ((new, limit, counts),) = payouts.new
    assert (new.wallet_id, new.request_id, new.asset, new.amount) == (WALLET, "mine", asset, 7)
    assert (new.destination, new.actor) == (ADDRESS, "pooler")
    assert (limit.pool, counts) == (pool, CountLimits())
    assert (payouts.waited, wakeup.count) == ([new.id], 1)
    words = told(capfd)
    assert "withdrawal" in words
    assert str(new.id) in words
    assert "actor=pooler" in words


async def test_a_process_may_die_after_a_withdrawal_was_recorded() -> None:
    payouts, wakeup = Payouts(), Wakeup()
    failpoints.arm("wallet.withdrawal.recorded=raise")
    try:
        with pytest.raises(failpoints.FailpointError):
            await withdrawn(payouts, wakeup)
    finally:
        failpoints.arm("")
    assert (len(payouts.new), wakeup.count) == (1, 0)


async def test_a_withdrawal_that_is_not_there_is_named() -> None:
    payouts, missing = Payouts(), OperationId(new_id())
    payouts.found = None
    with pytest.raises(WithdrawalNotFoundError, match=f"there is no withdrawal {missing}"):
        await withdrawals(payouts, Wakeup()).withdrawal(missing)


# Fees


class FeesStore:
    """Fees of a pooler that is registered, or not."""

    def __init__(self, registered_at: datetime | None) -> None:
        self.registered_at = registered_at
        self.asked: list[tuple[PoolerId | None, Span, int]] = []

    async def began(self, _pooler_id: PoolerId | None) -> Any:
        """As the store's."""
        return SimpleNamespace(now=NOW, registered_at=self.registered_at)

    async def fees(self, pooler_id: PoolerId | None, span: Span, page: Sequence[datetime]) -> Any:
        """As the store's."""
        self.asked.append((pooler_id, span, len(page)))
        return "fees"


PAGE = SpanPage(span=Span.HOUR, since=None, until=None, limit=2)


@pytest.mark.parametrize("pooler_id", [None, PoolerId(UUID(int=1))])
async def test_fees_are_listed_by_pages(pooler_id: PoolerId | None) -> None:
    store = FeesStore(datetime(2025, 1, 1, tzinfo=UTC))
    found: tuple[Any, Any] = await list_fees(cast(Any, store), pooler_id, PAGE)
    fees, starts = found
    assert (fees, len(starts.page), starts.has_more) == ("fees", 2, True)
    assert store.asked == [(pooler_id, Span.HOUR, 2)]


async def test_fees_of_nobody_are_told_and_those_of_an_empty_pool_are_none() -> None:
    missing = PoolerId(new_id())
    with pytest.raises(PoolerNotFoundError, match=f"no pooler {missing}"):
        await list_fees(cast(Any, FeesStore(None)), missing, PAGE)
    _, starts = await list_fees(cast(Any, FeesStore(None)), None, PAGE)
    assert (starts.page, starts.has_more) == ((), False)
