-- Audit log and kill switch.

-- What was done with keys and money, chained by hashes: each row's hash covers the row and the hash
-- before it. Rows are added only, by one transaction at a time.
CREATE TABLE wallet.audit_log (
    number bigint PRIMARY KEY CHECK (number >= 1),
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    details text NOT NULL,
    previous bytea NOT NULL CHECK (octet_length(previous) = 32),
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32)
);

CREATE FUNCTION wallet.refuse_change_of_audit_log() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'the audit log never changes';
END
$$;
CREATE TRIGGER audit_log_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON wallet.audit_log
FOR EACH STATEMENT EXECUTE FUNCTION wallet.refuse_change_of_audit_log();

-- Where nothing is signed: everywhere, for one pooler, or for one wallet.
CREATE TABLE wallet.pauses (
    id uuid PRIMARY KEY,
    scope text NOT NULL CHECK (scope IN ('everything', 'pooler', 'wallet')),
    target uuid,
    reason text NOT NULL,
    paused_by text NOT NULL,
    paused_at timestamptz NOT NULL DEFAULT now(),
    resumed_by text,
    resumed_at timestamptz,
    CONSTRAINT pauses_target CHECK ((scope = 'everything') = (target IS NULL)),
    CONSTRAINT pauses_resumed CHECK ((resumed_by IS NULL) = (resumed_at IS NULL))
);
CREATE UNIQUE INDEX idx_pauses_in_force ON wallet.pauses (scope, target) NULLS NOT DISTINCT
WHERE resumed_at IS NULL;

-- Whether nothing may be signed for a wallet of this pooler (none for those of the pool itself).
CREATE FUNCTION wallet.is_paused(wallet_id uuid, pooler_id uuid) RETURNS boolean
LANGUAGE sql STABLE
RETURN EXISTS (
    SELECT 1 FROM wallet.pauses AS p
    WHERE p.resumed_at IS NULL
      AND (
          p.scope = 'everything'
          OR (p.scope = 'pooler' AND p.target = is_paused.pooler_id)
          OR (p.scope = 'wallet' AND p.target = is_paused.wallet_id)
      )
);

GRANT SELECT, INSERT ON wallet.audit_log TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (resumed_by, resumed_at) ON wallet.pauses TO kalepool_wallet;
