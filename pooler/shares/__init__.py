"""Work for other miners: jobs by HTTP, shares judged and kept, miners' parts of each block.

Invariant: a share that was acknowledged as accepted is kept for ever in the points of its block,
and no nonce of a farmer and block is credited twice, whichever process dies at whatever instant.
"""
