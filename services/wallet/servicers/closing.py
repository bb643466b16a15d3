"""kalepool.wallet.v1.ClosingService: accounts of farmers and poolers that leave."""

from typing import Any, TypeAlias
from uuid import UUID

import grpc
from kalepool.wallet.v1 import closing_pb2, closing_pb2_grpc

from libs.common.errors import InvalidArgumentError
from libs.common.grpc.identity import caller
from libs.common.ids import FarmerId, PoolerId
from services.wallet.servicers.messages import operation_message
from services.wallet.usecases.closing import Closings

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = closing_pb2.DESCRIPTOR.services_by_name["ClosingService"].full_name
#: Methods that registry calls.
INTERNAL = ("CloseAccount",)


class ClosingServicer(closing_pb2_grpc.ClosingServiceServicer):
    """Thin servicer: each method maps the request, makes one call and maps the result back."""

    def __init__(self, closings: Closings) -> None:
        self._closings = closings

    async def CloseAccount(
        self, request: closing_pb2.CloseAccountRequest, context: Context
    ) -> closing_pb2.CloseAccountResponse:
        """See closing.proto."""
        if bool(request.farmer_id) == bool(request.pooler_id):
            raise InvalidArgumentError.of("farmer_id", "name a farmer or a pooler, not both")
        actor = caller().actor
        if request.farmer_id:
            farmer_id = FarmerId(UUID(request.farmer_id))
            found = await self._closings.close_farmer(farmer_id, actor=actor)
        else:
            pooler_id = PoolerId(UUID(request.pooler_id))
            found = await self._closings.close_pooler(pooler_id, actor=actor)
        operation = operation_message(found)
        return closing_pb2.CloseAccountResponse(
            operation_id=operation.operation_id,
            state=operation.state,
            transaction_hash=operation.transaction_hash,
            ledger=operation.ledger,
        )
