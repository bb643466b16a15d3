"""Reasons of wallet's errors."""

from services.wallet.domain import errors
from tests.support.reasons import reasons_of

#: What callers decide by.
REASONS = {
    errors.WalletNotFoundError: "WALLET_NOT_FOUND",
    errors.OperationNotFoundError: "OPERATION_NOT_FOUND",
    errors.PoolerNotFoundError: "POOLER_NOT_FOUND",
    errors.WithdrawalNotFoundError: "WITHDRAWAL_NOT_FOUND",
    errors.PauseNotFoundError: "PAUSE_NOT_FOUND",
    errors.NotHeldError: "NOT_HELD",
    errors.BlockUnknownError: "BLOCK_UNKNOWN",
    errors.WalletOfOtherPoolerError: "WALLET_OF_OTHER_POOLER",
    errors.WrongBlockError: "WRONG_BLOCK",
    errors.BlockNotClosedError: "BLOCK_NOT_CLOSED",
    errors.RequestIdReusedError: "REQUEST_ID_REUSED",
    errors.DeploymentRefusedError: "DEPLOYMENT_REFUSED",
    errors.PayoutAddressMissingError: "PAYOUT_ADDRESS_MISSING",
    errors.PayoutAddressTamperedError: "PAYOUT_ADDRESS_TAMPERED",
    errors.PayoutAddressLimitError: "PAYOUT_ADDRESS_LIMIT",
    errors.DataEntryTamperedError: "DATA_ENTRY_TAMPERED",
    errors.DayToComeError: "DAY_TO_COME",
    errors.RootDiffersError: "ROOT_DIFFERS",
    errors.RootTooOldError: "ROOT_TOO_OLD",
    errors.PayoutAddressDiffersError: "PAYOUT_ADDRESS_DIFFERS",
    errors.SigningPausedError: "SIGNING_PAUSED",
    errors.WithdrawalLimitError: "WITHDRAWAL_LIMIT",
    errors.SponsorshipBudgetError: "SPONSORSHIP_BUDGET",
    errors.KeyExportOffError: "KEY_EXPORT_OFF",
    errors.WrongAddressError: "WRONG_ADDRESS",
    errors.ReceiverKeyError: "RECEIVER_KEY",
    errors.SecondPersonError: "SECOND_PERSON",
    errors.ApprovalNotFoundError: "APPROVAL_NOT_FOUND",
    errors.ApprovalOverError: "APPROVAL_OVER",
    errors.ApprovalLimitError: "APPROVAL_LIMIT",
    errors.OwnRequestError: "OWN_REQUEST",
    errors.HistoryGoneError: "HISTORY_GONE",
    errors.BusyError: "BUSY",
    errors.ChainUnknownError: "STELLAR_UNAVAILABLE",
    errors.TreasuryMissingError: "TREASURY_MISSING",
    errors.NotInLogError: "AUDIT_LOG_REFUSED",
    errors.RowKeysMissingError: "ROW_KEYS_MISSING",
    errors.TokenNotFoundError: "TOKEN_NOT_FOUND",
    errors.TokenUnknownError: "TOKEN_UNKNOWN",
    errors.TokenShownError: "TOKEN_SHOWN",
    errors.TokenRoleError: "TOKEN_ROLE",
    errors.TokenKeysMissingError: "TOKEN_KEYS_MISSING",
    errors.RowNameError: "ROW_NAME",
    errors.RowChangedError: "ROW_CHANGED",
    errors.TamperedError: "TAMPERED",
    errors.KeysUnavailableError: "KEYS_UNAVAILABLE",
    errors.KeysUnusableError: "KEYS_UNUSABLE",
}


def test_reasons_of_errors_stay_as_callers_know_them() -> None:
    assert reasons_of(errors) == REASONS
