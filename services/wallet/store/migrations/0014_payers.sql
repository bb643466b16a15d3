-- Payer accounts, which classic payments go by: the names come before anything uses them.

ALTER TYPE wallet.wallet_kind ADD VALUE 'payer';
ALTER TYPE wallet.operation_kind ADD VALUE 'open_payer';
