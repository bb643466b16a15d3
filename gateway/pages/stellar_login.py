"""/login/stellar: an owner signs in by its account, with a wallet of the browser or elsewhere."""

from collections.abc import Mapping

from kalepool.wallet.v1 import login_pb2 as pb

from gateway.handling import Gateway
from gateway.pages.forms import check_own, read_form
from gateway.pages.login import led_to, own_path, query_of
from gateway.pages.page import Page
from gateway.pages.sessions import Sessions
from gateway.pages.signatures import signature_of
from gateway.pages.viewer import Viewer
from libs.common.errors import ErrorCode, PoolError
from libs.http.request import Reply, Request

PATH = "/login/stellar"
#: What a person can mend is told beside the forms; all else is an error as on any page.
_MENDED = frozenset(
    {ErrorCode.INVALID_ARGUMENT, ErrorCode.UNAUTHENTICATED, ErrorCode.FAILED_PRECONDITION}
)
#: Refusals in words of this page.
_WORDS: Mapping[str, str] = {
    "LOGIN_OFF": "This pool lets nobody sign in by a Stellar account.",
    "LOGIN_REFUSED": "This is not signed as it has to be: by another account, for another pool or "
    "network, or too long ago. Begin again.",
    "LOGIN_USED": "Somebody has signed in with this already. Begin again.",
}


async def stellar_page(gateway: Gateway, request: Request, viewer: Viewer) -> Page:
    """Return the page: with an account in its query, what that account has to sign."""
    query = query_of(request)
    account, to = query.get("account", "").strip(), own_path(query.get("to", ""))
    if not account:
        return _page(to, viewer)
    try:
        challenge = await gateway.backends.start_login(
            pb.StartLoginRequest(account=account), request.address
        )
    except PoolError as error:
        return _told(error, _page(to, viewer, account=account))
    return _page(to, viewer, account=account, challenge=challenge)


async def sign_in(gateway: Gateway, sessions: Sessions, request: Request) -> Page | Reply:
    """Begin a session by what was signed, and lead to the page that was asked for."""
    check_own(request.headers)
    gateway.tokens.count_login(request.address)
    form = await read_form(gateway, request)
    to, nobody = own_path(form.get("to", "")), Viewer(address=request.address)
    try:
        done = await gateway.backends.finish_login(_signed(form), request.address)
    except PoolError as error:
        request.record.reason = error.reason
        return _told(error, _page(to, nobody))
    request.record.identity = done.subject
    cookie = sessions.begin(done.token, until=done.ends_at.ToMilliseconds() / 1000)
    return led_to(to if to not in {"", "/"} else "/me", cookie)


def _signed(form: Mapping[str, str]) -> pb.FinishLoginRequest:
    """Return what a form brings: the signed transaction, or the signature of a text."""
    transaction = "".join(form.get("transaction", "").split())
    if "signature" not in form:
        return pb.FinishLoginRequest(transaction=transaction)
    return pb.FinishLoginRequest(transaction=transaction, signature=signature_of(form["signature"]))


def _told(error: PoolError, page: Page) -> Page:
    """Return the page with what is wrong; raise the error where that is nothing to mend there."""
    if error.code not in _MENDED:
        raise error
    words = _WORDS.get(error.reason, error.message)
    status = 401 if error.code is ErrorCode.UNAUTHENTICATED else 400
    return Page(
        template=page.template,
        title=page.title,
        content={**page.content, "wrong": words},
        status=status,
    )


def _page(
    to: str,
    viewer: Viewer,
    *,
    account: str = "",
    challenge: pb.StartLoginResponse | None = None,
) -> Page:
    return Page(
        template="login_stellar.html",
        title="Sign in with a Stellar account",
        content={
            "to": to,
            "kind": viewer.kind,
            "account": account,
            "challenge": challenge,
            "wrong": "",
        },
    )
