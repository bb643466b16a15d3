"""How a program is called: a command line with names in braces for what differs each time.

    /opt/fast-miner --block {index} --seed {entropy_hex} --from {nonce} --zeros {zeros} {address}

Two programs are known by name, with options of theirs behind the path:

    kale-miner=/opt/kale-miner/miner --gpu --max-threads 512
    kale-farmer=/opt/kale-farmer/kale-farmer
"""

import base64
import shlex
import shutil
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from libs.kale.address import address_of
from miner.model import EngineUnavailableError, Work

#: The names that may stand in braces, with what stands there.
NAMES = {
    "index": "index of the block",
    "entropy_base64": "entropy of the block in base64",
    "entropy_hex": "the same in hex",
    "nonce": "first nonce to try, below 2^63",
    "nonces": "how many nonces to try",
    "zeros": "zeros that are wanted at least",
    "address": "the farmer's address (G...)",
    "key_hex": "the 32 bytes in that address, in hex",
    "threads": "threads to use",
}
#: Command lines of known programs; source: their own READMEs and sources.
_KNOWN = {
    # Tells nothing of its rate without --verbose; options that stand later win.
    "kale-miner": "{index} {entropy_base64} {nonce} {zeros} {address} "
    "--max-threads {threads} --verbose",
    "kale-farmer": "--index {index} --entropy-hex {entropy_hex} --farmer-hex {key_hex} "
    "--nonce-count {nonces}",
}


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a program is asked for in one run."""

    #: The block.
    work: Work
    #: Position of the farmer in the work's targets.
    target: int
    #: First nonce.
    nonce: int
    #: Nonces to try, for a program that is told.
    nonces: int
    #: Zeros wanted, for a program that is told.
    zeros: int


@dataclass(frozen=True, kw_only=True)
class Template:
    """A program's command line."""

    #: The name that people know it by.
    name: str
    #: The words, some with names in braces.
    words: Sequence[str]
    #: Threads that it may use.
    threads: int
    #: Variables that it needs besides those of this process.
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def prefers_even(self) -> bool:
        """Tell whether it misses finds when it is asked for an odd number of zeros.

        kale-miner's CUDA kernel then takes hashes with exactly that many zeros only (`kernel.cu`).
        """
        return self.name == "kale-miner" and "--gpu" in self.words

    def takes(self, name: str) -> bool:
        """Tell whether the program is told something of NAMES."""
        return any(f"{{{name}}}" in word for word in self.words)

    def command(self, order: Order) -> list[str]:
        """Return the words for a run."""
        work = order.work
        key = work.targets[order.target].key
        values = {
            "index": work.index,
            "entropy_base64": base64.b64encode(work.entropy).decode(),
            "entropy_hex": work.entropy.hex(),
            "nonce": order.nonce,
            "nonces": order.nonces,
            "zeros": order.zeros,
            "address": address_of(key),
            "key_hex": key.hex(),
            "threads": self.threads,
        }
        return [word.format_map(values) for word in self.words]


def template_of(text: str, threads: int) -> Template:
    """Return what a setting says. Raise EngineUnavailableError for what cannot be called."""
    words = _split(text)
    name, is_named, program = words[0].partition("=")
    if is_named and name in _KNOWN:
        return _known(name, [program, *words[1:]], threads)
    for word in words:
        _check_names(word, text)
    template = Template(name=_file_name(words[0]), words=words, threads=threads)
    if not (template.takes("zeros") or template.takes("nonces")):
        raise EngineUnavailableError(f"program: {text!r} has neither {{zeros}} nor {{nonces}}")
    return _found(template)


def _known(name: str, words: Sequence[str], threads: int) -> Template:
    words = [words[0], *_KNOWN[name].split(), *words[1:]]
    # It divides the work by two threads fewer than it has, and by zero where it has two.
    environment = {"RAYON_NUM_THREADS": str(threads + 2)} if name == "kale-farmer" else {}
    return _found(Template(name=name, words=words, threads=threads, environment=environment))


def _found(template: Template) -> Template:
    if shutil.which(template.words[0]) is None:
        raise EngineUnavailableError(f"program: {template.words[0]!r} is no program to run")
    return template


def _split(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise EngineUnavailableError(f"program: {text!r}: {error}") from error
    if not words:
        raise EngineUnavailableError("program: the command line is empty")
    return words


def _check_names(word: str, text: str) -> None:
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(word) if name is not None]
    except ValueError as error:
        raise EngineUnavailableError(f"program: {text!r}: {error}") from error
    if unknown := [name for name in names if name not in NAMES]:
        raise EngineUnavailableError(
            f"program: there is no {{{unknown[0]}}}; there are {', '.join(NAMES)}"
        )


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]
