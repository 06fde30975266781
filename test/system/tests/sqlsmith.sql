-- What sqlsmith queries: a table with a column of every type, one of each kind of object, edge values and NULLs.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE every_type (
    id int4 NOT NULL, a_bool bool, an_int2 int2, an_int8 int8, a_uint2 uint2, a_uint4 uint4, a_uint8 uint8,
    a_float4 float4, a_float8 float8, a_numeric numeric, a_money numeric(10, 2), a_text text, a_varchar varchar(10),
    a_char char(3), a_byte "char", a_name name, a_bytea bytea, a_date date, a_time time, a_timestamp timestamp,
    a_timestamptz timestamptz, an_interval interval, a_uuid uuid, a_jsonb jsonb, an_oid oid, a_class regclass,
    a_mood mood, some_ints int4[], some_texts text[], some_moods mood[], a_range int4range, a_span tstzrange,
    a_list int4 list, a_map map[text=>int4], a_now mz_timestamp
);
INSERT INTO every_type VALUES
    (1, true, 1, 10, 1, 2, 3, 1.5, 2.5, 3.25, 10.5, 'one', 'one', 'a', 'x', 'n', '\x00ff', '2024-02-29', '12:00',
     '2024-02-29 12:00', '2024-02-29 12:00+00', '1 month 2 days', '11111111-1111-1111-1111-111111111111',
     '{"a": [1, 2, {"b": null}]}', 25, 'pg_class', 'ok', '{1,2,3}', '{a,NULL,c}', '{sad,happy}', '[1,5)',
     '[2024-01-01,2024-02-01)', '{1,2}', '{a=>1}', '1000'),
    (2, false, -32768, -9223372036854775808, 0, 0, 0, '-infinity', 'nan', -1e30, -0.01, '', '', '', '', '', '',
     '4713-01-01 BC', '00:00', '4713-01-01 BC', '-infinity', '-178000000 years', '00000000-0000-0000-0000-000000000000',
     '[]', 0, 'every_type', 'sad', '{}', '{}', '{}', 'empty', '(,)', '{}', '{}', '0'),
    (3, true, 32767, 9223372036854775807, 65535, 4294967295, 18446744073709551615, 3.4e38, '1.7e308', 1e30, 99999999.99,
     'grün''"\', 'ten chars!', 'xyz', 'z', 'a "name"', '\xdeadbeef', 'infinity', '24:00', 'infinity', 'infinity',
     '178000000 years', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '"text"', 4294967295, 'pg_type', 'happy',
     '[0:1]={-2147483648,2147483647}', '{{a,b},{c,d}}', '{NULL}', '(,)', 'empty', '{NULL}', '{a=>NULL}',
     '18446744073709551615');
INSERT INTO every_type (id) VALUES (4);
CREATE TABLE numbers (a int4 NOT NULL, b int4, c int8);
INSERT INTO numbers SELECT n, nullif(n % 7, 0), n::int8 * n FROM generate_series(1, 100) AS n;
CREATE TABLE empty_table (a int4, b text);
CREATE INDEX ON numbers (b);
CREATE VIEW joined AS SELECT e.id, e.a_text, n.c FROM every_type AS e LEFT JOIN numbers AS n ON n.a = e.id;
CREATE VIEW indexed AS SELECT b, count(*) AS n, sum(c) AS total, max(a) AS last FROM numbers GROUP BY b;
CREATE INDEX ON indexed (b);
CREATE MATERIALIZED VIEW stored AS SELECT a_mood, a_jsonb, a_numeric, an_interval FROM every_type;
