"""The processor that code is made for, and the vectors that suit it."""

from dataclasses import dataclass

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


def shape_for(cpu: Cpu) -> Shape:
    """Return the shape that is fastest on a processor.

    Vectors of 8 words need AVX-512, which also has a rotation and any function of three words as
    one instruction; vectors of 4 need AVX2. NEON and SSE2 have vectors of 2; without either, LLVM
    makes two words of each.
    """
    if cpu.has("avx512f"):
        return Shape(lanes=8)
    if cpu.has("avx2"):
        return Shape(lanes=4)
    return Shape(lanes=2)


def kind_of(cpu: Cpu) -> str:
    """Return in a word which vectors are used."""
    if cpu.has("avx512f"):
        return "AVX-512"
    if cpu.has("avx2"):
        return "AVX2"
    return "NEON" if cpu.triple.startswith(("aarch64", "arm64")) else "SSE2"
