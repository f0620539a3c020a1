select :"iu_schema".fn_iu_routes_sift(%(routes)s, %(key)s) as due
