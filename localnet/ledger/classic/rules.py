"""The list of classic operations."""

from stellar_sdk.xdr import OperationType

from localnet.ledger.classic.account_ops import ACCOUNT_MERGE, BUMP_SEQUENCE, MANAGE_DATA
from localnet.ledger.classic.context import Rule
from localnet.ledger.classic.options import SET_OPTIONS
from localnet.ledger.classic.payments import CREATE_ACCOUNT, PAYMENT
from localnet.ledger.classic.sponsorship import (
    BEGIN_SPONSORING,
    END_SPONSORING,
    REVOKE_SPONSORSHIP,
)
from localnet.ledger.classic.trust import CHANGE_TRUST, SET_TRUST_LINE_FLAGS

#: Every classic operation that localnet supports; all others get opNOT_SUPPORTED.
RULES: dict[OperationType, Rule] = {
    OperationType.CREATE_ACCOUNT: CREATE_ACCOUNT,
    OperationType.PAYMENT: PAYMENT,
    OperationType.SET_OPTIONS: SET_OPTIONS,
    OperationType.CHANGE_TRUST: CHANGE_TRUST,
    OperationType.ACCOUNT_MERGE: ACCOUNT_MERGE,
    OperationType.MANAGE_DATA: MANAGE_DATA,
    OperationType.BUMP_SEQUENCE: BUMP_SEQUENCE,
    OperationType.BEGIN_SPONSORING_FUTURE_RESERVES: BEGIN_SPONSORING,
    OperationType.END_SPONSORING_FUTURE_RESERVES: END_SPONSORING,
    OperationType.REVOKE_SPONSORSHIP: REVOKE_SPONSORSHIP,
    OperationType.SET_TRUST_LINE_FLAGS: SET_TRUST_LINE_FLAGS,
}
