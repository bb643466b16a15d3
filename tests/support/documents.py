"""Lines for a shell that stand in a document, run as they stand there."""

import asyncio
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.commands import said_by

ROOT = Path(__file__).resolve().parents[2]


def shell_lines(document: str) -> str:
    """Return all blocks of a document that are marked as `sh`."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return "".join(re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL))


async def run_lines(document: str, variables: Mapping[str, str], *, seconds: float) -> str:
    """Run the lines of a document in one shell, which ends at the first that fails.

    `python` is the one that runs the tests. Return what the lines have printed.
    """
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", "set -eu\n" + shell_lines(document)),
        cwd=ROOT,
        env={
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "gen"))),
            "no_proxy": "127.0.0.1",
            **variables,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await said_by(process, seconds)
    assert process.returncode == 0, output + errors
    return output
