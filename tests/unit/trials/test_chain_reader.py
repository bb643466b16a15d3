"""The outside memory of the chain: what it reads is read once, and what makes no sense is told."""

import asyncio
from typing import Any, cast

import pytest

from trials import chain_reader as module
from trials.chain_reader import Reader


class Node:
    """Gives transactions as `getTransactions` does; it fails as often as it was told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ledgers: list[int] = []
        self.failures = 0
        monkeypatch.setattr(module, "call_rpc", self.call)
        monkeypatch.setattr(module, "read_transactions", self.read)
        monkeypatch.setattr(module, "_PAUSE", 0)

    async def call(self, *_arguments: object) -> dict[str, Any]:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("busy")
        return {"oldestLedger": 1}

    async def read(self, *_arguments: object, first: int) -> Any:
        for ledger in self.ledgers:
            if ledger >= first:
                yield {"ledger": ledger}


class Strict(Reader):
    """Does not believe in ledger 5."""

    def __init__(self) -> None:
        super().__init__(cast(Any, None), "")
        self.added: list[int] = []

    def add(self, item: dict[str, Any]) -> None:
        if item["ledger"] == 5:
            raise ValueError("a pail is gone without a harvest")
        self.added.append(item["ledger"])


async def test_each_transaction_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    node, reader = Node(monkeypatch), Strict()
    node.ledgers, node.failures = [2, 2, 3], 2
    await reader.catch_up()
    node.ledgers += [4]
    await reader.catch_up()
    assert reader.added == [2, 2, 3, 4]


async def test_what_makes_no_sense_is_told_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither waited for as if the node were away, nor passed over."""
    node, reader = Node(monkeypatch), Strict()
    node.ledgers = [4, 5, 5, 6]
    for _ in range(2):
        with pytest.raises(ValueError, match="without a harvest"):
            await asyncio.wait_for(reader.catch_up(), timeout=60)
    assert reader.added == [4]
