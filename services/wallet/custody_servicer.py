"""kalepool.wallet.v1.CustodyService: what operators do about keys."""

from typing import Any, TypeAlias
from uuid import UUID

import grpc
from kalepool.wallet.v1 import custody_pb2, custody_pb2_grpc

from libs.common.grpc.limits import caller_of
from libs.common.grpc.validate import FieldChecks
from libs.common.ids import FarmerId
from libs.common.paging import encode_token
from libs.kale.address import account_address
from services.wallet.custody_usecases import Custody
from services.wallet.domain.audit import Action, Head, Record
from services.wallet.domain.pausing import Pause, Reach, Scope
from services.wallet.messages import timestamp

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = custody_pb2.DESCRIPTOR.services_by_name["CustodyService"].full_name
#: Methods that read all there is.
SLOW = ("VerifyAuditLog",)
_KEY_BYTES = 32
_HASH_BYTES = 32
_MAX_REASON = 500
_ACTIONS = frozenset(action.value for action in Action)


class CustodyServicer(custody_pb2_grpc.CustodyServiceServicer):
    """Thin: check, one call, map."""

    def __init__(self, custody: Custody) -> None:
        self._custody = custody

    async def PauseSigning(
        self, request: custody_pb2.PauseSigningRequest, context: Context
    ) -> custody_pb2.PauseSigningResponse:
        """See custody.proto."""
        checks = FieldChecks()
        reason = checks.text("reason", request.reason, low=1, high=_MAX_REASON)
        reach = await self._reach(checks, request.reach)
        await self._custody.pause(reach, reason=reason, actor=caller_of(context.peer()))
        return custody_pb2.PauseSigningResponse()

    async def ResumeSigning(
        self, request: custody_pb2.ResumeSigningRequest, context: Context
    ) -> custody_pb2.ResumeSigningResponse:
        """See custody.proto."""
        reach = await self._reach(FieldChecks(), request.reach)
        await self._custody.resume(reach, actor=caller_of(context.peer()))
        return custody_pb2.ResumeSigningResponse()

    async def _reach(self, checks: FieldChecks, reach: custody_pb2.PauseReach) -> Reach:
        """For whom; the request's other checks are done by then."""
        which = reach.WhichOneof("reach")
        target: UUID | None = None
        if which in {"pooler_id", "farmer_id"}:
            target = checks.uuid(f"reach.{which}", getattr(reach, which))
        elif not reach.everything:
            checks.fail("reach", "must say everything, or name a pooler or a farmer")
        checks.done()
        if target is None:
            return Reach(scope=Scope.EVERYTHING)
        if which == "pooler_id":
            return Reach(scope=Scope.POOLER, target=target)
        return await self._custody.reach_of_farmer(FarmerId(target))

    async def ListPauses(
        self, request: custody_pb2.ListPausesRequest, context: Context
    ) -> custody_pb2.ListPausesResponse:
        """See custody.proto."""
        pauses = await self._custody.store.pauses(over=request.include_ended)
        return custody_pb2.ListPausesResponse(pauses=[_pause_message(item) for item in pauses])

    async def ListAuditRecords(
        self, request: custody_pb2.ListAuditRecordsRequest, context: Context
    ) -> custody_pb2.ListAuditRecordsResponse:
        """See custody.proto."""
        checks = FieldChecks()
        if request.action and request.action not in _ACTIONS:
            checks.fail("action", f"must be one of {', '.join(sorted(_ACTIONS))}")
        size = checks.page_size(request.page_size)
        key = checks.page_token(request.page_token, [int])
        checks.done()
        found = await self._custody.store.latest(
            before=None if key is None else key[0], action=request.action or None, limit=size + 1
        )
        more = len(found) > size
        return custody_pb2.ListAuditRecordsResponse(
            records=[_record_message(item) for item in found[:size]],
            next_page_token=encode_token([found[size - 1].number]) if more else "",
        )

    async def VerifyAuditLog(
        self, request: custody_pb2.VerifyAuditLogRequest, context: Context
    ) -> custody_pb2.VerifyAuditLogResponse:
        """See custody.proto."""
        checks, expected = FieldChecks(), None
        if request.expected_number or request.expected_hash:
            if request.expected_number < 1:
                checks.fail("expected_number", "must be at least 1 when there is a hash")
            if len(request.expected_hash) != _HASH_BYTES:
                checks.fail("expected_hash", f"must have {_HASH_BYTES} bytes")
            expected = Head(number=request.expected_number, hash=request.expected_hash)
        checks.done()
        found = await self._custody.verify(expected)
        return custody_pb2.VerifyAuditLogResponse(
            is_sound=not found.broken,
            flaw=found.broken,
            head_number=found.head.number,
            head_hash=found.head.hash,
        )

    async def ExportKey(
        self, request: custody_pb2.ExportKeyRequest, context: Context
    ) -> custody_pb2.ExportKeyResponse:
        """See custody.proto."""
        checks = FieldChecks()
        farmer_id = FarmerId(checks.uuid("farmer_id", request.farmer_id))
        address = checks.parsed("address", request.address, account_address, "")
        reason = checks.text("reason", request.reason, low=1, high=_MAX_REASON)
        if len(request.receiver_key) != _KEY_BYTES or not any(request.receiver_key):
            checks.fail("receiver_key", f"must be an X25519 public key of {_KEY_BYTES} bytes")
        checks.done()
        parcel = await self._custody.export_key(
            farmer_id,
            address=address,
            reason=reason,
            receiver_key=request.receiver_key,
            actor=caller_of(context.peer()),
        )
        return custody_pb2.ExportKeyResponse(
            sender_key=parcel.sender_key, nonce=parcel.nonce, ciphertext=parcel.ciphertext
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
        at=timestamp(record.at),
        actor=record.actor,
        action=record.action,
        subject=record.subject,
        details=record.details,
        hash=record.hash,
    )
