"""A trial of the access table: every caller on every method, every pooler on another's things."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from kalepool.registry.v1 import (
    notification_pb2,
    notification_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
)
from kalepool.wallet.v1 import token_pb2, token_pb2_grpc, wallet_pb2, wallet_pb2_grpc
from stellar_sdk import Keypair

from devstack.stack import OPERATOR, Stack
from libs.common.authority import make_authority
from libs.common.errors import PoolError
from libs.common.grpc.access import Access, Owned
from libs.common.grpc.client import call, open_channel
from libs.common.grpc.identity import TRUST_DOMAIN, CallerKind
from libs.common.grpc.rpcs import path_of, services
from libs.common.grpc.tls import PLAINTEXT, TlsFiles, Transport, transport_of
from libs.common.grpc.tokens import AUTHORIZATION, SCHEME
from libs.common.ids import new_id
from libs.common.names import GATEWAY, SERVICES, process_of
from services.access import ACCESS

#: Seconds of one call; a call that is let in may wait for the chain, and need not end.
TIMEOUT = 3.0
#: Seconds in which a caller that the pool knows has its connection, before it calls: a handshake on
#: a busy machine is no call that waits.
_CONNECTED = 30.0
#: Columns of the matrix that are no callers of the pool.
STRANGERS = ("plaintext", "other authority", "other domain")
#: Errors that show that a call was not let in.
_REFUSALS = frozenset(
    {
        *("ACCESS_DENIED", "UNKNOWN_IDENTITY", "BAD_CERTIFICATE"),
        *("TOKEN_MISSING", "TOKEN_NOT_ENOUGH", "TOKEN_READ_ONLY", "TOKEN_SCOPE"),
    }
)
_TERMS = {"stakePercentage": "0.5", "poolerFee": "0.05", "minersPart": "0", "harvestBlocks": 1}
#: Fields that methods require besides the field that names the owner.
_BESIDES: Mapping[str, Mapping[str, Any]] = {
    "UpdatePooler": {"name": "x"},
    "UpdateFarmer": {"stakePercentage": "0.5"},
    "Plant": {"blockIndex": 1},
    "SubmitWork": {
        "blockIndex": 1,
        "submissions": [{"farmerId": str(new_id()), "nonce": "1", "timestamp": "1"}],
    },
    "Harvest": {"blockIndex": 1},
    "CreditMiners": {"blockIndex": 1},
    "GetMinerCredits": {"address": Keypair.random().public_key},
    "CreateToken": {"role": "TOKEN_ROLE_POOLER"},
    "CreateWebhook": {"url": "https://hooks.example.com/"},
    "ListEarnings": {"span": "SPAN_DAY"},
    "ListFees": {"span": "SPAN_DAY"},
    "GetStatement": {"month": "2026-01"},
    "GetProof": {"day": "2026-01-31"},
    "SetPayoutAddress": {"requestId": "x", "address": Keypair.random().public_key},
    "SetStakeLimit": {"stakePercentage": "0.5"},
    "PayNow": {"requestId": "x"},
    "SetAgreement": {"terms": _TERMS},
    "PublishTerms": {"poolerFee": "0.05"},
    "DraftWish": {"wish": {"objection": True}},
    "SignWish": {"wish": {"objection": True}, "signature": "A" * 86 + "=="},
    "Withdraw": {"requestId": "x", "asset": "WITHDRAWAL_ASSET_KALE", "amount": "1"},
}


@dataclass(frozen=True, kw_only=True)
class Rpc:
    """One RPC of one process."""

    #: Short name of the service's process.
    process: str
    #: The RPC's descriptor.
    method: MethodDescriptor

    @property
    def path(self) -> str:
        """Return the RPC's path in HTTP/2."""
        return path_of(self.method)

    @property
    def access(self) -> Access:
        """Return the RPC's entry in the access table."""
        return ACCESS[self.path]


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A pooler and its own things: an id for each kind."""

    pooler_id: str
    ids: Mapping[Owned, str]


def rpcs() -> list[Rpc]:
    """Return every RPC of ours, at the process that serves it; the common ones at registry."""
    return [
        Rpc(process=process_of(service.full_name).replace("common", "registry"), method=method)
        for service in services()
        if service.file.package.startswith("kalepool.")
        for method in service.methods
    ]


def expected(rpc: Rpc, column: str) -> bool:
    """Tell whether the access table lets a caller in."""
    if column in STRANGERS:
        return False
    access = rpc.access
    return {"pooler": access.poolers, OPERATOR: access.operators}.get(
        column, column in access.services
    )


def columns() -> tuple[str, ...]:
    """Return all callers."""
    return (*STRANGERS, "pooler", OPERATOR, *SERVICES, GATEWAY)


async def matrix(stack: Stack) -> dict[tuple[str, str], bool]:
    """Return who was let in, by full method name and column."""
    found: dict[tuple[str, str], bool] = {}
    for column in columns():
        async with channels(stack, _transport(stack, column)) as opened:
            if column not in STRANGERS:
                async with asyncio.timeout(_CONNECTED):
                    await asyncio.gather(*(one.channel_ready() for one in opened.values()))
            for rpc in rpcs():
                error = await attempt(opened[rpc.process], rpc, {})
                found[rpc.path, column] = is_in(error, stranger=column in STRANGERS)
    return found


def differences(found: Mapping[tuple[str, str], bool]) -> list[str]:
    """Return the differences between the pool's behaviour and the access table."""
    return [
        f"{column} {'is' if found[rpc.path, column] else 'is not'} let in to {rpc.path}"
        for rpc in rpcs()
        for column in columns()
        if found[rpc.path, column] is not expected(rpc, column)
    ]


async def trespasses(stack: Stack) -> list[str]:
    """Return where a pooler reaches another's things, or does not reach its own.

    Every method that names an owner is tried.
    """
    one, other = [await make_owner(stack) for _ in range(2)]
    own = stack.transport(CallerKind.POOLER, one.pooler_id)
    found: list[str] = []
    async with channels(stack, own) as opened:
        for rpc in rpcs():
            for field, kind in rpc.access.owned.items():
                channel = opened[rpc.process]
                tries = {"its own": one.ids[kind], "another's": other.ids[kind], "no": _nobodys()}
                for whose, identifier in tries.items():
                    error = await attempt(channel, rpc, request_of(rpc, field, identifier))
                    reason = "" if error is None else error.reason
                    if reason == "INVALID_REQUEST" or (reason == "NOT_YOURS") is (
                        whose == "its own"
                    ):
                        found.append(f"{rpc.path} with {whose} {field}: {reason or 'OK'}")
    return found


async def attempt(
    channel: grpc.aio.Channel, rpc: Rpc, request: Mapping[str, Any], *, token: str = ""
) -> PoolError | None:
    """Return the error that answers a call; None when the call succeeds.

    `token` is an access token to send along.
    """
    method, request_class = rpc.method, message_factory.GetMessageClass(rpc.method.input_type)
    message = json_format.ParseDict(dict(request), request_class())
    reply = message_factory.GetMessageClass(method.output_type).FromString
    try:
        if not method.server_streaming:
            unary: Any = channel.unary_unary(rpc.path, _bytes, reply)
            await call(_with_token(unary, token), message, timeout=TIMEOUT)
            return None
        stream: Any = channel.unary_stream(rpc.path, _bytes, reply)
        await call(_with_token(_first(stream), token), message, timeout=TIMEOUT)
    except PoolError as error:
        return error
    return None


async def make_owner(stack: Stack) -> Owner:
    """Make a pooler with a farmer, its wallet and the operation that creates its account."""
    operator = stack.operator()
    async with channels(stack, operator) as opened:
        registry: registry_pb2_grpc.RegistryServiceAsyncStub = (
            registry_pb2_grpc.RegistryServiceStub(opened["registry"])
        )
        key = Keypair.random().public_key
        pooler = await registry.RegisterPooler(
            registry_pb2.RegisterPoolerRequest(name="owner", public_key=key)
        )
        pooler_id = pooler.pooler.pooler_id
        farmer = await registry.RegisterFarmer(
            registry_pb2.RegisterFarmerRequest(pooler_id=pooler_id)
        )
        notifications: notification_pb2_grpc.NotificationServiceAsyncStub = (
            notification_pb2_grpc.NotificationServiceStub(opened["registry"])
        )
        webhook = await notifications.CreateWebhook(
            notification_pb2.CreateWebhookRequest(
                pooler_id=pooler_id, url="https://hooks.example.com/"
            )
        )
        wallet: wallet_pb2_grpc.WalletServiceAsyncStub = wallet_pb2_grpc.WalletServiceStub(
            opened["wallet"]
        )
        made = await wallet.GetWallet(wallet_pb2.GetWalletRequest(farmer_id=farmer.farmer_id))
        operations = await wallet.ListOperations(
            wallet_pb2.ListOperationsRequest(farmer_id=farmer.farmer_id)
        )
        tokens: token_pb2_grpc.TokenServiceAsyncStub = token_pb2_grpc.TokenServiceStub(
            opened["wallet"]
        )
        token = await tokens.CreateToken(
            token_pb2.CreateTokenRequest(role=token_pb2.TOKEN_ROLE_POOLER, pooler_id=pooler_id)
        )
    operation = operations.operations[0].operation_id
    return Owner(
        pooler_id=pooler_id,
        ids={
            Owned.POOLER: pooler_id,
            Owned.FARMER: farmer.farmer_id,
            Owned.WALLET: made.wallet.wallet_id,
            Owned.OPERATION: operation,
            Owned.WITHDRAWAL: operation,
            Owned.TOKEN: token.info.token_id,
            Owned.WEBHOOK: webhook.webhook.webhook_id,
        },
    )


def request_of(rpc: Rpc, field: str, identifier: str) -> dict[str, Any]:
    """Return a request that names its owner by this field, and is valid."""
    described = rpc.method.input_type.fields_by_name[field]
    value: Any = [identifier] if described.is_repeated else identifier
    return {**_BESIDES.get(rpc.method.name, {}), described.json_name: value}


def is_in(error: PoolError | None, *, stranger: bool) -> bool:
    """Tell whether a caller was let in.

    UNAVAILABLE is the refusal of a stranger's handshake; for a caller that has passed the
    handshake, it may be an answer.
    """
    if error is None:
        return True
    return error.reason not in _REFUSALS and not (stranger and error.reason == "UNAVAILABLE")


def _transport(stack: Stack, column: str) -> Transport:
    if column == "plaintext":
        return PLAINTEXT
    if column in STRANGERS:
        return _stranger(stack, column)
    if column == "pooler":
        return stack.transport(CallerKind.POOLER, _nobodys())
    kind = CallerKind.OPERATOR if column == OPERATOR else CallerKind.SERVICE
    return stack.transport(kind, column)


def _stranger(stack: Stack, column: str) -> Transport:
    """Return the transport of a caller that the pool does not know.

    The caller is an operator by the word of an authority that the pool does not trust, or an
    operator of another pool.
    """
    trusted = stack.certificates(CallerKind.OPERATOR, OPERATOR).authority
    folder = trusted.parent / column.replace(" ", "-")
    if column == "other authority":
        authority = make_authority(TRUST_DOMAIN)
    else:
        authority = stack.authority_of("another.example")
    certificate, key = authority.issue(CallerKind.OPERATOR, OPERATOR).save(folder, OPERATOR)
    return transport_of(TlsFiles(certificate=certificate, key=key, authority=trusted))


@asynccontextmanager
async def channels(
    stack: Stack, transport: Transport
) -> AsyncIterator[Mapping[str, grpc.aio.Channel]]:
    """Open a channel to every service, by its name."""
    async with AsyncExitStack() as cleanup:
        yield {
            name: await cleanup.enter_async_context(
                open_channel(stack.target(name), transport, name=name)
            )
            for name in SERVICES
        }


def _first(stream: Any) -> Any:
    """Return the first message of a stream like the message of a unary call."""

    async def ask(request: Any, **how: Any) -> Any:
        started = stream(request, **how)
        try:
            return await started.read()
        finally:
            started.cancel()

    return ask


def _with_token(method: Any, token: str) -> Any:
    """Return a method that sends an access token along; the method itself for none."""
    if not token:
        return method

    def ask(request: Any, *, timeout: float, metadata: grpc.aio.Metadata) -> Any:
        sent = grpc.aio.Metadata(*metadata, (AUTHORIZATION, f"{SCHEME}{token}"))
        return method(request, timeout=timeout, metadata=sent)

    return ask


def _bytes(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _nobodys() -> str:
    return str(new_id())


def picture(found: Mapping[tuple[str, str], bool]) -> Sequence[tuple[str, ...]]:
    """Return rows for people: a method, and the callers that were let in."""
    return [
        (
            rpc.path.rpartition(".")[2],
            *("x" if found[rpc.path, column] else "" for column in columns()),
        )
        for rpc in rpcs()
    ]
