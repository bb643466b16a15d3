"""/farmers/{address}: what a farmer earned, as far as the operator shows it; its owner's forms."""

import asyncio

from gateway.pages.own import own_of
from gateway.pages.owner_calls import OwnerCalls
from gateway.pages.page import Page
from gateway.pages.payouts import payouts_of
from gateway.pages.reads import PoolReads, is_id
from gateway.pages.statement import months_of
from gateway.pages.viewer import Viewer


async def farmer(reads: PoolReads, calls: OwnerCalls, viewer: Viewer, name: str) -> Page:
    """Return the page of a farmer, who is named by its address or its id.

    Raise NotFoundError when there is none, InvalidArgumentError for what is no name, and
    PermissionDeniedError where the operator has closed farmers' figures.
    """
    found = await reads.farmer(viewer, by="farmer_id" if is_id(name) else "address", value=name)
    own, money = None, None
    if viewer.kind:
        own, money = await asyncio.gather(
            own_of(calls, viewer, found.farmer_id),
            payouts_of(reads, viewer, farmer_id=found.farmer_id),
        )
    return Page(
        template="farmer.html",
        title=f"Farmer {found.address or found.farmer_id}",
        content={
            "farmer": found,
            "money": money,
            "own": own,
            # For operators, its pooler and its owner; harvest decides who sees one.
            "months": months_of(found.registered_at) if viewer.credentials else [],
        },
    )
