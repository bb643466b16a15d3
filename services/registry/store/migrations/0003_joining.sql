-- Poolers that farmers find in a public list, and join by themselves.

-- Wants to be in the public list, and lets farmers join by themselves.
ALTER TABLE registry.poolers ADD COLUMN is_listed boolean NOT NULL DEFAULT false;
ALTER TABLE registry.poolers ADD COLUMN is_open_to_join boolean NOT NULL DEFAULT false;
GRANT UPDATE (is_listed, is_open_to_join) ON registry.poolers TO kalepool_registry;

-- The public list of poolers shows their terms.
GRANT SELECT ON registry.terms TO kalepool_harvest;
