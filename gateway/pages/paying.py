"""What an owner does to be paid: at once (/farmers/{farmer_id}/pay), or when (.../schedule)."""

import re
from collections.abc import Mapping

from kalepool.wallet.v1 import agreement_pb2 as pb

from gateway.pages.owner_calls import OwnerCalls
from gateway.pages.page import Page
from gateway.pages.viewer import Viewer
from libs.common.errors import FailedPreconditionError, InvalidArgumentError
from libs.kale.amounts import parse_kale
from libs.kale.constants import MAX_I64

#: Seconds of the units in which people say how often they are paid.
UNITS: Mapping[str, int] = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}
#: Seconds of an interval at most, as agreements have it.
_LONGEST = 31_536_000
_NUMBER = re.compile(r"[0-9]{1,9}")

Form = Mapping[str, str]


async def paid_page(calls: OwnerCalls, viewer: Viewer, farmer_id: str, form: Form) -> Page:
    """Pay a farmer what its form says; return the page that tells what became of it."""
    payout = await calls.pay_now(
        viewer, farmer_id, form.get("request_id", ""), stroops_of(form, "amount")
    )
    return Page(
        template="paid.html",
        title="Payout",
        content={"farmer_id": farmer_id, "payout": payout},
    )


async def schedule_page(calls: OwnerCalls, viewer: Viewer, farmer_id: str, form: Form) -> Page:
    """Agree to what is in force, but for when the farmer is paid; return the page that says so."""
    threshold, interval = stroops_of(form, "threshold"), seconds_of(form)
    found = in_force(await calls.agreements(viewer, farmer_id))
    if found is None:
        raise FailedPreconditionError(
            "nothing was agreed: this farmer is paid when it asks", reason="NO_TERMS"
        )
    terms = pb.AgreedTerms()
    terms.CopyFrom(found.terms)
    terms.payout_threshold = threshold or 0
    terms.payout_interval_seconds = interval
    made = await calls.agree(viewer, farmer_id, terms)
    return Page(
        template="scheduled.html",
        title="When it is paid",
        content={"farmer_id": farmer_id, "agreement": made},
    )


def stroops_of(form: Form, name: str) -> int | None:
    """Return an amount of KALE in stroops; None where the field is empty."""
    text = form.get(name, "").strip()
    if not text:
        return None
    try:
        stroops = parse_kale(text)
    except ValueError as error:
        raise InvalidArgumentError.of(name, str(error)) from None
    if stroops > MAX_I64:
        raise InvalidArgumentError.of(name, "is more KALE than there can be")
    return stroops


def seconds_of(form: Form) -> int:
    """Return the interval that a form says, in seconds; 0 where it says none."""
    text, unit = form.get("interval", "").strip(), form.get("unit", "")
    if not text:
        return 0
    if not _NUMBER.fullmatch(text):
        raise InvalidArgumentError.of("interval", "must be a whole number")
    if unit not in UNITS:
        raise InvalidArgumentError.of("unit", f"must be one of {', '.join(UNITS)}")
    seconds = int(text) * UNITS[unit]
    if seconds > _LONGEST:
        raise InvalidArgumentError.of("interval", "must be a year at most")
    return seconds


def in_units(seconds: int) -> tuple[int, str]:
    """Return an interval in the largest unit that says it exactly."""
    unit = next(name for name, size in UNITS.items() if seconds % size == 0)
    return seconds // UNITS[unit], unit


def in_force(agreements: pb.ListAgreementsResponse) -> pb.Agreement | None:
    """Return the agreement that counts; None where there is none."""
    return next(
        (one for one in agreements.agreements if one.state == pb.AGREEMENT_STATE_IN_FORCE), None
    )
