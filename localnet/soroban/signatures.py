"""Signatures of an account under an authorisation entry, checked as by its built-in contract."""

from collections.abc import Iterator

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from stellar_sdk import xdr

from localnet.soroban.values import fields_of

#: Maximum number of signatures of one entry.
_MOST = 20
#: Indexes into an account's thresholds: the master key's weight and the threshold of contract
#: calls.
_MASTER, _MEDIUM = 0, 2
_ED25519 = xdr.SignerKeyType.SIGNER_KEY_TYPE_ED25519


def is_signed(account: xdr.AccountEntry, payload: bytes, signature: xdr.SCVal) -> bool:
    """Tell whether all signatures are valid, in order of keys, and reach the threshold.

    Every signature must be by a signer. A signature that does not count makes the others invalid
    too, as on the real network.
    """
    try:
        signatures = list(_signatures(signature))
    except ValueError:
        return False
    keys = [key for key, _ in signatures]
    if not 0 < len(keys) <= _MOST or keys != sorted(set(keys)):
        return False
    weights = _weights(account)
    if not all(weights.get(key) and _is_good(key, payload, made) for key, made in signatures):
        return False
    return sum(weights[key] for key in keys) >= account.thresholds.thresholds[_MEDIUM]


def _signatures(value: xdr.SCVal) -> Iterator[tuple[bytes, bytes]]:
    """Yield (public key, signature) of each signature.

    Raises ValueError for anything but a vector of such maps.
    """
    for item in value.vec.sc_vec if value.vec is not None else ():
        fields = fields_of(item)
        if fields.keys() != {"public_key", "signature"}:
            raise ValueError("not a signature")
        key, made = fields["public_key"].bytes, fields["signature"].bytes
        if key is None or made is None or len(key.sc_bytes) != 32 or len(made.sc_bytes) != 64:
            raise ValueError("not a signature")
        yield key.sc_bytes, made.sc_bytes


def _weights(account: xdr.AccountEntry) -> dict[bytes, int]:
    master = account.account_id.account_id.ed25519
    weights = {} if master is None else {master.uint256: account.thresholds.thresholds[_MASTER]}
    for signer in account.signers:
        if signer.key.type is _ED25519 and signer.key.ed25519 is not None:
            weights[signer.key.ed25519.uint256] = signer.weight.uint32
    return weights


def _is_good(key: bytes, payload: bytes, made: bytes) -> bool:
    try:
        VerifyKey(key).verify(payload, made)
    except BadSignatureError:
        return False
    return True
