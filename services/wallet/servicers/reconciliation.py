"""kalepool.wallet.v1.ReconciliationService: comparison of the records with the chain."""

from typing import Any, TypeAlias

import grpc
from kalepool.wallet.v1 import reconcile_pb2, reconcile_pb2_grpc

from libs.common.paging import id_after, size_of, token_after
from services.wallet.engine.reconcile.reconciler import Reconciler
from services.wallet.servicers.messages import timestamp
from services.wallet.store.reconcile import Entry, ReconcileStore

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = reconcile_pb2.DESCRIPTOR.services_by_name["ReconciliationService"].full_name
#: Methods that read whole tables.
SLOW = ("Reconcile",)


class ReconciliationServicer(reconcile_pb2_grpc.ReconciliationServiceServicer):
    """Thin servicer: each method makes one call and maps the result."""

    def __init__(self, reconciler: Reconciler, store: ReconcileStore) -> None:
        self._reconciler = reconciler
        self._store = store

    async def Reconcile(
        self, request: reconcile_pb2.ReconcileRequest, context: Context
    ) -> reconcile_pb2.ReconcileResponse:
        """See reconcile.proto."""
        report = await self._reconciler.run()
        return reconcile_pb2.ReconcileResponse(
            compared=report.compared, found=report.found, settled=report.settled
        )

    async def ListDifferences(
        self, request: reconcile_pb2.ListDifferencesRequest, context: Context
    ) -> reconcile_pb2.ListDifferencesResponse:
        """See reconcile.proto."""
        size = size_of(request.page_size)
        found = await self._store.page(
            before=id_after(request.page_token),
            settled=request.include_settled,
            limit=size + 1,
        )
        return reconcile_pb2.ListDifferencesResponse(
            differences=[_message(item) for item in found[:size]],
            next_page_token=token_after([item.id for item in found], size),
        )


def _message(entry: Entry) -> reconcile_pb2.Difference:
    return reconcile_pb2.Difference(
        difference_id=str(entry.id),
        kind=entry.kind,
        farmer_id=str(entry.farmer_id),
        block_index=entry.block_index,
        recorded=entry.recorded,
        on_chain=entry.on_chain,
        ledger=entry.ledger,
        found_at=timestamp(entry.found_at),
        settled=entry.settled,
        settled_at=None if entry.settled_at is None else timestamp(entry.settled_at),
    )
