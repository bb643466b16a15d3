-- Statements of poolers and miners: their leaves have addresses and histories, too.

ALTER TABLE harvest.closings ADD COLUMN covers_all boolean NOT NULL DEFAULT false;
ALTER TABLE harvest.closings ALTER COLUMN covers_all SET DEFAULT true;

-- A muxed address, at which a miner may be paid, is longer. A trigger that names the column is in the way.
DROP TRIGGER trigger_leaves_filled_once ON harvest.leaves;
ALTER TABLE harvest.leaves ALTER COLUMN address TYPE varchar(69);
CREATE TRIGGER trigger_leaves_filled_once
BEFORE UPDATE OF day, owner_id, address, roles, amounts, salt, history ON harvest.leaves
FOR EACH ROW WHEN (
    OLD.history IS NOT NULL
    OR (OLD.day, OLD.owner_id, OLD.address, OLD.roles, OLD.amounts, OLD.salt)
    IS DISTINCT FROM (NEW.day, NEW.owner_id, NEW.address, NEW.roles, NEW.amounts, NEW.salt)
) EXECUTE FUNCTION harvest.refuse_change();

-- Close a day: keep what every owner has. Nobody books meanwhile, and whoever has begun to is waited for: who
-- has a journal's number has the table, so that no journal of a lower number can come afterwards. False when
-- it, or a later day, is closed already, when it is still to come, or when nothing was ever booked.
CREATE OR REPLACE FUNCTION harvest.close_day(closing int) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF closing > floor(extract(epoch FROM now()))::bigint / 86400
        OR NOT EXISTS (SELECT 1 FROM harvest.journals)
    THEN
        RETURN false;
    END IF;
    LOCK TABLE harvest.journals IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT 1 FROM harvest.closings AS c WHERE c.day >= closing) THEN
        RETURN false;
    END IF;
    INSERT INTO harvest.closings (day, last_journal, closed_at)
    SELECT closing, max(j.id), clock_timestamp() FROM harvest.journals AS j;
    INSERT INTO harvest.leaves (day, owner_id, address, roles, amounts, salt, history)
    SELECT
        closing,
        a.owner_id,
        coalesce(w.address, p.address, m.address, ''),
        coalesce(
            array_agg(a.role::text ORDER BY a.role::text COLLATE "C") FILTER (WHERE b.amount <> 0), '{}'
        ),
        coalesce(
            array_agg(b.amount ORDER BY a.role::text COLLATE "C") FILTER (WHERE b.amount <> 0), '{}'
        ),
        uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()),
        -- The operator has no statement.
        CASE WHEN coalesce(w.farmer_id, r.id, m.id) IS NULL THEN decode(repeat('00', 32), 'hex') END
    FROM harvest.accounts AS a
    INNER JOIN harvest.account_balances AS b ON a.id = b.account_id
    LEFT JOIN wallet.farmer_accounts AS w ON a.owner_id = w.farmer_id
    LEFT JOIN registry.poolers AS r ON a.owner_id = r.id
    LEFT JOIN wallet.wallets AS p ON a.owner_id = p.pooler_id AND p.kind = 'pooler'
    LEFT JOIN harvest.miners AS m ON a.owner_id = m.id
    -- What lies in a pooler's account is owed already: as its fees, and what its miners earned.
    WHERE a.asset = 'kale' AND a.role::text !~ '^(chain:|treasury:|pooler:held$)'
    GROUP BY a.owner_id, w.farmer_id, w.address, r.id, p.address, m.id, m.address;
    RETURN true;
END $$;
