-- Operations that close the accounts of farmers and poolers that leave.
ALTER TYPE wallet.operation_kind ADD VALUE 'close_account';
