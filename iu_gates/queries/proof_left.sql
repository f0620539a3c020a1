-- What a proof that was rolled back must not have changed; other sessions go on meanwhile.
select (select count(*) from iu_gates.approval as a where a.logins = array['proof']) as approvals,
       (select concat_ws(' ', r.enabled, r.dry_run, r.target_kind, r.target_ref)
        from :"iu_schema".iu_outbound_route as r where r.route_name = %(route)s) as switches,
       (select count(*) from pg_constraint as k
        where k.connamespace = to_regnamespace(trim('"' from ':"iu_schema"'))) as constraints
