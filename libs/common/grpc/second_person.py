"""Orders that take a second person: a call goes on once another operator has approved it.

A table of the pool says which methods these are; the service that keeps the approvals says whether
one is there. What is approved is one request of one operator, byte by byte.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToJson

from libs.common.grpc.identity import Caller, CallerKind

_DOMAIN = b"kalepool order 1"


@dataclass(frozen=True, kw_only=True)
class Covered:
    """A method that takes a second person."""

    #: What one operator could do alone otherwise.
    moves: str
    #: Fields that make it such an order: without one of them it is none. Empty: it always is.
    fields: frozenset[str] = frozenset()
    #: Fields that make it none while one of them is true.
    unless: frozenset[str] = frozenset()
    #: Whether the same request, sent again, does nothing new once it is recorded: then a repeat
    #: needs no approval.
    is_repeatable: bool = False
    #: Of a repeatable one: the fields that name what it has recorded.
    named_by: tuple[str, ...] = ()
    #: Fields that such an order has to set, so that who agrees sees all that it moves.
    needs: tuple[str, ...] = ()
    #: Field with the most that it moves: up to the service's own amount it is no such order. One
    #: that is not set names no limit.
    above: str = ""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One request of one operator."""

    #: The method: /kalepool.wallet.v1.WithdrawalService/Withdraw.
    method: str
    #: SHA-256 over the method and the request's bytes.
    digest: bytes
    #: The request for people, as protobuf's JSON on one line.
    request: str
    #: Who has sent it.
    asked_by: str
    #: The same for records, with who has brought the request where that was another; empty: nobody.
    actor: str = ""
    #: Whether the same request, sent again, does nothing new once it is recorded.
    is_repeatable: bool
    #: Of a repeatable one: what names what it has recorded.
    named: tuple[str, ...] = ()
    #: Fields that it has to set and does not.
    missing: tuple[str, ...] = ()

    @property
    def recorded(self) -> str:
        """Return who has sent it, for records."""
        return self.actor or self.asked_by


#: Returns when an order may be carried out now, and uses its approval up; raises PoolError else.
Use = Callable[[Order], Awaitable[None]]


class SecondPerson:
    """The check of calls against the table."""

    def __init__(self, covered: Mapping[str, Covered], use: Use, *, amount: int = 0) -> None:
        """Take the table by full method name, and what uses approvals.

        Orders that say how much they move take a second person above an `amount`.
        """
        self._covered = covered
        self._use = use
        self._amount = amount

    async def check(self, method: str, caller: Caller, request: Any) -> None:
        """Return when the call may go on; raise PoolError while it may not."""
        order = self.order(method, caller, request)
        if order is not None:
            await self._use(order)

    def order(self, method: str, caller: Caller, request: Any) -> Order | None:
        """Return the order that takes a second person; None for any other call.

        Only operators' calls do: what poolers may do with what is theirs is their own matter, and
        services do what they were told.
        """
        entry = self._covered.get(method)
        if entry is None or caller.kind is not CallerKind.OPERATOR:
            return None
        if entry.fields and not any(request.HasField(name) for name in entry.fields):
            return None
        if any(getattr(request, name) for name in entry.unless):
            return None
        if entry.above and 0 < getattr(request, entry.above) <= self._amount:
            return None
        return Order(
            method=method,
            digest=_digest(method, request.SerializeToString(deterministic=True)),
            # In ASCII: no character of it may hide what stands beside it from who approves.
            request=MessageToJson(request, indent=None, ensure_ascii=True),
            asked_by=caller.identity,
            actor=caller.actor,
            is_repeatable=entry.is_repeatable,
            named=tuple(getattr(request, name) for name in entry.named_by),
            missing=tuple(name for name in entry.needs if not getattr(request, name)),
        )


def _digest(method: str, request: bytes) -> bytes:
    """Return the hash; the length of each part precedes it, so that none runs into another."""
    parts = (_DOMAIN, method.encode(), request)
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
