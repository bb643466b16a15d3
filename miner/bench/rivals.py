"""kale-miner's rate by processor time, by a task whose length is known exactly.

The program stops at its first nonce with enough zeros and tries one after the other. So the task
begins a known number of nonces before one that our own engine has found, with none in between.
"""

import base64
import resource
import subprocess
from contextlib import closing
from pathlib import Path

from libs.kale.address import address_of
from miner.bench.measure import some_work
from miner.engine import Engine, Scanner, Slice
from miner.engines.program.output import nonce_of
from miner.judge import most_head
from miner.model import EngineFailedError

#: Zeros that end the program: about a million hashes apart, so a gap of this length is found soon.
_ZEROS = 5
_NONCES = 2_500_000
#: Nonces that are looked through at most for such a gap.
_MOST = 400_000_000
_SECONDS = 600.0


class Task:
    """A number of hashes that a program has to do for one find."""

    def __init__(self, engine: Engine) -> None:
        """Look for the gap with one of our engines. Raise EngineFailedError when none is found."""
        self._work = some_work(1)
        with closing(engine.scanner(self._work, every=True)) as scanner:
            self._first = self._gap(scanner)

    def per_cpu_second(self, path: Path) -> float:
        """Run a program on it; return its hashes per second of a processor.

        Raise EngineFailedError when it does not find the nonce that it should.
        """
        before = _children_seconds()
        try:
            ended = subprocess.run(  # noqa: S603  (what the caller named)
                self._command(path),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineFailedError(f"{path}: {error}") from error
        spent = _children_seconds() - before
        if nonce_of(ended.stdout) != self._first + _NONCES:
            raise EngineFailedError(f"{path} did not find the nonce that it should: {ended.stdout}")
        return (_NONCES + 1) / spent

    def _gap(self, scanner: Scanner) -> int:
        """Return a nonce so long before one with enough zeros, with none in between."""
        last, at = 0, 1
        while at < _MOST:
            scan = scanner.scan([Slice(0, at, _NONCES * 2, most_head(_ZEROS))])
            at += scan.hashes
            for hit in sorted(scan.hits):
                if hit.nonce - last > _NONCES:
                    return hit.nonce - _NONCES
                last = hit.nonce
        raise EngineFailedError(f"no gap of {_NONCES} nonces was found")

    def _command(self, path: Path) -> list[str]:
        work = self._work
        entropy = base64.b64encode(work.entropy).decode()
        address = address_of(work.targets[0].key)
        task = [str(work.index), entropy, str(self._first), str(_ZEROS), address]
        return [str(path), *task, "--max-threads", "1", "--batch-size", str(2**40)]


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
