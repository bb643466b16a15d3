"""kalepool.harvest.v1.PayoutsService: each method maps the request, calls, maps the result."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import grpc
from kalepool.harvest.v1 import payout_pb2, payout_pb2_grpc

from libs.common.grpc.identity import CallerKind, actor, caller
from libs.common.grpc.spans import timestamp
from libs.common.ids import FarmerId, PoolerId
from libs.common.paging import decode_token, encode_token, id_after, size_of, token_after
from services.harvest.domain.ledger import POOL
from services.harvest.domain.payout_runs import Payout, Run, Switching, Whose
from services.harvest.domain.payouts import Due, Pending, Plan, Reason
from services.harvest.usecases.payouts import Payouts, Wish

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = payout_pb2.DESCRIPTOR.services_by_name["PayoutsService"].full_name
#: Payments of a preview, and turns of the switch, that are told.
_PREVIEWED, _SWITCHINGS = 1_000, 20


class _OfSomebody(Protocol):
    """The fields that say whom a request is about."""

    farmer_id: str
    pooler_id: str


class PayoutsServicer(payout_pb2_grpc.PayoutsServiceServicer):
    """Servicer of kalepool.harvest.v1.PayoutsService."""

    def __init__(self, payouts: Payouts) -> None:
        self._payouts = payouts

    async def GetPayoutPreview(
        self, request: payout_pb2.GetPayoutPreviewRequest, context: Context
    ) -> payout_pb2.GetPayoutPreviewResponse:
        """See payout.proto."""
        found = await self._payouts.preview(_whose(request))
        return preview_message(found, self._payouts.approval)

    async def RunPayouts(
        self, request: payout_pb2.RunPayoutsRequest, context: Context
    ) -> payout_pb2.RunPayoutsResponse:
        """See payout.proto."""
        wish = Wish(request_id=request.request_id, asked_by=actor())
        run = await self._payouts.run(wish, _whose(request), request.max_amount)
        return payout_pb2.RunPayoutsResponse(run=run_message(run))

    async def PayNow(
        self, request: payout_pb2.PayNowRequest, context: Context
    ) -> payout_pb2.PayNowResponse:
        """See payout.proto."""
        paid = await self._payouts.pay_now(
            Wish(request_id=request.request_id, asked_by=actor()),
            FarmerId(UUID(request.farmer_id)),
            request.amount if request.HasField("amount") else None,
            # What it takes of a second operator was asked before; without certificates nobody is
            # told apart.
            by_operator=caller().kind in {CallerKind.OPERATOR, CallerKind.UNKNOWN},
        )
        return payout_pb2.PayNowResponse(payout=payout_message(paid))

    async def ListPayouts(
        self, request: payout_pb2.ListPayoutsRequest, context: Context
    ) -> payout_pb2.ListPayoutsResponse:
        """See payout.proto."""
        size = size_of(request.page_size)
        found = await self._payouts.payouts(
            _whose(request),
            run_id=UUID(request.run_id) if request.run_id else None,
            before=id_after(request.page_token),
            limit=size + 1,
        )
        return payout_pb2.ListPayoutsResponse(
            payouts=map(payout_message, found[:size]),
            next_page_token=token_after([one.item_id for one in found], size),
        )

    async def ListPending(
        self, request: payout_pb2.ListPendingRequest, context: Context
    ) -> payout_pb2.ListPendingResponse:
        """See payout.proto."""
        key = decode_token(request.page_token, [int, UUID])
        found, following = await self._payouts.pending(
            _whose(request),
            after=None if key is None else (key[0], key[1]),
            limit=size_of(request.page_size),
        )
        return payout_pb2.ListPendingResponse(
            amounts=map(pending_message, found),
            next_page_token="" if following is None else encode_token(following),
        )

    async def GetPayoutSwitch(
        self, request: payout_pb2.GetPayoutSwitchRequest, context: Context
    ) -> payout_pb2.GetPayoutSwitchResponse:
        """See payout.proto."""
        turns = await self._payouts.switchings(_SWITCHINGS)
        return payout_pb2.GetPayoutSwitchResponse(
            is_off=bool(turns) and turns[0].is_off, switchings=map(switching_message, turns)
        )

    async def SetPayoutSwitch(
        self, request: payout_pb2.SetPayoutSwitchRequest, context: Context
    ) -> payout_pb2.SetPayoutSwitchResponse:
        """See payout.proto."""
        turn = await self._payouts.switch(
            is_off=request.is_off, actor=actor(), reason=request.reason
        )
        return payout_pb2.SetPayoutSwitchResponse(switching=switching_message(turn))


def preview_message(found: Plan, approval: int) -> payout_pb2.GetPayoutPreviewResponse:
    """Return the message of what a run would do."""
    return payout_pb2.GetPayoutPreviewResponse(
        total=found.total,
        needs_approval=found.total > approval,
        due=map(_due_message, found.due[:_PREVIEWED]),
        payments=len(found.due),
        left=_sums(found.left),
    )


def run_message(run: Run) -> payout_pb2.PayoutRun:
    """Return the message of a run."""
    return payout_pb2.PayoutRun(
        run_id=str(run.run_id),
        # Without what tells runs and payouts of the same request id apart.
        request_id=run.request_id.partition(":")[2],
        started_by=run.started_by,
        started_at=timestamp(run.started_at),
        completed_at=None if run.completed_at is None else timestamp(run.completed_at),
        items=run.items,
        paid=run.paid,
        failed=run.failed,
        total=run.total,
        total_paid=run.total_paid,
        fees_moved=run.fees_moved,
    )


def payout_message(one: Payout) -> payout_pb2.PayoutItem:
    """Return the message of a payout."""
    return payout_pb2.PayoutItem(
        item_id=str(one.item_id),
        run_id=str(one.run_id),
        kind=payout_pb2.PayeeKind.Value(f"PAYEE_KIND_{one.kind.name}"),
        payee_id=str(one.payee_id),
        pooler_id=str(one.pooler_id),
        address=one.address,
        cause=payout_pb2.PayoutCause.Value(f"PAYOUT_CAUSE_{one.cause.name}"),
        amount=one.amount,
        fees_to_pooler=one.pooler_fee,
        fees_to_operator=one.operator_fee,
        state=payout_pb2.PayoutState.Value(f"PAYOUT_STATE_{one.state.upper()}"),
        reason=one.reason,
        message=one.message,
        operation_id=str(one.operation_id or ""),
        transaction_hash=one.transaction_hash,
        ledger=one.ledger,
        created_at=timestamp(one.created_at),
        settled_at=None if one.settled_at is None else timestamp(one.settled_at),
    )


def pending_message(one: Pending) -> payout_pb2.PendingAmount:
    """Return the message of an amount that was not paid yet."""
    payee, history = one.payee, one.payee.history
    has_failed = one.reason is Reason.REFUSED
    return payout_pb2.PendingAmount(
        kind=payout_pb2.PayeeKind.Value(f"PAYEE_KIND_{payee.kind.name}"),
        payee_id=_id(payee.payee_id),
        pooler_id=_id(payee.pooler_id),
        address=payee.address,
        amount=one.amount,
        reason=_reason(one.reason),
        since=timestamp(one.since),
        expected_at=None if one.expected_at is None else timestamp(one.expected_at),
        is_estimate=one.is_estimate,
        refusal=history.refusal if has_failed else "",
        message=history.message if has_failed else "",
        run_id=str(history.run_id or "") if one.reason is Reason.ON_ITS_WAY else "",
        failures=history.failures if has_failed else 0,
    )


def switching_message(turn: Switching) -> payout_pb2.PayoutSwitching:
    """Return the message of a turn of the switch."""
    return payout_pb2.PayoutSwitching(
        is_off=turn.is_off,
        switched_by=turn.switched_by,
        switched_at=timestamp(turn.switched_at),
        reason=turn.reason,
    )


def _due_message(one: Due) -> payout_pb2.PayoutPreview:
    payee = one.payee
    return payout_pb2.PayoutPreview(
        kind=payout_pb2.PayeeKind.Value(f"PAYEE_KIND_{payee.kind.name}"),
        payee_id=str(payee.payee_id),
        pooler_id=str(payee.pooler_id),
        address=payee.address,
        amount=one.amount,
        fees=payee.fees,
        cause=payout_pb2.PayoutCause.Value(f"PAYOUT_CAUSE_{one.cause.name}"),
    )


def _sums(left: Sequence[Pending]) -> Iterable[payout_pb2.PendingSum]:
    """Return what is left by reason, in the order of the reasons."""
    for reason in Reason:
        amounts = [one.amount for one in left if one.reason is reason]
        if amounts:
            yield payout_pb2.PendingSum(
                reason=_reason(reason), amounts=len(amounts), total=sum(amounts)
            )


def _reason(reason: Reason) -> payout_pb2.PendingReason.ValueType:
    return payout_pb2.PendingReason.Value(f"PENDING_REASON_{reason.name}")


def _whose(request: _OfSomebody) -> Whose:
    return Whose(
        farmer_id=FarmerId(UUID(request.farmer_id)) if request.farmer_id else None,
        pooler_id=PoolerId(UUID(request.pooler_id)) if request.pooler_id else None,
    )


def _id(owner_id: UUID) -> str:
    return "" if owner_id == POOL else str(owner_id)
