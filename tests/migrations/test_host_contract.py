"""The host contract: tables made by someone else either work, or are refused with a remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg import sql

from iu_gates import hostrow, lanes
from tests.support.databases import Database
from tests.support.engine import Batch
from tests.support.walk import ROUTE, SITE_KEY, walk_to

hostnames = lanes.load_module("hostnames")
LIVE = ("substrate@060", "runtime@080", "substrate@090", "substrate@100", "runtime@081")
OUTBOX = """
    create table event_outbox (
        id bigint generated always as identity primary key,
        event_type text not null,
        payload jsonb not null,
        idempotency_key text not null unique
    );
"""
UNITS = (
    "create table unit_version (unit text not null, version_seq int, unique (unit, version_seq));"
)


@dataclass(frozen=True)
class Host:
    """
    A host's own tables.

    Args:
        tables: What makes them, and a first version of one unit.
        change: The applied change: version 2 of that unit.
        subject: How the event calls the unit.
        outbox: The query of what the outbox got: key, payload and the rest.
        rest: What `outbox` gives after key and payload.
        settings: What cannot be found out.
    """

    tables: str
    change: str
    subject: str
    outbox: str
    rest: tuple[Any, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


UUID = "0198c0de-0000-7000-8000-000000000001"
HOSTS = {
    "uuid units of a parent table, json, own names": Host(
        tables=f"""
            create domain document as uuid;
            create table units (id uuid primary key, title text not null);
            insert into units values ('{UUID}', 'one');
            create table unit_version (
                id uuid primary key default gen_random_uuid(),
                unit_id uuid not null references units,
                version_seq smallint not null,
                author text not null,
                unique (unit_id, version_seq)
            );
            create table event_outbox (
                id uuid primary key default gen_random_uuid(),
                aggregate_id document not null,
                topic varchar(40) not null,
                data json not null,
                dedupe_key varchar(255) not null unique,
                tries int not null default 0
            );
            insert into unit_version (unit_id, version_seq, author) values ('{UUID}', 1, 'a');
        """,
        change=f"insert into unit_version (unit_id, version_seq, author) values ('{UUID}', 2, 'b')",
        subject=UUID,
        outbox="select dedupe_key, data::jsonb, aggregate_id::text, topic from event_outbox",
        rest=(UUID, "iu.version_applied"),
    ),
    "bigint documents, several keys, text, constants, no event type": Host(
        tables="""
            create table unit_version (
                slug text not null unique,
                document_id bigint not null,
                version_seq bigint not null,
                checksum uuid not null,
                unique (document_id, version_seq),
                unique (document_id, checksum)
            );
            create type urgency as enum ('low', 'high');
            create table event_outbox (
                seq serial primary key,
                payload text not null,
                idempotency_key text not null unique,
                tenant text not null,
                weight numeric not null,
                is_test boolean not null,
                urgency urgency not null,
                headers jsonb not null,
                subject uuid
            );
            insert into unit_version values ('a', 7, 1, gen_random_uuid());
        """,
        change="insert into unit_version values ('b', 7, 2, gen_random_uuid())",
        subject="7",
        outbox="select idempotency_key, payload::jsonb, tenant, weight::int, is_test,"
        " urgency::text, headers, subject from event_outbox",
        rest=("a'b%s", 5, False, "high", {"x": [1]}, None),
        settings={
            "outbox_constants": {
                "tenant": "a'b%s",
                "weight": 5,
                "is_test": False,
                "urgency": "high",
                "headers": {"x": [1]},
            }
        },
    ),
    "another schema, names with quotes, spaces and percent signs": Host(
        tables="""
            create schema "ho""st 5%";
            create table "ho""st 5%"."unit's %s" (
                "u""nit %(x)s" text not null, "ver sion" int, unique ("u""nit %(x)s", "ver sion")
            );
            create table "ho""st 5%"."out""box" (
                "k %" text not null unique, "pay'load" jsonb not null, "what?" text not null
            );
            insert into "ho""st 5%"."unit's %s" values ('it''s "one" 100%', 1);
        """,
        change="""insert into "ho""st 5%"."unit's %s" values ('it''s "one" 100%', 2)""",
        subject="""it's "one" 100%""",
        outbox="""select "k %", "pay'load", "what?" from "ho""st 5%"."out""box" """,
        rest=("iu.version_applied",),
        settings={
            "schema": 'ho"st 5%',
            "unit_table": "unit's %s",
            "outbox_table": 'out"box',
            "version_column": "ver sion",
            "key_column": "k %",
            "payload_column": "pay'load",
            "type_column": "what?",
        },
    ),
    "both tables partitioned": Host(
        tables="""
            create table unit_version (
                unit text not null, version_seq int not null, unique (unit, version_seq)
            ) partition by hash (unit);
            create table unit_0 partition of unit_version for values with (modulus 2, remainder 0);
            create table unit_1 partition of unit_version for values with (modulus 2, remainder 1);
            create table event_outbox (
                event_type text not null, payload jsonb not null,
                idempotency_key text not null, unique (idempotency_key)
            ) partition by hash (idempotency_key);
            create table outbox_0 partition of event_outbox
            for values with (modulus 1, remainder 0);
            insert into unit_version values ('u', 1);
        """,
        change="insert into unit_version values ('u', 2)",
        subject="u",
        outbox="select idempotency_key, payload, event_type from event_outbox",
        rest=("iu.version_applied",),
    ),
    "generated columns": Host(
        tables="""
            create table unit_version (
                kind text not null,
                no int,
                unit text not null generated always as (kind || '/' || no) stored,
                version_seq int not null,
                unique (unit, version_seq)
            );
            create table event_outbox (
                id bigint generated always as identity,
                payload jsonb not null,
                event_type text generated always as (payload ->> 'type') stored,
                subject text not null generated always as (payload ->> 'subject') stored,
                idempotency_key text not null unique
            );
            insert into unit_version (kind, no, version_seq) values ('doc', 4, 1);
        """,
        change="insert into unit_version (kind, no, version_seq) values ('doc', 4, 2)",
        subject="doc/4",
        outbox="select idempotency_key, payload, event_type, subject from event_outbox",
        rest=("iu.version_applied", "doc/4"),
    ),
    "binary content: the data as it is, the attributes in columns": Host(
        tables="""
            create table unit_version (
                unit text not null, version_seq int, unique (unit, version_seq)
            );
            create table event_outbox (
                idempotency_key text primary key, body json not null, type text not null,
                aggregate_id text not null, source text not null
            );
            insert into unit_version values ('u', 1);
        """,
        change="insert into unit_version values ('u', 2)",
        subject="u",
        outbox="select idempotency_key, body, type, aggregate_id, source from event_outbox",
        rest=("iu.version_applied", "u", "/cms"),
        settings={"content_mode": "binary", "outbox_constants": {"source": "/cms"}},
    ),
    "domains of the host's own schema": Host(
        tables="""
            create domain code as text not null check (value ~ '^[A-Z]+$');
            create domain "version no" as int check (value > 0);
            create domain small_no as "version no";
            create domain envelope as jsonb check (value ? 'specversion');
            create domain key_text as varchar(300);
            create table unit_version (
                unit code, version_seq small_no, note code default 'N', reason code,
                unique (unit, version_seq)
            );
            create table event_outbox (
                payload envelope not null, idempotency_key key_text not null unique,
                subject code, event_type key_text
            );
            insert into unit_version values ('ABC', 1, 'X', 'Y');
        """,
        change="insert into unit_version values ('ABC', 2, 'X', 'Z')",
        subject="ABC",
        outbox="select idempotency_key, payload, subject, event_type from event_outbox",
        rest=("ABC", "iu.version_applied"),
    ),
}


def fetch_problems(conn: psycopg.Connection, settings: Mapping[str, Any]) -> list[Any]:
    """Return where the tables of a database do not meet the contract."""
    names = {**hostnames.DEFAULTS, **settings}
    with conn.cursor() as cursor:
        unit = hostnames.fetch(cursor, names["schema"], names["unit_table"])
        outbox = hostnames.fetch(cursor, names["schema"], names["outbox_table"])
    _, problems = hostnames.resolve(unit, outbox, settings)
    return list(problems)


def count_events(conn: psycopg.Connection) -> int:
    """Return how many events this transaction sees."""
    row = conn.execute("select count(*) from iu_core.iu_event").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.long_on_each_major
@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_host_that_meets_the_contract_works_end_to_end(
    empty_database: Database, host: Host
) -> None:
    """
    From the host's INSERT to its outbox: one event, one row, and the same again is a no-op.

    And the proof's own row makes exactly one event, on a table with rows in it.
    """
    conninfo = empty_database.conninfo
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(host.tables)
        assert fetch_problems(conn, host.settings) == []
        walk_to(conninfo, LIVE[0], host=dict(host.settings))
        walk_to(conninfo, *LIVE[1:])
        set_site(conn)
        conn.execute(host.change)

        batch = conn.execute(
            "select * from iu_core.fn_iu_route_worker_run(%s, 10, %s)", [ROUTE, SITE_KEY]
        ).fetchone()

        assert batch is not None
        assert Batch(*batch) == Batch("live", 1, sent=1, duplicates=0, dead=0)
        (row,) = conn.execute(host.outbox).fetchall()
        assert row[0] == f"{ROUTE}:iu.version_applied:2:{host.subject}"
        is_binary = host.settings.get("content_mode") == "binary"
        data = row[1] if is_binary else row[1]["data"]
        assert data == {"unit": data["unit"], "version_seq": 2}
        assert is_binary or row[1]["subject"] == host.subject
        assert row[2:] == host.rest
        again = conn.execute(
            "select status from iu_core.fn_iu_route_deliver(%s, array(select event_id"
            " from iu_core.iu_event))",
            [ROUTE],
        ).fetchall()
        assert again == [("duplicate",)]
        require_one_event_of_a_proof(conn)


def set_site(conn: psycopg.Connection) -> None:
    """Give the installation the tests' site key."""
    conn.execute(
        "update iu_gates.installation"
        " set site_key_sha256 = encode(sha256(convert_to(%s, 'UTF8')), 'hex')",
        [SITE_KEY],
    )


def require_one_event_of_a_proof(conn: psycopg.Connection) -> None:
    """Write the proof's row twice, each time in a transaction that is rolled back."""
    installed = conn.execute("select iu_schema, host from iu_gates.installation").fetchone()
    assert installed is not None
    before = count_events(conn)
    for _ in range(2):
        with conn.transaction(force_rollback=True):
            insert = hostrow.build_insert(conn, hostnames.variables(*installed))
            # As the proof sends it: as text, in one script with much else.
            conn.execute(sql.SQL(insert.as_string(conn)))
            assert count_events(conn) == before + 1


@pytest.mark.parametrize("mode", ["structured", "binary"])
@pytest.mark.parametrize(
    ("payload", "status"),
    [
        ("e.payload", "duplicate"),
        ("jsonb_build_object('data', e.payload)", "duplicate"),
        ('e.payload || \'{"unit": "other"}\'', "collision"),
        ("'{}'", "collision"),
    ],
)
def test_known_key_is_judged_by_its_data_in_either_content_mode(
    empty_database: Database, mode: str, payload: str, status: str
) -> None:
    """
    P2, T17: what was delivered in one content mode is a duplicate after a change to the other.
    """
    with psycopg.connect(empty_database.conninfo, autocommit=True) as conn:
        conn.execute(UNITS + OUTBOX + "alter table event_outbox add subject text")
        walk_to(empty_database.conninfo, *LIVE, host={"content_mode": mode})
        conn.execute("insert into unit_version values ('u', 2)")
        conn.execute(
            f"insert into event_outbox (event_type, idempotency_key, payload) select e.event_type,"
            f" iu_core.fn_iu_idempotency_key(%s, e.event_type, e.subject, e.version_seq), {payload}"
            " from iu_core.iu_event as e",
            [ROUTE],
        )
        query = (
            "select status from iu_core.fn_iu_route_deliver(%s, array(select event_id"
            " from iu_core.iu_event))"
        )
        assert conn.execute(query, [ROUTE]).fetchall() == [(status,)]


@pytest.mark.parametrize(
    "unit", ["text", "uuid", "bigint", "varchar(8)", "numeric"], ids=lambda unit: unit
)
@pytest.mark.parametrize("rows", [0, 3])
def test_row_of_the_proof_fits_units_of_any_type(
    empty_database: Database, unit: str, rows: int
) -> None:
    """
    T40: a table with rows or without, whatever its units are: one applied change, one event.
    """
    conninfo = empty_database.conninfo
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(UNITS.replace("text", unit) + OUTBOX)
        walk_to(conninfo, "substrate@060")
        value = "gen_random_uuid()" if unit == "uuid" else f"n::{unit}"
        conn.execute(
            f"insert into unit_version select {value}, 1 from generate_series(1, {rows}) as n"
        )
        require_one_event_of_a_proof(conn)


BAD: Mapping[str, tuple[str, str, str]] = {
    "no unique key": (
        "create table unit_version (unit text not null, version_seq int);" + OUTBOX,
        "public.unit_version: unique key",
        "create unique index concurrently",
    ),
    "deferrable key": (
        UNITS.replace("version_seq)", "version_seq) deferrable") + OUTBOX,
        "public.unit_version: unique key",
        "create unique index concurrently",
    ),
    "key of some rows only": (
        "create table unit_version (unit text not null, version_seq int);"
        "create unique index on unit_version (unit, version_seq) where version_seq > 5;" + OUTBOX,
        "public.unit_version: unique key",
        "create unique index concurrently",
    ),
    "unique index that is INVALID": (
        "create table unit_version (unit text not null, version_seq int);"
        "create unique index left_over on unit_version (unit, version_seq);"
        "update pg_index set indisvalid = false where indexrelid = 'left_over'::regclass;" + OUTBOX,
        "public.unit_version: unique key",
        'drop index concurrently "public"."left_over"; create unique index concurrently on',
    ),
    "key of the outbox is INVALID": (
        UNITS + OUTBOX + "update pg_index set indisvalid = false"
        " where indexrelid = 'event_outbox_idempotency_key_key'::regclass;",
        "public.event_outbox.idempotency_key",
        'drop index concurrently "public"."event_outbox_idempotency_key_key"; create unique',
    ),
    "partitioned, without a key": (
        "create table unit_version (unit text not null, version_seq int)"
        " partition by hash (unit);" + OUTBOX,
        "public.unit_version: unique key",
        'alter table "public"."unit_version" add unique ("unit", "version_seq")',
    ),
    "version that is no integer": (
        UNITS.replace("version_seq int", "version_seq numeric") + OUTBOX,
        "public.unit_version.version_seq",
        "type bigint",
    ),
    "unit that may be null": (
        UNITS.replace("text not null", "text") + OUTBOX,
        "public.unit_version.unit",
        "set not null",
    ),
    "rule that rewrites INSERT": (
        UNITS + OUTBOX + 'create rule "a rule" as on insert to event_outbox do also notify sent;',
        "public.event_outbox: rules",
        'alter table "public"."event_outbox" disable rule "a rule"',
    ),
    "key of the outbox is not unique": (
        UNITS + OUTBOX.replace("not null unique", "not null"),
        "public.event_outbox.idempotency_key",
        "create unique index concurrently",
    ),
    "key of the outbox is deferrable": (
        UNITS + OUTBOX.replace("not null unique", "not null unique deferrable"),
        "public.event_outbox.idempotency_key",
        "create unique index concurrently",
    ),
    "key of the outbox is too short": (
        UNITS + OUTBOX.replace("key text", "key varchar(64)"),
        "public.event_outbox.idempotency_key",
        "type text",
    ),
    "no unit column": (
        "create table unit_version (doc text not null, version_seq int);" + OUTBOX,
        "public.unit_version.unit",
        "IU_GATES_HOST_UNIT_COLUMN=",
    ),
    "no version column": (
        "create table unit_version (unit text not null, seq int, unique (unit, seq));" + OUTBOX,
        "public.unit_version.version_seq",
        "IU_GATES_HOST_VERSION_COLUMN=",
    ),
    "two candidates": (
        "create table unit_version (a text not null, b text not null, version_seq int,"
        " unique (a, version_seq), unique (b, version_seq));" + OUTBOX,
        "public.unit_version: unit",
        "IU_GATES_HOST_UNIT_COLUMN=",
    ),
    "key that is generated": (
        UNITS
        + OUTBOX.replace(
            "key text not null", "key text generated always as (payload ->> 'id') stored"
        ),
        "public.event_outbox.idempotency_key",
        "IU_GATES_HOST_KEY_COLUMN",
    ),
    "key that is a number": (
        UNITS + OUTBOX.replace("key text", "key bigint"),
        "public.event_outbox.idempotency_key",
        "IU_GATES_HOST_KEY_COLUMN=",
    ),
    "payload of another type": (
        UNITS + OUTBOX.replace("jsonb", "bytea"),
        "public.event_outbox.payload",
        "IU_GATES_HOST_PAYLOAD_COLUMN=",
    ),
    "no payload": (
        UNITS + OUTBOX.replace("payload jsonb not null", "stuff jsonb"),
        "public.event_outbox.payload",
        "IU_GATES_HOST_PAYLOAD_COLUMN=",
    ),
    "a column that must be filled": (
        UNITS + OUTBOX.replace("payload", "tenant text not null, payload"),
        "public.event_outbox.tenant",
        'OUTBOX_CONSTANTS=\'{"tenant":',
    ),
    "a type that is an enum and must be filled": (
        "create type kind as enum ('a');"
        + UNITS
        + OUTBOX.replace("event_type text", "event_type kind"),
        "public.event_outbox.event_type",
        'OUTBOX_CONSTANTS=\'{"event_type":',
    ),
    "a type that is too short and must be filled": (
        UNITS + OUTBOX.replace("event_type text", "event_type varchar(10)"),
        "public.event_outbox.event_type",
        'OUTBOX_CONSTANTS=\'{"event_type":',
    ),
    "a subject that cannot be a unit and must be filled": (
        UNITS + OUTBOX.replace("payload", "subject uuid not null, payload"),
        "public.event_outbox.subject",
        'OUTBOX_CONSTANTS=\'{"subject":',
    ),
    "no outbox": (UNITS, "table public.event_outbox", "IU_GATES_HOST_OUTBOX_TABLE="),
    "a view for a table": (
        UNITS.replace("unit_version", "versions")
        + "create view unit_version as select * from versions;"
        + OUTBOX,
        "table public.unit_version",
        "IU_GATES_HOST_UNIT_TABLE=",
    ),
}


@pytest.mark.parametrize(("tables", "name", "remedy"), BAD.values(), ids=BAD)
def test_host_that_does_not_meet_it_is_told_what_mends_it(
    empty_database: Database, tables: str, name: str, remedy: str
) -> None:
    """
    One thing is wrong, it is named, and where the remedy is SQL, that SQL mends it.
    """
    with psycopg.connect(empty_database.conninfo, autocommit=True) as conn:
        conn.execute(tables)

        (problem,) = fetch_problems(conn, {})

        assert problem.name.startswith(name)
        assert problem.found
        assert problem.wanted
        assert remedy in problem.remedy
        if problem.remedy.startswith("alter table"):
            conn.execute(problem.remedy)
            assert fetch_problems(conn, {}) == []


@pytest.mark.parametrize(
    ("drop", "mode", "name"),
    [
        ("event_type", "binary", "public.event_outbox: type_column"),
        ("subject", "binary", "public.event_outbox: subject_column"),
        ("id", "compact", "host.content_mode"),
    ],
)
def test_content_mode_that_would_lose_an_attribute_is_refused(
    empty_database: Database, drop: str, mode: str, name: str
) -> None:
    """
    Without the event's type and subject beside it, its data alone tells a receiver nothing.
    """
    with psycopg.connect(empty_database.conninfo, autocommit=True) as conn:
        conn.execute(UNITS + OUTBOX + "alter table event_outbox add subject text;")
        conn.execute(f"alter table event_outbox drop {drop}")

        (problem,) = fetch_problems(conn, {"content_mode": mode})

        assert problem.name == name
        assert problem.remedy == "export IU_GATES_HOST_CONTENT_MODE=structured"
        assert fetch_problems(conn, {"content_mode": "structured"}) == []


def test_refused_host_is_left_alone(empty_database: Database) -> None:
    """
    T34: a step that needs the host is refused before the first one, with every problem.
    """
    with psycopg.connect(empty_database.conninfo, autocommit=True) as conn:
        conn.execute(UNITS.replace("text not null", "text") + OUTBOX.replace("unique", ""))
        with pytest.raises(Exception, match="does not meet the contract") as refused:
            walk_to(empty_database.conninfo, "substrate@060")
        assert "public.unit_version.unit: it may be null" in str(refused.value)
        assert (
            'create unique index concurrently on "public"."event_outbox" ("idempotency_key")'
            in str(refused.value)
        )
        assert conn.execute("select to_regnamespace('iu_gates')").fetchone() == (None,)


def make_table(*columns: Any, **keys: tuple[str, ...]) -> Any:
    """Return a table, as `hostnames.fetch` would."""
    return hostnames.Table(exists=True, columns={c.name: c for c in columns}, keys=keys)


def make_column(name: str, kind: str = "text", **more: Any) -> Any:
    """Return a column that is not null and has no default."""
    return hostnames.Column(name, kind, **{"not_null": True, "filled": False, "base": kind} | more)


UNIT = make_table(
    make_column("unit"), make_column("version_seq", "integer"), k=("unit", "version_seq")
)
TARGET = make_table(
    make_column("idempotency_key"),
    make_column("payload", "jsonb"),
    outbox_key=("idempotency_key",),
)


def test_names_are_found_by_what_they_are() -> None:
    """
    Without a setting: the unit is the other half of the key, the rest goes by usual names.
    """
    names, problems = hostnames.resolve(UNIT, TARGET, {})
    assert problems == []
    assert (names["unit_column"], names["key_column"]) == ("unit", "idempotency_key")
    assert (names["key_index"], names["type_column"]) == ("outbox_key", None)


def test_key_may_be_in_either_order() -> None:
    """
    `unique (version_seq, unit)` is as good as `unique (unit, version_seq)`.
    """
    unit = make_table(*UNIT.columns.values(), k=("version_seq", "unit"))
    names, problems = hostnames.resolve(unit, TARGET, {})
    assert (names["unit_column"], problems) == ("unit", [])


def test_setting_wins_over_what_is_found() -> None:
    """
    Of two columns that would do, the setting decides; of one that is not there it is refused.
    """
    target = make_table(
        *TARGET.columns.values(), make_column("data", "jsonb", filled=True), k=("idempotency_key",)
    )
    assert hostnames.resolve(UNIT, target, {})[0]["payload_column"] == "payload"
    names, problems = hostnames.resolve(UNIT, target, {"payload_column": "data"})
    assert names["payload_column"] == "data"
    assert [p.name for p in problems] == ["public.event_outbox.payload"]
    _, problems = hostnames.resolve(UNIT, target, {"payload_column": "gone"})
    assert "public.event_outbox.gone" in [p.name for p in problems]


def test_constant_stands_in_for_a_column_that_would_be_mapped() -> None:
    """
    `outbox_constants.event_type` is the host's own word for our events, and nothing overrules it.
    """
    target = make_table(*TARGET.columns.values(), make_column("event_type"), k=("idempotency_key",))
    settings = {"outbox_constants": {"event_type": "page.changed"}}
    names, problems = hostnames.resolve(UNIT, target, settings)
    assert problems == []
    made = hostnames.variables("iu_core", names)
    assert (made["iu_extra_columns"], made["iu_extra_values"]) == (
        ', "event_type"',
        ", 'page.changed'",
    )
    nowhere = {"outbox_constants": {"nowhere": 1}}
    assert hostnames.resolve(UNIT, TARGET, nowhere)[1][0].name == "public.event_outbox.nowhere"


def test_subject_that_is_set_must_be_able_to_hold_a_unit() -> None:
    """
    A column found by its name alone is left out if it cannot; one that is set is refused.
    """
    target = make_table(
        *TARGET.columns.values(),
        make_column("subject", "uuid", filled=True),
        k=("idempotency_key",),
    )
    assert hostnames.resolve(UNIT, target, {})[0]["subject_column"] is None
    (problem,) = hostnames.resolve(UNIT, target, {"subject_column": "subject"})[1]
    assert (problem.name, problem.found) == ("public.event_outbox.subject", "type uuid")


def test_text_that_is_too_long_is_not_cut() -> None:
    """
    A cast to varchar(n) would cut a unit's name in silence; an assignment raises.
    """
    target = make_table(
        *TARGET.columns.values(),
        make_column("subject", "character varying(9)"),
        k=("idempotency_key",),
    )
    names, _ = hostnames.resolve(UNIT, target, {})
    assert hostnames.variables("iu_core", names)["iu_extra_values"] == ", cast(e.subject as text)"


def test_names_are_put_in_as_what_they_are() -> None:
    """
    Identifiers and literals are quoted; casts, slices and unknown words are left alone.
    """
    values = {"iu_schema": """we"ird 100%'s""", "iu_rest": ", x"}
    text = """select :"iu_schema".f(a::text, b[1:iu], :'iu_schema' :iu_rest)"""
    rendered = hostnames.render(text.replace("iu]", "n]"), values)
    assert rendered == """select "we""ird 100%'s".f(a::text, b[1:n], 'we"ird 100%''s' , x)"""
    with pytest.raises(KeyError, match="iu_unknown"):
        hostnames.render(':"iu_unknown"', values)
