"""/me: the farmers of the owner account that has signed in."""

from gateway.pages.owner_calls import OwnerCalls
from gateway.pages.page import Page
from gateway.pages.viewer import Viewer
from libs.common.errors import PermissionDeniedError


async def me(calls: OwnerCalls, viewer: Viewer, page_token: str) -> Page:
    """Return the page; raise PermissionDeniedError for who is no owner account."""
    if viewer.kind != "owner":
        raise PermissionDeniedError("this page is for owner accounts", reason="ACCESS_DENIED")
    found = await calls.farmers(viewer, page_token)
    return Page(
        template="me.html",
        title="My farmers",
        content={"found": found, "is_first": not page_token},
    )
