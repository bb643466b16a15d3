-- Rent is booked apart from fees; what an operator has to change is refused once.

ALTER TABLE wallet.transactions ADD COLUMN is_rent boolean NOT NULL DEFAULT false;
-- What rent has cost lately, without reading what else was sent.
CREATE INDEX idx_transactions_rent ON wallet.transactions (created_at) WHERE is_rent;

-- What operators allow, and what the network asks for, as last seen; refusals stand while it stays.
CREATE TABLE wallet.operator_terms (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    mark text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);

-- Operations that ended because of something that an operator has to change: the same wish is answered
-- by the same operation until that has happened.
CREATE TABLE wallet.refusals (
    operation_id uuid PRIMARY KEY REFERENCES wallet.operations (id),
    -- The terms under which it was refused.
    mark text NOT NULL,
    -- Stroops that its envelope would have had to bid; none when nobody knows.
    bid bigint,
    -- Inclusion fee (stroops) at which the cap would have been kept; none when nobody knows.
    fits_at bigint,
    -- When it was found that what was in its way is gone.
    lifted_at timestamptz
);

GRANT SELECT, INSERT, UPDATE ON wallet.operator_terms TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (lifted_at) ON wallet.refusals TO kalepool_wallet;
