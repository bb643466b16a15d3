"""Which engines this machine has, and which of them are used."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from miner.engine import Engine
from miner.engines.program.engine import ProgramEngine
from miner.engines.program.template import template_of
from miner.engines.python import PythonEngine
from miner.model import EngineUnavailableError, MinerError
from miner.processors import processors
from miner.roster import Roster


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What somebody wants to search with."""

    #: Engines by name, of ENGINES; none: the best that this machine has.
    engines: Sequence[str] = ()
    #: Threads that hash on processors; 0: one per processor.
    threads: int = 0
    #: Vectors for llvm, such as AVX2; empty: the best of the processor.
    vectors: str = ""
    #: Command lines of programs to search with (miner.engines.program.template).
    programs: Sequence[str] = ()
    #: Folder for compiled code; None: in the user's cache folder.
    cache: Path | None = None


def roster_of(choice: Choice) -> Roster:
    """Return the chosen engines.

    Raise EngineUnavailableError for one that is named and that this machine cannot have.
    """
    check_names(choice.engines)
    made: list[Engine] = []
    for name in choice.engines or _BEST:
        try:
            made += ENGINES[name](choice)
        except EngineUnavailableError:
            if choice.engines or (name == "programs" and choice.programs):
                raise
    return Roster(made, PythonEngine())


def check_names(names: Sequence[str]) -> None:
    """Raise EngineUnavailableError for a name that is none of ENGINES."""
    if unknown := [name for name in names if name not in ENGINES]:
        raise EngineUnavailableError(
            f"engines: there is no {unknown[0]}; there are {', '.join(ENGINES)}"
        )


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An engine of ENGINES on this machine."""

    #: Its name.
    name: str
    #: It is used where no engine is named.
    is_default: bool
    #: What it hashes on.
    devices: Sequence[str] = ()
    #: Why it cannot be used; empty when it can.
    problem: str = ""


def listed(choice: Choice) -> list[Listed]:
    """Return all engines, each made ready or with the reason why it is not."""
    return [_listed(name, choice) for name in ENGINES]


def _listed(name: str, choice: Choice) -> Listed:
    is_default = name in _BEST
    try:
        devices = [engine.name for engine in made_ready(name, choice)]
    except MinerError as error:
        return Listed(name=name, is_default=is_default, problem=str(error))
    return Listed(name=name, is_default=is_default, devices=devices)


def made_ready(name: str, choice: Choice) -> list[Engine]:
    """Return the engines of a name of ENGINES, compiled and checked. Raise MinerError."""
    engines = ENGINES[name](choice)
    for engine in engines:
        engine.warm()
    return engines


def _python(_choice: Choice) -> list[Engine]:
    return [PythonEngine()]


def _llvm(choice: Choice) -> list[Engine]:
    try:
        # An extra: a machine that only serves does without it.
        from miner.engines.llvm.cache import ObjectCache, default_folder  # noqa: PLC0415
        from miner.engines.llvm.cpu import kinds, this_cpu  # noqa: PLC0415
        from miner.engines.llvm.engine import LlvmEngine  # noqa: PLC0415
    except (ImportError, OSError) as error:
        # OSError: it is installed, and its library does not load here.
        raise EngineUnavailableError(
            f"llvm: {error}; it needs llvmlite (pip install -r requirements/miner.txt)"
        ) from error
    cache = ObjectCache(choice.cache or default_folder())
    known = kinds(this_cpu())
    if choice.vectors and choice.vectors not in known:
        raise EngineUnavailableError(
            f"vectors: this processor has no {choice.vectors}; it has {', '.join(known)}"
        )
    cpu = known[choice.vectors] if choice.vectors else None
    return [LlvmEngine(choice.threads or processors(), cache, cpu=cpu)]


def _opencl(choice: Choice) -> list[Engine]:
    return _opencl_devices(choice, on_processors=False)


def _opencl_cpu(choice: Choice) -> list[Engine]:
    return _opencl_devices(choice, on_processors=True)


def _opencl_devices(_choice: Choice, *, on_processors: bool) -> list[Engine]:
    try:
        # An extra, as above.
        from miner.engines.opencl.devices import devices  # noqa: PLC0415
        from miner.engines.opencl.engine import OpenClEngine  # noqa: PLC0415
    except ImportError as error:
        raise EngineUnavailableError(
            f"opencl: {error}; it needs pyopencl (pip install -r requirements/opencl.txt)"
        ) from error
    found = devices(processors=on_processors)
    return [OpenClEngine(device, number) for number, device in enumerate(found)]


def _programs(choice: Choice) -> list[Engine]:
    if not choice.programs:
        raise EngineUnavailableError("programs: none is given")
    threads = choice.threads or processors()
    templates = [template_of(text, threads) for text in choice.programs]
    return [ProgramEngine(template, number) for number, template in enumerate(templates)]


def vectors() -> list[str]:
    """Return the kinds of vectors that llvm can use on this processor; none without llvm."""
    try:
        from miner.engines.llvm.cpu import kinds, this_cpu  # noqa: PLC0415  (an extra, as above)
    except (ImportError, OSError):
        return []
    return list(kinds(this_cpu()))


#: How each engine is made; one name may stand for several devices.
ENGINES: Mapping[str, Callable[[Choice], list[Engine]]] = {
    "llvm": _llvm,
    "opencl": _opencl,
    "opencl-cpu": _opencl_cpu,
    "programs": _programs,
    "python": _python,
}
#: The engines that are used where none are named, as far as this machine has them.
_BEST = ("llvm", "opencl", "programs")
