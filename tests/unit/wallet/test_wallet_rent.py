"""When what calls need is extended, how far, and when calls wait: no farmer ever pays for it."""

from hypothesis import given
from hypothesis import strategies as st

from services.wallet.domain.rent import (
    FARM_CODE,
    FARM_INSTANCE,
    GUARD,
    LEAD,
    MULTICALL_LIFE,
    MULTICALL_THRESHOLD,
    WEEK,
    Entry,
    Rule,
    farm_entries,
    farm_rule,
    holding,
    multicall_rule,
    token_rule,
    wanting,
)

#: Mainnet's maxEntryTTL.
MAINNET = 3_110_400
MOST = MAINNET - 1
#: Seconds that an envelope lives at most, at the quickest ledgers of a test network.
ENVELOPE_LEDGERS = 40

ttls = st.integers(min_value=2, max_value=10**7)
ledgers = st.integers(min_value=1, max_value=2**31)


def contract_extends(left: int, max_entry_ttl: int) -> bool:
    """The host's rule for the farm, as KALE_CONTRACT section 3 has it."""
    return left <= (max_entry_ttl - 1) - 120_960


def entry(left: int, rule: Rule, *, at: int = 1000, is_farms: bool = True) -> Entry:
    """One with so many ledgers left at a ledger."""
    return Entry(name="x", until=at + left, rule=rule, is_farms=is_farms)


def test_the_farms_rule_is_the_contracts() -> None:
    rule = farm_rule(MAINNET)
    assert (rule.threshold, rule.extend_to) == (MOST - 120_960, MOST)
    assert rule.lead == LEAD
    assert rule.guard == GUARD > ENVELOPE_LEDGERS


@given(ttl=st.integers(min_value=WEEK + 2, max_value=10**7), at=ledgers, left=st.integers(0, 10**7))
def test_what_the_contract_would_extend_is_extended_and_holds_calls(
    ttl: int, at: int, left: int
) -> None:
    item = entry(left, farm_rule(ttl), at=at)
    assert (at >= item.due_ledger) == contract_extends(left, ttl)
    if contract_extends(left - ENVELOPE_LEDGERS, ttl):
        assert item.holds_calls(at)
    if item.holds_calls(at):
        assert item.wants_more(at)


@given(ttl=ttls, at=ledgers)
def test_after_an_extension_nothing_is_wanted_and_at_most_a_week_was_paid(
    ttl: int, at: int
) -> None:
    for rule in (farm_rule(ttl), token_rule(ttl)):
        fresh = entry(rule.extend_to, rule, at=at)
        first = next_wanted(fresh)
        if rule.extend_to > rule.threshold:
            assert first > at
        paid = rule.extend_to - fresh.left(first)
        assert paid <= WEEK


@given(ttl=ttls)
def test_no_rule_asks_for_more_than_the_network_allows(ttl: int) -> None:
    for rule in (farm_rule(ttl), token_rule(ttl), multicall_rule(ttl)):
        assert 0 <= rule.threshold <= rule.extend_to <= ttl - 1
        assert 0 <= rule.guard <= rule.lead <= LEAD


def next_wanted(item: Entry) -> int:
    """The first ledger in which it is extended."""
    return item.due_ledger - item.rule.lead


def test_the_tokens_and_the_multicalls_own_rules() -> None:
    # soroban-env-host: a token extends its instance to 7 days once 6 are left.
    assert token_rule(MAINNET).threshold == 6 * 17_280
    assert token_rule(MAINNET).extend_to == 6 * 17_280 + WEEK
    rule = multicall_rule(MAINNET)
    assert (rule.threshold, rule.extend_to) == (MULTICALL_THRESHOLD, MULTICALL_LIFE)


def test_an_hour_before_it_is_due_an_entry_is_extended_and_five_minutes_before_calls_wait() -> None:
    rule = farm_rule(MAINNET)
    assert (rule.lead, rule.guard) == (720, 60)
    # Where lives are short, a quarter of what an extension adds, and half of that.
    assert Rule(threshold=100, extend_to=180).lead == 20
    assert Rule(threshold=100, extend_to=180).guard == 10


def test_our_multicall_gets_a_hundred_and_twenty_days_when_thirty_are_left() -> None:
    rule = multicall_rule(MAINNET)
    assert (rule.threshold, rule.extend_to) == (30 * 17_280, 120 * 17_280)


def test_networks_with_short_lives_have_rules_too() -> None:
    assert farm_rule(1001) == Rule(threshold=0, extend_to=1000)
    assert token_rule(1001) == Rule(threshold=500, extend_to=1000)
    assert multicall_rule(1001) == Rule(threshold=250, extend_to=1000)
    for rule in (farm_rule(0), token_rule(0), multicall_rule(0)):
        assert rule == Rule(threshold=0, extend_to=0)


def test_each_entry_is_judged_by_itself_the_farms_first() -> None:
    at, rule = 5000, farm_rule(MAINNET)
    instance, code = farm_entries(
        instance_until=at + MOST, code_until=at + rule.threshold, max_entry_ttl=MAINNET
    )
    assert (instance.name, code.name) == (FARM_INSTANCE, FARM_CODE)
    token = Entry(name="token instance", until=at + 1, rule=token_rule(MAINNET))
    assert wanting([instance, token, code], at) == [code, token]
    assert holding([instance, token, code], at) == [code]
    assert wanting([instance], at) == []


def test_what_is_not_known_holds_nobody() -> None:
    assert farm_entries(instance_until=0, code_until=0, max_entry_ttl=MAINNET) == []


def test_a_table_of_lives() -> None:
    rule, at = farm_rule(MAINNET), 10_000
    due = rule.threshold
    rows = {
        due + LEAD + 1: (False, False),
        due + LEAD: (True, False),
        due + GUARD + 1: (True, False),
        due + GUARD: (True, True),
        due: (True, True),
        0: (True, True),
        -5: (True, True),
    }
    for left, (wants, holds) in rows.items():
        item = entry(left, rule, at=at)
        assert (item.wants_more(at), item.holds_calls(at)) == (wants, holds), left
    assert not entry(due, rule, at=at, is_farms=False).holds_calls(at)
