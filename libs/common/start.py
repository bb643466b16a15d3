"""The start of a process: its settings, or one message that names all that is wrong with them."""

import errno
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn, TypeVar

from pydantic import ValidationError

from libs.common.config import Settings

#: What a process's help says of its settings.
OF_SETTINGS = (
    "Its settings come from variables of the environment, and from files: docs/configuration.md "
    "has all of them."
)
AnySettings = TypeVar("AnySettings", bound=Settings)


def read_settings(settings_class: type[AnySettings]) -> AnySettings:
    """Read the settings from the environment.

    Wrong settings end the process with status 2; the message names every wrong variable, never its
    value.
    """
    try:
        return settings_class()
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors()
        ]
        fail("wrong settings\n  " + "\n  ".join(problems))


def only_serves(command: str, what: str, arguments: Sequence[str]) -> None:
    """End a process that was asked for its help, or given arguments that it does not take.

    `what` says in words what the command does.
    """
    if not arguments:
        return
    usage = f"usage: {command}\n\n{what} {OF_SETTINGS}"
    if set(arguments) <= {"-h", "--help"}:
        print(usage)  # noqa: T201
        sys.exit(0)
    fail(f"{command} takes no arguments, not {' '.join(arguments)}\n{usage}")


class ListenError(Exception):
    """A server cannot listen at its address; the message names the address."""


@contextmanager
def listening() -> Iterator[None]:
    """Run a process's servers; an address that one cannot listen at ends it with status 2."""
    try:
        yield
    except ListenError as error:
        fail(str(error))
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EADDRNOTAVAIL}:
            raise
        fail(f"cannot listen at HOST and PORT, or at METRICS_HOST and METRICS_PORT: {error}")


def fail(message: str) -> NoReturn:
    """End the process with status 2 and a message."""
    print(message, file=sys.stderr)  # noqa: T201
    sys.exit(2)
