"""Calls of services that pages make: by the RPC's name, with an end to a person's patience."""

import asyncio
from collections.abc import Mapping
from typing import TypeVar

from google.protobuf.message import Message

from gateway.backends import Backends, Caller
from gateway.bindings import Method
from libs.common.errors import DeadlineExceededError

M = TypeVar("M", bound=Message)
#: Seconds in which a service has to answer what is read: a person waits.
PATIENCE = 5.0


class Calls:
    """The RPCs that are served by HTTP."""

    def __init__(self, backends: Backends, methods: Mapping[str, Method]) -> None:
        """Take them by their full names."""
        self._backends = backends
        self._methods = methods

    async def call(
        self,
        caller: Caller,
        name: str,
        request: Message,
        answer: type[M],
        *,
        patience: float = PATIENCE,
    ) -> M:
        """Call an RPC, without `kalepool.` before its name; raise the PoolError that it raised."""
        method = self._methods[f"kalepool.{name}"]
        try:
            async with asyncio.timeout(patience):
                found = await self._backends.call(method, request, caller)
        except TimeoutError:
            raise DeadlineExceededError(
                f"{method.served_by} did not answer in {patience:g} s", retry_after=1.0
            ) from None
        if not isinstance(found, answer):
            raise TypeError(type(found))
        return found
