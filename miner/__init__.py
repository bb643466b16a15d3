"""The search for nonces: engines that hash, a schedule that says for whom, a judge of every find.

A pooler runs it in its own process, a miner elsewhere by the command `python -m miner`. It knows
KALE's rules (libs.kale) and nothing of the pool.
"""
