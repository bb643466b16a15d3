"""What cannot succeed keeps nobody else of a running pool waiting."""

from pathlib import Path

import pytest

from devstack.stack import open_stack
from trials.security.run import stack_config
from trials.security.turns import waits

pytestmark = pytest.mark.e2e


async def test_nobody_waits_for_what_cannot_succeed(tmp_path: Path) -> None:
    async with open_stack(stack_config(tmp_path / "stack")) as stack:
        found = await waits(stack, lambda _: None)
        assert list(found.failures) == []
