select b.dead_letter_id, b.subject from :"iu_schema".fn_iu_route_redrive_lacks(%(ids)s) as b
