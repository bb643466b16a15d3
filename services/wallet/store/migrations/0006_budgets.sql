-- What the network was paid, by hour and pooler: the fee budgets are held against it.

CREATE TABLE wallet.fee_hours (
    hour timestamptz NOT NULL,
    -- None for what the pool does for itself.
    pooler_id uuid,
    stroops bigint NOT NULL CHECK (stroops >= 0),
    CONSTRAINT fee_hours_once UNIQUE NULLS NOT DISTINCT (hour, pooler_id)
);

GRANT SELECT, INSERT, UPDATE (stroops) ON wallet.fee_hours TO kalepool_wallet;
