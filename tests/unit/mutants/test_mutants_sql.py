"""The wrong changes that are made of queries."""

import pytest

from trials.mutants.model import Mutant
from trials.mutants.sql_code import sql_mutants
from trials.mutants.sql_tokens import tokens_of
from trials.mutants.statements import SHARED, sent

HEADER = "-- name: q :many\n"


def made(sql: str) -> list[Mutant]:
    """The mutants of one query."""
    return sql_mutants("services/a/store/queries.sql", f"{HEADER}{sql};\n")


def results(sql: str, *, start: str = "") -> dict[str, str]:
    """What becomes of a query, by mutation; only those whose name starts so."""
    source = f"{HEADER}{sql};\n"
    return {
        mutant.mutation: mutant.applied(source).removeprefix(HEADER).rstrip(";\n")
        for mutant in made(sql)
        if mutant.mutation.startswith(start)
    }


@pytest.mark.parametrize(
    ("sql", "mutation", "expected"),
    [
        ("SELECT a < b", "`<` to `<=`", "SELECT a <= b"),
        ("SELECT a = b", "`=` to `<>`", "SELECT a <> b"),
        ("SELECT a LIMIT 5", "drop `LIMIT 5`", "SELECT a LIMIT (5)::bigint + 1000000"),
        ("SELECT a FROM t FOR UPDATE", "drop `FOR UPDATE`", "SELECT a FROM t "),
        (
            "SELECT a FROM t FOR UPDATE OF t SKIP LOCKED",
            "drop `SKIP LOCKED`",
            "SELECT a FROM t FOR UPDATE OF t ",
        ),
        ("SELECT a FROM t ORDER BY a, b DESC", "drop `ORDER BY a, b DESC`", "SELECT a FROM t "),
        (
            "SELECT a FROM t ORDER BY a, b DESC LIMIT 1",
            "drop `b DESC` of the order",
            "SELECT a FROM t ORDER BY a LIMIT 1",
        ),
        ("SELECT a FROM t ORDER BY a DESC", "`DESC` to `ASC`", "SELECT a FROM t ORDER BY a ASC"),
        (
            "INSERT INTO t VALUES ($1) ON CONFLICT (a, b) DO NOTHING",
            "drop `a` of the conflict",
            "INSERT INTO t VALUES ($1) ON CONFLICT ( b) DO NOTHING",
        ),
        (
            "INSERT INTO t VALUES ($1) ON CONFLICT DO NOTHING",
            "drop `ON CONFLICT DO NOTHING`",
            "INSERT INTO t VALUES ($1) ",
        ),
        (
            "SELECT coalesce(a, 0) FROM t",
            "drop `0` of coalesce",
            "SELECT coalesce(a, nullif(0, 0)) FROM t",
        ),
        ("FROM t LEFT JOIN u ON true", "`left` to `inner`", "FROM t INNER JOIN u ON true"),
        ("SELECT DISTINCT a FROM t", "drop `DISTINCT`", "SELECT  a FROM t"),
        ("SELECT max(a) FROM t", "`max` to `min`", "SELECT min(a) FROM t"),
        ("SELECT 'it''s' FROM t", "`'it''s'` to `'it''sx'`", "SELECT 'it''sx' FROM t"),
        ("SELECT a + 7", "`7` to `8`", "SELECT a + 8"),
    ],
)  # fmt: skip
def test_a_clause_less_or_a_comparison_turned(sql: str, mutation: str, expected: str) -> None:
    assert results(sql)[mutation] == expected


def test_each_side_of_and_and_or_is_dropped_with_its_arguments_kept() -> None:
    sql = "SELECT a FROM t WHERE a = $1 AND ($2 IS NULL OR b BETWEEN $2 AND 9) AND NOT (c AND d)"
    found = results(sql, start="drop")
    assert set(found) == {
        "drop `a = $1`",
        "drop `($2 IS NULL OR b BETWEEN $2 AND 9)`",
        "drop `$2 IS NULL`",
        "drop `b BETWEEN $2 AND 9`",
        "drop `NOT (c AND d)`",
        "drop `c`",
        "drop `d`",
        "drop `NOT`",
    }
    assert "WHERE (true OR (a = $1)) AND" in found["drop `a = $1`"]
    assert "((false AND ($2 IS NULL)) OR b" in found["drop `$2 IS NULL`"]


def test_conditions_of_joins_cases_and_subqueries_are_dropped_too() -> None:
    sql = (
        "SELECT CASE WHEN a THEN 'x' END FROM t INNER JOIN u ON u.id = t.id "
        "WHERE EXISTS (SELECT 1 FROM v WHERE v.id = t.id) ORDER BY t.id"
    )
    assert {
        "drop `a`",
        "drop `u.id = t.id`",
        "drop `v.id = t.id`",
        "drop `EXISTS (SELECT 1 FROM v WHERE v.id = t.id)`",
    } < set(results(sql, start="drop"))


def test_what_set_assigns_is_no_comparison() -> None:
    found = results("UPDATE t SET a = $1, b = (c = d) WHERE e = 'x' RETURNING a")
    turned = found["`=` to `<>`"]
    assert "SET a = $1" in turned
    assert len([name for name in found if name.startswith("`=`")]) == 1
    upsert = "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = excluded.b WHERE t.c < 2"
    assert "`=` to `<>`" not in results(upsert)
    assert "`<` to `<=`" in results(upsert)


def test_a_join_s_condition_ends_before_on_conflict() -> None:
    found = results("INSERT INTO t SELECT a FROM u JOIN v ON u.a = v.b ON CONFLICT DO NOTHING")
    assert (
        "INSERT INTO t SELECT a FROM u JOIN v ON (true OR (u.a = v.b)) ON CONFLICT DO NOTHING"
        in (found.values())
    )


def test_hints_and_what_exists_selects_are_left_alone() -> None:
    assert results("SELECT a FROM t OFFSET 0") == {}
    assert "`1` to `2`" not in results("SELECT EXISTS (SELECT 1 FROM t)")
    assert results("SELECT count(*) FROM t CROSS JOIN u") == {}


def test_comments_and_strings_are_no_words() -> None:
    sql = "SELECT a -- ORDER BY a LIMIT 1\nFROM t /* WHERE a < 1 */"
    assert results(sql) == {}
    assert set(results("SELECT 'a < b'::bytea")) == set()


def test_a_mutant_belongs_to_its_query() -> None:
    source = "-- name: one :one\nSELECT 1;\n\n-- name: two :exec\n-- Why.\nSELECT 2;\n"
    mutants = sql_mutants("q.sql", source)
    assert [(mutant.function, mutant.line, mutant.text) for mutant in mutants] == [
        ("one", 2, "SELECT 1;"),
        ("two", 6, "SELECT 2;"),
    ]
    assert sent("q.sql", {"q.sql": source}) == {"one": {"SELECT 1"}, "two": {"-- Why.\nSELECT 2"}}


def test_a_shared_query_is_sent_as_each_service_fills_it() -> None:
    shared = "-- name: all :many\nSELECT * FROM {table};\n\n-- name: now :one\nSELECT now();\n"
    own = "-- name: table :part\n{name}.t\n\n-- name: mine :one\nSELECT {table};\n"
    sources = {
        SHARED: shared,
        "a.sql": own.replace("{name}", "a"),
        "b.sql": own.replace("{name}", "b"),
        "c.sql": "-- name: other :one\nSELECT 3;\n",
    }
    assert sent(SHARED, sources) == {
        "all": {"SELECT * FROM a.t", "SELECT * FROM b.t"},
        "now": {"SELECT now()"},
    }
    assert sent("b.sql", sources) == {
        "table": {"SELECT * FROM b.t", "SELECT b.t"},
        "mine": {"SELECT b.t"},
    }
    assert sent("c.sql", sources) == {"other": {"SELECT 3"}}
    (mutant,) = sql_mutants(SHARED, "-- name: q :one\nSELECT 1 FROM {table} WHERE a = 1;\n")[:1]
    assert "{table}" in mutant.text


def test_what_no_rule_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="no token"):
        tokens_of("SELECT `a`")
