"""What callers are told of payouts: what is recorded is told as it is, whatever changed since."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.budget import SponsorTerms
from services.wallet.domain.fees_due import Fees
from services.wallet.domain.model import (
    FailureReason,
    Operation,
    OperationKind,
    OperationState,
)
from services.wallet.domain.payouts import (
    FarmerAccount,
    Hindrance,
    Payout,
    PoolerAccount,
    PoolPayment,
    Refusal,
    WantedPayment,
)
from services.wallet.domain.withdrawals import DailyLimit
from services.wallet.engine.wakeup import Wakeup
from services.wallet.usecases.payouts import Payouts

POOLER, FARMER = PoolerId(new_id()), FarmerId(new_id())
NAME = OperationId(new_id())
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def operation(state: OperationState) -> Operation:
    """Return an operation that is settled."""
    values: dict[str, Any] = dict.fromkeys(Operation.__dataclass_fields__)
    is_failed = state is OperationState.FAILED
    return Operation(
        **{
            **values,
            "id": NAME,
            "kind": OperationKind.POOL_PAYMENT,
            "state": state,
            "reason": FailureReason.TAMPERED if is_failed else None,
        }
    )


ROW = operation(OperationState.SUCCEEDED)
#: What wallet makes of that row, whose end it did not write.
JUDGED = operation(OperationState.FAILED)


class Settled:
    """Tells settled operations as they are judged."""

    async def of(self, ids: Sequence[OperationId]) -> AsyncIterator[list[Operation]]:
        """As the feed's."""
        assert set(ids) <= {NAME}
        if ids:
            yield [JUDGED]

    async def one(self, name: OperationId) -> Operation:
        """As the feed's."""
        assert name == NAME
        return JUDGED


class Rows:
    """Has one pooler's account and one farmer's, with a payment that is recorded."""

    def __init__(self, hindrance: Hindrance | None = None) -> None:
        self.account = PoolerAccount(
            pooler_id=POOLER,
            wallet_id=WalletId(new_id()),
            address="GPOOL",
            is_ready=True,
            hindrance=hindrance,
        )
        self.farmer = FarmerAccount(
            farmer_id=FARMER,
            pooler_id=POOLER,
            wallet_id=WalletId(new_id()),
            address="GFARMER",
            outside="GOUT",
            hindrance=hindrance,
        )
        self.known: dict[str, OperationId | Refusal] = {"GA": NAME}
        self.recorded: list[str] = []
        self.stopped = 0

    async def totals(self) -> Any:
        """As the payers'."""
        return SimpleNamespace(stopped=self.stopped)

    async def poolers(self, _ids: object) -> dict[PoolerId, PoolerAccount]:
        """As the store's."""
        return {POOLER: self.account}

    async def farmers(self, _ids: object) -> dict[FarmerId, FarmerAccount]:
        """As the store's."""
        return {FARMER: self.farmer}

    async def of_request(
        self, _request_id: str, *_args: object, is_miner: bool | None = None
    ) -> dict[Any, Any]:
        """As the stores'."""
        return {self.farmer.wallet_id: NAME} if is_miner is None else dict(self.known)

    async def record_miners(
        self, _request_id: str, _account: object, wanted: Sequence[WantedPayment], *, actor: str
    ) -> dict[str, OperationId | Refusal]:
        """As the store's."""
        assert actor
        self.recorded += [item.destination for item in wanted]
        return {item.destination: self.known.get(item.destination, NAME) for item in wanted}

    async def record_pooler(
        self, _request_id: str, _account: object, wanted: WantedPayment, *, actor: str
    ) -> OperationId | Refusal:
        """As the store's."""
        assert actor
        self.recorded.append(wanted.destination)
        return NAME

    async def by_ids(self, ids: Sequence[OperationId]) -> list[PoolPayment]:
        """As the store's: rows, as they stand."""
        return [
            PoolPayment(
                request_id="one",
                is_miner=True,
                amount=5,
                destination="GA",
                requested_at=MOMENT,
                operation=ROW,
            )
            for _ in ids
        ]


class PayoutRows(Rows):
    """The same for payouts."""

    async def by_ids(self, ids: Sequence[OperationId]) -> list[Any]:
        """As the store's: rows, as they stand."""
        return [
            Payout(
                request_id="one",
                amount=5,
                destination="GOUT",
                fees=Fees(),
                pooler_account="",
                operator_account="",
                requested_at=MOMENT,
                operation=ROW,
            )
            for _ in ids
        ]


def use_cases(rows: Rows) -> Payouts:
    """Return the use cases over these rows."""
    return Payouts(
        payouts=cast(Any, rows),
        pool_payments=cast(Any, rows),
        marks=cast(Any, None),
        wallets=cast(Any, None),
        payers=cast(Any, rows),
        chain=cast(Any, None),
        provider=cast(Any, None),
        treasury=cast(Any, None),
        limit=DailyLimit(farmer=1, pool=1),
        sponsored=SponsorTerms(),
        operator_address="",
        wakeup=Wakeup(),
        settled=cast(Any, Settled()),
    )


async def miners(rows: Rows, *places: str) -> dict[str, PoolPayment | Refusal]:
    """Ask for payments to miners; return what became of each."""
    told: dict[str, PoolPayment | Refusal] = {}
    amounts = dict.fromkeys(places, 5)
    async for some in use_cases(rows).pay_miners("one", POOLER, amounts, actor="harvest"):
        told |= some
    return told


@pytest.mark.parametrize("hindrance", [Hindrance.SIGNING_PAUSED, Hindrance.TAMPERED])
async def test_a_payment_on_record_is_never_said_to_be_refused(hindrance: Hindrance) -> None:
    rows = Rows(hindrance)
    told = await miners(rows, "GA", "GB")
    # Who is told that it was refused pays it under another name.
    assert isinstance(told["GA"], PoolPayment)
    assert told["GB"] == hindrance.refusal
    assert rows.recorded == []
    paid = await use_cases(rows).pay_pooler("one", POOLER, 5, actor="harvest")
    assert isinstance(paid, PoolPayment)


async def test_a_pooler_that_is_hindered_is_paid_nothing_new() -> None:
    rows = Rows(Hindrance.POOLER_SUSPENDED)
    rows.known = {}
    found = await use_cases(rows).pay_pooler("one", POOLER, 5, actor="harvest")
    assert found == Hindrance.POOLER_SUSPENDED.refusal
    assert rows.recorded == []


async def test_nobody_is_paid_of_fees_while_a_payer_is_stopped() -> None:
    rows = Rows()
    rows.stopped = 1
    told = await miners(rows, "GA", "GB")
    # What a restored database knows is told; what it may have forgotten is not paid again.
    assert isinstance(told["GA"], PoolPayment)
    assert isinstance(told["GB"], Refusal)
    assert told["GB"].reason == "PAYERS_STOPPED"
    rows.known = {}
    found = await use_cases(rows).pay_pooler("one", POOLER, 5, actor="harvest")
    assert isinstance(found, Refusal)
    assert (found.reason, rows.recorded) == ("PAYERS_STOPPED", [])


async def test_what_is_told_is_what_wallet_judged_and_not_the_row() -> None:
    rows = PayoutRows()
    paid: list[Payout | PoolPayment | Refusal] = [
        item
        async for told in use_cases(rows).pay_farmers("one", {FARMER: 5}, actor="harvest")
        for item in told.values()
    ]
    paid += (await miners(Rows(), "GA")).values()
    paid.append(await use_cases(Rows()).pay_pooler("one", POOLER, 5, actor="harvest"))
    assert len(paid) == 3
    for item in paid:
        assert not isinstance(item, Refusal)
        # Harvest books nothing of it, and leaves it open for a person.
        assert item.operation == JUDGED
