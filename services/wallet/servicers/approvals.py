"""kalepool.wallet.v1.ApprovalService: operators' orders that take a second operator."""

from collections.abc import Mapping
from typing import Any, TypeAlias
from uuid import UUID

import grpc
from kalepool.wallet.v1 import approval_pb2, approval_pb2_grpc

from libs.common.errors import InvalidArgumentError
from libs.common.grpc.identity import caller, is_operator
from libs.common.grpc.second_person import Covered, Order
from libs.common.paging import id_after, size_of, token_after
from services.wallet.domain.approvals import Approval, ApprovalId, is_wallets_own
from services.wallet.servicers.messages import timestamp
from services.wallet.store.approvals import ApprovalStore
from services.wallet.usecases.approvals import Approvals

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = approval_pb2.DESCRIPTOR.services_by_name["ApprovalService"].full_name
#: Methods that registry calls.
INTERNAL = ("UseApproval",)


class ApprovalServicer(approval_pb2_grpc.ApprovalServiceServicer):
    """Thin servicer: each method maps the request, makes one call and maps the result back."""

    def __init__(
        self, approvals: Approvals, store: ApprovalStore, covered: Mapping[str, Covered]
    ) -> None:
        """Take `covered`, the table of what takes a second person, by full method name."""
        self._approvals = approvals
        self._store = store
        self._covered = covered

    async def ListApprovals(
        self, request: approval_pb2.ListApprovalsRequest, context: Context
    ) -> approval_pb2.ListApprovalsResponse:
        """See approval.proto."""
        size = size_of(request.page_size)
        before = id_after(request.page_token)
        found = await self._store.approvals(
            over=request.include_over,
            before=None if before is None else ApprovalId(before),
            limit=size + 1,
        )
        return approval_pb2.ListApprovalsResponse(
            approvals=map(_message, found[:size]),
            next_page_token=token_after([one.id for one in found], size),
        )

    async def Approve(
        self, request: approval_pb2.ApproveRequest, context: Context
    ) -> approval_pb2.ApproveResponse:
        """See approval.proto."""
        approval_id = ApprovalId(UUID(request.approval_id))
        approved = await self._approvals.approve(approval_id, actor=caller().identity)
        return approval_pb2.ApproveResponse(approval=_message(approved))

    async def UseApproval(
        self, request: approval_pb2.UseApprovalRequest, context: Context
    ) -> approval_pb2.UseApprovalResponse:
        """See approval.proto."""
        await self._approvals.use(self._order(request))
        return approval_pb2.UseApprovalResponse()

    def _order(self, request: approval_pb2.UseApprovalRequest) -> Order:
        """Return the order that another service was given."""
        entry = self._covered.get(request.method)
        if entry is None or is_wallets_own(request.method):
            raise InvalidArgumentError.of("method", "takes no second person, or is wallet's own")
        if not is_operator(request.asked_by):
            raise InvalidArgumentError.of("asked_by", "must be an operator")
        if request.actor and not request.actor.startswith(request.asked_by):
            raise InvalidArgumentError.of("actor", "must begin with asked_by")
        return Order(
            method=request.method,
            digest=request.digest,
            request=request.request,
            asked_by=request.asked_by,
            actor=request.actor,
            is_repeatable=entry.is_repeatable,
        )


def _message(approval: Approval) -> approval_pb2.Approval:
    approved_at, used_at = approval.approved_at, approval.used_at
    return approval_pb2.Approval(
        approval_id=str(approval.id),
        method=approval.method,
        request=approval.request,
        digest=approval.digest,
        asked_by=approval.asked_by,
        asked_at=timestamp(approval.asked_at),
        expires_at=timestamp(approval.expires_at),
        approved_by=approval.approved_by or "",
        approved_at=None if approved_at is None else timestamp(approved_at),
        used_at=None if used_at is None else timestamp(used_at),
    )
