"""Mining for a pooler by HTTP: jobs are searched, shares brought (the pooler's /docs has the rest).

`client.py` speaks HTTP, `fields.py` reads what it is answered, `jobs.py` deals the jobs' nonces out
to the engines, `credentials.py` keeps what joining gave, `mining.py` puts it together.
"""
