"""The end of a command that a test has started."""

import asyncio


async def said_by(process: asyncio.subprocess.Process, seconds: float) -> tuple[str, str]:
    """Wait for a command's end; return what the command has printed, on both of its outputs.

    A command that takes longer is killed. Raises TimeoutError.
    """
    try:
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return output.decode(), errors.decode()
