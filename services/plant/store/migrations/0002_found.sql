-- wallet compares events with the chain.
GRANT USAGE ON SCHEMA plant TO kalepool_wallet;
GRANT SELECT ON plant.plantings TO kalepool_wallet;
