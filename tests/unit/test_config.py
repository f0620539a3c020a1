"""Settings: the nearer wins, and a key or value that is not known is an error that names it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iu_gates import config
from iu_gates.errors import UsageError

UNTIL = datetime(2027, 1, 1, tzinfo=UTC)
WAIVER = {"gate": "rehearsal", "who": "me", "why": "not built", "until": "2027-01-01"}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine that runs the tests."""
    for name in os.environ:
        if name.startswith(("IU_GATES_", "PG")):
            monkeypatch.delenv(name)


def test_nearer_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The option, then the environment, then the file, then the default.
    """
    file = tmp_path / "iu-gates.toml"
    file.write_text('database_url = "of the file"\nlock_wait = "7 s"\nschema = "other"\n')
    monkeypatch.setenv("IU_GATES_DATABASE_URL", "of the environment")
    monkeypatch.setenv("IU_GATES_LOCK_WAIT", "8 s")

    settings = config.load("of the option", cwd=tmp_path)

    assert settings.database_url == "of the option"
    assert config.load(cwd=tmp_path).database_url == "of the environment"
    assert settings.lock_wait == timedelta(seconds=8)
    assert settings.schema == "other"
    assert settings.barrier_wait == timedelta(seconds=10)


def test_pyproject_is_read_where_there_is_no_file_of_our_own(tmp_path: Path) -> None:
    """
    ``[tool.iu-gates]`` serves as well; other tables are not ours.
    """
    (tmp_path / "pyproject.toml").write_text('[tool.iu-gates]\nschema = "x"\n[tool.other]\na = 1\n')
    assert config.load(cwd=tmp_path).schema == "x"


def test_file_that_is_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    ``--config`` and IU_GATES_CONFIG name a file that exists; the default may be missing.
    """
    missing = tmp_path / "none.toml"
    with pytest.raises(UsageError, match=r"none\.toml"):
        config.load(config_file=missing)
    monkeypatch.setenv("IU_GATES_CONFIG", str(missing))
    with pytest.raises(UsageError, match=r"none\.toml"):
        config.load(cwd=tmp_path)
    monkeypatch.delenv("IU_GATES_CONFIG")
    assert config.load(cwd=tmp_path) == config.Settings()


def test_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    """
    A syntax error says in which file it is.
    """
    file = tmp_path / "iu-gates.toml"
    file.write_text("schema = ")
    with pytest.raises(UsageError, match="cannot read settings file") as raised:
        config.load(cwd=tmp_path)
    assert str(file) in raised.value.summary


@pytest.mark.parametrize(
    ("values", "named", "wanted"),
    [
        ({"aprovals_needed": 2}, "aprovals_needed", "approvals_needed"),
        ({"host": {"unit_tabel": "x"}}, "host.unit_tabel", "host.unit_table"),
        ({"waivers": [{**WAIVER, "reason": "x"}]}, "waivers.reason", "gate, who, why, until"),
        ({"zzz": 1}, "zzz", "database_url"),
    ],
)
def test_unknown_key_is_named(values: dict[str, object], named: str, wanted: str) -> None:
    """
    A misspelt limit is no limit, so it is refused, with the name that was meant.
    """
    with pytest.raises(UsageError, match=f'unknown setting "{named}"') as raised:
        config.build(values)
    assert raised.value.exit_code == 2
    assert wanted in (raised.value.wanted or "")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"lock_wait": "soon"}, "lock_wait"),
        ({"lock_wait": "-1 s"}, "lock_wait"),
        ({"approvals_needed": 0}, "approvals_needed"),
        ({"approvals_needed": "two"}, "approvals_needed"),
        ({"invocation": "by hand"}, "invocation"),
        ({"host": 3}, "host"),
        ({"waivers": 3}, "waivers"),
        ({"waivers": ["rehearsal"]}, "waivers"),
        ({"waivers": [{**WAIVER, "gate": "approval"}]}, "waivers.gate"),
        ({"waivers": [{**WAIVER, "gate": "canary"}]}, "waivers.gate"),
        ({"waivers": [{**WAIVER, "until": "never"}]}, "waivers"),
        ({"waivers": [{k: v for k, v in WAIVER.items() if k != "who"}]}, "waivers.who"),
        ({"waivers": [{**WAIVER, "why": ""}]}, "waivers.why"),
        ({"backup_dir": 3}, "backup_dir"),
    ],
)
def test_value_that_cannot_be_is_named(values: dict[str, object], named: str) -> None:
    """
    Each value that a setting cannot have is refused by the setting's name.

    So is a waiver of a gate that cannot be waived, approval above all, or one that does not say
    who and why.
    """
    with pytest.raises(UsageError) as raised:
        config.build(values)
    assert f'"{named}"' in raised.value.summary


def test_waiver_counts_until_it_runs_out() -> None:
    """
    A waiver is one of its gate, up to its time.
    """
    settings = config.build({"waivers": [WAIVER]})
    before = UNTIL - timedelta(microseconds=1)
    assert settings.waiver("rehearsal", before) is not None
    assert settings.waiver("rehearsal", UNTIL) is None
    assert settings.waiver("approval", before) is None


def test_outbox_constants_of_the_environment_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    As the plain command reads them; what is no object is named.
    """
    monkeypatch.setenv("IU_GATES_HOST_OUTBOX_CONSTANTS", '{"tenant": "a", "rank": 1}')
    assert config.load(cwd=Path("/nonexistent")).host == {
        "outbox_constants": {"tenant": "a", "rank": 1}
    }

    for text in ("tenant=a", "1", "[1]"):
        monkeypatch.setenv("IU_GATES_HOST_OUTBOX_CONSTANTS", text)
        with pytest.raises(UsageError, match=r"host\.outbox_constants"):
            config.load()


def test_host_of_the_environment_is_that_of_plain_alembic(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The host's names come from the same variables for both commands, over those of the file.
    """
    monkeypatch.setenv("IU_GATES_HOST_SCHEMA", "cms")
    assert config.load(cwd=Path("/nonexistent")).host == {"schema": "cms"}


def test_no_url_is_a_usage_error_and_names_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without a URL nothing is guessed, and no embedded server is started; ``PG*`` is a URL.
    """
    with pytest.raises(UsageError, match="no database given") as raised:
        config.require_url(config.Settings())
    assert "IU_GATES_DATABASE_URL" in (raised.value.wanted or "")
    monkeypatch.setenv("PGHOST", "somewhere")
    assert config.require_url(config.Settings()) == ""


def test_site_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    """
    T42: the key is made the first time, mode 0600, and is the same ever after.
    """
    file = tmp_path / "a" / "site-key"
    settings = config.build({"site_key_file": str(file)})
    assert config.read_site_key(settings) is None

    key = config.make_site_key(settings)

    assert len(key) > 30
    assert config.make_site_key(settings) == key == config.read_site_key(settings)
    assert file.stat().st_mode & 0o777 == 0o600
    assert config.hash_site_key(key) != key


def test_site_key_of_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A container has its key in the environment.
    """
    monkeypatch.setenv("IU_GATES_SITE_KEY", "of the environment")
    settings = config.build({"site_key_file": str(tmp_path / "none")})
    assert config.make_site_key(settings) == "of the environment"
    assert not (tmp_path / "none").exists()


def test_site_key_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """
    A directory where the key should be is a usage error that names it.
    """
    with pytest.raises(UsageError, match="cannot read the site key"):
        config.read_site_key(config.build({"site_key_file": str(tmp_path)}))


@given(
    number=st.integers(0, 10**6),
    unit=st.sampled_from([("s", 1), ("min", 60), ("h", 3600), ("d", 86400)]),
)
def test_duration(number: int, unit: tuple[str, int]) -> None:
    """
    A duration is a number and a unit, with or without a space between.
    """
    word, seconds = unit
    for text in (f"{number} {word}", f" {number}{word} "):
        assert config.parse_duration(text) == timedelta(seconds=number * seconds)


@given(st.text())
def test_what_is_no_duration_is_refused(text: str) -> None:
    """
    Anything else raises, and never gives a span by chance.
    """
    try:
        span = config.parse_duration(text)
    except ValueError:
        return
    assert any(text.strip().endswith(u) for u in ("s", "min", "h", "d"))
    assert span >= timedelta(0)
