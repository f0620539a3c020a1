select :"iu_schema".fn_iu_worker_beat(
    %(worker_id)s, %(invocation)s, %(host_name)s, %(process_id)s, %(version)s, %(state)s)
