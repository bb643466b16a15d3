"""XDR of contract calls and payments written byte by byte, equal to the SDK's at a fortieth of its
cost.

A thousand envelopes per block are built here. Only the few types that these envelopes need are
written, and none is read. A test compares every one of these types with the SDK's, byte for byte.
Names and numbers of the types are those of Stellar-transaction.x and Stellar-contract.x.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

u32 = struct.Struct(">I").pack
i64 = struct.Struct(">q").pack
u64 = struct.Struct(">Q").pack

_ENVELOPE_TX = u32(2)
_ENVELOPE_FEE_BUMP = u32(5)
_ENVELOPE_AUTHORIZATION = u32(9)
_NOTHING = u32(0)
_ED25519 = u32(0)
#: The Asset of XLM.
NATIVE = u32(0)


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """A call of a contract."""

    #: Raw contract id, 32 bytes.
    contract: bytes
    #: Name of the function.
    function: str
    #: SCVals of the arguments.
    arguments: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Encode InvokeContractArgs."""
        return (
            contract_address(self.contract) + opaque(self.function.encode()) + array(self.arguments)
        )


@dataclass(frozen=True, kw_only=True)
class Resources:
    """SorobanTransactionData: what a call may read, write and use."""

    #: LedgerKeys of the entries that are read.
    read_only: tuple[bytes, ...]
    #: LedgerKeys of the entries that are written.
    read_write: tuple[bytes, ...]
    #: CPU instructions.
    instructions: int
    #: Bytes read from disk.
    disk_read_bytes: int
    #: Bytes written.
    write_bytes: int
    #: Resource fee in stroops at most, refundable part included.
    fee: int

    def encode(self) -> bytes:
        """Encode SorobanTransactionData."""
        return b"".join(
            (
                _NOTHING,
                array(self.read_only),
                array(self.read_write),
                u32(self.instructions),
                u32(self.disk_read_bytes),
                u32(self.write_bytes),
                i64(self.fee),
            )
        )


# Building blocks ------------------------------------------------------------------------------


def opaque(data: bytes) -> bytes:
    """Encode a variable-length opaque, string or symbol: length, data, padding to four bytes."""
    return u32(len(data)) + data + bytes(-len(data) % 4)


def array(items: Sequence[bytes]) -> bytes:
    """Encode a variable-length array."""
    return u32(len(items)) + b"".join(items)


def account_address(key: bytes) -> bytes:
    """Encode the SCAddress of an account's raw key."""
    return u32(0) + _ED25519 + key


def contract_address(contract: bytes) -> bytes:
    """Encode the SCAddress of a raw contract id."""
    return u32(1) + contract


# SCVals ---------------------------------------------------------------------------------------


def sc_u32(value: int) -> bytes:
    """Encode an SCV_U32."""
    return u32(3) + u32(value)


def sc_u64(value: int) -> bytes:
    """Encode an SCV_U64."""
    return u32(5) + u64(value)


def sc_i128(value: int) -> bytes:
    """Encode an SCV_I128."""
    return u32(10) + value.to_bytes(16, "big", signed=True)


def sc_bytes(value: bytes) -> bytes:
    """Encode an SCV_BYTES."""
    return u32(13) + opaque(value)


def sc_symbol(value: str) -> bytes:
    """Encode an SCV_SYMBOL."""
    return u32(15) + opaque(value.encode())


def sc_vec(items: Sequence[bytes]) -> bytes:
    """Encode an SCV_VEC."""
    return u32(16) + u32(1) + array(items)


def sc_map(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Encode an SCV_MAP; the caller gives the pairs in the order of their keys."""
    return u32(17) + u32(1) + array([key + value for key, value in pairs])


def sc_account(key: bytes) -> bytes:
    """Encode the SCV_ADDRESS of an account's raw key."""
    return u32(18) + account_address(key)


def sc_contract(contract: bytes) -> bytes:
    """Encode the SCV_ADDRESS of a raw contract id."""
    return u32(18) + contract_address(contract)


# Ledger keys ----------------------------------------------------------------------------------


def account_key(key: bytes) -> bytes:
    """Encode the LedgerKey of an account."""
    return u32(0) + _ED25519 + key


def trustline_key(key: bytes, asset: bytes) -> bytes:
    """Encode the LedgerKey of an account's trustline; `asset` is the TrustLineAsset."""
    return u32(1) + _ED25519 + key + asset


def temporary_key(contract: bytes, key: bytes) -> bytes:
    """Encode the LedgerKey of temporary contract data; `key` is the SCVal."""
    return u32(6) + contract_address(contract) + key + u32(0)


def nonce_key(key: bytes, nonce: int) -> bytes:
    """Encode the LedgerKey of the nonce that an account's authorisation uses up."""
    return u32(6) + account_address(key) + u32(21) + i64(nonce) + u32(0)


# Authorisations -------------------------------------------------------------------------------


def authorized(invocation: Invocation, *, inside: Sequence[Invocation] = ()) -> bytes:
    """Encode a SorobanAuthorizedInvocation: a call with the calls it makes in the signer's name."""
    parts = [_NOTHING + call.encode() + _NOTHING for call in inside]
    return _NOTHING + invocation.encode() + array(parts)


def authorization_hash(
    network_id: bytes, *, nonce: int, expiration: int, invocation: bytes
) -> bytes:
    """Return the hash that an account signs to authorise an invocation until a ledger.

    It is the hash of a HashIDPreimage.
    """
    preimage = _ENVELOPE_AUTHORIZATION + network_id + i64(nonce) + u32(expiration) + invocation
    return hashlib.sha256(preimage).digest()


def source_authorization(invocation: bytes) -> bytes:
    """Encode the SorobanAuthorizationEntry of the transaction's source.

    The signature of the transaction is also the signature of this entry.
    """
    return u32(0) + invocation


def authorization(
    key: bytes, *, nonce: int, expiration: int, signature: bytes, invocation: bytes
) -> bytes:
    """Encode the SorobanAuthorizationEntry of an account with its signature."""
    signed = sc_map(
        (
            (sc_symbol("public_key"), sc_bytes(key)),
            (sc_symbol("signature"), sc_bytes(signature)),
        )
    )
    credentials = account_address(key) + i64(nonce) + u32(expiration) + sc_vec([signed])
    return u32(1) + credentials + invocation


# Transactions ---------------------------------------------------------------------------------


def transaction(
    *,
    source: bytes,
    sequence: int,
    fee: int,
    max_time: int,
    invocation: Invocation,
    authorizations: Sequence[bytes] = (),
    resources: Resources | None = None,
) -> bytes:
    """Encode a Transaction that makes one call; without resources, for a simulation."""
    return b"".join(
        (
            _head(source=source, sequence=sequence, fee=fee, max_time=max_time),
            u32(1),
            _NOTHING + u32(24) + u32(0),  # one INVOKE_HOST_FUNCTION of INVOKE_CONTRACT
            invocation.encode(),
            array(authorizations),
            _NOTHING if resources is None else u32(1) + resources.encode(),
        )
    )


def plain_transaction(
    *, source: bytes, sequence: int, fee: int, max_time: int, operations: Sequence[bytes]
) -> bytes:
    """Encode a Transaction of operations that call no contract."""
    head = _head(source=source, sequence=sequence, fee=fee, max_time=max_time)
    return head + array(operations) + _NOTHING


def _head(*, source: bytes, sequence: int, fee: int, max_time: int) -> bytes:
    """Encode what stands before a Transaction's operations: it has no memo."""
    preconditions = u32(1) + u64(0) + u64(max_time)  # PRECOND_TIME
    return _ED25519 + source + u32(fee) + i64(sequence) + preconditions + _NOTHING


def payment(*, source: bytes, destination: bytes, asset: bytes, amount: int) -> bytes:
    """Encode the Operation of a payment from another account than the transaction's source.

    `asset` is the encoded Asset, `amount` is in stroops.
    """
    paying = u32(1) + _ED25519 + source
    return paying + u32(1) + _ED25519 + destination + asset + i64(amount)


def bump_sequence(to: int) -> bytes:
    """Encode the Operation that raises the sequence number of the transaction's source."""
    return _NOTHING + u32(11) + i64(to)


def transaction_hash(network_id: bytes, body: bytes) -> bytes:
    """Return the hash that the source signs; it is also the transaction's name."""
    return hashlib.sha256(network_id + _ENVELOPE_TX + body).digest()


def envelope(body: bytes, signatures: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """Encode a TransactionEnvelope; a signature is the signer's raw key and 64 bytes."""
    return _ENVELOPE_TX + body + _signatures(signatures)


def fee_bump(*, payer: bytes, fee: int, inner: bytes) -> bytes:
    """Encode a FeeBumpTransaction around a signed envelope."""
    return _ED25519 + payer + i64(fee) + inner + _NOTHING


def fee_bump_hash(network_id: bytes, body: bytes) -> bytes:
    """Return the hash that the payer signs; it is also the fee bump's name."""
    return hashlib.sha256(network_id + _ENVELOPE_FEE_BUMP + body).digest()


def fee_bump_envelope(body: bytes, signatures: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Encode the TransactionEnvelope of a fee bump."""
    return _ENVELOPE_FEE_BUMP + body + _signatures(signatures)


def _signatures(signatures: Sequence[tuple[bytes, bytes]]) -> bytes:
    # The signature hint is the last four bytes of the key.
    return array([key[-4:] + opaque(signature) for key, signature in signatures])
