create function fn_iu_worker_require(p_site_key text) returns bigint
language plpgsql stable
set search_path from current
as $$
declare
    v_at record;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'a worker needs READ COMMITTED, got %', upper(current_setting('transaction_isolation'))
            using errcode = 'IUG10', hint = 'a snapshot from before disable would still read "on" (T14)';
    end if;
    if pg_current_xact_id_if_assigned() is not null then
        -- The cursor rests on the sequence being read before the own xid is taken: else a younger
        -- transaction may hold an event below it, and the next window would step over it (T9).
        raise exception 'a batch needs a transaction of its own, this one has written already'
            using errcode = 'IUG10', hint = 'commit before each batch';
    end if;
    -- One look for all: each poll asks it.
    select i.site_key_sha256, i.system_identifier, i.database_oid,
           s.system_identifier as cluster_here, d.oid as oid_here, iu_gates.fn_is_scratch() as is_scratch
    into v_at
    from pg_control_system() as s
    join pg_database as d on d.datname = current_database()
    left join iu_gates.installation as i on true;
    if p_site_key is null
       or v_at.site_key_sha256 is distinct from encode(sha256(convert_to(p_site_key, 'UTF8')), 'hex') then
        raise exception 'this database belongs to another site' using errcode = 'IUG41',
            detail = 'the site key does not match the one recorded here',
            hint = 'iu-gates status';
    end if;
    if (v_at.system_identifier, v_at.database_oid) is distinct from (v_at.cluster_here, v_at.oid_here) then
        raise exception 'this database is a copy of the one that was installed' using errcode = 'IUG41',
            detail = format('installed in cluster %s, database %s; this is cluster %s, database %s',
                            v_at.system_identifier, v_at.database_oid, v_at.cluster_here, v_at.oid_here),
            hint = 'iu-gates rebase';
    end if;
    if v_at.is_scratch then
        raise exception 'this is a scratch database; workers refuse it' using errcode = 'IUG41';
    end if;
    return v_at.cluster_here;
end
$$;

comment on function fn_iu_worker_require(text)
is 'The cluster''s system identifier; raises where a worker must not run';
revoke execute on function fn_iu_worker_require(text) from public;
