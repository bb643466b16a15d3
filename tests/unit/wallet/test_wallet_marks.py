"""Marks in memory that a head set which was a lie: they do not count once the head is back."""

from typing import Any, cast

import pytest

from services.wallet.domain.marks import is_ahead
from services.wallet.domain.model import OperationKind
from services.wallet.engine.template_book import TemplateBook


@pytest.mark.parametrize(
    ("mark", "holds"), [(100, False), (101, True), (160, True), (161, False), (100_160, False)]
)
def test_a_mark_holds_as_long_as_it_could_have_been_set(mark: int, holds: bool) -> None:
    assert is_ahead(mark, 100, most=60) is holds


def test_a_price_is_doubted_again_after_a_head_that_was_a_lie() -> None:
    book, kind = TemplateBook(cast(Any, None)), OperationKind.PLANT
    assert book.doubt(kind, 100)
    assert not book.doubt(kind, 129)
    assert book.doubt(kind, 130)
    assert book.doubt(kind, 100_161)
    # The head is back.
    assert book.doubt(kind, 170)
    assert not book.doubt(kind, 171)
    assert book.doubt(OperationKind.WORK, 171)
