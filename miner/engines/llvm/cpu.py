"""The processor that code is made for, and the vectors that suit it."""

from dataclasses import dataclass, replace

from llvmlite import binding

from miner.engines.llvm.kernel import Shape


@dataclass(frozen=True, kw_only=True)
class Cpu:
    """A processor as LLVM names it."""

    #: Target triple, such as x86_64-unknown-linux-gnu.
    triple: str
    #: Name, such as znver4.
    name: str
    #: Its features, as +avx2,-avx512f and so on.
    features: str

    def has(self, feature: str) -> bool:
        """Tell whether it has a feature."""
        return f"+{feature}" in self.features.split(",")


def this_cpu() -> Cpu:
    """Return the processor that this process runs on."""
    return Cpu(
        triple=str(binding.get_process_triple()),
        name=str(binding.get_host_cpu_name()),
        features=str(binding.get_host_cpu_features().flatten()),
    )


def kinds(cpu: Cpu) -> dict[str, Cpu]:
    """Return the kinds of vectors that a processor has, the best first.

    Each with the processor as one that has no better vectors.
    """
    if cpu.triple.startswith(("aarch64", "arm64")):
        return {"NEON": cpu}
    if not cpu.triple.startswith(("x86_64", "amd64")):
        return {"plain": cpu}
    return {
        kind: _without(cpu, better)
        for kind, feature, better in _KINDS
        if not feature or cpu.has(feature)
    }


def kind_of(cpu: Cpu) -> str:
    """Return the best vectors of a processor, in a word."""
    return next(iter(kinds(cpu)))


def shape_for(cpu: Cpu) -> Shape:
    """Return the shape that is fastest on a processor.

    Vectors of 8 words need AVX-512, which also has a rotation and any function of three words as
    one instruction; vectors of 4 need AVX2. NEON and SSE2 have vectors of 2; without any, LLVM
    makes two words of each.
    """
    return Shape(lanes=_LANES[kind_of(cpu)])


def _without(cpu: Cpu, prefixes: tuple[str, ...]) -> Cpu:
    """Return a processor without the features that begin so."""
    features = (
        f"-{one[1:]}" if one[1:].startswith(prefixes) else one
        for one in cpu.features.split(",")
        if one
    )
    return replace(cpu, features=",".join(features)) if prefixes else cpu


#: Vectors of x86, the best first: the feature that they need, and what is better.
_KINDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("AVX-512", "avx512f", ()),
    ("AVX2", "avx2", ("avx512", "avx10")),
    ("SSE2", "", ("avx", "vaes", "vpclmulqdq", "fma", "f16c", "gfni", "xop")),
)
_LANES = {"AVX-512": 8, "AVX2": 4, "SSE2": 2, "NEON": 2, "plain": 2}
