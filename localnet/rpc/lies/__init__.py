"""What a node may say that is not so: POST /node/1/faults {"lies": {name: value, ...}}.

A body with "lies" replaces all that were told; {"methods": [...]} beside it limits them to these
methods. GET of the same path says by "used" how often each has changed an answer. They are told in
base64 only: an answer with xdrFormat "json" shows transactions and entries as they are.

Transactions: "all", "paying" (classic payments), "calls" (contract calls), {"accounts": [G...]}
(their sources or payers) or a list of hashes, outer or inner.

* omit: these transactions are not known
* failed: these transactions failed, where they succeeded
* succeeded: these transactions succeeded, where they failed or are in no ledger
* fork: a name; from here on the node follows a chain of its own, with all who have the same name
* send: {"says": status, "takes": bool, "code": "txBAD_SEQ"}; "swallow" is PENDING and thrown away
* add_ledgers: added to the newest ledger; shift_ledgers: to every ledger; add_seconds: to all times
* sequences, balances, trustlines: {address or "*": what is added; null: the entry is not there}
* payer: "not included", "failed" or "paid": the number of an account by the last transaction of it
  that bumps it
* memo: true or false: config.memo_required of every account that is asked for
* pails: "missing", "invented" or {"stake": ..., "zeros": ..., "gap": ..., "sequence": ...}
* block: {"index": added, "timestamp": added, "entropy": "other"}
* paused: true or false; code: 64 hex digits, the farm's; lives: ledgers added to every lifetime
* config: "tiny", "huge" or {"contract_bandwidth_v0.tx_max_size_bytes": 1, ...}
* fees: what inclusion costs, in every percentile of getFeeStats
* simulation: "refuses", "dear" (100 times), "cheap" (a tenth) or "footprint" (an entry is left out)
* passphrase: another network's
* form: "xdr", "no_hash", "wrong_id", "types", "no_result", "null", "html" or "error"
* huge: "zip", "plain", "endless", "deep" or "items", or {"kind": ..., "size": bytes or items}
"""
