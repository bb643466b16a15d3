-- Logins of owner accounts: which farmers they speak for, challenges that were used, and agreements by their
-- word.

-- Farmers by the owner account that speaks for them now, as wallet's own store finds it: the newest that
-- counts, of those that were not replaced before they counted. For the services that show farmers to their
-- owners; wallet itself goes by what it has sealed.
CREATE INDEX idx_owner_accounts_address ON wallet.owner_accounts (address, wallet_id);
CREATE VIEW wallet.owner_accounts_that_counted AS
SELECT o.wallet_id, o.number, o.address
FROM wallet.owner_accounts AS o
WHERE o.effective_at <= greatest(
    now(), (SELECT max(n.registered_at) FROM wallet.owner_accounts AS n WHERE n.wallet_id = o.wallet_id)
)
AND NOT EXISTS (
    SELECT 1 FROM wallet.owner_accounts AS n
    WHERE n.wallet_id = o.wallet_id AND n.number = o.number + 1 AND n.registered_at < o.effective_at
);
CREATE VIEW wallet.farmer_owners AS
SELECT w.farmer_id, o.address AS owner_account
FROM wallet.owner_accounts_that_counted AS o
INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
WHERE o.address <> ''
  AND NOT EXISTS (
      SELECT 1 FROM wallet.owner_accounts_that_counted AS l
      WHERE l.wallet_id = o.wallet_id AND l.number > o.number
  );
GRANT SELECT ON wallet.farmer_owners TO
kalepool_registry, kalepool_plant, kalepool_work, kalepool_harvest;

-- Challenges that somebody has logged in with, by the hash of their transaction, until they have ended: each
-- counts once.
CREATE TABLE wallet.used_challenges (
    challenge bytea PRIMARY KEY CHECK (octet_length(challenge) = 32),
    ends_at wallet.moment NOT NULL
);
CREATE INDEX idx_used_challenges_ends ON wallet.used_challenges (ends_at);
GRANT SELECT, INSERT ON wallet.used_challenges TO kalepool_wallet;

-- Forgets a hundred of those that ended an hour ago: whatever the clocks of wallet's processes say, none of them
-- counts. Others forget some, too, and need not wait for one another. Only this function deletes, so that nobody
-- has a challenge count once more.
CREATE FUNCTION wallet.forget_challenges() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
WITH ended AS (
    SELECT u.challenge FROM wallet.used_challenges AS u
    WHERE u.ends_at < now() - interval '1 hour'
    ORDER BY u.ends_at
    LIMIT 100
    FOR UPDATE SKIP LOCKED
),
forgotten AS (
    DELETE FROM wallet.used_challenges AS u USING ended AS e WHERE u.challenge = e.challenge
    RETURNING u.challenge
)
SELECT count(*) FROM forgotten;
END;
REVOKE ALL ON FUNCTION wallet.forget_challenges() FROM public;
GRANT EXECUTE ON FUNCTION wallet.forget_challenges() TO kalepool_wallet;

ALTER TABLE wallet.agreements DROP CONSTRAINT agreements_proof_check;
ALTER TABLE wallet.agreements ADD CONSTRAINT agreements_proof_check
CHECK (proof IN ('certificate', 'token', 'signature', 'operator', 'plaintext', 'owner'));
