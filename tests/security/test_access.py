"""Every caller on every method of a running pool, and every pooler on another's things."""

from pathlib import Path

import pytest

from devstack.stack import open_stack
from trials.security.access import columns, differences, expected, matrix, rpcs, trespasses
from trials.security.limits import excesses
from trials.security.run import stack_config

pytestmark = pytest.mark.e2e


async def test_the_pool_lets_in_whom_the_table_lets_in_and_nobody_else(tmp_path: Path) -> None:
    async with open_stack(stack_config(tmp_path / "stack")) as stack:
        found = await matrix(stack)
        assert len(found) == len(rpcs()) * len(columns())
        assert differences(found) == []
        # The comparison does find what is not as it should be.
        rpc = rpcs()[0]
        found[rpc.path, "plant"] = not expected(rpc, "plant")
        assert len(differences(found)) == 1

        assert await trespasses(stack) == []
        # What suspension, leaving and pauses allow, cell by cell.
        assert await excesses(stack) == []
