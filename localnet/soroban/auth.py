"""Authorisation: recorded trees of a simulation, or given trees enforced with their signatures."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Protocol

from stellar_sdk import Address, scval, xdr

from localnet.soroban.cost import CHECKED, RECORDED
from localnet.soroban.errors import host_error
from localnet.soroban.model import LedgerInfo
from localnet.soroban.signatures import is_signed
from localnet.soroban.storage import Storage, account_key, data_key
from localnet.soroban.values import VOID, is_account


class Authorized(Protocol):
    """An action that an address must have allowed."""

    @property
    def depth(self) -> int:
        """Number of calls below the action in the stack."""
        ...

    def invocation(self) -> xdr.SorobanAuthorizedInvocation:
        """Return the action as a node of an authorisation tree."""
        ...


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One running call."""

    #: Contract id (strkey).
    contract: str
    #: Name of the function.
    function: str
    #: Arguments of the call.
    arguments: tuple[xdr.SCVal, ...]
    #: Number of calls below this call in the stack.
    depth: int

    def invocation(self) -> xdr.SorobanAuthorizedInvocation:
        """Return this call as a node of an authorisation tree."""
        call = xdr.InvokeContractArgs(
            contract_address=Address(self.contract).to_xdr_sc_address(),
            function_name=xdr.SCSymbol(self.function.encode()),
            args=list(self.arguments),
        )
        kind = xdr.SorobanAuthorizedFunctionType.SOROBAN_AUTHORIZED_FUNCTION_TYPE_CONTRACT_FN
        return xdr.SorobanAuthorizedInvocation(
            function=xdr.SorobanAuthorizedFunction(kind, contract_fn=call), sub_invocations=[]
        )


@dataclass(kw_only=True)
class _Tracker:
    """One authorisation entry and its use by the running calls."""

    address: str
    entry: xdr.SorobanAuthorizationEntry
    #: The nodes of running calls as (depth, node), outermost first.
    active: list[tuple[int, xdr.SorobanAuthorizedInvocation]] = field(default_factory=list)
    #: Ids of the nodes that a call has already used, the root first.
    used: set[int] = field(default_factory=set)

    @property
    def started(self) -> bool:
        """True when the root of the tree is used, and its signature is therefore checked."""
        return bool(self.used)

    def use(self, node: xdr.SorobanAuthorizedInvocation, depth: int) -> None:
        """Note that the node allows the call at this depth."""
        self.used.add(id(node))
        self.active.append((depth, node))

    def give_back(self, node: xdr.SorobanAuthorizedInvocation) -> None:
        """Make the node usable again after its call failed."""
        self.used.discard(id(node))

    def leave(self, depth: int) -> None:
        """Note that the call at this depth has ended."""
        self.active = [item for item in self.active if item[0] < depth]


class _Journal:
    """The steps that must be undone when the call that made them fails."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def note(self, step: Callable[[], object]) -> None:
        """Note `step`, which undoes the action that was just done."""
        self._steps.append(step)

    def snapshot(self) -> Callable[[], None]:
        """Return a function that undoes everything done from now on, the last action first."""
        kept = len(self._steps)

        def undo() -> None:
            while len(self._steps) > kept:
                self._steps.pop()()

        return undo


class RecordingAuth(_Journal):
    """Authorisation that grants everything and records the trees."""

    def __init__(self, storage: Storage, source: str, *, allow_nonroot: bool) -> None:
        super().__init__()
        self._storage = storage
        self._source = source
        self._allow_nonroot = allow_nonroot
        self._trackers: list[_Tracker] = []

    def require(self, address: str, frame: Authorized) -> int:
        """Add the running call to the address's tree; return the instructions that this took."""
        node = frame.invocation()
        for tracker in self._trackers:
            if tracker.address == address and tracker.active:
                calls = tracker.active[-1][1].sub_invocations
                calls.append(node)
                self.note(calls.pop)
                tracker.active.append((frame.depth, node))
                return 0 if address == self._source else RECORDED.nested
        if frame.depth > 0 and not self._allow_nonroot:
            raise host_error("AUTH", "INVALID_ACTION")
        return self._add_tree(address, node, frame.depth)

    def leave(self, depth: int) -> None:
        """Note that the call at this depth has ended."""
        for tracker in self._trackers:
            tracker.leave(depth)

    def entries(self) -> tuple[xdr.SorobanAuthorizationEntry, ...]:
        """Return one entry per tree."""
        return tuple(tracker.entry for tracker in self._trackers)

    def _add_tree(self, address: str, node: xdr.SorobanAuthorizedInvocation, depth: int) -> int:
        price = 0 if address == self._source else self._price(address)
        entry = xdr.SorobanAuthorizationEntry(
            credentials=self._credentials(address), root_invocation=node
        )
        self._trackers.append(_Tracker(address=address, entry=entry, active=[(depth, node)]))
        self.note(self._trackers.pop)
        return price

    def _price(self, address: str) -> int:
        exists = is_account(address) and self._storage.get(account_key(address)) is not None
        first = RECORDED.tree if exists else RECORDED.bare
        return first + RECORDED.earlier * len(self._trackers)

    def _credentials(self, address: str) -> xdr.SorobanCredentials:
        if address == self._source:
            return xdr.SorobanCredentials(
                xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT
            )
        nonce = secrets.randbits(63)
        _spend_nonce(self._storage, address, nonce, until=None)
        return xdr.SorobanCredentials(
            xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_ADDRESS,
            address=xdr.SorobanAddressCredentials(
                address=Address(address).to_xdr_sc_address(),
                nonce=xdr.Int64(nonce),
                signature_expiration_ledger=xdr.Uint32(0),
                signature=VOID,
            ),
        )


class EnforcingAuth(_Journal):
    """Authorisation that grants the actions that signed entries allow.

    An entry needs the right tree, an unused nonce and a signature that has not expired.
    """

    def __init__(
        self,
        storage: Storage,
        source: str,
        ledger: LedgerInfo,
        entries: Sequence[xdr.SorobanAuthorizationEntry],
    ) -> None:
        super().__init__()
        self._storage = storage
        self._ledger = ledger
        self._entries = tuple(entries)
        self._trackers = [
            _Tracker(address=_address_of(entry, source), entry=entry) for entry in entries
        ]

    def require(self, address: str, frame: Authorized) -> int:
        """Check that an entry of the address covers the running call; return the instructions used.

        Raises HostError(Auth, InvalidAction) otherwise.
        """
        wanted = _comparable(frame.invocation().function)
        for earlier, tracker in enumerate(self._trackers):
            fresh = not tracker.started
            if tracker.address == address and self._covers(tracker, wanted, frame.depth):
                if tracker.entry.credentials.address is None:
                    return 0
                return CHECKED.tree + CHECKED.earlier * earlier if fresh else CHECKED.nested
        raise host_error(
            "AUTH",
            "INVALID_ACTION",
            scval.to_string("Unauthorized function call for address"),
            scval.to_address(address),
            function="require_auth",
        )

    def leave(self, depth: int) -> None:
        """Note that the call at this depth has ended."""
        for tracker in self._trackers:
            tracker.leave(depth)

    def entries(self) -> tuple[xdr.SorobanAuthorizationEntry, ...]:
        """Return the entries that were given."""
        return self._entries

    def _covers(self, tracker: _Tracker, wanted: bytes, depth: int) -> bool:
        if tracker.active:
            candidates = tracker.active[-1][1].sub_invocations
        elif not tracker.started:
            candidates = [tracker.entry.root_invocation]
        else:
            return False
        for node in candidates:
            if id(node) not in tracker.used and _comparable(node.function) == wanted:
                if not tracker.started:
                    self._authenticate(tracker)
                tracker.use(node, depth)
                self.note(partial(tracker.give_back, node))
                return True
        return False

    def _authenticate(self, tracker: _Tracker) -> None:
        credentials = tracker.entry.credentials.address
        if credentials is None:
            return  # the source account has signed the transaction itself
        if not self._is_signed(tracker, credentials.signature):
            raise host_error(
                "AUTH",
                "INVALID_ACTION",
                scval.to_string("failed account authentication with error"),
                scval.to_address(tracker.address),
                function="require_auth",
            )
        until = credentials.signature_expiration_ledger.uint32
        if not self._ledger.sequence <= until <= self._storage.longest_life():
            raise host_error("AUTH", "INVALID_INPUT")
        _spend_nonce(self._storage, tracker.address, credentials.nonce.int64, until=until)

    def _is_signed(self, tracker: _Tracker, signature: xdr.SCVal) -> bool:
        """Tell whether the entry is signed by its account.

        Contracts sign by code of their own, and no contract of localnet has such code.
        """
        if not is_account(tracker.address):
            return False
        found = self._storage.get(account_key(tracker.address))
        account = found.entry.data.account if found is not None else None
        payload = _payload(tracker.entry, self._ledger.network_id)
        return account is not None and is_signed(account, payload, signature)


def _comparable(function: xdr.SorobanAuthorizedFunction) -> bytes:
    """Return the bytes by which two nodes are compared.

    A creation of version 1 counts as a creation without constructor arguments.
    """
    first = function.create_contract_host_fn
    if first is None:
        return function.to_xdr_bytes()
    types = xdr.SorobanAuthorizedFunctionType
    return xdr.SorobanAuthorizedFunction(
        types.SOROBAN_AUTHORIZED_FUNCTION_TYPE_CREATE_CONTRACT_V2_HOST_FN,
        create_contract_v2_host_fn=xdr.CreateContractArgsV2(
            first.contract_id_preimage, first.executable, []
        ),
    ).to_xdr_bytes()


def _address_of(entry: xdr.SorobanAuthorizationEntry, source: str) -> str:
    credentials = entry.credentials.address
    if credentials is None:
        return source
    return Address.from_xdr_sc_address(credentials.address).address


def _payload(entry: xdr.SorobanAuthorizationEntry, network_id: bytes) -> bytes:
    credentials = entry.credentials.address
    assert credentials is not None  # noqa: S101  (only address credentials are signed)
    preimage = xdr.HashIDPreimage(
        xdr.EnvelopeType.ENVELOPE_TYPE_SOROBAN_AUTHORIZATION,
        soroban_authorization=xdr.HashIDPreimageSorobanAuthorization(
            network_id=xdr.Hash(network_id),
            nonce=credentials.nonce,
            signature_expiration_ledger=credentials.signature_expiration_ledger,
            invocation=entry.root_invocation,
        ),
    )
    return sha256(preimage.to_xdr_bytes()).digest()


def _spend_nonce(storage: Storage, address: str, nonce: int, *, until: int | None) -> None:
    """Store the nonce as an entry that lives until the signature expires.

    Raises HostError(Auth, ExistingValue) when the entry exists already.
    """
    value = xdr.SCVal(
        xdr.SCValType.SCV_LEDGER_KEY_NONCE, nonce_key=xdr.SCNonceKey(nonce=xdr.Int64(nonce))
    )
    key = data_key(address, value, "temporary")
    if storage.get(key) is not None:
        raise host_error("AUTH", "EXISTING_VALUE")
    data = xdr.LedgerEntryData(
        xdr.LedgerEntryType.CONTRACT_DATA,
        contract_data=xdr.ContractDataEntry(
            ext=xdr.ExtensionPoint(0),
            contract=Address(address).to_xdr_sc_address(),
            key=value,
            durability=xdr.ContractDataDurability.TEMPORARY,
            val=VOID,
        ),
    )
    # A simulation does not know the expiration yet and assumes the longest lifetime.
    storage.put(key, data, until if until is not None else storage.longest_life())
