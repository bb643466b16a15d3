"""The trial of the ledger's books: a short story, and books that are not as the story has them."""

from typing import Any

import pytest

from trials.books import run
from trials.books.__main__ import report_of
from trials.books.run import BooksResult


async def test_a_short_story_is_booked_whoever_is_killed() -> None:
    result = await run.tell(3_000, 7, lambda _text: None)
    assert result.problems == []
    assert result.journals > 2_000
    assert report_of(result, "python -m trials.books").passed


async def test_what_is_booked_twice_or_not_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = run._judge

    async def spoil(connection: Any, dsn: str, result: BooksResult) -> BooksResult:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(
            "DELETE FROM harvest.journals WHERE id = (SELECT max(id) FROM harvest.journals "
            "WHERE kind = 'cost')"
        )
        await connection.execute(
            "UPDATE harvest.account_balances SET amount = amount + 1 WHERE account_id = "
            "(SELECT id FROM harvest.accounts WHERE role = 'operator:fee')"
        )
        return await judge(connection, dsn, result)

    monkeypatch.setattr(run, "_judge", spoil)
    result = await run.tell(500, 7, lambda _text: None)
    told = "\n".join(result.problems)
    assert "journals of kind cost" in told
    assert "operator:fee" in told
    assert "balance (" in told
