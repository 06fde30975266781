//! Statements as deep as the parser admits go through planning on a small stack.

use crate::support::{Fake, session};
use sql::Params;

fn plan_on_small_stack(sql: String) {
    let work = move || {
        let statements = sql::parse(&sql).expect("within the limits");
        match sql::plan(&statements[0], &session(), &Fake::new(), &mut Params::default()) {
            Ok(plan) => drop(plan.clone()),
            Err(error) => assert!(error.code == "54001", "{}: {error}", error.code),
        }
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    thread.spawn(work).expect("a thread").join().expect("no overflow");
}

#[test]
fn chains_of_operators_are_planned() {
    plan_on_small_stack(format!("SELECT 1{}", "+1".repeat(990)));
    plan_on_small_stack(format!("SELECT 'a'::text{}", "||'a'".repeat(990)));
    plan_on_small_stack(format!("SELECT 1 WHERE 1 = 1{}", " OR 1 = 2".repeat(490)));
    plan_on_small_stack(format!("CREATE VIEW v AS SELECT 1 AS x WHERE true{}", " AND true".repeat(900)));
}

#[test]
fn chains_of_set_operations_are_planned() {
    plan_on_small_stack(format!("SELECT 1{}", " UNION SELECT 1".repeat(300)));
    plan_on_small_stack(format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(900)));
}

#[test]
fn brackets_are_planned() {
    plan_on_small_stack(format!("SELECT {}1{}", "(".repeat(120), ")".repeat(120)));
    plan_on_small_stack(format!("SELECT {}1{}", "(SELECT ".repeat(100), ")".repeat(100)));
    plan_on_small_stack(format!(
        "SELECT * FROM {}(VALUES (1)) AS t{}",
        "(SELECT * FROM ".repeat(100),
        ") AS x".repeat(100)
    ));
}
