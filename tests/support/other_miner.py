"""A miner as others write them, for tests: it behaves as kale-miner and KALE-farmer do, in Python.

    other_miner.py zeros INDEX ENTROPY_BASE64 NONCE ZEROS ADDRESS [--verbose] [--deed DEED]
    other_miner.py count --index I --entropy-hex E --farmer-hex K --nonce-count N

DEED is what goes wrong: lie (the first nonce, whatever it hashes to), fail (a complaint, status 0),
silent (nothing at all), endless (it finds nothing and never ends).
"""

import argparse
import base64
import json
import sys
import time
from functools import partial

import sha3

_ROW = 1_000
#: Standard output, with nothing kept back.
say = partial(print, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    kinds = parser.add_subparsers(dest="kind", required=True)
    searching = kinds.add_parser("zeros")
    for name in ("index", "entropy", "nonce", "zeros", "address"):
        searching.add_argument(name)
    searching.add_argument("--max-threads")
    searching.add_argument("--verbose", action="store_true")
    searching.add_argument("--deed", default="work")
    counting = kinds.add_parser("count")
    for name in ("index", "entropy-hex", "farmer-hex", "nonce-count"):
        counting.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    if given.kind == "zeros":
        search(given)
    else:
        count(given)


def search(given: argparse.Namespace) -> None:
    """kale-miner: the first nonce with enough zeros, as one object at the end."""
    key = base64.b32decode(given.address)[1:33]
    entropy = base64.b64decode(given.entropy)
    nonce, zeros = int(given.nonce), int(given.zeros)
    if given.deed == "fail":
        say("Exception: the device is gone", file=sys.stderr)
        return
    if given.deed == "silent":
        return
    while given.deed == "endless":
        say("[CPU] Mining")
        time.sleep(0.01)
    began = nonce
    digest = hashed(int(given.index), nonce, entropy, key)
    while given.deed != "lie" and not digest.hex().startswith("0" * zeros):
        nonce += 1
        digest = hashed(int(given.index), nonce, entropy, key)
        if given.verbose and (nonce - began) % _ROW == 0:
            say("[CPU] Hash Rate: 2.50 KH/s")
    say(json.dumps({"hash": digest.hex(), "nonce": nonce}, indent=2))


def count(given: argparse.Namespace) -> None:
    """KALE-farmer: the best of the first nonces, as a list behind its rate."""
    entropy, key = bytes.fromhex(given.entropy_hex), bytes.fromhex(given.farmer_hex)
    best = min(
        range(int(given.nonce_count)),
        key=lambda nonce: hashed(int(given.index), nonce, entropy, key),
    )
    say("Hashrate: 1.00 MH/s")
    say(json.dumps([str(best), hashed(int(given.index), best, entropy, key).hex()]))


def hashed(index: int, nonce: int, entropy: bytes, key: bytes) -> bytes:
    data = index.to_bytes(4, "big") + nonce.to_bytes(8, "big") + entropy + key
    digest: bytes = sha3.keccak_256(data).digest()
    return digest


if __name__ == "__main__":
    main()
