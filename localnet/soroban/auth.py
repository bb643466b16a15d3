"""Authorisation: trees recorded while simulating, or given ones enforced with their signatures."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from stellar_sdk import Address, StrKey, xdr

from localnet.soroban.errors import host_error
from localnet.soroban.model import LedgerInfo
from localnet.soroban.storage import Storage, account_key, data_key
from localnet.soroban.values import VOID, fields_of, is_account


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One running call."""

    #: Contract id (strkey).
    contract: str
    #: Function.
    function: str
    #: Arguments.
    arguments: tuple[xdr.SCVal, ...]
    #: Calls below it.
    depth: int

    def invocation(self) -> xdr.SorobanAuthorizedInvocation:
        """This call as a node of an authorisation tree."""
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
    """One authorisation entry while calls run."""

    address: str
    entry: xdr.SorobanAuthorizationEntry
    #: The nodes of running calls, outermost first: (depth, node).
    active: list[tuple[int, xdr.SorobanAuthorizedInvocation]] = field(default_factory=list)
    started: bool = False
    #: Nodes that a call has used already.
    used: set[int] = field(default_factory=set)


class RecordingAuth:
    """Grants everything and writes down the trees."""

    def __init__(self, storage: Storage, source: str, *, allow_nonroot: bool) -> None:
        self._storage = storage
        self._source = source
        self._allow_nonroot = allow_nonroot
        self._trackers: list[_Tracker] = []

    def require(self, address: str, frame: Frame) -> bool:
        """Adds the running call to the address's tree; True when a new tree wants a signature."""
        node = frame.invocation()
        for tracker in self._trackers:
            if tracker.address == address and tracker.active:
                tracker.active[-1][1].sub_invocations.append(node)
                tracker.active.append((frame.depth, node))
                return False
        if frame.depth > 0 and not self._allow_nonroot:
            raise host_error("AUTH", "INVALID_ACTION")
        entry = xdr.SorobanAuthorizationEntry(
            credentials=self._credentials(address), root_invocation=node
        )
        tracker = _Tracker(address=address, entry=entry, active=[(frame.depth, node)])
        self._trackers.append(tracker)
        return address != self._source

    def leave(self, depth: int) -> None:
        """A call at this depth has ended."""
        for tracker in self._trackers:
            tracker.active = [item for item in tracker.active if item[0] < depth]

    def entries(self) -> tuple[xdr.SorobanAuthorizationEntry, ...]:
        """One entry per tree."""
        return tuple(tracker.entry for tracker in self._trackers)

    def _credentials(self, address: str) -> xdr.SorobanCredentials:
        if address == self._source:
            return xdr.SorobanCredentials(
                xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT
            )
        nonce = secrets.randbits(63)
        if is_account(address):
            self._storage.get(account_key(address))
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


class EnforcingAuth:
    """Grants what signed entries allow: the right tree, an unused nonce, a signature in time."""

    def __init__(
        self,
        storage: Storage,
        source: str,
        ledger: LedgerInfo,
        entries: Sequence[xdr.SorobanAuthorizationEntry],
    ) -> None:
        self._storage = storage
        self._ledger = ledger
        self._entries = tuple(entries)
        self._trackers = [
            _Tracker(address=_address_of(entry, source), entry=entry) for entry in entries
        ]

    def require(self, address: str, frame: Frame) -> bool:
        """HostError(Auth, InvalidAction) unless an entry of the address covers the running call.

        True when that took a signature.
        """
        wanted = frame.invocation().function.to_xdr_bytes()
        for tracker in self._trackers:
            fresh = not tracker.started
            if tracker.address == address and self._covers(tracker, wanted, frame.depth):
                return fresh and tracker.entry.credentials.address is not None
        raise host_error("AUTH", "INVALID_ACTION")

    def leave(self, depth: int) -> None:
        """A call at this depth has ended."""
        for tracker in self._trackers:
            tracker.active = [item for item in tracker.active if item[0] < depth]

    def entries(self) -> tuple[xdr.SorobanAuthorizationEntry, ...]:
        """The entries that were given."""
        return self._entries

    def _covers(self, tracker: _Tracker, wanted: bytes, depth: int) -> bool:
        if tracker.active:
            candidates = tracker.active[-1][1].sub_invocations
        elif not tracker.started:
            candidates = [tracker.entry.root_invocation]
        else:
            return False
        for node in candidates:
            if id(node) not in tracker.used and node.function.to_xdr_bytes() == wanted:
                if not tracker.started:
                    self._authenticate(tracker)
                tracker.started = True
                tracker.used.add(id(node))
                tracker.active.append((depth, node))
                return True
        return False

    def _authenticate(self, tracker: _Tracker) -> None:
        credentials = tracker.entry.credentials.address
        if credentials is None:
            return  # the source account has signed the transaction itself
        expiration = credentials.signature_expiration_ledger.uint32
        if expiration < self._ledger.sequence or not is_account(tracker.address):
            raise host_error("AUTH", "INVALID_INPUT")
        if not self._is_signed(tracker.entry, tracker.address, credentials.signature):
            raise host_error("AUTH", "INVALID_ACTION")
        _spend_nonce(self._storage, tracker.address, credentials.nonce.int64, until=expiration)

    def _is_signed(
        self, entry: xdr.SorobanAuthorizationEntry, address: str, signature: xdr.SCVal
    ) -> bool:
        """By the account's master key; more signers are not modelled."""
        if self._storage.get(account_key(address)) is None or signature.vec is None:
            return False
        payload = _payload(entry, self._ledger.network_id)
        raw = StrKey.decode_ed25519_public_key(address)
        for item in signature.vec.sc_vec:
            fields = fields_of(item)
            key, signed = fields["public_key"].bytes, fields["signature"].bytes
            if key is None or signed is None or key.sc_bytes != raw:
                continue
            try:
                VerifyKey(raw).verify(payload, signed.sc_bytes)
            except BadSignatureError:
                return False
            return True
        return False


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
    """A nonce is an entry that lives until its signature expires; it must not be there yet."""
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
    # A simulation does not know the expiration yet and reckons with the longest life.
    storage.put(key, data, until if until is not None else storage.longest_life())
