create function fn_iu_route_fault(p_sqlstate text, p_context text) returns text
language sql immutable
set search_path from current
as $$
    -- What is the connection's, a transaction's, a lock's, the schema's, the server's or our own is no
    -- event's fault (T18). The rest is, a code of the host's own triggers too. So of class 53, room,
    -- memory and sessions, what code has raised by itself; else it is the server that has none left.
    select case
        when left(p_sqlstate, 2) = '53'
            then case when split_part(p_context, chr(10), 1) like '%RAISE%' then 'target full' end
        when left(p_sqlstate, 2) <> all (array['08', '0A', '0L', '0P', '25', '26', '28', '2B', '2D', '34', '3B', '3D',
                                               '3F', '40', '42', '55', '57', '58', 'F0', 'HV', 'IU', 'XX'])
            then 'data error'
    end
$$;

comment on function fn_iu_route_fault(text, text) is 'What failed, if the event or its target did; null if it is no event''s fault';
revoke execute on function fn_iu_route_fault(text, text) from public;
