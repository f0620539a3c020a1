select :"iu_schema".fn_iu_rebase(%(key)s, %(new_site)s) as done
