"""Who looks at a page: nobody in particular, or who the token of the session speaks for."""

from dataclasses import dataclass

from gateway.auth import Credentials
from gateway.backends import Caller
from gateway.handling import Gateway
from gateway.pages.sessions import Session, Sessions
from libs.common.errors import PoolError, UnauthenticatedError
from libs.common.grpc.identity import is_operator, is_owner, is_pooler
from libs.http.request import Request

#: Where the viewer is kept in the request's scope, for a page that tells an error.
_PLACE = "kalepool.viewer"


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Who looks at a page."""

    #: The address that the request came from.
    address: str
    #: The session; None for nobody in particular.
    session: Session | None = None
    #: What wallet gave for the session's token; None also while wallet is away.
    credentials: Credentials | None = None
    #: Why the session's token could not be checked.
    error: PoolError | None = None
    #: Whether the browser has a cookie that counts no more.
    is_stale: bool = False

    @property
    def identity(self) -> str:
        """Return the SPIFFE name of who has signed in; empty for nobody."""
        return "" if self.credentials is None else self.credentials.identity

    @property
    def name(self) -> str:
        """Return what people call who has signed in: ann, the id of a pooler, or an account."""
        return self.identity.rpartition("/")[2]

    @property
    def kind(self) -> str:
        """Return operator, pooler or owner; empty for nobody."""
        if is_operator(self.identity):
            return "operator"
        if is_owner(self.identity):
            return "owner"
        return "pooler" if is_pooler(self.identity) else ""

    @property
    def home(self) -> str:
        """Return the path of the viewer's own page."""
        homes = {"operator": "/operator", "owner": "/me", "pooler": f"/poolers/{self.name}"}
        return homes.get(self.kind, "/")

    def owns(self, account: str) -> bool:
        """Tell whether the viewer has signed in as an account, which speaks for a farmer."""
        return self.kind == "owner" and self.name == account

    def caller(self) -> Caller:
        """Return in whose name services are called."""
        return Caller(credentials=self.credentials, address=self.address)


async def viewer_of(gateway: Gateway, sessions: Sessions, request: Request) -> Viewer:
    """Return who looks, by the session's cookie; it is kept with the request."""
    viewer = await _found(gateway, sessions, request)
    if viewer.credentials is not None:
        request.record.identity = viewer.identity
    request.scope[_PLACE] = viewer
    return viewer


def known_viewer(request: Request) -> Viewer:
    """Return who looks, as far as that was found out."""
    return request.scope.get(_PLACE) or Viewer(address=request.address)


async def _found(gateway: Gateway, sessions: Sessions, request: Request) -> Viewer:
    cookie = sessions.shown_by(request.headers.get("cookie"))
    if cookie is None:
        return Viewer(address=request.address)
    session = sessions.open(cookie)
    if session is None:
        return Viewer(address=request.address, is_stale=True)
    try:
        credentials = await gateway.tokens.credentials(session.token, request.address)
    except UnauthenticatedError:
        return Viewer(address=request.address, is_stale=True)
    except PoolError as error:
        return Viewer(address=request.address, session=session, error=error)
    return Viewer(address=request.address, session=session, credentials=credentials)
