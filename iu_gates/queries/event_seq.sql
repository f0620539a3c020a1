select :"iu_schema".fn_iu_event_seq() as last_event_id
