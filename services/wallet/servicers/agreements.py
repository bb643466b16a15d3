"""kalepool.wallet.v1.AgreementService: what farmers agree to, and whose word decides."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import grpc
from kalepool.wallet.v1 import agreement_pb2, agreement_pb2_grpc

from libs.common.grpc.identity import caller
from libs.common.ids import FarmerId, PoolerId
from libs.common.paging import decode_token, size_of, token_after
from libs.kale.amounts import format_percentage, parse_percentage
from services.wallet.domain.agreements import (
    NO_DIGEST,
    Agreement,
    LeaveWish,
    Objection,
    OwnerWish,
    PayoutWish,
    Proof,
    Terms,
    TermsWish,
    Wish,
    in_force,
    to_come,
)
from services.wallet.servicers.messages import timestamp
from services.wallet.usecases.agreements import Agreements

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = agreement_pb2.DESCRIPTOR.services_by_name["AgreementService"].full_name
#: Methods that registry calls.
INTERNAL = ("GetAgreementRules",)
_PROOF_NUMBERS = {
    proof: agreement_pb2.AgreementProof.Value(f"AGREEMENT_PROOF_{proof.name}") for proof in Proof
}
_PROOFS = {number: proof for proof, number in _PROOF_NUMBERS.items()}


class AgreementServicer(agreement_pb2_grpc.AgreementServiceServicer):
    """Thin servicer: each method maps the request, makes one call and maps the result back."""

    def __init__(self, agreements: Agreements) -> None:
        self._agreements = agreements

    async def GetAgreementRules(
        self, request: agreement_pb2.GetAgreementRulesRequest, context: Context
    ) -> agreement_pb2.GetAgreementRulesResponse:
        """See agreement.proto."""
        rules = self._agreements.rules
        return agreement_pb2.GetAgreementRulesResponse(
            operator_fee=format_percentage(rules.operator_bps),
            max_fee=format_percentage(rules.max_fee_bps),
            notice_seconds=round(rules.notice),
            operator_cooling_seconds=round(rules.operator_cooling),
        )

    async def SetAgreement(
        self, request: agreement_pb2.SetAgreementRequest, context: Context
    ) -> agreement_pb2.SetAgreementResponse:
        """See agreement.proto."""
        wish = TermsWish(terms=terms_of(request.terms))
        made = await self._agreements.set_terms(_farmer(request.farmer_id), wish, caller())
        return agreement_pb2.SetAgreementResponse(agreement=_messages([made], [made])[0])

    async def ListAgreements(
        self, request: agreement_pb2.ListAgreementsRequest, context: Context
    ) -> agreement_pb2.ListAgreementsResponse:
        """See agreement.proto."""
        size, key = size_of(request.page_size), decode_token(request.page_token, [int])
        known = await self._agreements.of_farmer(_farmer(request.farmer_id))
        page = [one for one in reversed(known) if key is None or one.number < key[0]][: size + 1]
        return agreement_pb2.ListAgreementsResponse(
            agreements=_messages(page[:size], known),
            next_page_token=token_after([one.number for one in page], size),
        )

    async def GetOwnerAccount(
        self, request: agreement_pb2.GetOwnerAccountRequest, context: Context
    ) -> agreement_pb2.GetOwnerAccountResponse:
        """See agreement.proto."""
        found = await self._agreements.owner_of(_farmer(request.farmer_id))
        return agreement_pb2.GetOwnerAccountResponse(
            owner_account=found.address,
            pending_owner_account=found.pending or "",
            pending_effective_at=None if found.pending_at is None else timestamp(found.pending_at),
        )

    async def SetOwnerAccount(
        self, request: agreement_pb2.SetOwnerAccountRequest, context: Context
    ) -> agreement_pb2.SetOwnerAccountResponse:
        """See agreement.proto."""
        moment = await self._agreements.set_owner(
            _farmer(request.farmer_id), request.owner_account, caller()
        )
        return agreement_pb2.SetOwnerAccountResponse(effective_at=timestamp(moment))

    async def DraftWish(
        self, request: agreement_pb2.DraftWishRequest, context: Context
    ) -> agreement_pb2.DraftWishResponse:
        """See agreement.proto."""
        farmer_id, wish = _farmer(request.farmer_id), _wish(request.wish)
        text, owner = await self._agreements.draft(farmer_id, wish)
        return agreement_pb2.DraftWishResponse(text=text, owner_account=owner)

    async def SignWish(
        self, request: agreement_pb2.SignWishRequest, context: Context
    ) -> agreement_pb2.SignWishResponse:
        """See agreement.proto."""
        moment = await self._agreements.sign(
            _farmer(request.farmer_id), _wish(request.wish), request.signature, caller()
        )
        return agreement_pb2.SignWishResponse(effective_at=timestamp(moment or datetime.now(UTC)))

    async def MarkPooler(
        self, request: agreement_pb2.MarkPoolerRequest, context: Context
    ) -> agreement_pb2.MarkPoolerResponse:
        """See agreement.proto."""
        await self._agreements.mark(
            PoolerId(UUID(request.pooler_id)),
            farms_for_itself=request.farms_for_itself,
            actor=caller().actor,
        )
        return agreement_pb2.MarkPoolerResponse()


def terms_of(message: agreement_pb2.AgreedTerms) -> Terms:
    """Return the terms of a message."""
    return Terms(
        stake_bps=parse_percentage(message.stake_percentage),
        pooler_bps=parse_percentage(message.pooler_fee),
        miners_bps=parse_percentage(message.miners_part),
        payout_threshold=message.payout_threshold,
        payout_interval_seconds=message.payout_interval_seconds,
        harvest_blocks=message.harvest_blocks,
        terms_version=message.terms_version,
        terms_digest=message.terms_digest or NO_DIGEST,
    )


def proof_of(number: agreement_pb2.AgreementProof.ValueType) -> Proof:
    """Return by what somebody was known; a pooler's certificate where nobody says."""
    return _PROOFS.get(number, Proof.CERTIFICATE)


def _wish(message: agreement_pb2.Wish) -> Wish:
    match message.WhichOneof("wish"):
        case "terms":
            terms, address = terms_of(message.terms.terms), message.terms.payout_address
            return TermsWish(terms=terms, address=address or None)
        case "payout_address":
            return PayoutWish(address=message.payout_address)
        case "owner_account":
            return OwnerWish(owner=message.owner_account)
        case "leave":
            return LeaveWish()
        case _:
            return Objection()


def _farmer(text: str) -> FarmerId:
    return FarmerId(UUID(text))


def _messages(
    page: Sequence[Agreement], known: Sequence[Agreement]
) -> list[agreement_pb2.Agreement]:
    """Return the messages of some of a farmer's agreements."""
    now = datetime.now(UTC)
    states = {one.number: agreement_pb2.AGREEMENT_STATE_TO_COME for one in to_come(known, now)}
    counts = in_force(known, now)
    if counts is not None:
        states[counts.number] = agreement_pb2.AGREEMENT_STATE_IN_FORCE
    past = agreement_pb2.AGREEMENT_STATE_PAST
    return [_message(one, states.get(one.number, past)) for one in page]


def _message(
    one: Agreement, state: agreement_pb2.AgreementState.ValueType
) -> agreement_pb2.Agreement:
    return agreement_pb2.Agreement(
        number=one.number,
        state=state,
        terms=agreement_pb2.AgreedTerms(
            stake_percentage=format_percentage(one.stake_bps),
            pooler_fee=format_percentage(one.pooler_bps),
            miners_part=format_percentage(one.miners_bps),
            payout_threshold=one.payout_threshold,
            payout_interval_seconds=one.payout_interval_seconds,
            harvest_blocks=one.harvest_blocks,
            terms_version=one.terms_version,
            terms_digest=one.terms_digest if one.terms_version else b"",
        ),
        operator_fee=format_percentage(one.operator_bps),
        given_by=one.given_by,
        proof=_PROOF_NUMBERS[one.proof],
        signature=one.signature or b"",
        registered_at=timestamp(one.registered_at),
        effective_at=timestamp(one.effective_at),
    )
