"""/auth and /.well-known/stellar.toml: where wallets of Stellar accounts log in (SEP-10, SEP-1).

wallet makes the challenges and judges them; the gateway passes them on. Pages of any origin may
call these paths: nothing here goes by a cookie.
"""

import base64
import binascii
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kalepool.wallet.v1 import login_pb2

from gateway.handling import Gateway
from gateway.pages.forms import parse_form
from gateway.transcode import parameters
from libs.common.errors import FailedPreconditionError, InvalidArgumentError, PoolError
from libs.common.singleflight import SingleFlight
from libs.http.errors import MediaTypeError, NoSuchPathError, headers_of, problem_of, status_of
from libs.http.request import Reply, Request
from libs.http.routes import Route
from libs.http.strict_json import Repeated, parse, to_json
from libs.http.template import Template, parse_template

AUTH, TOML = "/auth", "/.well-known/stellar.toml"
#: Both, whose errors are told in a form of their own.
PATHS = (AUTH, TOML)
#: The version of SEP-1 that the file is written by.
_SEP_1 = "2.7.0"
#: Seconds for which wallet's answer is told again: a key that was replaced signs at once.
_KEPT = 10.0
#: Bytes of a body at most: a transaction with twenty signatures has 4,000 characters.
_LONGEST = 16_384
#: For pages of any origin; what is asked before a request with a body in JSON.
_CORS = (("access-control-allow-origin", "*"),)
_PREFLIGHT = (
    *_CORS,
    ("access-control-allow-methods", "GET, POST, OPTIONS"),
    ("access-control-allow-headers", "content-type"),
    ("access-control-max-age", "3600"),
)
#: Fields of a request.
_FIELDS = frozenset({"transaction", "signature"})


class WebAuth:
    """The paths by which wallets log in, as routes."""

    def __init__(self, gateway: Gateway, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the gateway's parts; nothing is asked of wallet yet."""
        self._gateway = gateway
        self._clock = clock
        self._known: login_pb2.GetLoginResponse | None = None
        self._known_until = float("-inf")
        self._flights: SingleFlight[login_pb2.GetLoginResponse] = SingleFlight()

    def routes(self) -> list[tuple[str, Template, Route]]:
        """Return each path with its method of HTTP and what serves it."""
        found = [
            ("GET", AUTH, self.challenge),
            ("POST", AUTH, self.finish),
            ("OPTIONS", AUTH, self.allow),
            ("GET", TOML, self.toml),
            ("OPTIONS", TOML, self.allow),
        ]
        return [
            (verb, parse_template(path), _route(f"{verb} {path}", handle))
            for verb, path, handle in found
        ]

    async def aclose(self) -> None:
        """Cancel a question that is under way."""
        await self._flights.aclose()

    async def toml(self, request: Request) -> Reply:
        """Tell what a wallet has to know (SEP-1)."""
        self._gateway.count(request)
        try:
            login = await self._login()
        except FailedPreconditionError as error:
            raise NoSuchPathError(error.message) from error
        scheme = "https" if self._gateway.settings.is_reached_by_tls else "http"
        values = {
            "VERSION": _SEP_1,
            "NETWORK_PASSPHRASE": login.network_passphrase,
            "SIGNING_KEY": login.signing_key,
            "WEB_AUTH_ENDPOINT": f"{scheme}://{login.web_auth_domain}{AUTH}",
        }
        # Strings of TOML are written as those of JSON.
        lines = [f"{name}={json.dumps(value)}\n" for name, value in values.items()]
        return Reply(
            status=200,
            body="".join(lines).encode(),
            media_type="text/plain; charset=utf-8",
            headers=_CORS,
        )

    async def challenge(self, request: Request) -> Reply:
        """Give an account its challenge."""
        self._gateway.count(request)
        given = _only(parameters(request.query))
        if given.get("memo"):
            raise InvalidArgumentError.of("memo", "must not be set: shared accounts do not log in")
        asked = login_pb2.StartLoginRequest(
            account=given.get("account", ""), home_domain=given.get("home_domain", "")
        )
        with self._gateway.admitted(request, None):
            found = await self._gateway.backends.start_login(asked, request.address)
        return _reply(
            {
                "transaction": found.transaction,
                "network_passphrase": found.network_passphrase,
                "text": found.text,
            }
        )

    async def finish(self, request: Request) -> Reply:
        """Give a token for a challenge that was signed."""
        self._gateway.count(request)
        self._gateway.tokens.count_login(request.address)
        asked = await self._read(request)
        with self._gateway.admitted(request, None):
            found = await self._gateway.backends.finish_login(asked, request.address)
        request.record.identity = found.subject
        return _reply({"token": found.token})

    async def allow(self, request: Request) -> Reply:
        """Tell a browser that pages of any origin may call."""
        self._gateway.count(request)
        return Reply(
            status=200, body=b"", media_type="text/plain; charset=utf-8", headers=_PREFLIGHT
        )

    async def _login(self) -> login_pb2.GetLoginResponse:
        if self._known is not None and self._clock() < self._known_until:
            return self._known
        return await self._flights.run("login", self._ask)

    async def _ask(self) -> login_pb2.GetLoginResponse:
        self._known = await self._gateway.backends.get_login()
        self._known_until = self._clock() + _KEPT
        return self._known

    async def _read(self, request: Request) -> login_pb2.FinishLoginRequest:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_form = kind == "application/x-www-form-urlencoded"
        if not is_form and kind != "application/json":
            raise MediaTypeError.of(
                "content-type", "must be application/json or application/x-www-form-urlencoded"
            )
        body = await request.body(
            self._gateway.bodies,
            request.record.identity,
            limit=_LONGEST,
            seconds=self._gateway.settings.body_timeout_ms / 1000,
        )
        self._gateway.bodies.give_back(request.record.identity, len(body))
        given = parse_form(body) if is_form else _object(parse(body))
        return login_pb2.FinishLoginRequest(
            transaction=given.get("transaction", ""), signature=_signature(given)
        )


def refuse(error: PoolError, request: Request) -> Reply:
    """Return the reply of an error: a problem (RFC 9457) that also has SEP-10's `error`."""
    problem = problem_of(
        error, instance=request.path, request_id=request.request_id, words=request.words
    )
    headers = headers_of(error, had_token="authorization" in request.headers)
    return Reply(
        status=status_of(error),
        body=to_json({"error": problem["detail"], **problem}),
        media_type="application/problem+json",
        headers=(*headers, *_CORS),
    )


def _route(name: str, handle: Callable[[Request], Awaitable[Reply]]) -> Route:
    # Fields have the names of SEP-10, which are those of the services.
    return Route(name=name, handle=handle, refuse=refuse, words=str)


def _reply(content: Mapping[str, Any]) -> Reply:
    return Reply(status=200, body=to_json(content), headers=_CORS)


def _only(given: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the one value of each parameter."""
    for name, values in given.items():
        if len(values) > 1:
            raise InvalidArgumentError.of(name, "must not be given more than once")
    return {name: value for name, (value,) in given.items()}


def _object(value: Any) -> dict[str, str]:
    """Return the texts of an object; raise InvalidArgumentError for anything else."""
    if not isinstance(value, dict):
        raise InvalidArgumentError.of("body", "must be an object of JSON")
    if isinstance(value, Repeated):
        raise InvalidArgumentError.of(value.keys_given_twice[0], "must not be given more than once")
    for name in _FIELDS & set(value):
        if not isinstance(value[name], str):
            raise InvalidArgumentError.of(name, "must be a text")
    return {name: value[name] for name in _FIELDS & set(value)}


def _signature(given: Mapping[str, str]) -> bytes:
    try:
        return base64.b64decode(given.get("signature", ""), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgumentError.of("signature", "must be base64") from None
