select d.object, d.change, d.is_part, d.wanted, d.found, d.removal from iu_gates.fn_drift() as d
