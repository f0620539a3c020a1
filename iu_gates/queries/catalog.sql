select c.object, c.definition, c.removal from iu_gates.fn_catalog(%(schemas)s::text[]) as c
