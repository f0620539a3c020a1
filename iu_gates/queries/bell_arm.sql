select b.until, b.fence::text::bigint as fence from :"iu_schema".fn_iu_bell_arm(%(until)s) as b
