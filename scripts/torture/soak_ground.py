"""What a soak stands on: two live routes, a target that may refuse, and how they are walked."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from soak_hosts import UNITS
from stage import OPERATOR, Failure, Stage

from iu_gates.config import ROUTE

SECOND: Final = "soak.one_unit"
TAKEN: Final = UNITS[0]
"""The second route takes one unit."""
LONGEST: Final = 120.0
POISON: Final = """
create table public.refused (subject text primary key);
grant select on public.refused to public;
create function public.fn_refuse() returns trigger language plpgsql as $$
begin
    if (new.payload -> 'data' ->> 'version_seq')::bigint % 3 = 0
       and exists (select from public.refused as r where r.subject = new.subject) then
        raise 'refused' using errcode = '22000';
    end if;
    return new;
end $$;
create trigger refuse before insert on public.event_outbox
for each row execute function public.fn_refuse();
"""
APPROVE: Final = """
insert into iu_gates.approval (route_name, definition_hash, digest, logins, granted_at, expires_at)
select route_name, definition_hash, 'a', '{alice}', now(), now() + interval '1 h'
from iu_core.iu_outbound_route where route_name = %s
"""
GO_LIVE: Final = (
    "select iu_core.fn_iu_route_live(%s, null, max(approval_id)) from iu_gates.approval"
)


class Look:
    """What there was at the moment at which `disable` said that it is drained."""

    def __init__(self, stage: Stage) -> None:
        self.mark = 0
        self.at: datetime | None = None
        self._stage = stage

    def hear(self, text: str) -> None:
        """Note the moment."""
        if text == "off and drained":
            ((self.at, self.mark),) = self._stage.fetch(
                "select clock_timestamp(), coalesce(max(id), 0) from public.event_outbox"
            )


def walk(stage: Stage, to: str, see_to_workers: Callable[[], None]) -> None:
    """Advance, approving what is asked for, with the stage's host at work for the drill."""
    stage.host.at_work.set()
    deadline = time.monotonic() + LONGEST
    while True:
        see_to_workers()
        process = stage.start(["-m", "iu_gates", "advance", "--to", to])
        said = process.communicate(timeout=LONGEST)[0]
        if process.returncode == 0:
            break
        if "iu-gates approve" in said:
            stage.approve()
        elif process.returncode not in {3, 6} or time.monotonic() > deadline:
            raise Failure(f"advance ended with {process.returncode}: {said}")
    stage.host.at_work.clear()


def run(stage: Stage, *line: str) -> None:
    """Run a command that has to end with 0."""
    process = stage.start(["-m", "iu_gates", *line])
    said = process.communicate(timeout=LONGEST)[0]
    if process.returncode:
        raise Failure(f"{' '.join(line)} ended with {process.returncode}: {said}")


def prepare(stage: Stage) -> None:
    """Walk to live with a worker; then a second route, and policies that a soak can wait for."""
    with stage.connect(OPERATOR) as conn:
        conn.execute(POISON)
    policy = ("--tries", "2", "--backoff", "1", "--budget", "1000000")
    walk(stage, "substrate", lambda: None)
    run(stage, "route", "set", ROUTE, *policy, "--on-dead-letter", "hold")
    walk(stage, "live", stage.see_to_worker)
    stage.kill_worker()
    takes = ("--event-type", "iu.version_applied", "--filter-subject", TAKEN)
    run(stage, "route", "add", SECOND, *takes, *policy, "--on-dead-letter", "pass")
    run(stage, "route", "enable", SECOND)
    go_live(stage)


def go_live(stage: Stage) -> None:
    """Take the second route live as its owner can, by hand: its gates are not what soaks here."""
    with stage.connect() as conn:
        for query in (APPROVE, GO_LIVE):
            conn.execute(query, (SECOND,))
