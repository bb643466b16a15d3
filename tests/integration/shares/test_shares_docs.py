"""The lines of docs/mining.md do what they say, as they stand there."""

import json
import shutil
from pathlib import Path

import pytest

from pooler.shares.domain.codes import MEANINGS
from tests.support.documents import ROOT, run_lines
from tests.support.other_programs import KALE_MINER, OTHER_MINER
from tests.support.share_world import open_share_world

DOCUMENT = "docs/mining.md"
#: Programs that know no pool: a kale-miner in Python, and the real one.
PROGRAMS = [
    pytest.param(OTHER_MINER),
    pytest.param(
        KALE_MINER,
        marks=pytest.mark.skipif(not KALE_MINER, reason="KALE_MINER names no kale-miner"),
    ),
]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
@pytest.mark.parametrize("program", PROGRAMS)
async def test_every_line_for_a_shell_works(program: str, tmp_path: Path) -> None:
    async with open_share_world(tmp_path, shares_highest_difficulty=4096) as world:
        variables = {
            "POOL": f"http://127.0.0.1:{world.port}",
            "MINER": program,
            "TMPDIR": str(tmp_path),
        }
        output = await run_lines(DOCUMENT, variables, seconds=120)
    accepted = [line for line in output.split("{") if '"code":"ACCEPTED"' in line]
    assert len(accepted) == 2
    stats, _ = json.JSONDecoder().raw_decode(output[output.find('{"miner":') :])
    assert stats["miner"]["name"] == "first rig"
    (rig,) = stats["workers"]
    assert rig["shares"]["ACCEPTED"] == 1


def test_every_code_is_told_as_the_code_tells_it() -> None:
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    for code, meaning in MEANINGS.items():
        assert f"| `{code.value}` | {meaning} |" in text
