select s.object, s.remedy from iu_gates.fn_false_stamp() as s
