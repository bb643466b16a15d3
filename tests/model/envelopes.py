"""The content of envelopes as the model's network reads it: payments, and calls of the farm."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stellar_sdk import (
    Asset,
    BumpSequence,
    FeeBumpTransactionEnvelope,
    InvokeHostFunction,
    Payment,
    StrKey,
    TransactionEnvelope,
    scval,
    xdr,
)

from libs.kale.hash import leading_zeros
from tests.model.farm import FARM, NETWORK, Call, Place, keys_of

#: Raw id of the multicall contract.
MULTICALL = b"multicall of the model".ljust(32, b"\0")
_STROOPS = 10**7


@dataclass(frozen=True, kw_only=True)
class Paid:
    """One payment: source, destination, and stroops of KALE."""

    source: str
    destination: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class Consent:
    """A farmer's authorisation of its call, for another account as source."""

    nonce: int
    #: Last ledger in which it is valid.
    expiration: int


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """The content of a signed envelope."""

    #: The envelope as sent (base64).
    xdr: str
    #: Hash of the envelope; for a fee bump the outer hash.
    hash: str
    #: Hash of the inner transaction.
    lookup: str
    source: str
    sequence: int
    max_time: int
    bid: int
    #: Payments of the envelope.
    payments: tuple[Paid, ...]
    #: Number to which the last operation bumps the source's sequence number.
    bump_to: int | None
    #: Calls of the farm.
    calls: tuple[Call, ...] = ()
    #: Whether the calls go through the multicall.
    is_pack: bool = False
    #: Authorisations by farmer.
    consents: Mapping[str, Consent] = field(default_factory=dict)
    #: LedgerKeys that the transaction may write.
    footprint: frozenset[bytes] = frozenset()

    @property
    def farmers(self) -> list[str]:
        """Return the farmers whose calls the envelope carries, in order."""
        return [call.farmer for call in self.calls]

    def names(self, place: Place) -> bool:
        """Tell whether the envelope names the entries that a call at this place needs."""
        return keys_of(place) <= self.footprint


def read_envelope(text: str) -> Envelope:
    """Return the content of an envelope (base64)."""
    passphrase = NETWORK.passphrase
    outer: FeeBumpTransactionEnvelope | TransactionEnvelope
    if FeeBumpTransactionEnvelope.is_fee_bump_transaction_envelope(text):
        outer = FeeBumpTransactionEnvelope.from_xdr(text, passphrase)
        inner, bid = outer.transaction.inner_transaction_envelope, outer.transaction.fee
    else:
        inner = outer = TransactionEnvelope.from_xdr(text, passphrase)
        bid = inner.transaction.fee
    body = inner.transaction
    bounds = body.preconditions.time_bounds if body.preconditions else None
    first, last = body.operations[0], body.operations[-1]
    calls, is_pack = _calls(first) if isinstance(first, InvokeHostFunction) else ((), False)
    return Envelope(
        xdr=text,
        hash=outer.hash_hex(),
        lookup=inner.hash_hex(),
        source=body.source.account_id,
        sequence=body.sequence,
        max_time=bounds.max_time if bounds else 0,
        bid=bid,
        payments=tuple(_paid(one) for one in body.operations if isinstance(one, Payment)),
        bump_to=last.bump_to if isinstance(last, BumpSequence) else None,
        calls=calls,
        is_pack=is_pack,
        consents=_consents(first.auth) if isinstance(first, InvokeHostFunction) else {},
        footprint=_footprint(body.soroban_data),
    )


def _paid(operation: Payment) -> Paid:
    assert operation.asset == Asset(NETWORK.asset.code, NETWORK.asset.issuer)
    assert operation.source is not None
    return Paid(
        source=operation.source.account_id,
        destination=operation.destination.account_id,
        amount=round(float(operation.amount) * _STROOPS),
    )


def _calls(operation: InvokeHostFunction) -> tuple[tuple[Call, ...], bool]:
    """Return the calls of the farm, and whether they go through the multicall."""
    arguments = operation.host_function.invoke_contract
    assert arguments is not None
    assert arguments.contract_address.contract_id is not None
    contract = arguments.contract_address.contract_id.contract_id.hash
    if contract == FARM.contract:
        return (_call(arguments.function_name.sc_symbol, arguments.args),), False
    assert (contract, arguments.function_name.sc_symbol) == (MULTICALL, b"exec")
    (carried,) = arguments.args
    return tuple(_carried(item) for item in _items(carried)), True


def _carried(item: xdr.SCVal) -> Call:
    contract, function, arguments = _items(item)
    assert scval.from_address(contract).address == NETWORK.farm
    return _call(scval.from_symbol(function).encode(), _items(arguments))


def _call(function: bytes, arguments: list[xdr.SCVal]) -> Call:
    name, farmer = function.decode(), scval.from_address(arguments[0]).address
    match name:
        case "plant":
            number = scval.from_int128(arguments[1])
        case "work":
            number = leading_zeros(scval.from_bytes(arguments[1]))
        case _:
            number = scval.from_uint32(arguments[1])
    return Call(function=name, farmer=farmer, number=number)


def _items(value: xdr.SCVal) -> list[xdr.SCVal]:
    assert value.vec is not None
    return list(value.vec.sc_vec)


def _consents(entries: list[xdr.SorobanAuthorizationEntry]) -> dict[str, Consent]:
    """Return the authorisations of farmers who are not the source."""
    found: dict[str, Consent] = {}
    for entry in entries:
        by = entry.credentials.address
        if by is not None:
            account = by.address.account_id
            assert account is not None
            assert account.account_id.ed25519 is not None
            farmer = StrKey.encode_ed25519_public_key(account.account_id.ed25519.uint256)
            found[farmer] = Consent(
                nonce=by.nonce.int64, expiration=by.signature_expiration_ledger.uint32
            )
    return found


def _footprint(data: xdr.SorobanTransactionData | None) -> frozenset[bytes]:
    if data is None:
        return frozenset()
    return frozenset(key.to_xdr_bytes() for key in data.resources.footprint.read_write)
