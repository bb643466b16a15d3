-- Payouts and payments from poolers' custodial accounts, and those accounts. What uses these names is in the next
-- file: PostgreSQL refuses them in the transaction that adds them.
ALTER TYPE wallet.wallet_kind ADD VALUE 'pooler';
ALTER TYPE wallet.operation_kind ADD VALUE 'payout';
ALTER TYPE wallet.operation_kind ADD VALUE 'pool_payment';
