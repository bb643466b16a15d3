"""The change of functions that have been imported already, so that a mutant needs no new import.

A changed file is compiled as before and as now. Where the two differ in bodies of functions alone,
each living function gets its new code. Everything else, such as a constant, a default or a
decorator, took effect when the module was imported and cannot be changed later.
"""

import inspect
import types
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

#: A function's place: the file, its qualified name and its first line.
Key = tuple[str, str, int]
Functions = Mapping[Key, Sequence[types.FunctionType]]


class NotSwappableError(Exception):
    """The change takes effect at an import, or no function that it concerns is known."""


def functions_in(objects: Iterable[object], folder: str) -> Functions:
    """Return all functions among some objects whose code is of a file below a folder."""
    found: defaultdict[Key, list[types.FunctionType]] = defaultdict(list)
    for item in objects:
        if type(item) is types.FunctionType and item.__code__.co_filename.startswith(folder):
            found[_key(item.__code__)].append(item)
    return found


def swap(functions: Functions, file: str, *, old: str, new: str) -> None:
    """Give all functions of a file the code of its new text.

    Raise NotSwappableError when the texts differ outside of functions as well, or when a changed
    function is not among `functions`.
    """
    before = compile(old, file, "exec", dont_inherit=True)
    after = compile(new, file, "exec", dont_inherit=True)
    pairs = list(_pairs(before, after))
    for was, now in pairs:
        living = functions.get(_key(was), ())
        if was != now and not living and "<locals>" not in was.co_qualname:
            raise NotSwappableError(was.co_qualname)
        for function in living:
            try:
                function.__code__ = now
            except ValueError:  # another number of variables of the function around it
                raise NotSwappableError(was.co_qualname) from None


def _pairs(
    before: types.CodeType, after: types.CodeType, *, is_within: bool = False
) -> Iterator[tuple[types.CodeType, types.CodeType]]:
    """Yield the functions' code before and after, with all code within them (`is_within`)."""
    is_within = is_within or _is_function(before)
    if is_within:
        yield before, after
    elif _outline(before) != _outline(after):
        raise NotSwappableError(before.co_qualname)
    if _names(before) != _names(after):
        return  # the function that makes them has the new ones
    for was, now in zip(_inner(before), _inner(after), strict=True):
        yield from _pairs(was, now, is_within=is_within)


def _is_function(code: types.CodeType) -> bool:
    # A comprehension at the top of a module or class has run when the module is there.
    is_comprehension = code.co_name.startswith("<") and code.co_name != "<lambda>"
    return bool(code.co_flags & inspect.CO_OPTIMIZED) and not is_comprehension


def _outline(code: types.CodeType) -> tuple[object, ...]:
    """Return everything of a module's or class's code but the functions in it and their lines."""
    constants = tuple(
        (type(item), repr(item)) for item in code.co_consts if not isinstance(item, types.CodeType)
    )
    return (code.co_code, code.co_names, code.co_varnames, constants, _names(code))


def _names(code: types.CodeType) -> tuple[str, ...]:
    return tuple(item.co_qualname for item in _inner(code))


def _inner(code: types.CodeType) -> list[types.CodeType]:
    return [item for item in code.co_consts if isinstance(item, types.CodeType)]


def _key(code: types.CodeType) -> Key:
    return (code.co_filename, code.co_qualname, code.co_firstlineno)
