-- One pooler's request ids are not another's: a change's method names what it changes.

ALTER TABLE registry.requests DROP CONSTRAINT requests_pkey;
ALTER TABLE registry.requests ADD PRIMARY KEY (request_id, method);
