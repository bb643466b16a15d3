"""Signature checks: weights, thresholds, and the rule that every signature must be needed."""

from enum import IntEnum
from functools import lru_cache

import nacl.bindings
import nacl.exceptions
from stellar_sdk import xdr

from localnet.ledger.accounts import Account
from localnet.ledger.transaction import Signed


class Threshold(IntEnum):
    """The thresholds of an account; the value is the index into the account's threshold bytes."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


@lru_cache(maxsize=65_536)
def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Check an ed25519 signature.

    Results are cached, because every transaction is checked twice.
    """
    try:
        nacl.bindings.crypto_sign_open(signature + message, key)
    except (nacl.exceptions.BadSignatureError, ValueError):
        return False
    return True


class SignatureChecker:
    """Checks of one transaction's signatures; the checker remembers which signatures were used."""

    def __init__(self, signed: Signed) -> None:
        self._signed = signed
        self._used = [False] * len(signed.signatures)

    def account(self, account: Account, threshold: Threshold) -> bool:
        """Tell whether the account's signers reach the threshold."""
        master = account.thresholds[0]
        weights = [(account.raw, master)] if master else []
        weights += [
            (s.key.ed25519.uint256, s.weight) for s in account.signers if s.key.ed25519 is not None
        ]
        return self._reaches(weights, account.thresholds[threshold])

    def master_only(self, raw: bytes) -> bool:
        """Tell whether the key itself signed; this is for accounts that do not exist yet."""
        return self._reaches([(raw, 1)], 0)

    def extra_signer(self, signer: xdr.SignerKey) -> bool:
        """Tell whether a signer that the preconditions name has signed."""
        return signer.ed25519 is not None and self._reaches([(signer.ed25519.uint256, 1)], 0)

    def all_used(self) -> bool:
        """Tell whether every signature was used by a check."""
        return all(self._used)

    def _reaches(self, weights: list[tuple[bytes, int]], needed: int) -> bool:
        total = 0
        for index, (hint, signature) in enumerate(self._signed.signatures):
            for key, weight in weights:
                if hint == key[-4:] and verify(key, self._signed.hash, signature):
                    self._used[index] = True
                    weights = [w for w in weights if w[0] != key]
                    total += min(weight, 255)
                    break
            if total > 0 and total >= needed:
                return True
        return False
