"""The nodes of one chain as their clients see them, each with its own faults and lies."""

from collections.abc import Callable, Mapping
from typing import Any

from stellar_sdk import StrKey

from localnet.config import LocalnetSettings
from localnet.ledger.node import Node
from localnet.rpc.context import RpcContext
from localnet.rpc.faults import Faults
from localnet.rpc.lies.model import Memory
from localnet.rpc.lies.table import Lies
from localnet.soroban.storage import code_key, instance_key

#: Members of a POST /faults body that concern the lies of one node.
_LIES = frozenset({"lies", "methods"})
#: Members that concern the chain itself; only the first node accepts them.
_CHAIN = frozenset({"lives", "forget_before", "skip_ledgers"})
_LIVES = frozenset({"code", "instance", "contract"})


class Nodes:
    """All nodes; the first one is the chain's own node."""

    def __init__(self, chain: Node, settings: LocalnetSettings, clock: Callable[[], float]) -> None:
        self.chain = chain
        #: Chains that only lying nodes follow, by name.
        self._forks: dict[str, Node] = {}
        memory = Memory()
        self.contexts = [
            RpcContext(node=chain, settings=settings, faults=Faults(), clock=clock, memory=memory)
            for _ in range(settings.nodes)
        ]

    @property
    def first(self) -> RpcContext:
        """The node at /."""
        return self.contexts[0]

    def announce(self, friendbot_url: str) -> None:
        """Tell every node the URL of the friendbot."""
        for context in self.contexts:
            context.friendbot_url = friendbot_url

    def close_forks(self, close_time: int) -> None:
        """Close a ledger of every chain that lying nodes follow, beside the real chain."""
        for fork in self._forks.values():
            fork.close_ledger(close_time)

    def change(self, number: int, body: Mapping[str, Any]) -> None:
        """Apply the body of POST /faults; the ValueError names the error in the body."""
        context = self.contexts[number]
        if number and _CHAIN & set(body):
            raise ValueError(f"{sorted(_CHAIN & set(body))} are the chain's: POST /faults")
        own = {name: value for name, value in body.items() if name not in _LIES | {"lives"}}
        context.faults.change(own, context.node.snapshot)
        if body.get("reset"):
            context.lies = Lies()
        if "lies" in body:
            context.lies.change(body["lies"], body.get("methods"))
        self._follow(context)
        if "lives" in body:
            self._set_lives(body["lives"])
        if "forget_before" in body:
            self.chain.history.forget_before(int(body["forget_before"]))

    def show(self, number: int) -> dict[str, Any]:
        """Return the answer to GET /faults."""
        context = self.contexts[number]
        methods = context.lies.methods
        return {
            **context.faults.to_json(),
            "lies": context.lies.told,
            "methods": None if methods is None else sorted(methods),
        }

    def _follow(self, context: RpcContext) -> None:
        """Let a node follow the chain that its lies name; drop the forks that no node follows."""
        name = context.lies.told.get("fork")
        if name is None:
            context.node = self.chain
        else:
            if name not in self._forks:
                self._forks[name] = self.chain.fork()
            context.node = self._forks[name]
        followed = {c.lies.told.get("fork") for c in self.contexts}
        self._forks = {n: fork for n, fork in self._forks.items() if n in followed}

    def _set_lives(self, lives: Any) -> None:
        """Set the remaining ledgers of a contract (the farm, if none is named) and of its code."""
        if not isinstance(lives, dict) or not set(lives) <= _LIVES:
            raise ValueError(f"lives: expected an object of {sorted(_LIVES)}")
        contract = str(lives.get("contract") or self._farm)
        instance = instance_key(contract).raw
        record = self.chain.snapshot.get(instance)
        data = None if record is None else record.entry.data.contract_data
        if data is None or data.val.instance is None:
            raise ValueError(f"lives: there is no contract {contract}")
        code = data.val.instance.executable.wasm_hash
        keys = {"instance": instance, "code": None if code is None else code_key(code.hash).raw}
        wanted: dict[bytes, int] = {}
        for name in lives.keys() - {"contract"}:
            key = keys[name]
            if key is None or not isinstance(lives[name], int) or lives[name] < 0:
                raise ValueError(f"lives: {name} of {contract} cannot be {lives[name]!r}")
            wanted[key] = lives[name]
        self.chain.set_lives(wanted)

    @property
    def _farm(self) -> str:
        return StrKey.encode_contract(self.chain.genesis.network.farm)
