"""How the library calls a service: with a time limit, and again while the error may pass."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import Message

from client.connection import Connections
from client.retry import patiently
from libs.common.errors import PoolError

if TYPE_CHECKING:
    import grpc

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

#: Gets the method, each error that is waited out, and the seconds until the next try.
Notice = Callable[[str, PoolError, float], None]
#: Items of a page, the most that a service gives.
PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long calls may take, and for how long they are repeated."""

    #: Seconds that one try of a quick call may take.
    quick_seconds: float = 10.0
    #: Seconds that one try of a SubmitWork, Harvest or HarvestPending may take.
    batch_seconds: float = 240.0
    #: Seconds that one try of a Plant may take: plants not settled by then are left, so that the
    #: others are worked.
    plant_seconds: float = 150.0
    #: Seconds for which a call is repeated that does not say: a service that restarts is back much
    #: sooner.
    patience_seconds: float = 120.0
    #: Seconds for which a registration is repeated: a thousand at once run into the rate limit.
    enrol_patience_seconds: float = 3600.0


class Calls:
    """Calls over some connections."""

    def __init__(self, connections: Connections, *, limits: Limits, notice: Notice) -> None:
        """Take `notice`, which is told of every error that is waited out."""
        self.connections = connections
        self.limits = limits
        self._notice = notice

    async def ask(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        *,
        seconds: float | None = None,
        patience: float | None = None,
    ) -> Response:
        """Call a method, by default with the limits of a quick call; repeat the same request."""
        name = type(request).__name__.removesuffix("Request")
        limits = self.limits
        return await patiently(
            lambda: self.connections.call(
                method, request, timeout=limits.quick_seconds if seconds is None else seconds
            ),
            patience=limits.patience_seconds if patience is None else patience,
            notice=partial(self._notice, name),
        )

    async def pages(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Any, Any]", request: Any
    ) -> AsyncIterator[Any]:
        """Yield the pages of a list; `request` asks for the first one."""
        while True:
            page = await self.ask(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
