"""kalepool.wallet.v1.OrderService: operators' requests about the rows that wallet acts on."""

from typing import Any, TypeAlias

import grpc
from kalepool.wallet.v1 import order_pb2, order_pb2_grpc

from libs.common.grpc.identity import caller
from services.wallet.domain.orders import SeenRow
from services.wallet.engine.order_check import OrderCheck
from services.wallet.engine.row_keys import RowKeys
from services.wallet.servicers.messages import timestamp
from services.wallet.store.order_rows import OrderRow

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = order_pb2.DESCRIPTOR.services_by_name["OrderService"].full_name
#: Methods that look at all rows.
SLOW = ("CheckOrders", "SignOrders")


class OrderServicer(order_pb2_grpc.OrderServiceServicer):
    """Thin servicer: each method is one call of the check or of the keys."""

    def __init__(self, check: OrderCheck, keys: RowKeys) -> None:
        self._check = check
        self._keys = keys

    async def CheckOrders(
        self, request: order_pb2.CheckOrdersRequest, context: Context
    ) -> order_pb2.CheckOrdersResponse:
        """See order.proto."""
        found = await self._check.look()
        return order_pb2.CheckOrdersResponse(
            forged=found.count,
            rows=map(_message, found.forged),
            tables=[
                order_pb2.CheckedTable(table=table, rows=rows) for table, rows in found.rows.items()
            ],
            has_keys=self._keys.is_open,
            checked_at=None if found.at is None else timestamp(found.at),
        )

    async def SignOrders(
        self, request: order_pb2.SignOrdersRequest, context: Context
    ) -> order_pb2.SignOrdersResponse:
        """See order.proto."""
        seen = None if request.everything else list(map(SeenRow.read, request.names))
        signed = await self._check.sign(seen, actor=caller().actor)
        return order_pb2.SignOrdersResponse(signed=signed)

    async def ReplaceRowKey(
        self, request: order_pb2.ReplaceRowKeyRequest, context: Context
    ) -> order_pb2.ReplaceRowKeyResponse:
        """See order.proto."""
        number = await self._keys.replace(actor=caller().actor)
        return order_pb2.ReplaceRowKeyResponse(number=number)


def _message(row: OrderRow) -> order_pb2.ForgedRow:
    return order_pb2.ForgedRow(
        name=str(row.seen if row.is_readable else row.name),
        content=" ".join(f"{column}={value}" for column, value in row.columns.items()),
    )
