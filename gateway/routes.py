"""/v1: a handler for each google.api.http rule of the protos, made when the gateway starts."""

import asyncio
from functools import partial

from google.protobuf.message import Message

from gateway.auth import Credentials
from gateway.backends import Caller
from gateway.bindings import Binding
from gateway.handling import Gateway
from gateway.transcode import message_of
from gateway.words import in_http, short_name
from gateway.writer import message_to_json
from libs.common.errors import InvalidArgumentError
from libs.common.grpc.identity import is_owner
from libs.http.addresses import limited_by
from libs.http.bearer import token_in
from libs.http.request import Reply, Request
from libs.http.routes import Handler, Route
from libs.http.sse import send_events
from libs.http.strict_json import LARGE


def route_of(gateway: Gateway, binding: Binding) -> Route:
    """Return the route of one way to one RPC."""
    serve = _streamed(gateway, binding) if binding.method.resume else _answered(gateway, binding)
    name = f"{binding.verb} {binding.template.text}"
    return Route(
        name=name,
        variables=binding.template.variables,
        handle=serve,
        words=partial(in_http, served={short_name(binding.method.path): name}),
    )


def _answered(gateway: Gateway, binding: Binding) -> Handler:
    method = binding.method

    async def handle(request: Request) -> Reply:
        credentials = await gateway.credentials(request, is_public=method.is_public)
        # A body may take its time, and takes no room from others meanwhile.
        message = await read_message(gateway, binding, request)
        with gateway.admitted(request, credentials):
            response = await gateway.call(request, method, message, credentials)
            return Reply(status=200, body=await written(response))

    return handle


def _streamed(gateway: Gateway, binding: Binding) -> Handler:
    method = binding.method

    async def handle(request: Request) -> None:
        credentials = await gateway.credentials(request, is_public=method.is_public)
        message = await read_message(gateway, binding, request)
        heartbeat = gateway.settings.heartbeat_ms / 1000

        async def check() -> Credentials | None:
            return await _again(gateway, request, credentials)

        async def who_calls() -> Caller:
            # What is public is read by the gateway itself, once for all.
            found = None if method.is_public else await check()
            return Caller(credentials=found, address=request.address)

        identity = "" if method.is_public or credentials is None else credentials.identity
        with gateway.admission.stream(_limited(request, credentials)):
            async with gateway.feeds.reading(
                method, message, identity=identity, who_calls=who_calls
            ) as reader:
                await send_events(request, reader, heartbeat=heartbeat, check=check)

    return handle


def _limited(request: Request, credentials: Credentials | None) -> str:
    """Return by whom streams are counted: a token's subject, else an address.

    Whoever has only logged in with an account may have any number of those.
    """
    if credentials is None or is_owner(credentials.identity):
        return limited_by(request.address)
    return credentials.identity


async def _again(
    gateway: Gateway, request: Request, credentials: Credentials | None
) -> Credentials | None:
    """Return fresh credentials of a request that lasts; raise when its token counts no more."""
    token = token_in(request.headers.get("authorization", ""))
    if credentials is None or token is None:
        return None
    return await gateway.tokens.credentials(token, request.address)


async def read_message(gateway: Gateway, binding: Binding, request: Request) -> Message:
    """Return a request's message; raise the error that names what is wrong with it."""
    if binding.has_body:
        request.check_is_json()
    elif request.may_have_body:  # nobody has to be waited for
        raise InvalidArgumentError.of("body", f"is not for {binding.verb} of this path")
    body = await gateway.body(request)
    try:
        return await message_of(
            binding,
            variables=request.variables,
            query=request.query,
            body=body,
            headers=request.headers,
        )
    finally:
        gateway.bodies.give_back(request.record.identity, len(body))


async def written(response: Message) -> bytes:
    """Return a response as JSON; a large one is written beside the event loop."""
    if response.ByteSize() > LARGE:
        return await asyncio.to_thread(message_to_json, response)
    return message_to_json(response)
