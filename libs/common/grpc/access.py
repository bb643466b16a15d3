"""Access rules: who may call which method for which pooler's data.

A method is closed unless an entry opens it.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Any

from libs.common.errors import PermissionDeniedError
from libs.common.grpc.identity import Caller, CallerKind, Grant
from libs.common.grpc.standing import Allows, Limits, Standings, check_standings
from libs.common.grpc.tokens import TokenMissingError


@unique
class Owned(Enum):
    """The kinds of things that belong to a caller and that a request names by id."""

    #: The pooler itself.
    POOLER = "pooler"
    #: One of its farmers.
    FARMER = "farmer"
    #: A farmer's wallet.
    WALLET = "wallet"
    #: An operation of a farmer.
    OPERATION = "operation"
    #: A withdrawal of a farmer.
    WITHDRAWAL = "withdrawal"
    #: A token that speaks for the pooler.
    TOKEN = "token"  # noqa: S105  (a kind of thing, no secret)
    #: A webhook that is told of what concerns the pooler.
    WEBHOOK = "webhook"
    #: An owner account itself, by its address.
    ACCOUNT = "account"


#: The poolers, or the owner accounts, that ids belong to; "" for one that there is not.
Owners = Callable[[Sequence[str]], Awaitable[Collection[str]]]


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may call one method."""

    #: Our services that may call it, by their short names.
    services: frozenset[str] = frozenset()
    #: Whether operators may call it.
    operators: bool = False
    #: Whether poolers may call it.
    poolers: bool = False
    #: Whether owner accounts may call it; they come by a token alone.
    owners: bool = False
    #: Whether somebody without certificate and token may call it, where no certificates are asked
    #: for.
    strangers: bool = False
    #: Whether those who may call it may do so by an access token.
    by_token: bool = False
    #: Whether a token that is read-only is enough.
    reads: bool = False
    #: For poolers: fields of the request that say whose it is. One of them must be set, and all
    #: that are must be the pooler's own. Empty: the method shows nothing of a single pooler.
    owned: Mapping[str, Owned] = field(default_factory=dict)
    #: The same for owner accounts. Other fields of such a request only narrow what is shown.
    owners_own: Mapping[str, Owned] = field(default_factory=dict)
    #: What the standings of poolers and farmers allow of the method.
    limits: Limits = field(default_factory=dict)
    #: Fields of the request that operators alone may set: a pooler does not set its own limits.
    operator_fields: frozenset[str] = frozenset()

    def fields_of(self, kind: CallerKind) -> Mapping[str, Owned]:
        """Return the fields by which a caller of a kind names its own; none for operators."""
        match kind:
            case CallerKind.POOLER:
                return self.owned
            case CallerKind.OWNER:
                return self.owners_own
            case _:
                return {}

    def admits(self, caller: Caller) -> bool:
        """Tell whether this caller may call the method at all."""
        match caller.kind:
            case CallerKind.SERVICE:
                return caller.name in self.services
            case CallerKind.OPERATOR:
                return self.operators
            case CallerKind.POOLER:
                return self.poolers
            case CallerKind.OWNER:
                return self.owners
            case CallerKind.STRANGER:
                return self.strangers
            case CallerKind.UNKNOWN:  # plaintext: there is nobody to tell apart
                return True


class AccessControl:
    """The check of calls against the access entries."""

    def __init__(
        self,
        entries: Mapping[str, Access],
        owners: Mapping[Owned, Owners],
        standings: Mapping[Owned, Standings] | None = None,
        accounts: Mapping[Owned, Owners] | None = None,
    ) -> None:
        """Take `entries` by full method name, and what tells poolers, and owner accounts, of ids.

        Raise ValueError when `owners` or `accounts` lack a kind that an entry names, or `standings`
        one that an entry limits.
        """
        self._entries = entries
        self._standings = standings or {}
        self._owners = {
            CallerKind.POOLER: {Owned.POOLER: _themselves, **owners},
            CallerKind.OWNER: {Owned.ACCOUNT: _themselves, **(accounts or {})},
        }
        for method, entry in entries.items():
            self._check_entry(method, entry)

    def _check_entry(self, method: str, entry: Access) -> None:
        for kind, owners in self._owners.items():
            named = set(entry.fields_of(kind).values())
            if named - set(owners):
                raise ValueError(f"nobody tells whose {named - set(owners)} of {method} is")
            unknown = named - set(self._standings)
            if _has_limits(entry) and unknown:
                raise ValueError(f"nobody tells the standing of {unknown} of {method}")

    def check_caller(self, method: str, caller: Caller) -> None:
        """Raise PermissionDeniedError unless this caller may call the method at all.

        Raise TokenMissingError for a caller that has shown nothing.
        """
        entry = self._entries.get(method)
        if entry is None or not entry.admits(caller):
            if entry is not None and caller.kind is CallerKind.STRANGER:
                raise TokenMissingError("send an access token as authorization: Bearer ...")
            raise PermissionDeniedError(
                f"{method} is not for {caller.kind.value} {caller.name}",
                reason="ACCESS_DENIED",
                metadata={"caller": caller.identity, "method": method},
            )
        if caller.grant is not None:
            _check_grant(method, entry, caller.grant)

    def asks_owner(self, method: str, caller: Caller) -> bool:
        """Tell whether `check_owner` has anything to check."""
        return bool(self._entries[method].fields_of(caller.kind))

    def _check_fields(self, entry: Access, request: Any) -> None:
        named = sorted(name for name in entry.operator_fields if request.HasField(name))
        if named:
            raise PermissionDeniedError(
                f"{', '.join(named)}: for operators alone",
                reason="OPERATORS_ONLY",
                metadata={"fields": ",".join(named)},
            )

    async def check_owner(self, method: str, caller: Caller, request: Any) -> None:
        """Raise PermissionDeniedError when a pooler or an owner asks for what is not its own.

        The error is the same for a thing that does not exist and for a thing of somebody else.
        Raise it as well for a field that operators alone may set, and FailedPreconditionError when
        the standing of what is named leaves the method to operators.
        """
        if not self.asks_owner(method, caller):
            return
        entry = self._entries[method]
        owned, kind = entry.fields_of(caller.kind), caller.kind.value
        named = {field: ids for field in owned if (ids := _ids(getattr(request, field)))}
        if not named:
            raise PermissionDeniedError(
                f"the {kind} has to name its own: set {' or '.join(owned)}",
                reason="NOT_YOURS",
                metadata={"fields": ",".join(owned)},
            )
        for name, ids in named.items():
            if set(await self._owners[caller.kind][owned[name]](ids)) != {caller.name}:
                raise PermissionDeniedError(
                    f"{name} names what is not of {kind} {caller.name}",
                    reason="NOT_YOURS",
                    metadata={"fields": name},
                )
        self._check_fields(entry, request)
        if _has_limits(entry):
            for name, ids in named.items():
                check_standings(entry.limits, await self._standings[owned[name]](ids))


def _check_grant(method: str, entry: Access, grant: Grant) -> None:
    """Raise PermissionDeniedError unless a token lets its bearer call a method."""
    if not entry.by_token:
        reason, told = "TOKEN_NOT_ENOUGH", f"{method} takes a certificate: no token is enough"
    elif grant.is_read_only and not entry.reads:
        reason, told = "TOKEN_READ_ONLY", f"{method} does more than read: the token is read-only"
    elif grant.methods is not None and method not in grant.methods:
        reason, told = "TOKEN_SCOPE", f"{method} is none of the methods that the token is for"
    else:
        return
    raise PermissionDeniedError(told, reason=reason, metadata={"method": method})


def _has_limits(entry: Access) -> bool:
    """Tell whether a standing may leave a method to operators."""
    return Allows.OPERATORS in entry.limits.values()


async def _themselves(ids: Sequence[str]) -> Collection[str]:
    return ids


def _ids(value: Any) -> list[str]:
    """Return the ids in a field; none when the field is not set."""
    if isinstance(value, str):
        return [value] if value else []
    return [str(item) for item in value]
