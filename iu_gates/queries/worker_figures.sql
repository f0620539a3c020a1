select f.figure, f.route_name, f.label, f.amount from :"iu_schema".fn_iu_worker_figures() as f
