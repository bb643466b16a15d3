"""kalepool.harvest.v1.MinerCreditService: each method maps the request, calls, maps the result."""

from typing import Any, TypeAlias
from uuid import UUID

import grpc
from kalepool.harvest.v1 import miner_pb2, miner_pb2_grpc

from libs.common.grpc.spans import timestamp
from libs.common.ids import PoolerId
from libs.common.paging import decode_token, size_of, token_after
from services.harvest.domain.credits import Chunk, Credit, Proven
from services.harvest.servicers.ledger import fit
from services.harvest.usecases.credits import MinerCredits

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = miner_pb2.DESCRIPTOR.services_by_name["MinerCreditService"].full_name


class MinerCreditServicer(miner_pb2_grpc.MinerCreditServiceServicer):
    """Servicer of kalepool.harvest.v1.MinerCreditService."""

    def __init__(self, crediting: MinerCredits) -> None:
        self._crediting = crediting

    async def CreditMiners(
        self, request: miner_pb2.CreditMinersRequest, context: Context
    ) -> miner_pb2.CreditMinersResponse:
        """See miner.proto."""
        pot = await self._crediting.tell(chunk_of(request))
        return miner_pb2.CreditMinersResponse(
            is_complete=pot.is_complete, pot=fit(pot.pot), divided=fit(pot.divided)
        )

    async def GetMinerCredits(
        self, request: miner_pb2.GetMinerCreditsRequest, context: Context
    ) -> miner_pb2.GetMinerCreditsResponse:
        """See miner.proto."""
        size, key = size_of(request.page_size), decode_token(request.page_token, [int])
        miner = await self._crediting.miner(PoolerId(UUID(request.pooler_id)), request.address)
        found = await self._crediting.credits(
            miner, before=None if key is None else key[0], limit=size + 1
        )
        return miner_pb2.GetMinerCreditsResponse(
            miner_id=str(miner.miner_id),
            unpaid=fit(miner.unpaid),
            credits=map(credit_message, found[:size]),
            next_page_token=token_after([one.block_index for one in found], size),
        )


def chunk_of(request: miner_pb2.CreditMinersRequest) -> Chunk:
    """Return what a request tells."""
    return Chunk(
        pooler_id=PoolerId(UUID(request.pooler_id)),
        block_index=request.block_index,
        number=request.chunk or 1,
        chunks=request.chunks or 1,
        own_points=request.own_points,
        miners=[Proven(address=one.address, points=one.points) for one in request.miners],
    )


def credit_message(credit: Credit) -> miner_pb2.MinerCredit:
    """Return the message of a credit."""
    return miner_pb2.MinerCredit(
        block_index=credit.block_index,
        points=credit.points,
        block_points=fit(credit.block_points),
        pot=fit(credit.pot),
        amount=fit(credit.amount),
        told_at=timestamp(credit.told_at),
    )
