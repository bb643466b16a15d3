"""What serves a path, and how its errors are told."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from libs.common.errors import PoolError
from libs.http.errors import Words, headers_of, problem_of, status_of
from libs.http.request import Reply, Request
from libs.http.strict_json import to_json

#: Serves a request: returns the reply, or None when it has sent everything itself.
Handler = Callable[[Request], Awaitable[Reply | None]]
#: Makes the reply of an error.
Refusal = Callable[[PoolError, Request], Reply]


def refuse(error: PoolError, request: Request) -> Reply:
    """Return the reply of an error: a problem (RFC 9457)."""
    problem = problem_of(
        error, instance=request.path, request_id=request.request_id, words=request.words
    )
    return Reply(
        status=status_of(error),
        body=to_json(problem),
        media_type="application/problem+json",
        headers=tuple(headers_of(error, had_token="authorization" in request.headers)),
    )


@dataclass(frozen=True, kw_only=True)
class Route:
    """What serves a path."""

    #: Method and path as they are served: GET /v1/farmers/{farmer_id}.
    name: str
    #: Serves requests.
    handle: Handler
    #: Names of the path's variables.
    variables: tuple[str, ...] = ()
    #: Tells its errors.
    refuse: Refusal = refuse
    #: Puts the texts of its errors into the words of those who call; None: the application's way.
    words: Words | None = None
