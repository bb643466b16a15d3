"""What wallet tells the pool's ledger: ends and withdrawals, in order, and only what it wrote."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from libs.common.ids import OperationId, new_id
from services.wallet.domain.model import FailureReason, Movement, OperationState
from services.wallet.domain.withdrawals import Asset
from services.wallet.store.operations import OperationStore
from tests.support.orders import ORDERS
from tests.support.table_rows import new_ids
from tests.support.wallet_rows import WalletRow, WalletRows, ago

BEGIN = (datetime(2020, 1, 1, tzinfo=UTC), UUID(int=0))
ALL = 99


async def after(
    rows: WalletRows, place: tuple[datetime, UUID] = BEGIN, limit: int = ALL
) -> list[Movement]:
    """What comes after a place."""
    return await OperationStore(rows.pool, ORDERS).movements(place, limit)


async def asked(
    rows: WalletRows, owner: WalletRow, name: OperationId, *, asset: Asset, at: datetime
) -> None:
    """A withdrawal of 30 stroops that was asked for at a moment."""
    values: dict[str, Any] = {
        "operation_id": name,
        "wallet_id": owner.id,
        "request_id": str(name),
        "asset": asset.value,
        "amount": 30,
        "destination": "outside",
        "requested_at": at,
    }
    mac = ORDERS.for_withdrawal(**values)
    await rows.insert("wallet.withdrawals", **values, mac=mac)


async def test_ends_and_requests_come_in_the_order_of_their_moments(rows: WalletRows) -> None:
    owner, names = await rows.wallet(), new_ids(6)
    same = ago(40)
    moments = {names[4]: ago(60), names[1]: ago(50), names[3]: same, names[0]: same}
    for place, (name, moment) in enumerate(moments.items()):
        kind = ("plant", "work", "harvest", "onboard")[place]
        await rows.operation(
            owner, kind, "succeeded", id=name, block=place, settled_at=moment, ledger=9
        )
    await rows.operation(owner, id=names[5], block=77)  # has not ended
    payout = OperationId(names[2])
    await rows.operation(owner, "withdraw", "failed", id=payout, settled_at=ago(30), ledger=9)
    await asked(rows, owner, payout, asset=Asset.KALE, at=ago(55))
    found = await after(rows)
    told = [(one.operation.id, one.is_request, one.withdrawn_kale) for one in found]
    assert told == [
        (names[4], False, 0),
        (payout, True, 30),
        (names[1], False, 0),
        (names[0], False, 0),
        (names[3], False, 0),
        (payout, False, 30),
    ]
    assert [one.operation.reason for one in found if one.is_request] != [FailureReason.TAMPERED]
    # Page by page it is the same.
    paged, last = list[Movement](), BEGIN
    while page := await after(rows, last, 2):
        paged += page
        last = (page[-1].at, page[-1].operation.id)
    assert paged == found


async def test_what_wallet_did_not_write_is_tampered(rows: WalletRows) -> None:
    owner = await rows.wallet()
    forged = await rows.operation(owner, "plant", "succeeded", amount=5, end_mac=None)
    payout = await rows.operation(owner, "withdraw", "succeeded", ledger=9)
    await asked(rows, owner, payout, asset=Asset.KALE, at=ago(5))
    await rows.connection.execute("SET session_replication_role = replica")
    await rows.connection.execute("UPDATE wallet.withdrawals SET amount = 10 ^ 9")
    await rows.connection.execute("RESET session_replication_role")
    found = await after(rows)
    assert {one.operation.id for one in found} == {forged, payout}
    assert len(found) == 3
    for one in found:
        assert one.operation.reason is FailureReason.TAMPERED
        assert (one.operation.state, one.operation.amount) == (OperationState.FAILED, 0)


async def test_xlm_that_leaves_is_no_kale(rows: WalletRows) -> None:
    owner, name = await rows.wallet(), OperationId(new_id())
    await rows.operation(owner, "withdraw", "succeeded", id=name, ledger=9)
    await asked(rows, owner, name, asset=Asset.XLM, at=ago(5))
    assert [one.withdrawn_kale for one in await after(rows)] == [0, 0]
