-- What the deparsing functions and the output of values depend on, for this transaction.
select
    set_config('search_path', '', true),
    set_config('quote_all_identifiers', 'off', true),
    set_config('DateStyle', 'ISO, YMD', true),
    set_config('IntervalStyle', 'postgres', true),
    set_config('TimeZone', 'UTC', true),
    set_config('extra_float_digits', '3', true),
    set_config('bytea_output', 'hex', true),
    set_config('xmlbinary', 'base64', true),
    set_config('lc_monetary', 'C', true),
    set_config('row_security', 'off', true),
    set_config('jit', 'off', true)
