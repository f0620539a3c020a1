drop function fn_iu_deliver_workflow(text, bigint[]);

drop function fn_iu_deliver_workflow_again(text, bigint[]);

drop function fn_iu_cloud_event(iu_event, text, text);

select iu_gates.fn_void(
    array['seam', 'check_relaxed', 'disable_proven', 'rehearsal', 'approval', 'canary', 'live',
          '*/seam', '*/approval', '*/canary', '*/live'],
    'substrate/090 was taken back');
