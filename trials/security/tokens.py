"""A trial of access tokens: every kind of token on every method, and tokens that others bring."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

import grpc
from kalepool.registry.v1 import registry_pb2, registry_pb2_grpc
from kalepool.wallet.v1 import token_pb2, token_pb2_grpc
from stellar_sdk import Keypair

from devstack.stack import OPERATOR, Stack
from libs.common.errors import PoolError, UnauthenticatedError
from libs.common.grpc.client import call
from libs.common.grpc.identity import CallerKind
from libs.common.grpc.tokens import TokenKeysUnknownError
from libs.common.ids import new_id
from libs.common.names import GATEWAY, SERVICES
from trials.security.access import Rpc, attempt, channels, is_in, rpcs

#: Seconds after which an access token is exchanged anew.
_FRESH = 30.0
#: The one method of a token that is for one.
_SCOPE = "/kalepool.plant.v1.PlantService/ListPlantings"
_TIMEOUT = 20.0
#: Seconds until every service knows wallet's keys.
_STARTING = 120.0
#: Whom each kind of token speaks for, and what it may: (is an operator's, is read-only, methods).
KINDS: Mapping[str, tuple[bool, bool, tuple[str, ...]]] = {
    "pooler": (False, False, ()),
    "pooler, read-only": (False, True, ()),
    "pooler, one method": (False, False, (_SCOPE,)),
    "operator": (True, False, ()),
    "operator, read-only": (True, True, ()),
}


@dataclass(kw_only=True)
class Bearer:
    """Somebody with an API token, which is exchanged as often as it has to be."""

    #: The API token, and its id.
    text: str = field(repr=False)
    token_id: str
    #: Calls of wallet in the gateway's name.
    tokens: "token_pb2_grpc.TokenServiceAsyncStub" = field(repr=False)
    _access_token: str = field(default="", repr=False)
    _exchanged: float = float("-inf")

    async def access_token(self) -> str:
        """Return an access token that lives for a while."""
        if monotonic() - self._exchanged > _FRESH:
            self._access_token = await self.exchange()
            self._exchanged = monotonic()
        return self._access_token

    async def exchange(self) -> str:
        """Return another access token; raise UnauthenticatedError when the token does not count."""
        request = token_pb2.ExchangeTokenRequest(token=self.text)
        return (await call(self.tokens.ExchangeToken, request, timeout=_TIMEOUT)).access_token


@asynccontextmanager
async def gateway(stack: Stack) -> AsyncIterator[Mapping[str, grpc.aio.Channel]]:
    """Open channels to all services in the gateway's name."""
    async with channels(stack, stack.transport(CallerKind.SERVICE, GATEWAY)) as opened:
        yield opened


async def make_bearer(
    stack: Stack, kind: str, through: Mapping[str, grpc.aio.Channel], *, pooler_id: str = ""
) -> Bearer:
    """Make an API token of a kind as the operator; of a pooler without farmers unless given."""
    is_operator, is_read_only, methods = KINDS[kind]
    async with channels(stack, stack.operator()) as opened:
        if not is_operator and not pooler_id:
            pooler_id = await _new_pooler(opened["registry"])
        request = token_pb2.CreateTokenRequest(
            role=token_pb2.TOKEN_ROLE_OPERATOR if is_operator else token_pb2.TOKEN_ROLE_POOLER,
            pooler_id="" if is_operator else pooler_id,
            is_read_only=is_read_only,
            methods=methods,
        )
        operators: token_pb2_grpc.TokenServiceAsyncStub = token_pb2_grpc.TokenServiceStub(
            opened["wallet"]
        )
        made = await call(operators.CreateToken, request, timeout=_TIMEOUT)
    return Bearer(
        text=made.token,
        token_id=made.info.token_id,
        tokens=token_pb2_grpc.TokenServiceStub(through["wallet"]),
    )


async def _new_pooler(registry: grpc.aio.Channel) -> str:
    stub: registry_pb2_grpc.RegistryServiceAsyncStub = registry_pb2_grpc.RegistryServiceStub(
        registry
    )
    new = registry_pb2.RegisterPoolerRequest(name="bearer", public_key=Keypair.random().public_key)
    return (await call(stub.RegisterPooler, new, timeout=_TIMEOUT)).pooler.pooler_id


async def token_matrix(stack: Stack) -> dict[tuple[str, str], bool]:
    """Return which kind of token was let in, by full method name and kind."""
    found: dict[tuple[str, str], bool] = {}
    async with gateway(stack) as through:
        await wait_for_keys(through, await make_bearer(stack, "operator", through))
        for kind in KINDS:
            bearer = await make_bearer(stack, kind, through)
            for rpc in rpcs():
                token = await bearer.access_token()
                error = await attempt(through[rpc.process], rpc, {}, token=token)
                found[rpc.path, kind] = is_in(error, stranger=False)
    return found


async def wait_for_keys(through: Mapping[str, grpc.aio.Channel], bearer: Bearer) -> None:
    """Return when every service has wallet's keys, which it asks for again and again at first.

    Raise TimeoutError when one does not get them.
    """
    async with asyncio.timeout(_STARTING):
        for rpc in {rpc.process: rpc for rpc in rpcs()}.values():
            while True:
                token = await bearer.access_token()
                error = await attempt(through[rpc.process], rpc, {}, token=token)
                if error is None or error.reason != TokenKeysUnknownError.default_reason:
                    break
                await asyncio.sleep(0.2)


def may_call(rpc: Rpc, kind: str) -> bool:
    """Tell whether the access table lets a kind of token in."""
    is_operator, is_read_only, methods = KINDS[kind]
    access = rpc.access
    return (
        access.by_token
        and (access.operators if is_operator else access.poolers)
        and (access.reads or not is_read_only)
        and (not methods or rpc.path in methods)
    )


def token_differences(found: Mapping[tuple[str, str], bool]) -> list[str]:
    """Return the differences between the pool's behaviour and the access table."""
    return [
        f"a token ({kind}) {'is' if found[rpc.path, kind] else 'is not'} let in to {rpc.path}"
        for rpc in rpcs()
        for kind in KINDS
        if found[rpc.path, kind] is not may_call(rpc, kind)
    ]


async def replays(stack: Stack) -> list[str]:
    """Return who gets in somewhere with a token that was given to the gateway: nobody."""
    found: list[str] = []
    async with gateway(stack) as through:
        bearer = await make_bearer(stack, "operator", through)
        for kind, name in (
            *((CallerKind.SERVICE, service) for service in SERVICES),
            (CallerKind.OPERATOR, OPERATOR),
            (CallerKind.POOLER, str(new_id())),
        ):
            async with channels(stack, stack.transport(kind, name)) as opened:
                for rpc in rpcs():
                    error = await attempt(
                        opened[rpc.process], rpc, {}, token=await bearer.access_token()
                    )
                    if not _is_refused(error):
                        found.append(f"{kind.value} {name} gets in to {rpc.path} with a token")
    return found


def _is_refused(error: PoolError | None) -> bool:
    return isinstance(error, UnauthenticatedError) and error.reason == "TOKEN_REFUSED"
