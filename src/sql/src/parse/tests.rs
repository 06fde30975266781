//! How text is read: limits, places, statements.

use super::*;

fn error(sql: &str) -> Error {
    parse(sql).expect_err(sql)
}

/// Runs `check` on a stack as small as any thread of ours has.
fn on_small_stack(check: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    thread.spawn(check).expect("a thread").join().expect("no overflow");
}

#[test]
fn deep_nesting_is_refused_not_fatal() {
    on_small_stack(|| {
        let deep = 200_000;
        let nested = format!("SELECT {}1{}", "(".repeat(deep), ")".repeat(deep));
        assert_eq!((error(&nested).code, error(&nested).position), ("54001", Some(136)));
        for (open, close) in [("(", ""), ("[", ""), ("ARRAY[", "]"), ("(SELECT ", ")"), ("f(", ")")] {
            let sql = format!("SELECT {}1{}", open.repeat(100_000), close.repeat(100_000));
            assert_eq!(error(&sql).code, "54001", "{open}");
        }
    });
}

#[test]
fn long_chains_are_refused_not_fatal() {
    on_small_stack(|| {
        let links = [
            "+1",
            "-1",
            " OR true",
            " AND 1=1",
            "||'a'",
            "::int",
            " IS NULL",
            " UNION ALL SELECT 1",
            "[1]",
            " COLLATE c",
            " AT TIME ZONE 'UTC'",
            " BETWEEN 1 AND 2",
            ", 1 UNION SELECT 1",
            "->'a'",
            " NOT IN (1)",
        ];
        for link in links {
            let sql = format!("SELECT 1{}", link.repeat(200_000.min(900_000 / link.len())));
            assert_eq!(error(&sql).code, "54001", "{link}");
        }
        for prefix in ["NOT ", "- ", "CASE WHEN ", "+ ", "~ ", "EXISTS (SELECT ", "PREPARE a AS ", "EXPLAIN "] {
            let sql = format!("SELECT {}1", prefix.repeat(50_000));
            assert!(matches!(error(&sql).code, "54001" | "42601"), "{prefix}: {:?}", error(&sql));
        }
        let sql = format!("SELECT 1::int{}", "[]".repeat(200_000));
        assert_eq!(error(&sql).code, "54001");
    });
}

#[test]
fn nesting_within_bounds_is_parsed_and_dropped_on_a_small_stack() {
    on_small_stack(|| {
        let nested = format!("SELECT {}1{}", "(".repeat(120), ")".repeat(120));
        let queries = format!("SELECT {}1{}", "(SELECT ".repeat(100), ")".repeat(100));
        let sum = format!("SELECT 1{}", "+1".repeat(990));
        let alternatives = format!("SELECT 1 WHERE 1 = 1{}", " OR 1 = 2".repeat(490));
        let union = format!("SELECT 1{}", " UNION SELECT 1".repeat(990));
        for sql in [nested, queries, sum, alternatives, union] {
            let statements = parse(&sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
            drop(statements.clone());
            assert!(!format!("{:?}", statements[0].kind).is_empty());
        }
    });
}

#[test]
fn long_flat_lists_are_welcome() {
    let list = format!("SELECT 1 IN ({})", vec!["1"; 200_000].join(", "));
    let rows = format!("INSERT INTO t VALUES {}", vec!["(1, -2, 'x')"; 20_000].join(", "));
    for sql in [list, rows] {
        parse(&sql).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn hostile_text_takes_no_exponential_time() {
    // Time that doubled with each level would not end.
    for open in
        ["(", "((SELECT ", "CASE ", "f(", "CAST(", "EXTRACT(", "INTERVAL (", "ARRAY[(", "(a, ", "x IN (", "t JOIN ("]
    {
        for prefix in ["SELECT ", "SELECT * FROM ", "SELECT 1 WHERE "] {
            let _ = parse(&format!("{prefix}{}", open.repeat(60)));
            let _ = parse(&format!("{prefix}{}1", open.repeat(60)));
        }
    }
}

#[test]
fn text_has_a_limit() {
    let long = format!("SELECT 1 -- {}", "x".repeat(SQL_BYTES_MAX));
    assert_eq!(error(&long).code, "54000");
    assert_eq!(error("SELECT '\0'").code, "22021");
}

#[test]
fn statements_keep_their_own_text_and_place() {
    let statements = parse(" ;; SELECT 'é;' ; -- note\n/* x */ show ALL;").expect("two statements");
    let texts: Vec<(&str, usize)> =
        statements.iter().map(|statement| (statement.text.as_str(), statement.offset)).collect();
    assert_eq!(texts, [("SELECT 'é;'", 4), ("show ALL", 34)]);
    assert_eq!(parse("").expect("nothing").len(), 0);
    assert_eq!(parse(" -- ping").expect("nothing").len(), 0);
}

#[test]
fn alias_named_of_is_not_taken_for_as_of() {
    for sql in ["SELECT 1 AS of", "SELECT 1 AS of FROM t", "SELECT 1 AS of, 2", "SELECT * FROM t AS of WHERE true"] {
        parse(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
    }
}

#[test]
fn nothing_of_a_secret_is_quoted() {
    for sql in [
        "CREATE SECRET s AS 'hunter2' more",
        "create /* of\n*/ secret s AS hunter2 hunter2",
        "CREATE SECRET s AS 'hunter2",
        "SELECT 1; ALTER SECRET s AS 1hunter2",
        "ALTER SECRET s SET hunter2",
        "CREATE OR REPLACE SECRET s AS 'hunter2'",
        "EXPLAIN CREATE SECRET s AS 'hunter2'",
        "PREPARE p AS CREATE SECRET s hunter2",
        "CREATE SECRET s STORED AS 'hunter2'",
    ] {
        let error = parse(sql).expect_err(sql);
        let told = format!("{error:?}");
        assert!(!told.contains("hunter2") && error.position.is_none(), "{told}");
    }
    let statements =
        parse("CREATE SECRET s AS 'hunter2'; ALTER SECRET s AS decode('hunter2', 'hex')").expect("statements");
    assert!(!format!("{statements:?}").contains("hunter2"), "{statements:?}");
    // Others are quoted as ever.
    assert!(parse("SELECT secret FROM create_secret WHERE").expect_err("an end").message.contains("end of input"));
}
