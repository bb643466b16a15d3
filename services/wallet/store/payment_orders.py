"""What operations that payers carry are to pay, judged by the rows that say so."""

from collections.abc import Iterator, Sequence

from libs.common.db.pool import Database, Record, Session
from libs.common.ids import OperationId, WalletId
from services.wallet.domain.payment_orders import Part, PaymentOrder
from services.wallet.domain.withdrawals import Asset
from services.wallet.store.orders import Orders
from services.wallet.store.payout_rows import payout_row, pool_payment_row


async def read_payment_orders(
    source: Database | Session, orders: Orders, ids: Sequence[OperationId]
) -> dict[OperationId, PaymentOrder]:
    """Return what the withdrawals, payouts and payments of poolers among operations pay."""
    if not ids:
        return {}
    found = [_withdrawal(row, orders) for row in await source.many("withdrawal_orders", list(ids))]
    found += [_payout(row, orders) for row in await source.many("payout_orders", list(ids))]
    found += [
        _pool_payment(row, orders) for row in await source.many("pool_payment_orders", list(ids))
    ]
    return {item.operation_id: item for item in found}


def _withdrawal(row: Record, orders: Orders) -> PaymentOrder:
    part = Part(destination=row["destination"], asset=Asset(row["asset"]), amount=row["amount"])
    return PaymentOrder(
        operation_id=OperationId(row["operation_id"]),
        wallet_id=WalletId(row["wallet_id"]),
        parts=(part,),
        is_stopped=row["is_stopped"],
        is_genuine=orders.is_withdrawal(row) and _goes_by_addresses(row, orders),
    )


def _payout(row: Record, orders: Orders) -> PaymentOrder:
    return PaymentOrder(
        operation_id=OperationId(row["operation_id"]),
        wallet_id=WalletId(row["wallet_id"]),
        parts=tuple(parts_of(row)),
        is_stopped=row["is_stopped"],
        is_genuine=orders.is_genuine(payout_row(row), row["mac"])
        and _is_of_payer(row, orders)
        and _goes_by_addresses(row, orders),
    )


def parts_of(row: Record) -> Iterator[Part]:
    """Yield the payments of a payout's row: the farmer's own, then fees."""
    for destination, amount, is_fee in (
        (row["destination"], row["amount"], False),
        (row["pooler_account"], row["pooler"] + row["miners"], True),
        (row["operator_account"], row["operator"], True),
    ):
        if amount > 0:
            yield Part(destination=destination, asset=Asset.KALE, amount=amount, is_fee=is_fee)


def _pool_payment(row: Record, orders: Orders) -> PaymentOrder:
    part = Part(destination=row["destination"], asset=Asset.KALE, amount=row["amount"])
    return PaymentOrder(
        operation_id=OperationId(row["operation_id"]),
        wallet_id=WalletId(row["wallet_id"]),
        parts=(part,),
        is_stopped=row["is_stopped"],
        is_genuine=orders.is_genuine(pool_payment_row(row), row["mac"])
        and _is_of_payer(row, orders)
        and _goes_by_addresses(row, orders),
    )


def _is_of_payer(row: Record, orders: Orders) -> bool:
    return orders.is_payment(row["operation_id"], row["payer_id"], row["payment_mac"])


def _goes_by_addresses(row: Record, orders: Orders) -> bool:
    """Tell whether wallet wrote the addresses by which it is decided where an order goes."""
    return orders.are_addresses(row["addresses"][::-1])
