"""From IR to a native function, by way of object code that is kept on disk."""

import ctypes
from collections.abc import Callable

import llvmlite
from llvmlite import binding

from miner.engines.llvm.cache import ObjectCache
from miner.engines.llvm.cpu import Cpu
from miner.engines.llvm.kernel import SYMBOL, Shape, kernel

#: (words, slices, results, count, stop), all addresses but the count; frees the GIL while it runs.
NativeScan = Callable[[int, int, int, int, int], int]
_ADDRESS, _NUMBER = ctypes.c_void_p, ctypes.c_uint64
_SIGNATURE = ctypes.CFUNCTYPE(_NUMBER, _ADDRESS, _ADDRESS, _ADDRESS, _NUMBER, _ADDRESS)


class Loaded:
    """A native function, and what has to live as long as it does."""

    def __init__(self, code: bytes, machine: binding.TargetMachine) -> None:
        """Link object code for this process."""
        self._linker = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
        self._linker.add_object_file(binding.ObjectFileRef.from_data(code))
        self._linker.finalize_object()
        self.scan: NativeScan = _SIGNATURE(self._linker.get_function_address(SYMBOL))


def load(cpu: Cpu, shape: Shape, cache: ObjectCache) -> Loaded:
    """Return the native function for this processor, compiled at most once on a machine."""
    machine = _machine(cpu)
    text = kernel(shape, cpu.triple)
    version = ".".join(str(part) for part in binding.llvm_version_info)
    made_from = (text, cpu.name, cpu.features, version, llvmlite.__version__)
    code = cache.read(*made_from)
    if code is None:
        code = _object_code(text, machine)
        cache.keep(code, *made_from)
    return Loaded(code, machine)


def assembly(cpu: Cpu, shape: Shape) -> str:
    """Return the code in words, for any processor that LLVM knows."""
    machine = _machine(cpu)
    return str(machine.emit_assembly(_optimized(kernel(shape, cpu.triple), machine)))


def _object_code(text: str, machine: binding.TargetMachine) -> bytes:
    return bytes(machine.emit_object(_optimized(text, machine)))


def _optimized(text: str, machine: binding.TargetMachine) -> binding.ModuleRef:
    module = binding.parse_assembly(text)
    module.verify()
    options = binding.create_pipeline_tuning_options(speed_level=3)
    builder = binding.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


def _machine(cpu: Cpu) -> binding.TargetMachine:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    target = binding.Target.from_triple(cpu.triple)
    return target.create_target_machine(
        cpu=cpu.name, features=cpu.features, opt=3, jit=True, reloc="default"
    )
