-- A payment that was given up, and that its payer's number shows to have been made, counts as made.

DROP TRIGGER operations_settled_stay ON wallet.operations;
-- What is settled stays as it is, but for a payment that was given up on the word of nodes, and that
-- its payer's number shows to have been made.
CREATE FUNCTION wallet.refuse_change_of_operation() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF TG_OP = 'UPDATE'
        AND OLD.state IN ('failed', 'expired')
        AND NEW.state = 'succeeded'
        AND (NEW.id, NEW.kind, NEW.wallet_id, NEW.block_index, NEW.amount, NEW.fee_charged)
            = (OLD.id, OLD.kind, OLD.wallet_id, OLD.block_index, OLD.amount, OLD.fee_charged)
        AND EXISTS (
            SELECT 1
            FROM wallet.transactions AS t
            INNER JOIN wallet.transaction_operations AS c ON t.id = c.transaction_id
            INNER JOIN wallet.payments AS p ON c.operation_id = p.operation_id
            INNER JOIN wallet.shown_targets AS s ON p.payer_id = s.payer_id AND t.bump_to = s.target
            WHERE t.id = NEW.transaction_id AND c.operation_id = OLD.id
        )
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% % is settled (%) and never changes', TG_TABLE_NAME, OLD.id, OLD.state;
END
$$;
CREATE TRIGGER operations_settled_stay BEFORE UPDATE OR DELETE ON wallet.operations
FOR EACH ROW WHEN (OLD.state IN ('succeeded', 'failed', 'expired'))
EXECUTE FUNCTION wallet.refuse_change_of_operation();
