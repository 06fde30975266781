//! A printed tree reads back as the same tree, in the parser's words and in the user's, on one line and on several: what the
//! catalog keeps, and what SHOW CREATE and pg_get_viewdef show, mean what was written.

use std::path::Path;

use sql::parse;
use sql::parse::as_written;
use sql::statement::{Statement, StatementKind};
use sqlparser::ast::Query;

/// Runs `check` on a stack that is enough for all trees that are admitted.
fn on_large_stack(check: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(256 << 20);
    thread.spawn(check).expect("a thread").join().expect("the check holds");
}

/// Parses one query.
fn query(text: &str) -> Result<Query, String> {
    let statements = parse(text).map_err(|error| error.message)?;
    statements.first().and_then(query_of).ok_or_else(|| "not a query".to_owned())
}

/// Prints and reads again. Errors: how it came out different.
fn round_trip(query: &Query) -> Result<(), String> {
    let printed = query.to_string();
    for text in [printed.as_str(), &as_written(&printed), &parse::pretty(&printed)] {
        let again = self::query(text).map_err(|error| format!("{error}\n  printed: {text}"))?;
        if again != *query {
            return Err(format!("other tree\n  printed: {text}\n  again:   {again}"));
        }
    }
    Ok(())
}

/// The query of a statement that has one.
fn query_of(statement: &Statement) -> Option<Query> {
    match statement.kind.as_ref() {
        StatementKind::Select(select) => Some(*select.query.clone()),
        StatementKind::CreateView(view) => Some(*view.query.clone()),
        _ => None,
    }
}

/// The statements of the SQL logic tests that can be read.
fn statements() -> Vec<(String, Statement)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../test/slt");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("test/slt").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("a text");
        for record in text.split("\n\n") {
            let mut lines = record.lines().skip_while(|line| line.starts_with('#'));
            if !lines.next().is_some_and(|line| line.starts_with("statement ") || line.starts_with("query ")) {
                continue;
            }
            let sql: Vec<&str> = lines.take_while(|line| *line != "----").collect();
            let sql = sql.join("\n");
            found.extend(parse(&sql).unwrap_or_default().into_iter().map(|statement| (sql.clone(), statement)));
        }
    }
    found
}

#[test]
fn queries_of_the_logic_tests_survive_printing() {
    on_large_stack(queries_of_the_logic_tests);
}

fn queries_of_the_logic_tests() {
    let (mut count, mut failures) = (0, Vec::new());
    for (sql, statement) in statements() {
        let Some(query) = query_of(&statement) else { continue };
        count += 1;
        if let Err(error) = round_trip(&query) {
            failures.push(format!("{sql}\n  {error}"));
        }
    }
    assert!(count > 2_000, "only {count} queries were found");
    assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n\n"));
}

/// A grammar's sentences, drawn by a number that gives the next one.
struct Draw(u64);

impl Draw {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % count
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn typ(&mut self) -> &'static str {
        self.pick(&[
            "int",
            "text[]",
            "numeric(10, 2)",
            "\"odd type\"",
            "s.mood",
            "int list",
            "map[text=>int]",
            "timestamptz(3)",
            "char(3)",
            "double precision",
            "interval",
            "\"char\"",
            "varchar",
            "text list list",
        ])
    }

    fn literal(&mut self) -> &'static str {
        self.pick(&[
            "1",
            "-1",
            "1.5",
            "1e10",
            "'a'",
            "'it''s'",
            "E'a\\n\\'b'",
            "NULL",
            "true",
            "$1",
            "'\\'",
            "DATE '2024-01-01'",
            "INTERVAL '1' DAY",
            "INTERVAL '1 day'",
            "U&'\\0041'",
            "$$dollar$$",
            "''",
            "9999999999999999999999",
            "'\"'",
        ])
    }

    fn name(&mut self) -> &'static str {
        self.pick(&["a", "b", "\"Odd Name\"", "t.a", "\"a\"\"b\"", "s.t.a", "\"select\"", "of", "\"exclude all\""])
    }

    fn expr(&mut self, depth: u64) -> String {
        if depth == 0 {
            return if self.below(2) == 0 { self.literal().to_owned() } else { self.name().to_owned() };
        }
        let mut inner = || self.expr(depth - 1);
        let (a, b, c) = (inner(), inner(), inner());
        let operator = self.pick(&[
            "+",
            "-",
            "*",
            "/",
            "%",
            "||",
            "=",
            "<>",
            "<",
            ">=",
            "AND",
            "OR",
            "LIKE",
            "ILIKE",
            "~",
            "!~*",
            "->",
            "->>",
            "#>",
            "@>",
            "?",
            "?|",
            "IS DISTINCT FROM",
            "#",
            "<<",
            "^",
            "SIMILAR TO",
            "&&",
            "-|-",
            "NOT LIKE",
            "OVERLAPS",
        ]);
        self.form(depth, operator, [a, b, c])
    }

    /// An expression of these parts.
    fn form(&mut self, depth: u64, operator: &str, [a, b, c]: [String; 3]) -> String {
        let typ = self.typ();
        match self.below(34) {
            0..=5 => format!("({a}) {operator} ({b})"),
            6 => format!("{a} {operator} {b}"),
            7 => format!("CASE WHEN {a} THEN {b} ELSE {c} END"),
            8 => format!("CASE {a} WHEN {b} THEN {c} END"),
            9 => format!("({a})::{typ}"),
            10 => format!("CAST({a} AS {typ})"),
            11 => format!("f({a}, {b})"),
            12 => format!("s.f(DISTINCT {a} ORDER BY {b} DESC NULLS LAST) FILTER (WHERE {c})"),
            13 => format!("sum({a}) OVER (PARTITION BY {b} ORDER BY {c} ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"),
            14 => format!("sum({a}) OVER (w ORDER BY {b} GROUPS 2 PRECEDING EXCLUDE TIES)"),
            15 => format!("sum({a}) OVER (PARTITION BY {b} ORDER BY {c} RANGE '1 day' PRECEDING EXCLUDE CURRENT ROW)"),
            16 => format!("({a}) IN ({b}, {c})"),
            17 => format!("({a}) NOT BETWEEN ({b}) AND ({c})"),
            18 => format!("NOT ({a})"),
            19 => format!("- ({a})"),
            20 => format!("ARRAY[{a}, {b}][1:2]"),
            21 => format!("(ARRAY[{a}])[{b}]"),
            22 => format!("LIST[{a}, [{b}]]"),
            23 => format!("MAP['k' => {a}]"),
            24 => format!("(ROW({a}, {b})).f1"),
            25 => format!("({a}) = ANY (ARRAY[{b}])"),
            26 => format!("({a}) IS NOT NULL"),
            27 => format!("EXTRACT(year FROM {a})"),
            28 => format!("substring({a} FROM {b} FOR {c})"),
            29 => format!("trim(BOTH {a} FROM {b})"),
            30 => format!("position({a} IN {b})"),
            31 => format!("concat({a}, VARIADIC ({b}))"),
            32 => format!("({a}) AT TIME ZONE {b}"),
            _ => format!("EXISTS ({})", self.query(depth - 1)),
        }
    }

    fn from(&mut self, depth: u64) -> String {
        let expr = self.expr(depth);
        match self.below(9) {
            0 => "t".to_owned(),
            1 => "s.\"T\" AS x (a, \"B\")".to_owned(),
            2 => format!("t LEFT JOIN u ON {expr}"),
            3 => "t NATURAL FULL JOIN u CROSS JOIN v".to_owned(),
            4 => "t JOIN u USING (a, b)".to_owned(),
            5 => format!("LATERAL ({}) AS x", self.query(depth.saturating_sub(1))),
            6 => format!("ROWS FROM (f({expr}), g(1)) WITH ORDINALITY AS x (a, b, c)"),
            7 => format!("generate_series(1, {expr}) AS x"),
            _ => format!("jsonb_to_record({expr}) AS x (a int, b text[])"),
        }
    }

    fn query(&mut self, depth: u64) -> String {
        let (a, b, c) = (self.expr(depth), self.expr(depth), self.expr(depth));
        let from = self.from(depth);
        match self.below(12) {
            0 => format!("VALUES ({a}, {b}), ({c}, NULL)"),
            1 => format!("SELECT DISTINCT ON ({a}) {b} AS x, * FROM {from} ORDER BY {c} DESC LIMIT 1 OFFSET 2"),
            2 => format!("SELECT {a} FROM {from} GROUP BY GROUPING SETS ((a, b), GROUPING SETS ((a), ())) HAVING {b}"),
            3 => format!("SELECT {a} FROM {from} GROUP BY ROLLUP (a, b), CUBE (c)"),
            4 => format!("(SELECT {a} FROM {from}) UNION ALL (SELECT {b} EXCEPT SELECT {c}) ORDER BY 1"),
            5 => format!("WITH x (a) AS (SELECT {a}), \"Y\" AS (SELECT 1) SELECT * FROM x WHERE {b}"),
            6 => format!("WITH RECURSIVE x AS (SELECT 1 UNION SELECT {a} FROM x) TABLE x"),
            7 => format!("WITH MUTUALLY RECURSIVE x (a int, b int list) AS (SELECT {a}, {b}) SELECT * FROM x"),
            8 => format!("WITH MUTUALLY RECURSIVE (RETURN AT RECURSION LIMIT 5) x (a int) AS (SELECT {a}) SELECT 1"),
            9 => format!("SELECT {a} FROM {from} WINDOW w AS (PARTITION BY {b} ORDER BY {c})"),
            10 => format!("SELECT {a} FROM {from} ORDER BY {b} FETCH FIRST 3 ROWS WITH TIES"),
            _ => format!("SELECT {a}, {b} AS \"B b\", t.*, {c} of FROM {from} WHERE {b}"),
        }
    }
}

#[test]
fn drawn_queries_survive_printing() {
    on_large_stack(drawn_queries);
}

fn drawn_queries() {
    let (mut read, mut failures) = (0, Vec::new());
    for seed in 0..6_000 {
        let sql = Draw(seed).query(seed % 3);
        // What the grammar draws is not always SQL: `a LIKE b LIKE c` is not.
        let Ok(statements) = parse(&sql) else { continue };
        for statement in &statements {
            let query = query_of(statement).expect("a query was drawn");
            read += 1;
            if let Err(error) = round_trip(&query) {
                failures.push(format!("{sql}\n  {error}"));
            }
        }
    }
    assert!(read > 3_000, "only {read} of the drawn queries could be read");
    failures.truncate(20);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn definitions_are_shown_as_they_were_written() {
    let cases = [
        "WITH MUTUALLY RECURSIVE (RETURN AT RECURSION LIMIT 5) a (x INT) AS (SELECT 1) SELECT * FROM a",
        "WITH MUTUALLY RECURSIVE a (x INT) AS (SELECT 1) SELECT * FROM a",
        "SELECT * FROM ROWS FROM (f(1), g(2)) AS x",
        "SELECT a FROM t GROUP BY GROUPING SETS ((a), GROUPING SETS ((b), (c)))",
        "SELECT sum(a) OVER (PARTITION BY b ORDER BY c GROUPS 1 PRECEDING EXCLUDE TIES) FROM t",
        "SELECT NULL::int list, 1",
    ];
    for case in cases {
        let query = query(case).expect("a query");
        let shown = as_written(&query.to_string()).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(shown, case);
    }
}
