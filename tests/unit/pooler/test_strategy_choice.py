"""Strategies by name, the operator's own among them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pooler.strategies import choice, stake, timing
from pooler.strategies.choice import StrategyNames
from pooler.strategies.model import EarlyFacts, StakeFacts, StrategyError

KINDS = (choice.STAKE, choice.ZEROS, choice.SEND, choice.WORKS, choice.HARVESTS, choice.GATE)
DOCUMENT = Path(__file__).parents[3] / "docs" / "strategies.md"


def test_the_defaults_stake_fully_send_late_and_work_once() -> None:
    chosen = StrategyNames().strategies()
    assert chosen.stake is stake.full
    assert chosen.send is timing.late
    assert not chosen.early(EarlyFacts(ledger=9, planted=1, stake=1))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.option)
def test_every_strategy_is_found_by_its_name(kind: choice.Kind[Callable[[Any], Any]]) -> None:
    assert [kind.named(name) for name in kind.known] == list(kind.known.values())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.option)
def test_every_strategy_is_documented(kind: choice.Kind[Callable[[Any], Any]]) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [name for name in (kind.option, *kind.known) if f"`{name}`" not in text] == []


def test_a_strategy_of_the_operators_own_is_named_by_module_and_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_stakes.py").write_text("def tenth(facts):\n    return facts.balance // 10\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    chosen = StrategyNames(stake="my_stakes:tenth").strategies()
    facts = StakeFacts(balance=1_000, locked=0, agreed=1_000, max_stake=None)
    assert chosen.stake(facts) == 100


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return facts.balance // 0", "stake: my_slip:slip: ZeroDivisionError: "),
        ("return None", "stake: my_slip:slip returned None, no int"),
        ("return 1.5", "stake: my_slip:slip returned 1.5, no int"),
    ],
)
def test_the_default_decides_where_an_operators_own_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str
) -> None:
    (tmp_path / "my_slip.py").write_text(f"def slip(facts):\n    {body}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_slip", raising=False)
    told: list[str] = []
    chosen = StrategyNames(stake="my_slip:slip").strategies(told.append)
    facts = StakeFacts(balance=1_000, locked=0, agreed=1_000, max_stake=None)
    assert chosen.stake(facts) == stake.full(facts)
    assert len(told) == 1
    assert told[0].startswith(words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fast", "send: no strategy 'fast'; there are late, share"),
        ("", "send: no strategy ''"),
        (":late", "send: no strategy ':late'"),
        ("no_such_module:late", "send: no_such_module:late: No module named"),
        ("math:no_such_name", "send: math:no_such_name: module 'math' has no attribute"),
        ("math:pi", "send: math:pi is no function"),
    ],
)
def test_a_name_that_is_not_known_says_which_option_is_wrong(name: str, words: str) -> None:
    with pytest.raises(StrategyError, match=f"^{words}"):
        StrategyNames(send=name).strategies()
