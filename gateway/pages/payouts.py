"""/payouts: what was not paid yet and why, and what was paid; also for the page of a farmer."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from kalepool.harvest.v1 import payout_pb2 as pb

from gateway.pages.page import Page
from gateway.pages.reads import Part, PoolReads, part
from gateway.pages.viewer import Viewer
from libs.common.errors import PermissionDeniedError

#: Payouts that a page shows.
_NEWEST = 20
#: Why an amount waits, in words.
_WORDS: Mapping[int, str] = {
    pb.PENDING_REASON_DUE: "the next run pays it",
    pb.PENDING_REASON_ON_ITS_WAY: "on its way",
    pb.PENDING_REASON_BELOW_THRESHOLD: "less than the threshold",
    pb.PENDING_REASON_INTERVAL: "the interval is not over",
    pb.PENDING_REASON_TOO_SMALL: "too little for a payment",
    pb.PENDING_REASON_NO_TERMS: "nothing was agreed: it is paid when it is asked for",
    pb.PENDING_REASON_SWITCHED_OFF: "payouts are switched off",
    pb.PENDING_REASON_DAILY_LIMIT: "what may leave within a day has left",
    pb.PENDING_REASON_NEEDS_APPROVAL: "so large that operators have to pay it",
    pb.PENDING_REASON_REFUSED: "refused",
    pb.PENDING_REASON_FARMER_SUSPENDED: "the farmer is suspended",
    pb.PENDING_REASON_POOLER_SUSPENDED: "the pooler is suspended",
    pb.PENDING_REASON_FARMER_DEPARTED: "the farmer has departed",
    pb.PENDING_REASON_SIGNING_PAUSED: "signing is paused",
    pb.PENDING_REASON_STAKED: "staked in blocks that are not harvested yet",
    pb.PENDING_REASON_NOT_COLLECTED: "still in farmers' accounts",
    pb.PENDING_REASON_NOT_DIVIDED: "not divided among the miners yet",
    pb.PENDING_REASON_LEAVING: "paid with the next run, as it leaves the pool",
}
_OTHER = "a reason that these pages have no word for"
#: Reasons that somebody has to look at.
_BAD = frozenset(
    {
        pb.PENDING_REASON_SWITCHED_OFF,
        pb.PENDING_REASON_NEEDS_APPROVAL,
        pb.PENDING_REASON_REFUSED,
        pb.PENDING_REASON_SIGNING_PAUSED,
    }
)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An amount that was not paid yet, as people read it."""

    #: The amount.
    item: pb.PendingAmount
    #: Why, in words.
    words: str
    #: Whether somebody has to look at it.
    is_bad: bool


@dataclass(frozen=True, kw_only=True)
class PendingPage:
    """A page of amounts that were not paid yet."""

    items: tuple[Shown, ...]
    #: The token of the next page; empty on the last one.
    more: str


@dataclass(frozen=True, kw_only=True)
class Money:
    """What was not paid yet, and what was paid last."""

    pending: Part[PendingPage]
    paid: Part[pb.ListPayoutsResponse]


async def payouts(reads: PoolReads, viewer: Viewer, pooler_id: str, page_token: str) -> Page:
    """Return the page of what the viewer sees; for operators, also what a pooler sees."""
    if viewer.kind not in {"operator", "pooler"}:
        raise PermissionDeniedError(
            "this page is for poolers and operators", reason="ACCESS_DENIED"
        )
    is_operator = viewer.kind == "operator"
    whose = pooler_id if is_operator else viewer.name
    money = payouts_of(reads, viewer, pooler_id=whose, page_token=page_token)
    if is_operator:
        own, preview, switch = await asyncio.gather(
            money, part(reads.payout_preview(viewer)), part(reads.payout_switch(viewer))
        )
    else:
        own, preview, switch = await money, None, None
    left = [] if preview is None or preview.value is None else list(preview.value.left)
    return Page(
        template="payouts.html",
        title="Payouts",
        content={
            "money": own,
            "preview": preview,
            "sums": [(one, _WORDS.get(one.reason, _OTHER)) for one in left],
            "switch": switch,
            "pooler_id": whose,
            "is_first": not page_token,
        },
    )


async def payouts_of(
    reads: PoolReads,
    viewer: Viewer,
    *,
    farmer_id: str = "",
    pooler_id: str = "",
    page_token: str = "",
) -> Money:
    """Return what was not paid yet and what was paid last; an error is the part's."""
    pending, paid = await asyncio.gather(
        part(_pending(reads, viewer, farmer_id, pooler_id, page_token)),
        part(reads.payouts(viewer, _NEWEST, farmer_id=farmer_id, pooler_id=pooler_id)),
    )
    return Money(pending=pending, paid=paid)


def shown(item: pb.PendingAmount) -> Shown:
    """Return an amount as people read it."""
    words = _WORDS.get(item.reason, _OTHER)
    refusal = item.refusal.replace("_", " ").lower()
    return Shown(
        item=item,
        words=f"{words}: {refusal}" if refusal else words,
        is_bad=item.reason in _BAD,
    )


async def _pending(
    reads: PoolReads, viewer: Viewer, farmer_id: str, pooler_id: str, page_token: str
) -> PendingPage:
    found = await reads.pending(
        viewer, farmer_id=farmer_id, pooler_id=pooler_id, page_token=page_token
    )
    return PendingPage(items=tuple(map(shown, found.amounts)), more=found.next_page_token)
