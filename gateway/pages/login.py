"""/login and /logout: a person signs in by an API token, and out again."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlencode

from gateway.errors import TokenUnknownError
from gateway.handling import Gateway
from gateway.pages.forms import check_own, check_proof, read_form
from gateway.pages.page import Page
from gateway.pages.sessions import Sessions
from gateway.pages.viewer import Viewer, viewer_of
from libs.http.request import Reply, Request

#: Where somebody may be sent after signing in: a page of ours.
_OWN_PATH = re.compile(r"/(?:[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*)?")
LOGIN = "/login"


def login_page(request: Request, viewer: Viewer) -> Page:
    """Return the page with the form."""
    query = query_of(request)
    return _form(own_path(query.get("to", "")), viewer.kind, has_ended="ended" in query)


def refused_page(to: str) -> Page:
    """Return the page with the form after a token that there is not."""
    return _form(to, "", status=401, is_refused=True)


def query_of(request: Request) -> Mapping[str, str]:
    """Return the fields of a query, the first of each name; none when there are too many."""
    try:
        found = parse_qs(request.query, max_num_fields=20)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items()}


def path_to_login(path: str, *, has_ended: bool) -> str:
    """Return the path of the form, which leads back to the page that was asked for.

    It says that a session has ended, where one has.
    """
    back = own_path(path)
    query = {**({"to": back} if back else {}), **({"ended": "yes"} if has_ended else {})}
    return f"{LOGIN}?{urlencode(query)}" if query else LOGIN


def own_path(text: str) -> str:
    """Return a path of our own pages; empty for anything else."""
    is_own = _OWN_PATH.fullmatch(text) and not text.startswith((LOGIN, "/logout"))
    return text if is_own else ""


async def sign_in(gateway: Gateway, sessions: Sessions, request: Request) -> Page | Reply:
    """Begin a session by the token of the form, and lead to the page that was asked for."""
    check_own(request.headers)
    form = await read_form(gateway, request)
    token, to = form.get("token", "").strip(), own_path(form.get("to", ""))
    try:
        credentials = await gateway.tokens.credentials(token, request.address)
    except TokenUnknownError as error:
        request.record.reason = error.reason
        return refused_page(to)
    request.record.identity = credentials.identity
    viewer = Viewer(address=request.address, credentials=credentials)
    return led_to(to if to not in {"", "/"} else viewer.home, sessions.begin(token))


async def sign_out(gateway: Gateway, sessions: Sessions, request: Request) -> Reply:
    """End the session of the form's page."""
    check_own(request.headers)
    viewer = await viewer_of(gateway, sessions, request)
    form = await read_form(gateway, request)
    if viewer.session is not None:
        check_proof(sessions, viewer.session, form)
    return led_to("/", sessions.end())


def _form(
    to: str,
    kind: str,
    *,
    status: int = 200,
    is_refused: bool = False,
    has_ended: bool = False,
) -> Page:
    return Page(
        template="login.html",
        title="Sign in",
        content={"to": to, "kind": kind, "is_refused": is_refused, "has_ended": has_ended},
        status=status,
    )


def led_to(path: str, cookie: str) -> Reply:
    """Return the reply that sets a cookie and leads to a page."""
    return Reply(
        status=303,
        body=b"",
        media_type="text/plain; charset=utf-8",
        headers=(("location", path), ("set-cookie", cookie)),
    )
