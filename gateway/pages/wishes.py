"""/farmers/{farmer_id}/wish: what an owner wants as a text to sign, and the signature that does it.

The text is wallet's, and the signature alone decides: the page only carries both.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from kalepool.wallet.v1 import agreement_pb2 as pb

from gateway.pages.owner_calls import OwnerCalls
from gateway.pages.page import Page
from gateway.pages.signatures import signature_of
from gateway.pages.viewer import Viewer
from libs.common.errors import InvalidArgumentError, PermissionDeniedError

#: Digits of a number that a form may have.
_NUMBER = re.compile(r"[0-9]{1,9}")

Form = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """A kind of wish."""

    #: What it is, as a heading.
    title: str
    #: The fields of the form that say it.
    fields: tuple[str, ...]
    #: Makes the message of it.
    make: Callable[[OwnerCalls, Viewer, str, Form], Awaitable[pb.Wish]]


async def wish_page(calls: OwnerCalls, viewer: Viewer, farmer_id: str, form: Form) -> Page:
    """Return the page with the text that has to be signed."""
    return await _text_page(
        calls, viewer, farmer_id, form, await _wish(calls, viewer, farmer_id, form)
    )


async def signed_page(calls: OwnerCalls, viewer: Viewer, farmer_id: str, form: Form) -> Page:
    """Do what was signed; return the page that says so, or the text once more."""
    wish = await _wish(calls, viewer, farmer_id, form)
    try:
        done = await calls.sign(viewer, farmer_id, wish, signature_of(form.get("signature", "")))
    except PermissionDeniedError as error:
        if error.reason != "SIGNATURE_WRONG":
            raise
        return await _text_page(calls, viewer, farmer_id, form, wish, is_refused=True)
    return Page(
        template="wish_done.html",
        title=_kind(form).title,
        content={"farmer_id": farmer_id, "done": done},
    )


async def _text_page(
    calls: OwnerCalls,
    viewer: Viewer,
    farmer_id: str,
    form: Form,
    wish: pb.Wish,
    *,
    is_refused: bool = False,
) -> Page:
    kind = _kind(form)
    draft = await calls.draft(viewer, farmer_id, wish)
    return Page(
        template="wish.html",
        title=kind.title,
        content={
            "farmer_id": farmer_id,
            "draft": draft,
            "lines": draft.text.count("\n") + 1,
            "given": [(name, form.get(name, "")) for name in ("wish", *kind.fields)],
            "is_refused": is_refused,
        },
        status=403 if is_refused else 200,
    )


def _kind(form: Form) -> _Kind:
    found = _KINDS.get(form.get("wish", ""))
    if found is None:
        raise InvalidArgumentError.of("wish", f"must be one of {', '.join(_KINDS)}")
    return found


async def _wish(calls: OwnerCalls, viewer: Viewer, farmer_id: str, form: Form) -> pb.Wish:
    return await _kind(form).make(calls, viewer, farmer_id, form)


async def _address(_: OwnerCalls, __: Viewer, ___: str, form: Form) -> pb.Wish:
    return pb.Wish(payout_address=form.get("address", "").strip())


async def _owner(_: OwnerCalls, __: Viewer, ___: str, form: Form) -> pb.Wish:
    return pb.Wish(owner_account=form.get("account", "").strip())


async def _objection(_: OwnerCalls, __: Viewer, ___: str, ____: Form) -> pb.Wish:
    return pb.Wish(objection=True)


async def _leave(_: OwnerCalls, __: Viewer, ___: str, ____: Form) -> pb.Wish:
    return pb.Wish(leave=True)


async def _terms(calls: OwnerCalls, viewer: Viewer, farmer_id: str, form: Form) -> pb.Wish:
    """Return the wish for a version of the pooler's terms."""
    version = form.get("version", "")
    if not _NUMBER.fullmatch(version) or not int(version):
        raise InvalidArgumentError.of("version", "must be the number of a version")
    farmer = await calls.farmer(viewer, farmer_id)
    terms = (await calls.terms(viewer, farmer.pooler_id, int(version))).terms
    agreed = pb.AgreedTerms(
        stake_percentage=terms.stake_percentage,
        pooler_fee=terms.pooler_fee,
        miners_part=terms.miners_part,
        payout_threshold=terms.payout_threshold,
        payout_interval_seconds=terms.payout_interval_seconds,
        harvest_blocks=terms.harvest_blocks,
        terms_version=terms.version,
        terms_digest=terms.digest,
    )
    return pb.Wish(terms=pb.TermsWish(terms=agreed))


#: Kinds of wishes, by their names in forms.
_KINDS: Mapping[str, _Kind] = {
    "payout-address": _Kind(title="Payout address", fields=("address",), make=_address),
    "terms": _Kind(title="New terms", fields=("version",), make=_terms),
    "owner-account": _Kind(title="Another owner account", fields=("account",), make=_owner),
    "objection": _Kind(title="Objection", fields=(), make=_objection),
    "leave": _Kind(title="Leave the pool", fields=(), make=_leave),
}
