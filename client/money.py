"""Calls about money: agreements, payouts, statements, the ledger.

They answer with the protos' messages, as kalepool.wallet.v1 and kalepool.harvest.v1 have them: what
an agreement or a payout says is told in one place. Ids go in as UUIDs, amounts as int stroops.
"""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from kalepool.harvest.v1 import (
    ledger_pb2,
    ledger_pb2_grpc,
    miner_pb2,
    miner_pb2_grpc,
    payout_pb2,
    payout_pb2_grpc,
    statement_pb2,
    statement_pb2_grpc,
)
from kalepool.registry.v1 import registry_pb2, registry_pb2_grpc
from kalepool.wallet.v1 import agreement_pb2, agreement_pb2_grpc

from client.calls import PAGE, Calls
from libs.common.ids import FarmerId, PoolerId, new_id
from libs.kale.statements.document import joined, written

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp


class MoneyClient:
    """Calls about money; each is repeated with the same request_id while its error may pass.

    A method with a `request_id` makes one when none is given: give your own, and keep it, where
    the same thing must not be asked for twice though you start again in between. All methods raise
    PoolError, and FailedPreconditionError (SECOND_PERSON) for what another operator has to approve.
    """

    def __init__(self, calls: Calls) -> None:
        channels = calls.connections.channels
        self._calls = calls
        self._registry = registry_pb2_grpc.RegistryServiceStub(channels["registry"])
        self._agreements = agreement_pb2_grpc.AgreementServiceStub(channels["wallet"])
        self._payouts = payout_pb2_grpc.PayoutsServiceStub(channels["harvest"])
        self._statements = statement_pb2_grpc.StatementServiceStub(channels["harvest"])
        self._ledger = ledger_pb2_grpc.LedgerServiceStub(channels["harvest"])
        self._miners = miner_pb2_grpc.MinerCreditServiceStub(channels["harvest"])

    # Terms and agreements -------------------------------------------------------------------------

    async def terms(
        self, pooler_id: PoolerId, *, version: int = 0
    ) -> registry_pb2.GetTermsResponse:
        """Return what a pooler offers: a version of its terms, the newest by default."""
        request = registry_pb2.GetTermsRequest(pooler_id=str(pooler_id), version=version)
        return await self._calls.ask(self._registry.GetTerms, request)

    async def publish_terms(
        self, request: registry_pb2.PublishTermsRequest
    ) -> registry_pb2.PublishTermsResponse:
        """Publish a pooler's terms for farmers who join from now on."""
        return await self._calls.ask(self._registry.PublishTerms, _named(request))

    async def agreement_rules(self) -> agreement_pb2.GetAgreementRulesResponse:
        """Return the operator's fee, what fees may be together, and the waiting times."""
        request = agreement_pb2.GetAgreementRulesRequest()
        return await self._calls.ask(self._agreements.GetAgreementRules, request)

    async def agreements(self, farmer_id: FarmerId) -> AsyncIterator[agreement_pb2.Agreement]:
        """List a farmer's agreements, newest first."""
        request = agreement_pb2.ListAgreementsRequest(farmer_id=str(farmer_id), page_size=PAGE)
        async for page in self._calls.pages(self._agreements.ListAgreements, request):
            for agreement in page.agreements:
                yield agreement

    async def set_agreement(
        self, farmer_id: FarmerId, terms: agreement_pb2.AgreedTerms, *, request_id: str = ""
    ) -> agreement_pb2.Agreement:
        """Change a farmer's terms, in the caller's name."""
        request = agreement_pb2.SetAgreementRequest(
            request_id=request_id, farmer_id=str(farmer_id), terms=terms
        )
        answer = await self._calls.ask(self._agreements.SetAgreement, _named(request))
        return answer.agreement

    async def mark_pooler(self, pooler_id: PoolerId, *, farms_for_itself: bool) -> None:
        """Say whether a pooler farms for itself."""
        request = agreement_pb2.MarkPoolerRequest(
            pooler_id=str(pooler_id), farms_for_itself=farms_for_itself
        )
        await self._calls.ask(self._agreements.MarkPooler, request)

    # Owner accounts -------------------------------------------------------------------------------

    async def owner_account(self, farmer_id: FarmerId) -> agreement_pb2.GetOwnerAccountResponse:
        """Return the account that speaks for a farmer, and the one that is to."""
        request = agreement_pb2.GetOwnerAccountRequest(farmer_id=str(farmer_id))
        return await self._calls.ask(self._agreements.GetOwnerAccount, request)

    async def set_owner_account(self, farmer_id: FarmerId, owner_account: str) -> "Timestamp":
        """Set the account that speaks for a farmer; return from when on it counts.

        The call is not repeated: each begins the waiting time anew.
        """
        request = agreement_pb2.SetOwnerAccountRequest(
            farmer_id=str(farmer_id), owner_account=owner_account
        )
        answer = await self._calls.ask(self._agreements.SetOwnerAccount, request, patience=0)
        return answer.effective_at

    async def draft_wish(
        self, farmer_id: FarmerId, wish: agreement_pb2.Wish
    ) -> agreement_pb2.DraftWishResponse:
        """Return the text that a farmer's owner account has to sign for a wish."""
        request = agreement_pb2.DraftWishRequest(farmer_id=str(farmer_id), wish=wish)
        return await self._calls.ask(self._agreements.DraftWish, request)

    async def sign_wish(
        self, farmer_id: FarmerId, wish: agreement_pb2.Wish, signature: bytes
    ) -> "Timestamp":
        """Do what a farmer's owner account has signed; return from when on it counts.

        The call is not repeated: once it is done, the signature is of no use any more. Whose
        answer got lost looks at what counts, and drafts again.
        """
        request = agreement_pb2.SignWishRequest(
            farmer_id=str(farmer_id), wish=wish, signature=signature
        )
        return (await self._calls.ask(self._agreements.SignWish, request, patience=0)).effective_at

    # Payouts --------------------------------------------------------------------------------------

    async def payout_preview(
        self, *, pooler_id: PoolerId | None = None, farmer_id: FarmerId | None = None
    ) -> payout_pb2.GetPayoutPreviewResponse:
        """Return who would be paid by a run now, and what would be left."""
        request = payout_pb2.GetPayoutPreviewRequest(**_whose(pooler_id, farmer_id))
        return await self._calls.ask(self._payouts.GetPayoutPreview, request)

    async def run_payouts(
        self,
        max_amount: int,
        *,
        pooler_id: PoolerId | None = None,
        farmer_id: FarmerId | None = None,
        request_id: str = "",
    ) -> payout_pb2.PayoutRun:
        """Pay everybody who is due, at most so many stroops together; wait until it is settled."""
        request = payout_pb2.RunPayoutsRequest(
            request_id=request_id, max_amount=max_amount, **_whose(pooler_id, farmer_id)
        )
        answer = await self._calls.ask(
            self._payouts.RunPayouts, _named(request), seconds=self._calls.limits.batch_seconds
        )
        return answer.run

    async def pay_now(
        self, farmer_id: FarmerId, amount: int | None = None, *, request_id: str = ""
    ) -> payout_pb2.PayoutItem:
        """Pay a farmer now, all that it has by default; wait until it is settled."""
        request = payout_pb2.PayNowRequest(
            request_id=request_id, farmer_id=str(farmer_id), amount=amount
        )
        answer = await self._calls.ask(
            self._payouts.PayNow, _named(request), seconds=self._calls.limits.batch_seconds
        )
        return answer.payout

    async def payouts(
        self,
        *,
        pooler_id: PoolerId | None = None,
        farmer_id: FarmerId | None = None,
        run_id: str = "",
    ) -> AsyncIterator[payout_pb2.PayoutItem]:
        """List payouts, newest first."""
        request = payout_pb2.ListPayoutsRequest(
            run_id=run_id, page_size=PAGE, **_whose(pooler_id, farmer_id)
        )
        async for page in self._calls.pages(self._payouts.ListPayouts, request):
            for payout in page.payouts:
                yield payout

    async def pending(
        self, *, pooler_id: PoolerId | None = None, farmer_id: FarmerId | None = None
    ) -> AsyncIterator[payout_pb2.PendingAmount]:
        """List every amount that was not paid yet, with why and until when."""
        request = payout_pb2.ListPendingRequest(page_size=PAGE, **_whose(pooler_id, farmer_id))
        async for page in self._calls.pages(self._payouts.ListPending, request):
            for amount in page.amounts:
                yield amount

    async def payout_switch(self) -> payout_pb2.GetPayoutSwitchResponse:
        """Return whether payouts are switched off, who said so and why."""
        request = payout_pb2.GetPayoutSwitchRequest()
        return await self._calls.ask(self._payouts.GetPayoutSwitch, request)

    async def switch_payouts(self, *, is_off: bool, reason: str) -> payout_pb2.PayoutSwitching:
        """Switch payouts off or on."""
        request = payout_pb2.SetPayoutSwitchRequest(is_off=is_off, reason=reason)
        return (await self._calls.ask(self._payouts.SetPayoutSwitch, request)).switching

    # Statements, the ledger, miners' credits ------------------------------------------------------

    async def statement(
        self,
        month: str,
        *,
        pooler_id: PoolerId | None = None,
        farmer_id: FarmerId | None = None,
        miner_address: str = "",
    ) -> str:
        """Return the file of a statement: a farmer's, a pooler's, or that of its miner.

        `month` may be a day. `kalepool statement verify` and libs.kale.statements check the text.
        """
        request = statement_pb2.GetStatementRequest(
            month=month,
            miner_address=miner_address,
            page_size=PAGE,
            **_whose(pooler_id, farmer_id),
        )
        pages = [
            json_format.MessageToDict(page.statement, always_print_fields_with_no_presence=True)
            async for page in self._calls.pages(self._statements.GetStatement, request)
        ]
        return written(joined(pages))

    async def proof(
        self,
        day: str,
        *,
        pooler_id: PoolerId | None = None,
        farmer_id: FarmerId | None = None,
        miner_address: str = "",
    ) -> statement_pb2.GetProofResponse:
        """Return what an owner had at the end of a day, and the way to the day's root."""
        request = statement_pb2.GetProofRequest(
            day=day, miner_address=miner_address, **_whose(pooler_id, farmer_id)
        )
        return await self._calls.ask(self._statements.GetProof, request)

    async def roots(self) -> AsyncIterator[statement_pb2.PublishedRoot]:
        """List the roots of all days, newest first."""
        request = statement_pb2.ListRootsRequest(page_size=PAGE)
        async for page in self._calls.pages(self._statements.ListRoots, request):
            for root in page.roots:
                yield root

    async def close_day(self) -> statement_pb2.PublishedRoot:
        """Close the running day; return its root."""
        answer = await self._calls.ask(
            self._statements.CloseDay,
            statement_pb2.CloseDayRequest(),
            seconds=self._calls.limits.batch_seconds,
        )
        return answer.root

    async def ledger_status(self) -> ledger_pb2.GetLedgerStatusResponse:
        """Return how far is booked, and what is to be looked at."""
        request = ledger_pb2.GetLedgerStatusRequest()
        return await self._calls.ask(self._ledger.GetLedgerStatus, request)

    async def check_ledger(self) -> ledger_pb2.CheckLedgerResponse:
        """Look at the whole ledger; return what does not add up."""
        return await self._calls.ask(
            self._ledger.CheckLedger,
            ledger_pb2.CheckLedgerRequest(),
            seconds=self._calls.limits.batch_seconds,
        )

    async def journals(self, farmer_id: FarmerId) -> AsyncIterator[ledger_pb2.Journal]:
        """List what was booked for a farmer, newest first."""
        request = ledger_pb2.ListJournalsRequest(farmer_id=str(farmer_id), page_size=PAGE)
        async for page in self._calls.pages(self._ledger.ListJournals, request):
            for journal in page.journals:
                yield journal

    async def accounts(self, farmer_id: FarmerId) -> list[ledger_pb2.LedgerAccount]:
        """Return what a farmer's accounts have."""
        request = ledger_pb2.ListJournalsRequest(farmer_id=str(farmer_id), page_size=1)
        return list((await self._calls.ask(self._ledger.ListJournals, request)).accounts)

    async def miner_credits(
        self, pooler_id: PoolerId, address: str
    ) -> AsyncIterator[miner_pb2.MinerCredit]:
        """List what a pooler's miner was credited, the newest block first."""
        request = miner_pb2.GetMinerCreditsRequest(
            pooler_id=str(pooler_id), address=address, page_size=PAGE
        )
        async for page in self._calls.pages(self._miners.GetMinerCredits, request):
            for credit in page.credits:
                yield credit


def _whose(pooler_id: PoolerId | None, farmer_id: FarmerId | None) -> Any:
    """Return the fields that say whose; without any, all that the caller may see."""
    named = {"pooler_id": pooler_id, "farmer_id": farmer_id}
    return {name: str(value) for name, value in named.items() if value is not None}


def _named(request: Any) -> Any:
    """Return a request with a request id: every repeat has the same."""
    request.request_id = request.request_id or str(new_id())
    return request
