-- One batch: its trigger looks, and removes.
insert into iu_gates.prune_batch (prune_no, asked) values (%(number)s, %(batch)s)
returning upto_event_id, events, kept
