"""The parts of command lines: the session that every command gets, and values in files."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, validators

from cli.errors import CommandLineError
from cli.session import Session

#: The session is no option: main opens it and hands it to the command.
Run = Annotated[Session, Parameter(parse=False)]
#: A number that fits in the proto's int32; each service has a narrower range.
Count = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=2**31 - 1))]
#: A number that fits in the proto's uint32.
BlockIndex = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=2**32 - 1))]
#: JSON in place, in a file, or on standard input, which is "-" and no option.
JsonText = Annotated[str, Parameter(allow_leading_hyphen=True)]


def json_argument(name: str, text: str) -> Any:
    """Parse a JSON text on the command line, in a file (@FILE) or on standard input (-)."""
    try:
        if text == "-":
            return json.load(sys.stdin)
        if text.startswith("@"):
            return json.loads(Path(text[1:]).read_text(encoding="utf-8"))
        return json.loads(text)
    except OSError as error:
        raise CommandLineError(f"{name}: {error.strerror}: {text.removeprefix('@')}") from error
    except (ValueError, RecursionError) as error:
        raise CommandLineError(f"{name}: not JSON: {error}") from error
