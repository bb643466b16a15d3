"""Errors that callers of the wallet may see, each with its reason."""

from libs.common.errors import (
    AlreadyExistsError,
    ConflictError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
)
from libs.kale.amounts import format_percentage


class WalletNotFoundError(NotFoundError):
    """No wallet has this id, farmer or address."""

    default_reason = "WALLET_NOT_FOUND"


class OperationNotFoundError(NotFoundError):
    """No operation has this id."""

    default_reason = "OPERATION_NOT_FOUND"


class PoolerWalletNotFoundError(NotFoundError):
    """The pooler has no custodial account yet."""

    default_reason = "POOLER_WALLET_NOT_FOUND"


class PoolerNotFoundError(NotFoundError):
    """No pooler has this id."""

    default_reason = "POOLER_NOT_FOUND"


class WithdrawalNotFoundError(NotFoundError):
    """No withdrawal has this id."""

    default_reason = "WITHDRAWAL_NOT_FOUND"


class PauseNotFoundError(NotFoundError):
    """Signing is not paused for the wallet, pooler or pool that was named."""

    default_reason = "PAUSE_NOT_FOUND"


class NotHeldError(FailedPreconditionError):
    """The operation does not wait for a person."""

    default_reason = "NOT_HELD"


class BlockUnknownError(NotFoundError):
    """The block was not seen on the chain."""

    default_reason = "BLOCK_UNKNOWN"


class WalletOfOtherPoolerError(AlreadyExistsError):
    """The farmer's wallet belongs to another pooler."""

    default_reason = "WALLET_OF_OTHER_POOLER"


class WrongBlockError(FailedPreconditionError):
    """The block cannot be planted or worked now."""

    default_reason = "WRONG_BLOCK"


class BlockNotClosedError(FailedPreconditionError):
    """The block cannot be harvested: nobody has planted in the next one."""

    default_reason = "BLOCK_NOT_CLOSED"


class RequestIdReusedError(FailedPreconditionError):
    """The request_id stands for another batch."""

    default_reason = "REQUEST_ID_REUSED"


class DeploymentRefusedError(FailedPreconditionError):
    """The network would refuse to deploy the multicall contract; nothing was sent."""

    default_reason = "DEPLOYMENT_REFUSED"


class PayoutAddressMissingError(FailedPreconditionError):
    """The farmer has no outside address that counts yet."""

    default_reason = "PAYOUT_ADDRESS_MISSING"


class PayoutAddressTamperedError(FailedPreconditionError):
    """The payout addresses are not those that wallet wrote, or that the audit log tells of."""

    default_reason = "PAYOUT_ADDRESS_TAMPERED"


class PayoutAddressLimitError(ResourceExhaustedError):
    """The farmer has had too many payout addresses within a day, or the cooling time."""

    default_reason = "PAYOUT_ADDRESS_LIMIT"


class PayoutAddressDiffersError(FailedPreconditionError):
    """A withdrawal names a destination, and another outside address counts."""

    default_reason = "PAYOUT_ADDRESS_DIFFERS"


class PayoutAddressNotYoursError(FailedPreconditionError):
    """Where a farmer's money goes is for the farmer to say: its owner account has to sign it."""

    default_reason = "PAYOUT_ADDRESS_NOT_YOURS"


class OwnerAccountMissingError(FailedPreconditionError):
    """The farmer has no owner account that could sign."""

    default_reason = "OWNER_ACCOUNT_MISSING"


class OwnerAccountTamperedError(FailedPreconditionError):
    """The owner accounts are not those that wallet wrote, or that the audit log tells of."""

    default_reason = "OWNER_ACCOUNT_TAMPERED"


class OwnerAccountNotYoursError(FailedPreconditionError):
    """Who speaks for a farmer is for its owner account to say, or for an operator."""

    default_reason = "OWNER_ACCOUNT_NOT_YOURS"


class SignatureWrongError(PermissionDeniedError):
    """The farmer's owner account has not signed this text, as it is to be signed now."""

    default_reason = "SIGNATURE_WRONG"


class NothingAnnouncedError(FailedPreconditionError):
    """There is nothing to object to: no change of an address or owner account is to come."""

    default_reason = "NOTHING_ANNOUNCED"


class FeeTooHighError(FailedPreconditionError):
    """The fees together are more than the pool allows (MAX_FEE_BPS)."""

    default_reason = "FEE_TOO_HIGH"


class OwnerMayNotError(PermissionDeniedError):
    """A login of the owner account changes the times of payouts alone; the rest it signs."""

    default_reason = "OWNER_MAY_NOT"


class NoTermsError(FailedPreconditionError):
    """The farmer has agreed to no terms."""

    default_reason = "NO_TERMS"


class TermsAnnouncedError(FailedPreconditionError):
    """Other terms are to come, which a change by a login would take the place of."""

    default_reason = "TERMS_ANNOUNCED"


class LoginOffError(FailedPreconditionError):
    """Nobody logs in with a Stellar account: LOGIN_HOME_DOMAIN is not set."""

    default_reason = "LOGIN_OFF"


class LoginTransactionError(InvalidArgumentError):
    """What came as a challenge is no transaction."""

    default_reason = "LOGIN_TRANSACTION"


class LoginRefusedError(UnauthenticatedError):
    """A challenge is none of ours, has ended, or is not signed as the account says."""

    default_reason = "LOGIN_REFUSED"


class LoginUsedError(UnauthenticatedError):
    """Somebody has logged in with this challenge: each counts once."""

    default_reason = "LOGIN_USED"


class TermsNotOfferedError(FailedPreconditionError):
    """Nobody has offered the farmer these parts: a lower fee is the pooler's to give."""

    default_reason = "TERMS_NOT_OFFERED"


class FeesTamperedError(FailedPreconditionError):
    """What an account has paid is not what wallet wrote, or what the audit log tells of."""

    default_reason = "FEES_TAMPERED"


class StakeAboveAgreementError(FailedPreconditionError):
    """The farmer has agreed to stake less."""

    default_reason = "STAKE_NOT_AGREED"

    @classmethod
    def above(cls, stake_bps: int) -> "StakeAboveAgreementError":
        """Return the error with what was agreed to, in ten-thousandths."""
        agreed = format_percentage(stake_bps)
        return cls(f"stake_percentage: {agreed} was agreed to", metadata={"limit": agreed})


class AgreementTamperedError(FailedPreconditionError):
    """The agreements are not those that wallet wrote, or that the audit log tells of."""

    default_reason = "AGREEMENT_TAMPERED"


class AgreementLimitError(ResourceExhaustedError):
    """The farmer's agreement was changed too often within a day."""

    default_reason = "AGREEMENT_LIMIT"


class PoolerMarkTamperedError(FailedPreconditionError):
    """What operators said of the pooler is not what wallet wrote, or the audit log tells of."""

    default_reason = "POOLER_MARK_TAMPERED"


class RootDiffersError(FailedPreconditionError):
    """Another root stands for this day."""

    default_reason = "ROOT_DIFFERS"


class RootTooOldError(FailedPreconditionError):
    """A root of a later day was asked for already: the data entry never goes back."""

    default_reason = "ROOT_TOO_OLD"


class DayToComeError(OutOfRangeError):
    """The day of a root has not begun yet."""

    default_reason = "DAY_TO_COME"


class DataEntryTamperedError(FailedPreconditionError):
    """The row of a root is not as wallet wrote it."""

    default_reason = "DATA_ENTRY_TAMPERED"


class SigningPausedError(FailedPreconditionError):
    """An operator has paused signing for the farmer or its pooler."""

    default_reason = "SIGNING_PAUSED"


class WithdrawalLimitError(ResourceExhaustedError):
    """The withdrawal exceeds a limit of amounts or numbers; `of` tells which."""

    default_reason = "WITHDRAWAL_LIMIT"


class SponsorshipBudgetError(ResourceExhaustedError):
    """The budget of a day for reserves of the pooler's, or the pool's, new farmers is used up."""

    default_reason = "SPONSORSHIP_BUDGET"


class KeyExportOffError(PermissionDeniedError):
    """Keys do not leave this pool: KEY_EXPORT is not set."""

    default_reason = "KEY_EXPORT_OFF"


class WrongAddressError(FailedPreconditionError):
    """The address is not the one of the farmer's wallet."""

    default_reason = "WRONG_ADDRESS"


class ReceiverKeyError(InvalidArgumentError):
    """The receiver's key is of no use to encrypt to."""

    default_reason = "RECEIVER_KEY"


class SecondPersonError(FailedPreconditionError):
    """Another operator has to approve exactly this request first; then send it again."""

    default_reason = "SECOND_PERSON"


class ApprovalNotFoundError(NotFoundError):
    """No approval has this id."""

    default_reason = "APPROVAL_NOT_FOUND"


class ApprovalOverError(FailedPreconditionError):
    """The approval is given already, was used, or its time is over."""

    default_reason = "APPROVAL_OVER"


class ApprovalLimitError(ResourceExhaustedError):
    """Too many requests wait for a second operator; use them, or let their time pass."""

    default_reason = "APPROVAL_LIMIT"


class OwnRequestError(PermissionDeniedError):
    """Who asked cannot be the second person."""

    default_reason = "OWN_REQUEST"


class HistoryGoneError(OutOfRangeError):
    """The cursor is too old to resume from."""

    default_reason = "HISTORY_GONE"


class AccountBusyError(FailedPreconditionError):
    """An operation of the account is open: it is closed once nothing is on its way."""

    default_reason = "ACCOUNT_BUSY"


class AccountNotEmptyError(FailedPreconditionError):
    """The account holds KALE, or has a pail that can be worked or harvested."""

    default_reason = "ACCOUNT_NOT_EMPTY"


class AccountHoldsError(FailedPreconditionError):
    """The account has what the pool may not give up, or what the network does not merge."""

    default_reason = "ACCOUNT_HOLDS"


class XlmUnpayableError(FailedPreconditionError):
    """The XLM of an account that is to be closed cannot be paid to its payout address."""

    default_reason = "XLM_UNPAYABLE"


class BusyError(ConflictError):
    """The operations were being changed all the time; the call may be repeated."""

    default_reason = "BUSY"


class ChainUnknownError(UnavailableError):
    """The chain was not read yet, or not for a while."""

    default_reason = "STELLAR_UNAVAILABLE"


class TreasuryMissingError(UnavailableError):
    """The treasury's key was not made yet: the process has only just begun."""

    default_reason = "TREASURY_MISSING"


class NotInLogError(UnavailableError):
    """The database does not keep a record of the audit log: nothing is done without it."""

    default_reason = "AUDIT_LOG_REFUSED"


class RowKeysMissingError(UnavailableError):
    """The keys that orders are authenticated with are not open: nothing is ordered or signed."""

    default_reason = "ROW_KEYS_MISSING"


class TokenNotFoundError(NotFoundError):
    """No API token has this id."""

    default_reason = "TOKEN_NOT_FOUND"


class TokenUnknownError(UnauthenticatedError):
    """This is no API token that counts: there is none, it has ended, or it was revoked."""

    default_reason = "TOKEN_UNKNOWN"


class TokenShownError(AlreadyExistsError):
    """The request was answered before, and the API token is shown only once."""

    default_reason = "TOKEN_SHOWN"


class TokenRoleError(PermissionDeniedError):
    """An operator's API token is for operators to make."""

    default_reason = "TOKEN_ROLE"


class TokenKeysMissingError(UnavailableError):
    """The keys that access tokens are signed with are not open yet."""

    default_reason = "TOKEN_KEYS_MISSING"


class RowNameError(InvalidArgumentError):
    """A text is no name of a row."""

    default_reason = "ROW_NAME"


class RowChangedError(FailedPreconditionError):
    """A row says another thing than when somebody looked at it."""

    default_reason = "ROW_CHANGED"


class TamperedError(FailedPreconditionError):
    """A row was written by somebody other than wallet: wallet does not act on it."""

    default_reason = "TAMPERED"


class KeysUnavailableError(UnavailableError):
    """The key provider is away, or refuses us: its token or its permissions have to be mended."""

    default_reason = "KEYS_UNAVAILABLE"


class KeysUnusableError(FailedPreconditionError):
    """The key provider answers, but the KEK that is set up is not there or does not fit."""

    default_reason = "KEYS_UNUSABLE"
