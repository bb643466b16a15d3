-- wallet compares events with the chain.
GRANT USAGE ON SCHEMA harvest TO kalepool_wallet;
GRANT SELECT ON harvest.harvests TO kalepool_wallet;
