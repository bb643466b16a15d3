"""kalepool.report.v1.FeeService: what the network was paid."""

from typing import Any, TypeAlias
from uuid import UUID

import grpc
from kalepool.report.v1 import fees_pb2, fees_pb2_grpc

from libs.common.grpc.spans import next_token, span_page
from libs.common.ids import PoolerId
from services.wallet.domain.fee_reports import Fee, FeeKind, Fees
from services.wallet.servicers.messages import timestamp
from services.wallet.store.fees import FeeStore
from services.wallet.usecases.fees import list_fees

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = fees_pb2.DESCRIPTOR.services_by_name["FeeService"].full_name
_KINDS = {kind: fees_pb2.FeeKind.Value(f"FEE_KIND_{kind.name}") for kind in FeeKind}


class FeeServicer(fees_pb2_grpc.FeeServiceServicer):
    """Thin servicer: each method makes one call and maps the result."""

    def __init__(self, store: FeeStore) -> None:
        self._store = store

    async def ListFees(
        self, request: fees_pb2.ListFeesRequest, context: Context
    ) -> fees_pb2.ListFeesResponse:
        """See fees.proto."""
        pooler = PoolerId(UUID(request.pooler_id)) if request.pooler_id else None
        found, starts = await list_fees(self._store, pooler, span_page(request))
        return fees_pb2.ListFeesResponse(
            fees=map(_message, found), next_page_token=next_token(starts)
        )


def register(store: FeeStore, server: grpc.aio.Server) -> None:
    """Add the servicer to a server."""
    fees_pb2_grpc.add_FeeServiceServicer_to_server(FeeServicer(store), server)


def _message(fees: Fees) -> fees_pb2.Fees:
    return fees_pb2.Fees(
        starts_at=timestamp(fees.starts_at),
        kinds=map(_fee, fees.kinds),
        stroops=fees.stroops,
        rewards=fees.rewards,
        stroops_per_kale=fees.stroops_per_kale,
    )


def _fee(fee: Fee) -> fees_pb2.Fee:
    return fees_pb2.Fee(kind=_KINDS[fee.kind], stroops=fee.stroops, charges=fee.charges)
