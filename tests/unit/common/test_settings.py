"""Settings: names end with the unit, and an old name is accepted for one release."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from libs.common import renamed
from libs.common.config import (
    KEPT_NAMES,
    Count,
    Milliseconds,
    ServiceSettings,
    Settings,
    Stroops,
    Unit,
)
from libs.common.renamed import RENAMED
from libs.common.start import read_settings
from localnet.config import LocalnetSettings
from scripts.gen_docs import comments_of

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = (
    *("services", "gateway", "libs", "localnet", "pooler", "cli", "backup"),
    *("devstack", "demo", "trials"),
)
#: What is never a number.
NO_NUMBERS = {str, bool, Path, SecretStr, type(None)}
#: The first word of the comment on a setting with this unit, and of no other's.
WORDS = {
    Unit.MILLISECONDS: "Milliseconds",
    Unit.SECONDS: "Seconds",
    Unit.BYTES: "Bytes",
    Unit.STROOPS: "Stroops",
}
#: localnet shares no code with the pool, and so no Unit: its numbers that have none.
LOCALNET_COUNTS = {"port", "nodes", "retention_ledgers", "network_settings"}


def settings_classes() -> Iterator[type[BaseSettings]]:
    """Every settings class of the tree, found in the source."""
    paths = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))
    for path in paths:
        text = path.read_text(encoding="utf-8")
        if "Settings" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            bases = node.bases if isinstance(node, ast.ClassDef) else []
            if any(ast.unparse(base).endswith("Settings") for base in bases):
                assert isinstance(node, ast.ClassDef)
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                yield getattr(import_module(module), node.name)


ALL = list(settings_classes())
OURS = [one for one in ALL if issubclass(one, Settings)]


def types_in(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of; a Literal's values count as no type."""
    if get_origin(annotation) is Literal:
        return
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for one in inner:
        yield from types_in(one)


def may_be_a_number(field: FieldInfo) -> bool:
    """Whatever is not known to be none, so that a type of another kind has to say its unit."""
    return not set(types_in(field.annotation)) <= NO_NUMBERS


def faults_of(name: str, field: FieldInfo, comment: str) -> list[str]:
    """What is wrong with one setting's name, by its unit."""
    units = [item for item in field.metadata if isinstance(item, Unit)]
    if not may_be_a_number(field):
        wrong = [unit for unit in WORDS if name.endswith(unit.value)]
        return [f"{name} ends with a unit and is no number"] if wrong else []
    if len(units) != 1:
        return [f"{name} is a number: its annotation needs one Unit (Milliseconds, Count ...)"]
    unit, word = units[0], comment.partition(" ")[0]
    if name in KEPT_NAMES:
        return [] if (unit, word) == (Unit.MILLISECONDS, "Milliseconds") else [f"{name} is no time"]
    faults = []
    if not name.endswith(unit.value):
        faults.append(f"{name} has to end with {unit.value}")
    if unit is Unit.COUNT and any(name.endswith(other.value) for other in WORDS):
        faults.append(f"{name} ends with a unit and is a count")
    if word != WORDS.get(unit, word) or (unit is Unit.COUNT and word in WORDS.values()):
        faults.append(f"the comment on {name} begins with {word}, which is not its unit")
    return faults


def test_the_settings_of_every_process_are_found() -> None:
    names = {one.__name__ for one in ALL}
    assert names >= {"WalletSettings", "HarvestSettings", "MigrationSettings", "LocalnetSettings"}
    assert [one for one in ALL if one not in OURS and one is not Settings] == [LocalnetSettings]


@pytest.mark.parametrize("settings", OURS)
def test_a_setting_with_a_unit_ends_with_it(settings: type[Settings]) -> None:
    comments = comments_of(settings)
    assert [
        fault
        for name, field in _fields(settings)
        for fault in faults_of(name, field, comments[name])
    ] == []


def _fields(settings: type[BaseSettings]) -> list[tuple[str, FieldInfo]]:
    return list(settings.model_fields.items())


def test_a_setting_of_a_localnet_with_a_unit_ends_with_it() -> None:
    numbers = {name for name, field in _fields(LocalnetSettings) if may_be_a_number(field)}
    ends = tuple(unit.value for unit in WORDS)
    assert {name for name in numbers if not name.endswith(ends)} == LOCALNET_COUNTS


class _Wrong(Settings):
    """A setting for each way to forget the unit."""

    #: Milliseconds that a plain number may be.
    plain: int = 0
    #: Seconds, perhaps.
    optional: float | None = None
    #: Numbers in a list.
    several: list[int] = []  # noqa: RUF012  (the library copies it)
    #: Milliseconds without the end.
    wait: Milliseconds = 1
    #: Stroops with another end.
    price_ms: Stroops = 1
    #: Milliseconds that are said to be a count.
    pause: Count = 1
    #: Farmers, with the end of a time.
    farmers_ms: Count = 1
    #: Text that ends with a unit.
    wait_seconds: str = ""
    #: Things that took two units.
    both: Annotated[Milliseconds, Unit.COUNT] = 1


@pytest.mark.parametrize("name", list(_Wrong.model_fields))
def test_a_setting_that_forgets_its_unit_is_found(name: str) -> None:
    assert faults_of(name, _Wrong.model_fields[name], comments_of(_Wrong)[name])


def test_names_that_are_kept_are_names_of_settings() -> None:
    assert {name for one in OURS for name in one.model_fields} >= KEPT_NAMES


def test_every_renamed_setting_is_of_a_service_whose_start_tells_it() -> None:
    fields = {name for one in OURS for name in one.model_fields}
    told = {name for one in OURS if issubclass(one, ServiceSettings) for name in one.model_fields}
    assert set(RENAMED.values()) <= told
    assert not set(RENAMED) & fields
    assert len(set(RENAMED.values())) == len(RENAMED)


#: A rename of these tests, in place of the table of this release.
OLD, NEW = "price", "price_stroops"
RENAME = "PRICE is now named PRICE_STROOPS"
REMOVE = "both PRICE and PRICE_STROOPS are set, and PRICE_STROOPS counts"


class Budget(Settings):
    """A settings class with a setting that was renamed."""

    #: Stroops that may be spent.
    price_stroops: Annotated[Stroops, Field(ge=0)] = 7
    #: Farmers at most.
    farmers: Annotated[Count, Field(ge=0)] = 1

    @field_validator("farmers")
    @classmethod
    def _not_thirteen(cls, farmers: int) -> int:
        if farmers == 13:
            raise ValueError("must not be 13")
        return farmers


class Places:
    """The places that settings are read from."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self._secrets = folder / "secrets"
        self._secrets.mkdir()
        self._file = folder / ".env"
        monkeypatch.setattr(renamed, "RENAMED", {OLD: NEW, "weight": "weight_bytes"})
        monkeypatch.setitem(Budget.model_config, "secrets_dir", str(self._secrets))
        monkeypatch.chdir(folder)
        for name in (OLD, NEW, "farmers"):
            monkeypatch.delenv(name.upper(), raising=False)

    def environment(self, name: str, value: str) -> None:
        """Set a variable."""
        self._patch.setenv(name.upper(), value)

    def env_file(self, name: str, value: str) -> None:
        """Add a line to .env."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{name.upper()}={value}\n")

    def secret(self, name: str, value: str) -> None:
        """Write a file into SECRETS_DIR."""
        (self._secrets / name).write_text(f"{value}\n", encoding="utf-8")


Place = Callable[[Places, str, str], None]
PLACES: list[Place] = [Places.environment, Places.env_file, Places.secret]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    return Places(tmp_path, monkeypatch)


def named(error: ValidationError) -> list[str]:
    """The settings that an error names."""
    return [".".join(map(str, item["loc"])) for item in error.errors()]


@pytest.mark.parametrize("put", PLACES)
def test_an_old_name_is_accepted_and_told_once(places: Places, put: Place) -> None:
    put(places, OLD, "5")
    settings = Budget()
    assert settings.price_stroops == 5
    assert [sentence.split(":")[0] for sentence in settings.old_names()] == [RENAME]


@pytest.mark.parametrize("put", PLACES)
def test_a_new_name_is_told_by_nothing(places: Places, put: Place) -> None:
    put(places, NEW, "5")
    assert Budget().price_stroops == 5
    assert Budget().old_names() == ()


@pytest.mark.parametrize("put_new", PLACES)
@pytest.mark.parametrize("put_old", PLACES)
def test_of_both_names_the_new_one_counts_wherever_they_stand(
    places: Places, put_old: Place, put_new: Place
) -> None:
    put_old(places, OLD, "5")
    put_new(places, NEW, "6")
    settings = Budget()
    assert settings.price_stroops == 6
    assert [sentence.split(":")[0] for sentence in settings.old_names()] == [REMOVE]


def test_an_old_name_in_two_places_counts_as_in_the_first_and_is_told_once(places: Places) -> None:
    places.secret(OLD, "4")
    places.env_file(OLD, "5")
    assert Budget().price_stroops == 5
    places.environment(OLD, "6")
    assert Budget().price_stroops == 6
    assert len(Budget().old_names()) == 1


def test_an_empty_old_variable_is_as_good_as_none(places: Places) -> None:
    places.environment(OLD, "")
    places.env_file(OLD, "")
    assert (Budget().price_stroops, Budget().old_names()) == (7, ())


def test_an_old_name_of_another_process_is_told_by_nothing(places: Places) -> None:
    places.env_file("weight", "wrong")
    assert Budget().old_names() == ()


@pytest.mark.parametrize("wrong", ["-1", "much"])
@pytest.mark.parametrize("name", [OLD, NEW])
@pytest.mark.parametrize("put", PLACES)
def test_a_wrong_value_is_told_with_the_name_that_was_set(
    places: Places, put: Place, name: str, wrong: str
) -> None:
    put(places, name, wrong)
    with pytest.raises(ValidationError) as caught:
        Budget()
    assert named(caught.value) == [name]
    assert wrong not in str(caught.value).split()


def test_of_two_wrong_names_the_one_that_counts_is_told(places: Places) -> None:
    places.environment(OLD, "-1")
    places.secret(NEW, "-2")
    with pytest.raises(ValidationError) as caught:
        Budget()
    assert named(caught.value) == [NEW]


def test_other_errors_beside_an_old_name_stay_as_they_are(places: Places) -> None:
    places.environment("farmers", "13")
    with pytest.raises(ValidationError) as alone:
        Budget()
    places.environment(OLD, "-1")
    with pytest.raises(ValidationError) as both:
        Budget()
    messages = {str(item["loc"]): item["msg"] for item in both.value.errors()}
    assert messages.pop(f"('{OLD}',)").endswith("greater than or equal to 0")
    assert messages == {str(item["loc"]): item["msg"] for item in alone.value.errors()}


def test_a_process_that_does_not_start_names_the_variable_that_was_set(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    places.environment(OLD, "-1")
    with pytest.raises(SystemExit):
        read_settings(Budget)
    assert "\n  PRICE: " in capsys.readouterr().err


START = """
import os, signal
from contextlib import asynccontextmanager
from libs.common import config, renamed
from libs.common.grpc.server import run_service

renamed.RENAMED = {"grace": "shutdown_grace_ms", "weight": "weight_bytes"}

@asynccontextmanager
async def open_app():
    os.kill(os.getpid(), signal.SIGTERM)
    yield None

run_service("test", config.ServiceSettings(), open_app)
"""


def test_the_log_warns_of_each_old_name_once_at_the_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", START],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TRANSPORT": "plaintext",
            "DATABASE_URL": "postgresql://nobody@127.0.0.1/none",
            "GRACE": "100",
        },
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    warnings = [line["event"] for line in lines if line["level"] == "warning"]
    assert [text.split(":")[0] for text in warnings] == ["GRACE is now named SHUTDOWN_GRACE_MS"]
