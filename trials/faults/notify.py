"""Notifications under attack: something happens, and webhooks of every kind are told of it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import grpc
from kalepool.registry.v1 import (
    notification_pb2,
    notification_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
)
from kalepool.wallet.v1 import custody_pb2, custody_pb2_grpc
from stellar_sdk import Keypair

from devstack.wallet_calls import wait_until
from devstack.webhook_receiver import Received, Receiver, open_receiver
from libs.common.grpc.client import open_channel
from trials.faults.arena import Arena
from trials.faults.checker import Findings
from trials.faults.deliveries import DELIVERED, FINAL, Delivery, Hook, compare
from trials.faults.scenarios import GIVE_UP_SECONDS

#: Pauses of all signing, each with its end: two notifications each.
PAIRS = 10
#: Seconds between two of them, so that some are queued and some are being sent at any time.
_APART = 0.15
#: Seconds of one call, and until one is repeated whose process is away.
_TIMEOUT, _PAUSE = 10.0, 0.2
#: Seconds between two looks at what is still to be sent.
_LOOK = 0.5
_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
_EVERYTHING = custody_pb2.PauseReach(everything=True)
_KINDS = (
    notification_pb2.NOTIFICATION_KIND_SIGNING_PAUSED,
    notification_pb2.NOTIFICATION_KIND_SIGNING_RESUMED,
)
_TAKEN, _NOT_TAKEN = frozenset({DELIVERED}), frozenset({"failed", "cancelled"})
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """One kind of receiver."""

    #: Path at the receiver that answers so; empty: nobody listens.
    path: str
    #: States in which deliveries may end.
    ends: frozenset[str] = _TAKEN
    #: Whether the webhook stays: else it is disabled or deleted in the middle.
    stays: bool = True


#: Receivers by what they do; each is another pooler's, so that none waits for another.
BEHAVIOURS: Mapping[str, Behaviour] = {
    "takes": Behaviour(path="/takes"),
    "slow": Behaviour(path="/late"),
    "500, then 204": Behaviour(path="/once/500"),
    "cuts the connection, then 204": Behaviour(path="/cut"),
    "always 500": Behaviour(path="/status/500", ends=_NOT_TAKEN),
    "never answers": Behaviour(path="/slow", ends=_NOT_TAKEN),
    "refuses connections": Behaviour(path="", ends=_NOT_TAKEN),
    "410": Behaviour(path="/status/410", ends=_NOT_TAKEN, stays=False),
    "deleted": Behaviour(path="/late", ends=_TAKEN | _NOT_TAKEN, stays=False),
}
_DELETED = "deleted"


@dataclass(frozen=True, kw_only=True)
class Round:
    """The webhooks of one cell."""

    #: By what their receivers do.
    hooks: Mapping[str, Hook]
    #: Number of wallet's newest notice before.
    before: int


class Notifier:
    """Makes things happen, and looks at who was told."""

    def __init__(
        self,
        arena: Arena,
        receiver: Receiver,
        *,
        registry: grpc.aio.Channel,
        wallet: grpc.aio.Channel,
        closed_port: int,
    ) -> None:
        """Take channels in the operator's name, and a port on which nobody listens."""
        self._arena = arena
        self._receiver = receiver
        self._closed = f"http://127.0.0.1:{closed_port}"
        self._poolers: registry_pb2_grpc.RegistryServiceAsyncStub = (
            registry_pb2_grpc.RegistryServiceStub(registry)
        )
        self._hooks: notification_pb2_grpc.NotificationServiceAsyncStub = (
            notification_pb2_grpc.NotificationServiceStub(registry)
        )
        self._custody: custody_pb2_grpc.CustodyServiceAsyncStub = (
            custody_pb2_grpc.CustodyServiceStub(wallet)
        )
        #: Pooler of each kind of receiver.
        self._owners: dict[str, str] = {}
        #: Requests that had come to each path when its round was over.
        self._over: dict[str, int] = {}
        self._rounds = 0

    async def prepare(self, *, takers: bool) -> Round:
        """Make a webhook for each kind of receiver, or for those only that take all at last."""
        self._rounds += 1
        (newest,) = await self._arena.records.many("newest_notice")
        hooks = {
            name: await self._hook(name, behaviour)
            for name, behaviour in BEHAVIOURS.items()
            if not takers or (behaviour.stays and behaviour.ends == _TAKEN)
        }
        return Round(hooks=hooks, before=newest["number"])

    async def call(self, this: Round) -> None:
        """Let things happen, and wait until all webhooks are told of them, or given up."""
        for number in range(PAIRS):
            await self._pause()
            await asyncio.sleep(_APART)
            await self._resume()
            await asyncio.sleep(_APART)
            if number == PAIRS // 2 and _DELETED in this.hooks:
                await self._delete(this.hooks[_DELETED])
        await wait_until(
            lambda: self._is_over(this), "not all is sent", seconds=4 * GIVE_UP_SECONDS, poll=_LOOK
        )

    async def findings(self, this: Round) -> Findings:
        """Return what is not as promised."""
        return compare(
            list(this.hooks.values()),
            await self._told(this),
            await self._deliveries(this),
            self._received(this),
        )

    async def finish(self, this: Round) -> None:
        """End the round: nothing is paused, and nothing more is sent to its webhooks."""
        await self._resume()
        for hook in this.hooks.values():
            await self._delete(hook)
        for one in self._received(this):
            self._over[one.path] = self._over.get(one.path, 0) + 1

    def late(self) -> list[str]:
        """Return in words what was sent after the end of its round."""
        came: dict[str, int] = {}
        for one in self._receiver.received():
            came[one.path] = came.get(one.path, 0) + 1
        return [
            f"{path}: {came[path] - count} requests after the webhook was deleted"
            for path, count in self._over.items()
            if came[path] > count
        ]

    async def _hook(self, name: str, behaviour: Behaviour) -> Hook:
        if name not in self._owners:
            request = registry_pb2.RegisterPoolerRequest(
                request_id=name, name=name, public_key=Keypair.random().public_key, max_farmers=1
            )
            made = await _patiently(lambda: self._poolers.RegisterPooler(request, timeout=_TIMEOUT))
            self._owners[name] = made.pooler.pooler_id
        path = f"{behaviour.path}/{self._rounds}-{name.partition(',')[0].replace(' ', '-')}"
        base = self._receiver.url if behaviour.path else self._closed
        asked = notification_pb2.CreateWebhookRequest(
            request_id=path, pooler_id=self._owners[name], url=base + path, kinds=_KINDS
        )
        reply = await _patiently(lambda: self._hooks.CreateWebhook(asked, timeout=_TIMEOUT))
        return Hook(
            id=reply.webhook.webhook_id,
            path=path,
            secret=reply.secret,
            ends=behaviour.ends,
            is_whole=behaviour.stays,
        )

    async def _pause(self) -> None:
        request = custody_pb2.PauseSigningRequest(reach=_EVERYTHING, reason="trial")

        async def recorded() -> bool:
            reply = await _patiently(lambda: self._custody.PauseSigning(request, timeout=_TIMEOUT))
            return reply.is_recorded

        await wait_until(recorded, "the pause is not recorded", seconds=60, poll=_PAUSE)

    async def _resume(self) -> None:
        """End the pause; none in force is one that an earlier attempt has ended."""
        request = custody_pb2.ResumeSigningRequest(reach=_EVERYTHING)
        try:
            await _patiently(lambda: self._custody.ResumeSigning(request, timeout=_TIMEOUT))
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise

    async def _delete(self, hook: Hook) -> None:
        request = notification_pb2.DeleteWebhookRequest(webhook_id=hook.id)
        await _patiently(lambda: self._hooks.DeleteWebhook(request, timeout=_TIMEOUT))

    async def _told(self, this: Round) -> Sequence[str | None]:
        """Return the ids of what was told; None for each notice that was not taken, or is lost."""
        rows = await self._arena.records.many("notices_after", this.before)
        found = [None if row["id"] is None else str(row["id"]) for row in rows]
        return found + [None] * (2 * PAIRS - len(found))

    async def _deliveries(self, this: Round) -> list[Delivery]:
        ids = [hook.id for hook in this.hooks.values()]
        return [
            Delivery(
                hook_id=str(row["webhook_id"]),
                id=str(row["id"]),
                state=row["state"],
                attempts=row["attempts"],
                ended_at=row["ended_at"],
            )
            for row in await self._arena.records.many("deliveries_of", ids)
        ]

    async def _is_over(self, this: Round) -> bool:
        rows = await self._deliveries(this)
        whole = sum(hook.is_whole for hook in this.hooks.values())
        owed = [row for row in rows if self._is_whole(this, row)]
        return len(owed) >= whole * 2 * PAIRS and all(row.state in FINAL for row in rows)

    def _is_whole(self, this: Round, row: Delivery) -> bool:
        return any(hook.is_whole and hook.id == row.hook_id for hook in this.hooks.values())

    def _received(self, this: Round) -> list[Received]:
        paths = {hook.path for hook in this.hooks.values()}
        return [one for one in self._receiver.received() if one.path in paths]


@asynccontextmanager
async def open_notifier(arena: Arena) -> AsyncIterator[Notifier]:
    """Run a receiver of webhooks beside the pool."""
    stack = arena.world.stack
    async with AsyncExitStack() as cleanup:
        receiver = await cleanup.enter_async_context(
            open_receiver(arena.world.config.directory / "receiver")
        )
        registry, wallet = [
            await cleanup.enter_async_context(
                open_channel(stack.target(name), stack.operator(), name=name)
            )
            for name in ("registry", "wallet")
        ]
        # Held, so that nobody else gets it, and not listened on.
        closed = cleanup.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))
        yield Notifier(
            arena,
            receiver,
            registry=registry,
            wallet=wallet,
            closed_port=int(closed.getsockname()[1]),
        )


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call for as long as its process, or the database, is away."""
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() not in _AWAY:
                raise
        await asyncio.sleep(_PAUSE)
