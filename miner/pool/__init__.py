"""Mining for a pooler by HTTP: jobs are searched, shares brought (the pooler's /docs has the rest).

`jobs.py` reads jobs and deals their nonces out to the engines, `client.py` speaks HTTP,
`credentials.py` keeps what joining gave, `mining.py` puts it together.
"""
