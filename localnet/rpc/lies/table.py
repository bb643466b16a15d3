"""All lies by name, and the lies that one node tells."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from localnet.rpc.lies import answers, entries, farm, heights, shapes, transactions
from localnet.rpc.lies.model import HonestNode, Lie, Result, Told, is_text

#: Lies about single answers; a node applies them in this order.
LIES: dict[str, Lie] = {
    "succeeded": transactions.SUCCEEDED,
    "failed": transactions.FAILED,
    "omit": transactions.OMIT,
    "send": answers.SEND,
    "sequences": entries.SEQUENCES,
    "payer": entries.PAYER,
    "balances": entries.BALANCES,
    "trustlines": entries.TRUSTLINES,
    "memo": entries.MEMO,
    "lives": entries.LIVES,
    "pails": farm.PAILS,
    "block": farm.BLOCK,
    "paused": farm.PAUSED,
    "code": farm.CODE,
    "config": farm.CONFIG,
    "fees": answers.FEES,
    "simulation": answers.SIMULATION,
    "passphrase": answers.PASSPHRASE,
    "add_ledgers": heights.ADD_LEDGERS,
    "shift_ledgers": heights.SHIFT_LEDGERS,
    "add_seconds": heights.ADD_SECONDS,
}
#: Lies with other mechanisms: about the chain that a node follows, and about an answer's form.
_OTHERS = {"fork": is_text, "form": shapes.check_form, "huge": shapes.check_huge}
#: Names of all lies.
NAMES = frozenset(LIES) | frozenset(_OTHERS)


@dataclass(kw_only=True)
class Lies:
    """The lies of one node."""

    #: Settings of the lies by name.
    told: dict[str, Any] = field(default_factory=dict)
    #: The methods that the node lies about; None means every method.
    methods: frozenset[str] | None = None

    def change(self, told: Any, methods: Any) -> None:
        """Replace all lies; the ValueError names the error in the body."""
        if not isinstance(told, dict):
            raise ValueError("lies: expected an object")  # noqa: TRY004
        if set(told) - NAMES:
            raise ValueError(f"unknown lies: {sorted(set(told) - NAMES)}")
        for name, value in told.items():
            try:
                (_OTHERS.get(name) or LIES[name].check)(value)
            except (ValueError, TypeError) as error:
                raise ValueError(f"{name}: {error}") from error
        if methods is not None and not isinstance(methods, list):
            raise ValueError("methods: expected a list")
        self.told = dict(told)
        self.methods = None if methods is None else frozenset(methods)

    def setting(self, name: str, method: str) -> Any:
        """Return the setting of a lie when answers of this method tell it; else None."""
        if self.methods is not None and method not in self.methods:
            return None
        return self.told.get(name)

    def takes(self, method: str) -> bool:
        """Tell whether sent envelopes are taken; False means that they are thrown away."""
        value = self.setting("send", method)
        return value is None or bool(answers.says(value)["takes"])

    def asked(self, rpc: HonestNode, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the parameters that the node answers to."""
        for _, lie, value in self._about(method):
            if lie.ask is not None:
                told = Told(rpc=rpc, method=method, params=params, result={}, value=value)
                params = lie.ask(told)
        return params

    def answer(
        self,
        rpc: HonestNode,
        method: str,
        params: Mapping[str, Any],
        result: Result,
        used: Counter[str],
    ) -> Result:
        """Return the answer that is given; `used` counts the lies that changed the answer."""
        used["fork"] += "fork" in self.told
        for name, lie, value in self._about(method):
            told = Told(rpc=rpc, method=method, params=params, result=result, value=value)
            said = lie.tell(told)
            used[name] += said != result
            result = said
        return result

    def _about(self, method: str) -> Iterator[tuple[str, Lie, Any]]:
        for name, lie in LIES.items():
            value = self.setting(name, method)
            if value is not None and method in lie.methods:
                yield name, lie, value
