"""When a lower head counts in place of the kept one."""

from services.wallet.domain.turning import Lower


def test_lower_heads_count_once_three_of_them_have_followed_each_other() -> None:
    lower = Lower()
    assert [lower.see(ledger) for ledger in (10, 10, 11, 11, 12, 13)] == [
        *(False, False, False, False, True, True)
    ]
    lower.forget()
    assert [lower.see(ledger) for ledger in (14, 15, 16)] == [False, False, True]


def test_a_head_that_falls_once_more_begins_the_count_anew() -> None:
    lower = Lower()
    seen = [lower.see(ledger) for ledger in (10, 11, 5, 12, 13)]
    assert seen == [False, False, False, False, True]
