"""Proof of work: keccak-256 over 76 bytes, and its leading zeros (contract section 4)."""

import sha3

from libs.kale.constants import MAX_U32, MAX_U64

_KEY_BYTES = 32


def preimage(*, index: int, nonce: int, entropy: bytes, farmer_key: bytes) -> bytes:
    """Return the 76 bytes that are hashed.

    They are index (4), nonce (8), entropy (32) and farmer (32), big-endian. Raise ValueError when
    one of them does not fit.
    """
    if not 0 <= index <= MAX_U32:
        raise ValueError("index must fit into 32 bits")
    if not 0 <= nonce <= MAX_U64:
        raise ValueError("nonce must fit into 64 bits")
    if len(entropy) != _KEY_BYTES or len(farmer_key) != _KEY_BYTES:
        raise ValueError("entropy and farmer key must have 32 bytes")
    return index.to_bytes(4, "big") + nonce.to_bytes(8, "big") + entropy + farmer_key


def work_hash(*, index: int, nonce: int, entropy: bytes, farmer_key: bytes) -> bytes:
    """Return the keccak-256 of the preimage, as the contract computes it.

    The padding is keccak's original one, not that of SHA3-256.
    """
    data = preimage(index=index, nonce=nonce, entropy=entropy, farmer_key=farmer_key)
    digest: bytes = sha3.keccak_256(data).digest()
    return digest


def leading_zeros(digest: bytes) -> int:
    """Count the leading zero hex digits (half bytes) of a hash; 64 for 32 zero bytes."""
    digits = digest.hex()
    return len(digits) - len(digits.lstrip("0"))
