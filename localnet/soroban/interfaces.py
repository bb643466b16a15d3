"""The published interfaces of localnet's contracts, as their code tells them to clients (SEP-48).

Types are written in the JSON form of XDR (SEP-51).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stellar_sdk import xdr

#: A type: its name, or a mapping from its name to its parameters.
Type = str | Mapping[str, Any]

_HASH = {"bytes_n": {"n": 32}}
#: One call of a router: contract, function, arguments.
_CALL = {"tuple": {"value_types": ["address", "symbol", {"vec": {"element_type": "val"}}]}}


def _list(item: Type) -> Type:
    return {"vec": {"element_type": item}}


def _maybe(item: Type) -> Type:
    return {"option": {"value_type": item}}


def _named(name: str) -> Type:
    return {"udt": {"name": name}}


@dataclass(frozen=True, kw_only=True)
class Interface:
    """The interface of one contract."""

    #: The functions and the types that they use.
    entries: tuple[xdr.SCSpecEntry, ...]

    @cached_property
    def functions(self) -> dict[str, int]:
        """The number of arguments of each function, by its name."""
        found = (entry.function_v0 for entry in self.entries if entry.function_v0 is not None)
        return {f.name.sc_symbol.decode(): len(f.inputs) for f in found}


def _function(function: str, returns: Type | None = None, /, **inputs: Type) -> xdr.SCSpecEntry:
    return _entry(
        "function_v0",
        name=function,
        inputs=_fields(inputs),
        outputs=[] if returns is None else [returns],
    )


def _struct(name: str, **fields: Type) -> xdr.SCSpecEntry:
    return _entry("udt_struct_v0", lib="", name=name, fields=_fields(fields))


def _errors(name: str, *cases: str) -> xdr.SCSpecEntry:
    """Return the errors of a contract, whose numbers start at 1."""
    numbered = [{"doc": "", "name": c, "value": n} for n, c in enumerate(cases, start=1)]
    return _entry("udt_error_enum_v0", lib="", name=name, cases=numbered)


def _union(name: str, **cases: list[Type]) -> xdr.SCSpecEntry:
    found = [
        {"tuple_v0": {"doc": "", "name": case, "type": types}}
        if types
        else {"void_v0": {"doc": "", "name": case}}
        for case, types in cases.items()
    ]
    return _entry("udt_union_v0", lib="", name=name, cases=found)


def _entry(kind: str, **content: Any) -> xdr.SCSpecEntry:
    return xdr.SCSpecEntry.from_json_dict({kind: {"doc": "", **content}})


def _fields(fields: Mapping[str, Type]) -> list[dict[str, Any]]:
    return [{"doc": "", "name": name, "type": kind} for name, kind in fields.items()]


#: The KALE farm; both builds have the same interface.
FARM = Interface(
    entries=(
        _function("plant", farmer="address", amount="i128"),
        _function("work", "u32", farmer="address", hash=_HASH, nonce="u64"),
        _function("harvest", "i128", farmer="address", index="u32"),
        _function("__constructor", farmer="address", asset="address"),
        _function("upgrade", hash=_HASH),
        _function("pause"),
        _function("unpause"),
        _function("remove_block", index="u32"),
        _function(
            "__check_auth",
            {
                "result": {
                    "ok_type": {"tuple": {"value_types": []}},
                    "error_type": _named("Errors"),
                }
            },
            _signature_payload=_HASH,
            _signatures=_maybe(_list("val")),
            _auth_contexts=_list(_named("Context")),
        ),
        _errors(
            "Errors",
            "HomesteadExists",
            "HomesteadMissing",
            "FarmBlockMissing",
            "FarmPaused",
            "FarmNotPaused",
            "PlantAmountTooLow",
            "ZeroCountTooLow",
            "PailExists",
            "PailMissing",
            "WorkMissing",
            "BlockMissing",
            "BlockInvalid",
            "HashInvalid",
            "HarvestNotReady",
            "GapCountTooLow",
        ),
        _struct(
            "Block",
            entropy=_HASH,
            max_gap="u32",
            max_stake="i128",
            max_zeros="u32",
            min_gap="u32",
            min_stake="i128",
            min_zeros="u32",
            normalized_total="i128",
            staked_total="i128",
            timestamp="u64",
        ),
        _struct("Pail", gap=_maybe("u32"), sequence="u32", stake="i128", zeros=_maybe("u32")),
        _union(
            "Storage",
            Homesteader=[],
            HomesteadAsset=[],
            FarmIndex=[],
            FarmBlock=[],
            FarmPaused=[],
            Block=["u32"],
            Pail=["address", "u32"],
        ),
    )
)

#: The tractor, which harvests many pails of a farmer.
TRACTOR = Interface(
    entries=(
        _function("__constructor", farm="address"),
        _function("harvest", _list("i128"), farmer="address", pails=_list("u32")),
        _errors("Errors", "NoPailsProvided", "NoHarvestablePails"),
    )
)

#: The router of the recordings, which makes many calls in one.
ROUTER = Interface(
    entries=(
        _function("exec", _list("val"), calls=_list(_CALL)),
        _function("exec_each", _list("bool"), calls=_list(_CALL)),
    )
)
