"""What pg_dump and pg_restore are told of an address, and where."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from backup.programs import environment, program
from backup.seal import BackupError
from libs.common.db.tls import DatabaseAddress


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        (
            "postgresql://adm%40in:p%2Fw@127.0.0.1:5433/pool",
            {
                "PGHOST": "127.0.0.1",
                "PGPORT": "5433",
                "PGUSER": "adm@in",
                "PGPASSWORD": "p/w",
                "PGDATABASE": "pool",
            },
        ),
        (
            "postgresql://a:b@db.example/pool",
            {
                "PGHOST": "db.example",
                "PGUSER": "a",
                "PGPASSWORD": "b",
                "PGDATABASE": "pool",
                "PGSSLMODE": "verify-full",
                "PGSSLROOTCERT": "ca.pem",
            },
        ),
        (
            "postgresql://a:b@db.example/pool?sslmode=require",
            {
                "PGHOST": "db.example",
                "PGUSER": "a",
                "PGPASSWORD": "b",
                "PGDATABASE": "pool",
                "PGSSLMODE": "require",
                "PGSSLROOTCERT": "ca.pem",
            },
        ),
    ],
)
def test_an_address_in_variables(dsn: str, expected: Mapping[str, str]) -> None:
    assert environment(DatabaseAddress(dsn=dsn, authority=Path("ca.pem"))) == expected


async def test_a_program_that_is_too_old_is_not_taken() -> None:
    with pytest.raises(BackupError, match="no pg_dump of PostgreSQL 999"):
        await program("pg_dump", least=999)
    assert (await program("pg_dump", least=9)).endswith("pg_dump")
