"""Pauses of one module of the product, replaced by a stand-in."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest


def replace_sleep(
    monkeypatch: pytest.MonkeyPatch, module: str, sleep: Callable[[float], Awaitable[None]]
) -> None:
    """Let a module, by its full name, sleep by a stand-in.

    Others of the same event loop go on to sleep as ever: a loop of theirs whose pauses end at once
    would let nobody else run.
    """
    monkeypatch.setattr(f"{module}.asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
