"""work's gRPC interface: each method maps the request, makes a call and maps the result back."""

from typing import Any
from uuid import UUID

import grpc
from kalepool.work.v1 import work_pb2, work_pb2_grpc

from libs.batches.listing import failure_reason, filter_of
from libs.batches.model import default_request_id, digest_of
from libs.common.ids import FarmerId, PoolerId
from services.work.domain.model import Submission, Verdict, Work, WorkRequest, WorkSummary
from services.work.store.store import Store
from services.work.usecases import Submitter


class WorkServicer(work_pb2_grpc.WorkServiceServicer):
    """Servicer of kalepool.work.v1.WorkService."""

    def __init__(self, store: Store, submitter: Submitter) -> None:
        self._store = store
        self._submitter = submitter

    async def SubmitWork(
        self, request: work_pb2.SubmitWorkRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> work_pb2.SubmitWorkResponse:
        """See work.proto."""
        return summary_message(await self._submitter.submit(domain_request(request)))

    async def ListWorks(
        self, request: work_pb2.ListWorksRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> work_pb2.ListWorksResponse:
        """See work.proto."""
        page = await self._store.page(filter_of(request))
        return work_pb2.ListWorksResponse(
            works=map(work_message, page.events), next_page_token=page.next_token
        )


def domain_request(request: work_pb2.SubmitWorkRequest) -> WorkRequest:
    """Return the request in the domain's terms."""
    pooler, block = UUID(request.pooler_id), request.block_index
    submissions = tuple(map(_submission, request.submissions))
    arguments = (
        str(pooler),
        block,
        tuple((str(one.farmer_id), one.nonce, one.timestamp_ms) for one in submissions),
    )
    return WorkRequest(
        pooler_id=PoolerId(pooler),
        block_index=block,
        submissions=submissions,
        request_id=request.request_id or default_request_id("work", *arguments),
        digest=digest_of(*arguments),
    )


def _submission(item: work_pb2.Submission) -> Submission:
    return Submission(
        farmer_id=FarmerId(UUID(item.farmer_id)),
        nonce=item.nonce,
        timestamp_ms=item.timestamp,
    )


def summary_message(summary: WorkSummary) -> work_pb2.SubmitWorkResponse:
    """Return the reply of SubmitWork."""
    return work_pb2.SubmitWorkResponse(
        block_index=summary.block_index,
        pooler_id=str(summary.pooler_id),
        total_submissions=len(summary.verdicts),
        valid_nonces=sum(verdict.valid for verdict in summary.verdicts),
        submitted_work=sum(verdict.worked for verdict in summary.verdicts),
        total_rewards=sum(summary.estimates),
        processing_time_ms=summary.processing_time_ms,
        verdicts=[
            verdict_message(verdict, estimate)
            for verdict, estimate in zip(summary.verdicts, summary.estimates, strict=True)
        ],
    )


def verdict_message(verdict: Verdict, estimate: int) -> work_pb2.Verdict:
    """Return the message of one verdict."""
    return work_pb2.Verdict(
        farmer_id=str(verdict.farmer_id),
        nonce=verdict.nonce,
        status=_status(verdict),
        reason=failure_reason(verdict.reason or verdict.work_reason),
        error_message=verdict.message or verdict.work_message,
        zeros=verdict.zeros,
        hash=verdict.hash,
        gap=verdict.gap,
        transaction_hash=verdict.transaction_hash,
        estimated_reward=estimate,
        fee_charged=verdict.fee_charged,
    )


def work_message(work: Work) -> work_pb2.Work:
    """Return the message of one work."""
    message = work_pb2.Work(
        work_id=str(work.event_id),
        farmer_id=str(work.farmer_id),
        block_index=work.block_index,
        custodial_wallet=work.custodial_wallet,
        nonce=work.nonce,
        hash=work.hash,
        zeros=work.zeros,
        gap=work.gap,
        status=work_pb2.WorkStatus.Value(f"WORK_STATUS_{work.status.upper()}"),
        reason=failure_reason(work.reason),
        error_message=work.error_message,
        transaction_hash=work.transaction_hash,
        ledger=work.ledger,
        fee_charged=work.fee_charged,
    )
    message.worked_at.FromDatetime(work.settled_at)
    return message


def _status(verdict: Verdict) -> work_pb2.VerdictStatus.ValueType:
    if verdict.judgement == "rejected":
        return work_pb2.VERDICT_STATUS_REJECTED
    if verdict.judgement == "surpassed":
        return work_pb2.VERDICT_STATUS_SURPASSED
    return work_pb2.VERDICT_STATUS_WORKED if verdict.worked else work_pb2.VERDICT_STATUS_FAILED
