"""What all handlers of the gateway share: who calls, limits, the body, and calls of services."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from google.protobuf.message import Message

from gateway.auth import Credentials, Tokens
from gateway.backends import Backends, Caller, Gone
from gateway.bindings import Method
from gateway.config import GatewaySettings
from gateway.feeds import Feeds
from gateway.poolers import PoolerDoors
from libs.common.grpc.identity import is_owner
from libs.common.grpc.limits import Admission, RateLimit, Rates
from libs.http.addresses import limited_by
from libs.http.bearer import token_in
from libs.http.errors import TokenMissingError
from libs.http.request import Bodies, Request

#: Bodies of the largest size that are held at a time, of all callers and of one.
_BODIES, _BODIES_OF_ONE = 32, 8


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The parts that handlers work with; there is one in a process."""

    #: The settings.
    settings: GatewaySettings
    #: The services.
    backends: Backends
    #: Who calls.
    tokens: Tokens
    #: Where poolers tell of their mining.
    poolers: PoolerDoors
    #: Streams that are read.
    feeds: Feeds
    #: Requests and streams in progress.
    admission: Admission
    #: Requests in progress of those who have no token, or have only logged in with an account: they
    #: take no room from others.
    public_admission: Admission
    #: Requests a minute of the same.
    public_rate: RateLimit
    #: Bodies that are held.
    bodies: Bodies

    @classmethod
    def of(cls, settings: GatewaySettings, backends: Backends, poolers: PoolerDoors) -> "Gateway":
        """Make the parts with the settings' limits."""
        most = settings.max_body_bytes
        return cls(
            settings=settings,
            backends=backends,
            poolers=poolers,
            tokens=Tokens(backends.exchange, wrong_per_minute=settings.wrong_token_limit),
            feeds=Feeds(backends),
            admission=Admission(
                max_calls=settings.max_calls_in_progress,
                max_streams=settings.max_streams_per_caller,
            ),
            public_admission=Admission(
                max_calls=settings.max_calls_in_progress,
                max_streams=settings.max_streams_per_caller,
            ),
            public_rate=RateLimit(Rates(default=settings.public_rate_limit)),
            bodies=Bodies(most=_BODIES * most, most_of_one=_BODIES_OF_ONE * most),
        )

    async def credentials(self, request: Request, *, is_public: bool) -> Credentials | None:
        """Return the caller's credentials; None for a caller without a token.

        Raise UnauthenticatedError for a wrong token, for none where one is needed, and for a header
        that should bring one and does not; ResourceExhaustedError when an address asks too often
        without one.
        """
        authorization = request.headers.get("authorization")
        token = None if authorization is None else token_in(authorization)
        if token is not None:
            found = await self.tokens.credentials(token, request.address)
            request.record.identity = found.identity
            if is_owner(found.identity):
                # Anybody logs in with as many accounts as it likes: the address is what counts.
                self.count(request)
            return found
        self.count(request)
        if authorization is not None:
            raise TokenMissingError("Authorization brings no token: it has to be Bearer kp_...")
        if not is_public:
            raise TokenMissingError("this needs a token: Authorization: Bearer kp_...")
        return None

    def admitted(
        self, request: Request, credentials: Credentials | None
    ) -> AbstractContextManager[None]:
        """Count a request while the block runs; raise UnavailableError when there are too many."""
        is_known = credentials is not None and not is_owner(credentials.identity)
        admission = self.admission if is_known else self.public_admission
        return admission.call(request.record.identity)

    def count(self, request: Request) -> None:
        """Count a request by its address; raise ResourceExhaustedError for too many."""
        self.public_rate.check(identity=limited_by(request.address), method=request.record.route)

    async def body(self, request: Request) -> bytes:
        """Read a request's body, within its limits. To be given back to `bodies` afterwards."""
        settings = self.settings
        return await request.body(
            self.bodies,
            request.record.identity,
            limit=settings.max_body_bytes,
            seconds=settings.body_timeout_ms / 1000,
        )

    async def call(
        self, request: Request, method: Method, message: Message, credentials: Credentials | None
    ) -> Message:
        """Call a service for a request, as long as its caller waits for the answer."""
        caller = Caller(credentials=credentials, address=request.address)
        gone = Gone()
        with request.watched(gone.notice):
            return await self.backends.call(method, message, caller, gone)
