create table iu_route_redrive (
    dead_letter_id bigint not null,
    redriven_by text not null default session_user,
    redriven_at timestamptz not null default clock_timestamp(),
    constraint iu_route_redrive_pkey primary key (dead_letter_id),
    constraint iu_route_redrive_dead_letter_id_fkey
    foreign key (dead_letter_id) references iu_route_dead_letter (dead_letter_id)
);

comment on table iu_route_redrive is 'Dead letters that were put back, each once; append-only';
comment on column iu_route_redrive.dead_letter_id is 'The dead letter, which is not open any more';
comment on column iu_route_redrive.redriven_by is 'The login, session_user';
comment on column iu_route_redrive.redriven_at is 'Server clock';

create trigger iu_route_redrive_append_only
before update or delete or truncate on iu_route_redrive
for each statement execute function iu_gates.fn_keep_history();
