"""What a farmer's page shows of agreement, address and owner, and what its owner may do there."""

import asyncio
from dataclasses import dataclass

from kalepool.harvest.v1 import ledger_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import agreement_pb2, withdrawal_pb2

from gateway.pages.owner_calls import OwnerCalls
from gateway.pages.paying import UNITS, in_force, in_units
from gateway.pages.reads import Part, part
from gateway.pages.viewer import Viewer
from libs.common.errors import ErrorCode
from libs.common.ids import new_id
from libs.kale.amounts import format_kale

#: Journals that a farmer's page shows.
_NEWEST = 20


@dataclass(frozen=True, kw_only=True)
class Booked:
    """What was booked, for people."""

    #: The journal.
    journal: ledger_pb2.Journal
    #: Stroops of KALE that it gave the farmer; below zero: took.
    own: int


@dataclass(frozen=True, kw_only=True)
class Own:
    """What is known of a farmer to those whom it concerns."""

    #: As it is registered.
    record: registry_pb2.Farmer
    #: Agreements in force and to come.
    agreements: Part[list[agreement_pb2.Agreement]]
    #: Where its money goes.
    address: Part[withdrawal_pb2.GetPayoutAddressResponse]
    #: Who speaks for it.
    owner: Part[agreement_pb2.GetOwnerAccountResponse]
    #: What its pooler offers now.
    terms: Part[registry_pb2.GetTermsResponse]
    #: What was booked last.
    journals: Part[list[Booked]]
    #: What its owner may do; None for everybody else, and once the farmer has left.
    desk: "Desk | None"


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What the forms of a farmer's owner begin with."""

    #: Names the next payout, so that a form that is sent twice pays once.
    request_id: str
    #: Whether anything is in force, so that the owner may say when it is paid.
    is_agreed: bool
    #: KALE from which on the farmer is paid, as it stands; empty: whatever there is.
    threshold: str
    #: How often it is paid at the latest: a number and its unit; an empty number: no interval.
    interval: str
    unit: str
    units: tuple[str, ...]
    #: The version of terms that could be accepted; 0: none that is newer.
    newer: int


async def own_of(calls: OwnerCalls, viewer: Viewer, farmer_id: str) -> Own | None:
    """Return what is known of a farmer to who has signed in; None for whom it does not concern."""
    found = await part(calls.farmer(viewer, farmer_id))
    if found.error is not None and found.error.code is ErrorCode.PERMISSION_DENIED:
        return None
    record = found.value or registry_pb2.Farmer(farmer_id=farmer_id)
    agreements, address, owner, terms, journals = await asyncio.gather(
        part(calls.agreements(viewer, farmer_id)),
        part(calls.payout_address(viewer, farmer_id)),
        part(calls.owner_account(viewer, farmer_id)),
        part(calls.terms(viewer, record.pooler_id)),
        part(_booked(calls, viewer, farmer_id)),
    )
    is_there = record.status != registry_pb2.FARMER_STATUS_DEPARTED
    is_owner = owner.value is not None and viewer.owns(owner.value.owner_account)
    return Own(
        record=record,
        agreements=_that_count(agreements),
        address=address,
        owner=owner,
        terms=terms,
        journals=journals,
        desk=desk_of(agreements, terms) if is_owner and is_there else None,
    )


def _that_count(
    told: Part[agreement_pb2.ListAgreementsResponse],
) -> Part[list[agreement_pb2.Agreement]]:
    """Leave out agreements of the past."""
    if told.value is None:
        return Part(error=told.error)
    return Part(
        value=[
            one for one in told.value.agreements if one.state != agreement_pb2.AGREEMENT_STATE_PAST
        ]
    )


async def _booked(calls: OwnerCalls, viewer: Viewer, farmer_id: str) -> list[Booked]:
    told = await calls.journals(viewer, farmer_id, _NEWEST)
    return [
        Booked(
            journal=one,
            own=sum(
                entry.amount
                for entry in one.entries
                if entry.role.startswith("farmer:") and entry.asset == ledger_pb2.LEDGER_ASSET_KALE
            ),
        )
        for one in told.journals
    ]


def desk_of(
    agreements: Part[agreement_pb2.ListAgreementsResponse],
    terms: Part[registry_pb2.GetTermsResponse],
) -> Desk:
    """Return what the forms begin with."""
    found = None if agreements.value is None else in_force(agreements.value)
    agreed = agreement_pb2.AgreedTerms() if found is None else found.terms
    number, unit = in_units(agreed.payout_interval_seconds)
    newest = 0 if terms.value is None else terms.value.newest_version
    return Desk(
        request_id=str(new_id()),
        is_agreed=found is not None,
        threshold=_decimal(agreed.payout_threshold) if agreed.payout_threshold else "",
        interval=str(number) if number else "",
        unit=unit,
        units=tuple(UNITS),
        newer=newest if newest > agreed.terms_version else 0,
    )


def _decimal(stroops: int) -> str:
    return format_kale(stroops).rstrip("0").rstrip(".")
