"""A farmer with an owner account, as services tell of it to pages, and its page's forms."""

import re
from typing import Any

import httpx
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.harvest.v1 import ledger_pb2, payout_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import agreement_pb2, withdrawal_pb2

from tests.support.fake_backends import ACCOUNT, FARMER, OWNER_TOKEN, POOLER, Answer
from tests.support.gateway_world import GatewayWorld

NOW = 1_796_000_400
#: What a browser says of a form of our own pages.
OWN = {"Sec-Fetch-Site": "same-origin"}
PATH = f"/farmers/{FARMER}"
OTHER = "GDQP2KPQGKIHYJGXNUIYOMHARUARCA7DJT5FO2FFOOKY3B2WSQHG4W37"
SIGNATURE = bytes(range(64))
TEXT = "KALE pool\nPay me out to this address.\n<b>Numbers</b>: 1"


def terms(**changes: Any) -> agreement_pb2.AgreedTerms:
    """Return terms that a farmer has agreed to."""
    given: dict[str, Any] = {
        "stake_percentage": "0.5",
        "pooler_fee": "0.05",
        "miners_part": "0.2",
        "payout_threshold": 25_000_000,
        "payout_interval_seconds": 7_200,
        "harvest_blocks": 3,
        "terms_version": 1,
        "terms_digest": b"d" * 32,
        **changes,
    }
    return agreement_pb2.AgreedTerms(**given)


def agreement(number: int, state: Any, **changes: Any) -> agreement_pb2.Agreement:
    """Return an agreement of the farmer."""
    return agreement_pb2.Agreement(
        number=number,
        state=state,
        terms=terms(**changes),
        operator_fee="0.025",
        effective_at=Timestamp(seconds=NOW),
    )


AGREEMENTS = [
    agreement(3, agreement_pb2.AGREEMENT_STATE_TO_COME, pooler_fee="0.07"),
    agreement(2, agreement_pb2.AGREEMENT_STATE_IN_FORCE),
    agreement(1, agreement_pb2.AGREEMENT_STATE_PAST, pooler_fee="0.99"),
]


def offered(request: registry_pb2.GetTermsRequest) -> registry_pb2.GetTermsResponse:
    """Return terms that its pooler offers: version 2 is the newest."""
    return registry_pb2.GetTermsResponse(
        terms=registry_pb2.Terms(
            version=request.version or 2,
            stake_percentage="1",
            pooler_fee="0.04",
            miners_part="0.1",
            payout_threshold=10_000_000,
            payout_interval_seconds=86_400,
            harvest_blocks=2,
            text="We <i>mine</i>.",
            digest=b"e" * 32,
        ),
        operator_fee="0.025",
        newest_version=2,
    )


def paid(request: payout_pb2.PayNowRequest) -> payout_pb2.PayNowResponse:
    """Return a payout that was made."""
    return payout_pb2.PayNowResponse(
        payout=payout_pb2.PayoutItem(
            amount=request.amount or 70_000_000,
            state=payout_pb2.PAYOUT_STATE_PAID,
            address=OTHER,
            transaction_hash="ab" * 32,
            ledger=77,
        )
    )


def agreed(request: agreement_pb2.SetAgreementRequest) -> agreement_pb2.SetAgreementResponse:
    """Return the agreement that was asked for."""
    made = agreement_pb2.Agreement(terms=request.terms, effective_at=Timestamp(seconds=NOW))
    return agreement_pb2.SetAgreementResponse(agreement=made)


def journals() -> list[ledger_pb2.Journal]:
    """Return a harvest, of which 2 KALE are the farmer's own."""
    kale, xlm = ledger_pb2.LEDGER_ASSET_KALE, ledger_pb2.LEDGER_ASSET_XLM
    entries = [
        ledger_pb2.JournalEntry(role="farmer:available", asset=kale, amount=30_000_000),
        ledger_pb2.JournalEntry(role="farmer:staked", asset=kale, amount=-10_000_000),
        ledger_pb2.JournalEntry(role="farmer:available", asset=xlm, amount=5),
        ledger_pb2.JournalEntry(role="pooler:fee", asset=kale, amount=1),
    ]
    return [
        ledger_pb2.Journal(
            kind=ledger_pb2.JOURNAL_KIND_HARVEST,
            block_index=6,
            happened_at=Timestamp(seconds=NOW),
            transaction_hash="cd" * 32,
            entries=entries,
        )
    ]


def owner_answers() -> dict[str, Answer]:
    """Return what the services answer, by RPC."""
    return {
        "GetFarmer": lambda _: registry_pb2.GetFarmerResponse(
            farmer=registry_pb2.Farmer(farmer_id=FARMER, pooler_id=POOLER)
        ),
        "GetTerms": offered,
        "ListAgreements": lambda _: agreement_pb2.ListAgreementsResponse(agreements=AGREEMENTS),
        "GetOwnerAccount": lambda _: agreement_pb2.GetOwnerAccountResponse(owner_account=ACCOUNT),
        "GetPayoutAddress": lambda _: withdrawal_pb2.GetPayoutAddressResponse(address=OTHER),
        "ListJournals": lambda _: ledger_pb2.ListJournalsResponse(journals=journals()),
        "DraftWish": lambda _: agreement_pb2.DraftWishResponse(text=TEXT, owner_account=ACCOUNT),
        "SignWish": lambda _: agreement_pb2.SignWishResponse(effective_at=Timestamp(seconds=NOW)),
        "SetAgreement": agreed,
        "PayNow": paid,
    }


async def shown(site: GatewayWorld, token: str = OWNER_TOKEN) -> str:
    """Return the farmer's page as who has signed in sees it."""
    answer = await site.http.post("/login", data={"token": token}, headers=OWN)
    site.http.cookies.update(answer.cookies)
    return (await site.get(PATH, token=None)).text


def hidden(page: str, name: str) -> str:
    """Return a field of the page's forms that people do not see."""
    found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)">', page)
    assert found is not None
    return found[1]


async def send(site: GatewayWorld, path: str, page: str, **form: str) -> httpx.Response:
    """Send a form of a page, as its browser does."""
    data = {"proof": hidden(page, "proof"), **form}
    return await site.http.post(f"{PATH}/{path}", data=data, headers=OWN)
