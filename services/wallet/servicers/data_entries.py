"""kalepool.wallet.v1.DataEntryService: the newest root of the pool's claims, on the chain."""

from typing import Any, TypeAlias

import grpc
from kalepool.wallet.v1 import data_entry_pb2, data_entry_pb2_grpc

from libs.common.grpc.identity import caller
from libs.kale.statements.roots import ENTRY_NAME
from services.wallet.domain.data_entries import DataEntry
from services.wallet.servicers.messages import operation_message
from services.wallet.usecases.data_entries import DataEntries

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = data_entry_pb2.DESCRIPTOR.services_by_name["DataEntryService"].full_name
#: Methods that harvest calls.
INTERNAL = ("GetDataEntry", "PublishRoot")


class DataEntryServicer(data_entry_pb2_grpc.DataEntryServiceServicer):
    """Thin servicer: each method maps the request, makes one call and maps the result back."""

    def __init__(self, entries: DataEntries) -> None:
        self._entries = entries

    async def GetDataEntry(
        self, request: data_entry_pb2.GetDataEntryRequest, context: Context
    ) -> data_entry_pb2.GetDataEntryResponse:
        """See data_entry.proto."""
        account, newest = await self._entries.newest()
        return data_entry_pb2.GetDataEntryResponse(
            account=account, name=ENTRY_NAME, newest=None if newest is None else _message(newest)
        )

    async def PublishRoot(
        self, request: data_entry_pb2.PublishRootRequest, context: Context
    ) -> data_entry_pb2.PublishRootResponse:
        """See data_entry.proto."""
        entry = await self._entries.publish(request.day, request.root, actor=caller().actor)
        return data_entry_pb2.PublishRootResponse(entry=_message(entry))


def _message(entry: DataEntry) -> data_entry_pb2.DataEntry:
    operation = operation_message(entry.operation)
    return data_entry_pb2.DataEntry(
        day=entry.day,
        root=entry.root,
        operation_id=operation.operation_id,
        state=operation.state,
        transaction_hash=operation.transaction_hash,
        ledger=operation.ledger,
    )
