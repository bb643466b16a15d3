-- Whether a ledger that was waited for has come. Nothing waits for more than 60 ledgers: one further
-- ahead was told by a node that lied about the height, and is not waited for.
CREATE FUNCTION wallet.is_due_at(due int, ledger int) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN due <= ledger OR due > ledger + 64;
