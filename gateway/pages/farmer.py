"""/farmers/{address}: what a farmer earned, as far as the operator shows it."""

from gateway.pages.page import Page
from gateway.pages.payouts import payouts_of
from gateway.pages.reads import PoolReads, is_id
from gateway.pages.statement import months_of
from gateway.pages.viewer import Viewer


async def farmer(reads: PoolReads, viewer: Viewer, name: str) -> Page:
    """Return the page of a farmer, who is named by its address or its id.

    Raise NotFoundError when there is none, InvalidArgumentError for what is no name, and
    PermissionDeniedError where the operator has closed farmers' figures.
    """
    found = await reads.farmer(viewer, by="farmer_id" if is_id(name) else "address", value=name)
    money = await payouts_of(reads, viewer, farmer_id=found.farmer_id) if viewer.kind else None
    return Page(
        template="farmer.html",
        title=f"Farmer {found.address or found.farmer_id}",
        content={
            "farmer": found,
            "money": money,
            # For operators and its pooler; harvest decides who sees one.
            "months": months_of(found.registered_at) if viewer.credentials else [],
        },
    )
