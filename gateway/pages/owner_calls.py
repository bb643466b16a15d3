"""Calls of services that only a farmer's own pages make: what was agreed, and the owner's word."""

from google.protobuf.message import Message
from kalepool.harvest.v1 import ledger_pb2, payout_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import agreement_pb2, withdrawal_pb2

from gateway.pages.calls import PATIENCE, Calls, M
from gateway.pages.reads import ROWS
from gateway.pages.viewer import Viewer

#: Agreements that are read: far more than anybody makes.
_AGREEMENTS = 100
#: Seconds in which a payment is settled, for most: a person looks on.
_SETTLING = 60.0


class OwnerCalls:
    """The calls."""

    def __init__(self, calls: Calls) -> None:
        """Take the RPCs."""
        self._calls = calls

    async def farmers(
        self, viewer: Viewer, page_token: str = ""
    ) -> registry_pb2.ListFarmersResponse:
        """Return a page of the farmers for which the viewer's account speaks."""
        return await self._call(
            viewer,
            "registry.v1.RegistryService.ListFarmers",
            registry_pb2.ListFarmersRequest(
                owner_account=viewer.name, page_size=ROWS, page_token=page_token
            ),
            registry_pb2.ListFarmersResponse,
        )

    async def farmer(self, viewer: Viewer, farmer_id: str) -> registry_pb2.Farmer:
        """Return a farmer as it is registered."""
        request = registry_pb2.GetFarmerRequest(farmer_id=farmer_id)
        name, answer = "registry.v1.RegistryService.GetFarmer", registry_pb2.GetFarmerResponse
        return (await self._call(viewer, name, request, answer)).farmer

    async def terms(
        self, viewer: Viewer, pooler_id: str, version: int = 0
    ) -> registry_pb2.GetTermsResponse:
        """Return the terms that a pooler offers: the newest ones without a version."""
        return await self._call(
            viewer,
            "registry.v1.RegistryService.GetTerms",
            registry_pb2.GetTermsRequest(pooler_id=pooler_id, version=version),
            registry_pb2.GetTermsResponse,
        )

    async def agreements(
        self, viewer: Viewer, farmer_id: str
    ) -> agreement_pb2.ListAgreementsResponse:
        """Return a farmer's agreements, newest first."""
        return await self._call(
            viewer,
            "wallet.v1.AgreementService.ListAgreements",
            agreement_pb2.ListAgreementsRequest(farmer_id=farmer_id, page_size=_AGREEMENTS),
            agreement_pb2.ListAgreementsResponse,
        )

    async def owner_account(
        self, viewer: Viewer, farmer_id: str
    ) -> agreement_pb2.GetOwnerAccountResponse:
        """Return the account that speaks for a farmer, and the one that is to."""
        return await self._call(
            viewer,
            "wallet.v1.AgreementService.GetOwnerAccount",
            agreement_pb2.GetOwnerAccountRequest(farmer_id=farmer_id),
            agreement_pb2.GetOwnerAccountResponse,
        )

    async def payout_address(
        self, viewer: Viewer, farmer_id: str
    ) -> withdrawal_pb2.GetPayoutAddressResponse:
        """Return where a farmer's money goes, and where it is to."""
        return await self._call(
            viewer,
            "wallet.v1.WithdrawalService.GetPayoutAddress",
            withdrawal_pb2.GetPayoutAddressRequest(farmer_id=farmer_id),
            withdrawal_pb2.GetPayoutAddressResponse,
        )

    async def journals(
        self, viewer: Viewer, farmer_id: str, size: int
    ) -> ledger_pb2.ListJournalsResponse:
        """Return what was booked of a farmer last."""
        return await self._call(
            viewer,
            "harvest.v1.LedgerService.ListJournals",
            ledger_pb2.ListJournalsRequest(farmer_id=farmer_id, page_size=size),
            ledger_pb2.ListJournalsResponse,
        )

    async def draft(
        self, viewer: Viewer, farmer_id: str, wish: agreement_pb2.Wish
    ) -> agreement_pb2.DraftWishResponse:
        """Return the text that a farmer's owner account signs for a wish."""
        return await self._call(
            viewer,
            "wallet.v1.AgreementService.DraftWish",
            agreement_pb2.DraftWishRequest(farmer_id=farmer_id, wish=wish),
            agreement_pb2.DraftWishResponse,
        )

    async def sign(
        self, viewer: Viewer, farmer_id: str, wish: agreement_pb2.Wish, signature: bytes
    ) -> agreement_pb2.SignWishResponse:
        """Do what a farmer's owner account has signed."""
        return await self._call(
            viewer,
            "wallet.v1.AgreementService.SignWish",
            agreement_pb2.SignWishRequest(farmer_id=farmer_id, wish=wish, signature=signature),
            agreement_pb2.SignWishResponse,
        )

    async def agree(
        self, viewer: Viewer, farmer_id: str, terms: agreement_pb2.AgreedTerms
    ) -> agreement_pb2.Agreement:
        """Agree to terms in the name of the owner who has signed in."""
        answer = await self._call(
            viewer,
            "wallet.v1.AgreementService.SetAgreement",
            agreement_pb2.SetAgreementRequest(farmer_id=farmer_id, terms=terms),
            agreement_pb2.SetAgreementResponse,
        )
        return answer.agreement

    async def pay_now(
        self, viewer: Viewer, farmer_id: str, request_id: str, amount: int | None
    ) -> payout_pb2.PayoutItem:
        """Pay a farmer now, and wait until that is settled; without an amount, all there is."""
        answer = await self._call(
            viewer,
            "harvest.v1.PayoutsService.PayNow",
            payout_pb2.PayNowRequest(farmer_id=farmer_id, request_id=request_id, amount=amount),
            payout_pb2.PayNowResponse,
            patience=_SETTLING,
        )
        return answer.payout

    async def _call(
        self,
        viewer: Viewer,
        name: str,
        request: Message,
        answer: type[M],
        *,
        patience: float = PATIENCE,
    ) -> M:
        return await self._calls.call(viewer.caller(), name, request, answer, patience=patience)
