select
    p.oid::regprocedure::text as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(p.proowner),
        'arguments', pg_get_function_arguments(p.oid),
        'result', pg_get_function_result(p.oid),
        'parallel', p.proparallel,
        'kind', a.aggkind,
        'transition', a.aggtransfn::regprocedure::text,
        'final', a.aggfinalfn::regprocedure::text,
        'final extra', a.aggfinalextra,
        'final modify', a.aggfinalmodify,
        'combine', a.aggcombinefn::regprocedure::text,
        'serial', a.aggserialfn::regprocedure::text,
        'deserial', a.aggdeserialfn::regprocedure::text,
        'moving', jsonb_build_array(
            a.aggmtransfn::regprocedure::text,
            a.aggminvtransfn::regprocedure::text,
            a.aggmfinalfn::regprocedure::text,
            a.aggmfinalextra,
            a.aggmfinalmodify,
            format_type(nullif(a.aggmtranstype, 0), null),
            a.aggmtransspace,
            a.aggminitval
        ),
        'sort operator', a.aggsortop::regoperator::text,
        'state type', format_type(a.aggtranstype, null),
        'state size', a.aggtransspace,
        'initial', a.agginitval
    ) as attributes
from pg_aggregate a
join pg_proc p on p.oid = a.aggfnoid
join kept n on n.oid = p.pronamespace
where not exists (
    select from member m
    where m.classid = 'pg_proc'::regclass and m.objid = p.oid
)
