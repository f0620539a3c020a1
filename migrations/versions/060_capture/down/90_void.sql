select iu_gates.fn_void(
    array['substrate', 'invocation', 'dry_run', 'seam', 'check_relaxed', 'disable_proven', 'rehearsal',
          'approval', 'canary', 'live', '*/dry_run', '*/seam', '*/approval', '*/canary', '*/live'],
    'substrate/060 was taken back');
