"""The build of our Soroban contract, or the check that the committed file is what its source gives.

Usage: python scripts/contracts.py [--check]

Without cargo the check is skipped, as only those who change the contract need it; building fails.
The first build downloads the pinned compiler and libraries.
"""

import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "contracts" / "multicall"
BUILT = SOURCE / "target" / "wasm32v1-none" / "release" / "multicall.wasm"
#: The file that wallet reads.
COMMITTED = ROOT / "services" / "wallet" / "chain" / "build" / "contracts" / "multicall.wasm"


def cargo(*arguments: str) -> None:
    """Run cargo in the contract's folder, with exactly the locked libraries."""
    command = ["cargo", arguments[0], "--locked", "--quiet", *arguments[1:]]
    subprocess.run(command, cwd=SOURCE, check=True)  # noqa: S603


def build() -> bytes:
    """Build the contract from this source."""
    cargo("build", "--release", "--target", "wasm32v1-none")
    return BUILT.read_bytes()


def described(code: bytes) -> str:
    """Return size and hash; the hash is what the network knows the code by."""
    return f"{len(code)} bytes, sha256 {sha256(code).hexdigest()}"


def write() -> int:
    """Test and build the contract, and print the figures that localnet needs."""
    cargo("test")
    code = build()
    COMMITTED.write_bytes(code)
    cargo("run", "--example", "figures", "--", str(COMMITTED))
    sys.stdout.write(f"contracts: {COMMITTED.relative_to(ROOT)}: {described(code)}\n")
    return 0


def check() -> int:
    """Compare the committed file with a fresh build."""
    committed, fresh = COMMITTED.read_bytes(), build()
    if committed == fresh:
        sys.stdout.write(f"contracts: as the source gives it: {described(fresh)}\n")
        return 0
    sys.stderr.write(
        f"contracts: multicall.wasm is not what its source gives (make contracts)\n"
        f"  committed: {described(committed)}\n  fresh:     {described(fresh)}\n"
    )
    return 1


def main(arguments: list[str]) -> int:
    """Run the command."""
    checking = "--check" in arguments
    if shutil.which("cargo") is None:
        sys.stdout.write("contracts: no cargo here (https://rustup.rs), so nothing was built\n")
        return 0 if checking else 1
    try:
        return check() if checking else write()
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"contracts: {' '.join(error.cmd)} failed\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
