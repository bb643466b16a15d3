"""/notifications: what happened; and notifications as people read them, for other pages, too."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from kalepool.registry.v1 import notification_pb2 as pb
from markupsafe import Markup

from gateway.pages.page import Page
from gateway.pages.reads import ROWS, Part, PoolReads, part
from gateway.pages.show import amount, moment
from gateway.pages.viewer import Viewer
from libs.common.errors import PermissionDeniedError

#: Notifications that pages about something else show.
NEWEST = 10
#: Digits of an amount at most: what has more is shown as it came.
_DIGITS = 19

_OTHER = "Something that these pages have no word for"
#: What a notification tells, in words.
_WORDS: Mapping[int, str] = {
    pb.NOTIFICATION_KIND_POOLER_GONE: "Pooler gone",
    pb.NOTIFICATION_KIND_POOLER_BACK: "Pooler back",
    pb.NOTIFICATION_KIND_PAYOUT_MADE: "Payout made",
    pb.NOTIFICATION_KIND_PAYOUT_FAILED: "Payout failed",
    pb.NOTIFICATION_KIND_PAYOUT_ADDRESS_PENDING: "Payout address is to change",
    pb.NOTIFICATION_KIND_PAYOUT_ADDRESS_CHANGED: "Payout address changed",
    pb.NOTIFICATION_KIND_AGREEMENT_CHANGED: "Agreement changed",
    pb.NOTIFICATION_KIND_OWNER_ACCOUNT_CHANGED: "Owner account changed",
    pb.NOTIFICATION_KIND_FARMER_LEAVING: "Farmer is to leave",
    pb.NOTIFICATION_KIND_FARMER_LEFT: "Farmer has left",
    pb.NOTIFICATION_KIND_TREASURY_LOW: "Treasury low",
    pb.NOTIFICATION_KIND_TREASURY_RESTORED: "Treasury has enough again",
    pb.NOTIFICATION_KIND_NODE_SET_ASIDE: "Node set aside",
    pb.NOTIFICATION_KIND_NODE_BACK: "Node used again",
    pb.NOTIFICATION_KIND_SIGNING_PAUSED: "Signing paused",
    pb.NOTIFICATION_KIND_SIGNING_RESUMED: "Signing resumed",
    pb.NOTIFICATION_KIND_WEBHOOK_DISABLED: "Webhook disabled",
    pb.NOTIFICATION_KIND_TEST: "Test of a webhook",
}
#: Kinds that somebody has to look at.
_BAD = frozenset(
    {
        pb.NOTIFICATION_KIND_POOLER_GONE,
        pb.NOTIFICATION_KIND_PAYOUT_FAILED,
        pb.NOTIFICATION_KIND_TREASURY_LOW,
        pb.NOTIFICATION_KIND_NODE_SET_ASIDE,
        pb.NOTIFICATION_KIND_SIGNING_PAUSED,
        pb.NOTIFICATION_KIND_WEBHOOK_DISABLED,
    }
)
#: What facts are called, in the order in which they are shown; others follow under their own names.
_FACTS: Mapping[str, str] = {
    "name": "Name",
    "goneSince": "Gone since",
    "lastSeen": "Last heard of",
    "amountStroops": "Amount",
    "destination": "To",
    "address": "Address",
    "effectiveAt": "Counts from",
    "xlmStroops": "Balance",
    "lowStroops": "Low below",
    "host": "Node",
    "scope": "For",
    "reason": "Why",
    "message": "Message",
    "transactionHash": "Transaction",
    "ledger": "Ledger",
    "withdrawalId": "Withdrawal",
    "payoutId": "Payout",
    "webhookId": "Webhook",
}
_MOMENTS = frozenset({"goneSince", "lastSeen", "effectiveAt"})
_SCOPES = {"everything": "everybody", "pooler": "the pooler", "farmer": "the farmer"}


@dataclass(frozen=True, kw_only=True)
class Told:
    """A notification as people read it."""

    #: The notification.
    item: pb.Notification
    #: What it tells, in words.
    words: str
    #: Whether somebody has to look at it.
    is_bad: bool
    #: What there is to know: names with values.
    facts: tuple[tuple[str, str | Markup], ...]


@dataclass(frozen=True, kw_only=True)
class ToldPage:
    """A page of notifications."""

    #: Newest first.
    items: tuple[Told, ...]
    #: The token of the next page; empty on the last one.
    more: str


async def newest(reads: PoolReads, viewer: Viewer, pooler_id: str = "") -> Part[ToldPage]:
    """Return the newest notifications: what a pooler sees, or all; the error is the part's."""
    return await part(_page(reads, viewer, pooler_id, size=NEWEST))


async def notifications(reads: PoolReads, viewer: Viewer, pooler_id: str, page_token: str) -> Page:
    """Return the page of what the viewer sees; for operators, also what a pooler sees."""
    if viewer.kind not in {"operator", "pooler"}:
        raise PermissionDeniedError(
            "this page is for poolers and operators", reason="ACCESS_DENIED"
        )
    whose = pooler_id or (viewer.name if viewer.kind == "pooler" else "")
    found = await _page(reads, viewer, whose, size=ROWS, page_token=page_token)
    names = (one.item.pooler_name for one in found.items if one.item.pooler_id == whose)
    return Page(
        template="notifications.html",
        title="Notifications",
        content={
            "told": found,
            "pooler_id": whose,
            "pooler_name": next(names, "") or whose,
            "is_first": not page_token,
        },
    )


async def _page(
    reads: PoolReads, viewer: Viewer, pooler_id: str, *, size: int, page_token: str = ""
) -> ToldPage:
    found = await reads.notifications(viewer, pooler_id, size, page_token)
    return ToldPage(items=tuple(map(told, found.notifications)), more=found.next_page_token)


def told(item: pb.Notification) -> Told:
    """Return a notification as people read it."""
    return Told(
        item=item,
        words=_WORDS.get(item.kind, _OTHER),
        is_bad=item.kind in _BAD,
        facts=tuple(_shown_facts(item.facts)),
    )


def _shown_facts(facts: Mapping[str, str]) -> list[tuple[str, str | Markup]]:
    others = sorted(name for name in facts if name not in _FACTS and name != "asset")
    known = [name for name in _FACTS if name in facts]
    shown = [(_FACTS.get(name, name), _shown(name, facts)) for name in [*known, *others]]
    if "asset" in facts and "amountStroops" not in facts:
        shown.append(("asset", facts["asset"]))
    return shown


def _shown(name: str, facts: Mapping[str, str]) -> str | Markup:
    """Return a fact as people read it; what is not as it should be is shown as it came."""
    value = facts[name]
    if name in _MOMENTS:
        return _moment(value)
    if name == "amountStroops":
        return _amount(value, facts.get("asset", "").upper())
    if name in {"xlmStroops", "lowStroops"}:
        return _amount(value, "XLM")
    if name == "scope":
        return _SCOPES.get(value, value)
    return value or "none"


def _moment(value: str) -> str | Markup:
    try:
        found = datetime.fromisoformat(value)
        return value if found.tzinfo is None else moment(found.astimezone(UTC))
    except (ValueError, OverflowError):
        return value


def _amount(value: str, unit: str) -> str:
    if not (value.isascii() and value.isdigit() and len(value) <= _DIGITS):
        return value
    return f"{amount(int(value))} {unit}".rstrip()
