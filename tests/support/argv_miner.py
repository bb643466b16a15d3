"""python argv_miner.py BLOCK ENTROPY_B64 NONCE DIFFICULTY G...: as miners that know no pool do.

Counts up from the nonce until a hash has so many leading zero digits; prints lines for people and,
last, one JSON object with hash and nonce. The farmer's address is one of the stand-in's.
"""

import json
import sys
from base64 import b64decode

from devstack.stand_in_pooler import target_of
from libs.kale.hash import leading_zeros, work_hash


def main() -> None:
    """Search."""
    block, entropy, first, difficulty, farmer = sys.argv[1:]
    key = target_of(int(farmer.removeprefix("GFARMER"))).key
    nonce = int(first)
    sys.stdout.write(f"[INFO] mining block {block} for {farmer}\n")
    while True:
        digest = work_hash(
            index=int(block), nonce=nonce, entropy=b64decode(entropy), farmer_key=key
        )
        if leading_zeros(digest) >= int(difficulty):
            break
        nonce += 1
    sys.stdout.write(json.dumps({"hash": digest.hex(), "nonce": nonce}) + "\n")


if __name__ == "__main__":
    main()
