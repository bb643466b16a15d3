"""The start of a process: what it is not given, and where it cannot listen, ends it in words."""

import errno

import pytest

from libs.common.start import ListenError, listening, only_serves

COMMAND = ("python -m thing", "Serves things.")


def test_a_command_that_only_serves_goes_on_without_arguments() -> None:
    only_serves(*COMMAND, [])


@pytest.mark.parametrize(
    ("arguments", "status"), [(["--help"], 0), (["-h"], 0), (["serve"], 2), (["--help", "x"], 2)]
)
def test_a_command_that_only_serves_tells_how_it_is_used(
    arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        only_serves(*COMMAND, arguments)
    output, errors = capsys.readouterr()
    assert ended.value.code == status
    assert "usage: python -m thing\n\nServes things." in (errors if status else output)
    assert (output if status else errors) == ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ListenError("cannot listen at 127.0.0.1:7"), "cannot listen at 127.0.0.1:7"),
        (OSError(errno.EADDRINUSE, "in use"), "HOST and PORT"),
        (OSError(errno.EADDRNOTAVAIL, "not here"), "HOST and PORT"),
    ],
)
def test_an_address_where_nothing_can_listen_ends_the_process_in_words(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, listening():
        raise error
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_any_other_error_is_not_taken_for_an_address() -> None:
    with pytest.raises(PermissionError), listening():
        raise PermissionError(errno.EACCES, "a file")
