"""harvest's clients of wallet: what has moved KALE, or cost something, and roots on the chain."""

from collections.abc import Sequence
from uuid import UUID

import grpc
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import data_entry_pb2, data_entry_pb2_grpc, wallet_pb2, wallet_pb2_grpc

from libs.common.clock import micros_of, moment_of
from libs.common.grpc.client import call
from libs.common.ids import FarmerId, PoolerId
from services.harvest.domain.bookkeeping import ASKED, FAILED, SUCCEEDED, Movement, Position
from services.harvest.domain.statements import Written

#: Seconds for an answer.
_ANSWER = 10.0


class WalletMovements:
    """Reads wallet's movements; satisfies services.harvest.usecases.bookkeeping.Movements."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: wallet_pb2_grpc.WalletServiceAsyncStub = wallet_pb2_grpc.WalletServiceStub(
            channel
        )

    async def after(
        self, position: Position, limit: int
    ) -> tuple[list[Movement], Sequence[Position]]:
        """Return the movements after a place that wallet itself wrote, and the places of all."""
        request = wallet_pb2.ListMovementsRequest(
            after_micros=micros_of(position.at),
            # At the beginning no operation was read: nobody has that id.
            after_id=str(position.operation_id) if position.operation_id.int else "",
            page_size=limit,
        )
        response = await call(self._stub.ListMovements, request, timeout=_ANSWER)
        told = [
            _movement(one)
            for one in response.movements
            if one.operation.reason != common_pb2.FAILURE_REASON_TAMPERED
        ]
        return told, [_position(one) for one in response.movements]


class WalletRoots:
    """Has wallet write roots to the chain; satisfies services.harvest.usecases.closing.Roots."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: data_entry_pb2_grpc.DataEntryServiceAsyncStub = (
            data_entry_pb2_grpc.DataEntryServiceStub(channel)
        )

    async def account(self) -> str:
        """Return the address of the account whose data entry holds the newest root."""
        request = data_entry_pb2.GetDataEntryRequest()
        return (await call(self._stub.GetDataEntry, request, timeout=_ANSWER)).account

    async def publish(self, day: int, record: bytes) -> Written | None:
        """Have a day's root written; return None until a ledger has it."""
        request = data_entry_pb2.PublishRootRequest(day=day, root=record)
        entry = (await call(self._stub.PublishRoot, request, timeout=_ANSWER)).entry
        if entry.state != wallet_pb2.OPERATION_STATE_SUCCEEDED:
            return None
        return Written(transaction_hash=entry.transaction_hash, ledger=entry.ledger)


def _position(movement: wallet_pb2.Movement) -> Position:
    return Position(
        at=moment_of(movement.at_micros),
        operation_id=UUID(movement.operation.operation_id),
    )


def _movement(movement: wallet_pb2.Movement) -> Movement:
    operation = movement.operation
    return Movement(
        operation_id=UUID(operation.operation_id),
        kind=wallet_pb2.OperationKind.Name(operation.kind).removeprefix("OPERATION_KIND_").lower(),
        end=_end(movement),
        farmer_id=FarmerId(UUID(operation.farmer_id)) if operation.farmer_id else None,
        pooler_id=PoolerId(UUID(operation.pooler_id)) if operation.pooler_id else None,
        block_index=operation.block_index,
        ledger=operation.ledger,
        transaction_hash=operation.transaction_hash,
        at=_position(movement).at,
        amount=operation.amount,
        withdrawn_kale=movement.withdrawn_kale,
        fee=operation.fee_charged,
    )


def _end(movement: wallet_pb2.Movement) -> str:
    if movement.is_request:
        return ASKED
    is_done = movement.operation.state == wallet_pb2.OPERATION_STATE_SUCCEEDED
    return SUCCEEDED if is_done else FAILED
