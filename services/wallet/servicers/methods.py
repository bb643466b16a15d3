"""The gRPC services of wallet, and the methods that are not as most are."""

from services.wallet.servicers import (
    agreements,
    approvals,
    closing,
    custody,
    data_entries,
    engine,
    fees,
    keys,
    logins,
    orders,
    payouts,
    reconciliation,
    tokens,
    wallet,
    withdrawals,
)

#: Full names, the main one first.
FULL_NAMES = (
    wallet.FULL_NAME,
    engine.FULL_NAME,
    withdrawals.FULL_NAME,
    payouts.FULL_NAME,
    agreements.FULL_NAME,
    custody.FULL_NAME,
    approvals.FULL_NAME,
    keys.FULL_NAME,
    tokens.FULL_NAME,
    logins.FULL_NAME,
    orders.FULL_NAME,
    reconciliation.FULL_NAME,
    fees.FULL_NAME,
    data_entries.FULL_NAME,
    closing.FULL_NAME,
)
#: Methods that take longer than a request usually may.
SLOW = (
    *wallet.SETTLING,
    *engine.SLOW,
    *withdrawals.SETTLING,
    *payouts.SETTLING,
    *custody.SLOW,
    *orders.SLOW,
    *reconciliation.SLOW,
)
#: Methods that other services call.
INTERNAL = (
    *wallet.INTERNAL,
    *withdrawals.INTERNAL,
    *payouts.INTERNAL,
    *approvals.INTERNAL,
    *tokens.INTERNAL,
    *agreements.INTERNAL,
    *data_entries.INTERNAL,
    *closing.INTERNAL,
)
