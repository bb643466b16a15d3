"""kalepool.wallet.v1.CustodyService: operators' acts on keys."""

from typing import Any, TypeAlias
from uuid import UUID

import grpc
from kalepool.wallet.v1 import custody_pb2, custody_pb2_grpc

from libs.common.errors import InvalidArgumentError
from libs.common.grpc.identity import caller
from libs.common.ids import FarmerId, OperationId
from libs.common.paging import MAX_INDEX, decode_token, size_of, token_after
from services.wallet.domain.audit import Action, Head, Record
from services.wallet.domain.pausing import Pause, Reach, Scope
from services.wallet.servicers.messages import timestamp
from services.wallet.store.custody import CustodyStore
from services.wallet.store.kill_switch import PauseOrder
from services.wallet.usecases.custody import Custody
from services.wallet.usecases.pausing import Pausing

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = custody_pb2.DESCRIPTOR.services_by_name["CustodyService"].full_name
#: Methods that read whole tables.
SLOW = ("VerifyAuditLog",)
_ACTIONS = frozenset(action.value for action in Action)


class CustodyServicer(custody_pb2_grpc.CustodyServiceServicer):
    """Thin servicer: each method maps the request, makes one call and maps the result back."""

    def __init__(self, custody: Custody, pausing: Pausing, store: CustodyStore) -> None:
        self._custody = custody
        self._pausing = pausing
        self._store = store

    async def PauseSigning(
        self, request: custody_pb2.PauseSigningRequest, context: Context
    ) -> custody_pb2.PauseSigningResponse:
        """See custody.proto."""
        recorded = await self._pausing.pause(
            _reach(request.reach), reason=request.reason, actor=caller().actor
        )
        return custody_pb2.PauseSigningResponse(is_recorded=recorded)

    async def ResumeSigning(
        self, request: custody_pb2.ResumeSigningRequest, context: Context
    ) -> custody_pb2.ResumeSigningResponse:
        """See custody.proto."""
        await self._pausing.resume(_reach(request.reach), actor=caller().actor)
        return custody_pb2.ResumeSigningResponse()

    async def ReleaseOperation(
        self, request: custody_pb2.ReleaseOperationRequest, context: Context
    ) -> custody_pb2.ReleaseOperationResponse:
        """See custody.proto."""
        operation_id = OperationId(UUID(request.operation_id))
        await self._custody.release(operation_id, actor=caller().actor)
        return custody_pb2.ReleaseOperationResponse()

    async def ListPauses(
        self, request: custody_pb2.ListPausesRequest, context: Context
    ) -> custody_pb2.ListPausesResponse:
        """See custody.proto."""
        waiting = [_order_message(item) for item in reversed(self._pausing.switch.orders)]
        pauses = await self._store.pauses(over=request.include_ended)
        return custody_pb2.ListPausesResponse(
            pauses=[*waiting, *(_pause_message(item) for item in pauses)]
        )

    async def ListAuditRecords(
        self, request: custody_pb2.ListAuditRecordsRequest, context: Context
    ) -> custody_pb2.ListAuditRecordsResponse:
        """See custody.proto."""
        if request.action and request.action not in _ACTIONS:
            raise InvalidArgumentError.of("action", f"must be one of {', '.join(sorted(_ACTIONS))}")
        size = size_of(request.page_size)
        key = decode_token(request.page_token, [int])
        found = await self._store.latest(
            before=None if key is None else key[0], action=request.action or None, limit=size + 1
        )
        return custody_pb2.ListAuditRecordsResponse(
            records=[_record_message(item) for item in found[:size]],
            # A number above is nothing that wallet writes; what stands below it is still listed.
            next_page_token=token_after(
                [min(max(item.number, 0), MAX_INDEX) for item in found], size
            ),
        )

    async def VerifyAuditLog(
        self, request: custody_pb2.VerifyAuditLogRequest, context: Context
    ) -> custody_pb2.VerifyAuditLogResponse:
        """See custody.proto."""
        number, digest = request.expected_number, request.expected_hash
        if bool(number) != bool(digest):
            missing = "expected_hash" if number else "expected_number"
            raise InvalidArgumentError.of(missing, "is required with the other one")
        expected = Head(number=number, hash=digest) if number else None
        if request.begins_there and expected is None:
            raise InvalidArgumentError.of("expected_number", "is required with begins_there")
        found, beside = await self._custody.verify(expected, begins_there=request.begins_there)
        words = beside.words()
        return custody_pb2.VerifyAuditLogResponse(
            is_sound=not found.broken and not words,
            flaw=found.broken or "".join(words[:1]),
            head_number=found.head.number,
            head_hash=found.head.hash,
            findings=words,
        )

    async def ExportKey(
        self, request: custody_pb2.ExportKeyRequest, context: Context
    ) -> custody_pb2.ExportKeyResponse:
        """See custody.proto."""
        parcel = await self._custody.export_key(
            FarmerId(UUID(request.farmer_id)),
            address=request.address,
            reason=request.reason,
            receiver_key=request.receiver_key,
            actor=caller().actor,
        )
        return custody_pb2.ExportKeyResponse(
            sender_key=parcel.sender_key, nonce=parcel.nonce, ciphertext=parcel.ciphertext
        )


def _reach(reach: custody_pb2.PauseReach) -> Reach:
    """Return those for whom signing is paused or resumed, without a look at the database."""
    match reach.WhichOneof("reach"):
        case "pooler_id":
            return Reach(scope=Scope.POOLER, target=UUID(reach.pooler_id))
        case "farmer_id":
            return Reach(scope=Scope.FARMER, target=UUID(reach.farmer_id))
    if not reach.everything:
        raise InvalidArgumentError.of("reach", "must say everything, or name a pooler or a farmer")
    return Reach(scope=Scope.EVERYTHING)


def _order_message(order: PauseOrder) -> custody_pb2.Pause:
    return custody_pb2.Pause(
        scope=order.reach.scope.value,
        target_id="" if order.reach.target is None else str(order.reach.target),
        reason=order.reason,
        paused_by=order.actor,
        paused_at=timestamp(order.at),
        is_not_recorded=True,
    )


def _pause_message(pause: Pause) -> custody_pb2.Pause:
    return custody_pb2.Pause(
        scope=pause.reach.scope.value,
        target_id="" if pause.reach.target is None else str(pause.reach.target),
        reason=pause.reason,
        paused_by=pause.paused_by,
        paused_at=timestamp(pause.paused_at),
        resumed_by=pause.resumed_by or "",
        resumed_at=None if pause.resumed_at is None else timestamp(pause.resumed_at),
    )


def _record_message(record: Record) -> custody_pb2.AuditRecord:
    return custody_pb2.AuditRecord(
        number=record.number,
        at=None if record.at is None else timestamp(record.at),
        actor=record.actor,
        action=record.action,
        subject=record.subject,
        details=record.details,
        hash=record.hash,
    )
