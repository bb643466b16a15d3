"""The lies that a node may tell: POST /node/1/faults {"lies": {name: value, ...}}.

A body with "lies" replaces all earlier lies of the node. A member {"methods": [...]} beside it
limits the lies to these methods. GET of the same path shows in "used" how often each lie has
changed an answer. Lies are told in base64 only: an answer with xdrFormat "json" shows the true
transactions and entries.

Transactions are named by "all", "paying" (classic payments), "calls" (contract calls),
{"accounts": [G...]} (their sources or payers) or a list of hashes, outer or inner.

* omit: these transactions are not known
* failed: these transactions failed, where they succeeded
* succeeded: these transactions succeeded, where they failed or are in no ledger
* fork: a name; from now on the node follows a separate chain, together with all nodes that have the
  same name
* send: {"says": status, "takes": bool, "code": "txBAD_SEQ"}; "swallow" answers PENDING and throws
  the envelope away
* add_ledgers: added to the newest ledger; shift_ledgers: to every ledger; add_seconds: to all times
* sequences, balances, trustlines: {address or "*": amount to add; null: the entry seems missing}
* payer: "not included", "failed" or "paid": the sequence number that an account would have after
  this outcome of its last transaction that bumps the number
* memo: true or false: config.memo_required of every account that is asked for
* pails: "missing", "invented" or {"stake": ..., "zeros": ..., "gap": ..., "sequence": ...}
* block: {"index": added, "timestamp": added, "entropy": "other"}
* paused: true or false; code: 64 hex digits, the hash of the farm's code; lives: ledgers added to
  every lifetime
* config: "tiny", "huge" or {"contract_bandwidth_v0.tx_max_size_bytes": 1, ...}
* fees: the inclusion fee in every percentile of getFeeStats
* simulation: "refuses", "dear" (100 times), "cheap" (a tenth) or "footprint" (an entry is left out)
* passphrase: the passphrase of another network
* form: "xdr", "no_hash", "wrong_id", "types", "no_result", "null", "html" or "error"
* huge: "zip", "plain", "endless", "deep" or "items", or {"kind": ..., "size": bytes or items}
"""
