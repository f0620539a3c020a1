select :"iu_schema".fn_iu_bell_still(%(until)s)
