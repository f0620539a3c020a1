-- Rows are appended, never updated: while another session holds an old snapshot, the dead
-- versions of one hot row would make every small batch dearer (T21). The newest row of a
-- (route, kind) is the cursor.
--
-- old_*: everything visible in old_snapshot has been worked through. old_xid is the own xid
-- and old_seq the event sequence, read before it, of the transaction that took the snapshot:
-- each event_id up to old_seq was drawn by a transaction below old_xid.
-- new_*: the open window, if there is one; last_event_id is how far it was worked through.
-- is_carry_over: the open window is a list, iu_route_carry_over; its snapshot is the next old one.

create table iu_route_cursor (
    cursor_no bigint generated always as identity,
    route_name text not null,
    kind text not null,
    cluster_id bigint not null,
    old_stamp bigint not null,
    old_snapshot pg_snapshot not null,
    old_xid xid8 not null,
    old_seq bigint not null,
    new_stamp bigint,
    new_snapshot pg_snapshot,
    new_xid xid8,
    new_seq bigint,
    new_high bigint,
    late_xids xid8[],
    last_event_id bigint not null default 0,
    is_carry_over boolean not null default false,
    is_start boolean not null default false,
    moved_at timestamptz not null default clock_timestamp(),
    constraint iu_route_cursor_pkey primary key (cursor_no),
    constraint iu_route_cursor_route_name_fkey
    foreign key (route_name) references iu_outbound_route (route_name),
    constraint iu_route_cursor_kind_chk check (kind in ('delivery', 'evaluation')),
    constraint iu_route_cursor_window_chk check (
        num_nulls(new_stamp, new_snapshot, new_xid, new_seq, new_high) in (0, 5)
    ),
    constraint iu_route_cursor_carry_over_chk check (new_snapshot is not null or not is_carry_over)
);

create index iu_route_cursor_newest_idx on iu_route_cursor (route_name, kind, cursor_no);

comment on table iu_route_cursor is 'How far each route has been read; the newest row counts';
comment on column iu_route_cursor.cursor_no is 'Order of the moves';
comment on column iu_route_cursor.route_name is 'The route';
comment on column iu_route_cursor.kind is 'delivery, or evaluation where it ran ahead in dry-run after live';
comment on column iu_route_cursor.cluster_id is 'System identifier of the cluster of the snapshots';
comment on column iu_route_cursor.old_stamp is 'Order in which the snapshots of this route were taken';
comment on column iu_route_cursor.old_snapshot is 'All that is visible in it has been worked through';
comment on column iu_route_cursor.old_xid is 'Own xid of the transaction that took it; counts as running in it';
comment on column iu_route_cursor.old_seq is 'Event sequence, read before old_xid was taken';
comment on column iu_route_cursor.new_stamp is 'Stamp of the open window''s snapshot';
comment on column iu_route_cursor.new_snapshot is 'The open window ends here; null without an open window';
comment on column iu_route_cursor.new_xid is 'As old_xid, for new_snapshot';
comment on column iu_route_cursor.new_seq is 'As old_seq, for new_snapshot';
comment on column iu_route_cursor.new_high is 'Event sequence, read after new_snapshot: nothing above is in the window';
comment on column iu_route_cursor.late_xids is 'Late committers of the open window that wrote events';
comment on column iu_route_cursor.last_event_id is 'Last event worked through in the open window';
comment on column iu_route_cursor.is_carry_over is 'The open window is what a re-base carried over: iu_route_carry_over';
comment on column iu_route_cursor.is_start is 'The route began here: what is visible in old_snapshot was never meant for it';
comment on column iu_route_cursor.moved_at is 'Server clock';
