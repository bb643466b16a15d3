"""Challenges of logins that came back, judged as SEP-10 says, and who signs for an account."""

from collections.abc import Sequence
from datetime import UTC, datetime

from stellar_sdk import StrKey, TransactionEnvelope, xdr
from stellar_sdk.sep.ed25519_public_key_signer import Ed25519PublicKeySigner
from stellar_sdk.sep.exceptions import InvalidSep10ChallengeError
from stellar_sdk.sep.stellar_web_authentication import (
    read_challenge_transaction,
    verify_challenge_transaction_threshold,
)

from services.wallet.chain.networks import Network
from services.wallet.chain.node.ledger_entries import Entry
from services.wallet.domain.errors import LoginRefusedError, LoginTransactionError
from services.wallet.domain.logins import AccountSigners, Challenge, LoginTerms

#: Places of the own key's weight and of the medium threshold among an account's thresholds.
_OWN, _MEDIUM = 0, 2


def read_challenge(
    transaction: str, *, keys: Sequence[str], terms: LoginTerms, network: Network
) -> Challenge:
    """Return the challenge in an envelope (base64) that one of our keys (strkey G...) has signed.

    Who else has signed it is not looked at. Raises LoginTransactionError for what is no
    transaction, and LoginRefusedError for what is none of our challenges, or does not count now.
    """
    envelope = _envelope(transaction, network)
    source = envelope.transaction.source.account_id
    if source not in keys:
        raise LoginRefusedError("this is no challenge of ours, or its key counts no more")
    try:
        found = read_challenge_transaction(
            transaction, source, [terms.home_domain], terms.web_auth_domain, network.passphrase
        )
    except InvalidSep10ChallengeError as error:
        raise LoginRefusedError(str(error)) from None
    bounds = found.transaction.transaction.preconditions
    if not StrKey.is_valid_ed25519_public_key(found.client_account_id) or found.memo is not None:
        raise LoginRefusedError("shared accounts (M..., memos) do not log in")
    if bounds is None or bounds.time_bounds is None:
        raise LoginRefusedError("Transaction requires timebounds.")
    return Challenge(
        transaction=transaction,
        hash=envelope.hash(),
        account=found.client_account_id,
        signing_key=source,
        begins=datetime.fromtimestamp(bounds.time_bounds.min_time, UTC),
        ends=datetime.fromtimestamp(bounds.time_bounds.max_time, UTC),
    )


def _envelope(transaction: str, network: Network) -> TransactionEnvelope:
    try:
        return TransactionEnvelope.from_xdr(transaction, network.passphrase)
    except Exception as error:  # the SDK has no one error for what is no XDR
        raise LoginTransactionError.of(
            "transaction", "must be a TransactionEnvelope in base64"
        ) from error


def check_signed(
    challenge: Challenge, signers: AccountSigners, *, terms: LoginTerms, network: Network
) -> None:
    """Raise LoginRefusedError unless an account's signers have signed its challenge."""
    try:
        verify_challenge_transaction_threshold(
            challenge.transaction,
            challenge.signing_key,
            [terms.home_domain],
            terms.web_auth_domain,
            network.passphrase,
            signers.needed,
            [Ed25519PublicKeySigner(key, weight) for key, weight in signers.weights.items()],
        )
    except InvalidSep10ChallengeError as error:
        raise LoginRefusedError(str(error)) from None


def read_signers(entry: Entry) -> AccountSigners:
    """Read who signs for an account: keys alone, as no other signer can sign a challenge."""
    account = xdr.LedgerEntryData.from_xdr_bytes(entry.data).account
    if account is None or account.account_id.account_id.ed25519 is None:
        raise ValueError("not an account")
    address = StrKey.encode_ed25519_public_key(account.account_id.account_id.ed25519.uint256)
    thresholds = account.thresholds.thresholds
    weights = {address: thresholds[_OWN]}
    for signer in account.signers:
        if signer.key.ed25519 is not None:
            key = StrKey.encode_ed25519_public_key(signer.key.ed25519.uint256)
            weights[key] = signer.weight.uint32
    return AccountSigners(
        address=address,
        weights={key: weight for key, weight in weights.items() if weight > 0},
        medium=thresholds[_MEDIUM],
    )
