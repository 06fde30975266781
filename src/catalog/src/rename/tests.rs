//! Renames over small catalogs: what is rewritten, and what is refused.

use sql::CatalogView;

use crate::Catalog;
use crate::testing::Stored;

/// Every item that a user made, with its text and its meaning.
fn shown(catalog: &Catalog) -> Vec<String> {
    let items = super::users_items(catalog);
    let shown = items.map(|item| {
        assert_eq!(catalog.broken(item.id), None, "{}", item.create_sql);
        assert!(catalog.item(&item.name).is_some_and(|found| found.id == item.id), "{}", item.name);
        format!("{}: {} {:?}", item.name, item.create_sql, item.definition)
    });
    shown.collect()
}

/// What is served is what a restart gives.
fn check(stored: &Stored) {
    assert_eq!(shown(&stored.catalog), shown(&stored.loaded()));
}

fn text_of(stored: &Stored, name: &str) -> String {
    let item = stored.catalog.items().into_iter().find(|item| item.name.item == name);
    item.unwrap_or_else(|| panic!("{name} is there")).create_sql.clone()
}

#[test]
fn secrets_keep_their_versions() {
    let mut stored = Stored::new();
    stored.run("create schema s");
    stored.run("create secret s.k stored as '7-3'");
    stored.run("alter secret s.k rename to \"K k\"");
    stored.run("alter schema s rename to r");
    check(&stored);
    let text = text_of(&stored, "K k");
    assert_eq!(text, "CREATE SECRET \"materialize\".\"r\".\"K k\" STORED AS '7-3'");
    let version = |catalog: &Catalog| catalog.secrets().map(|(_, version)| version.to_string()).collect::<Vec<_>>();
    assert_eq!((version(&stored.catalog), version(&stored.loaded())), (vec!["7-3".to_owned()], vec!["7-3".to_owned()]));
}

fn world() -> Stored {
    let mut stored = Stored::new();
    for statement in [
        "create schema s",
        "create type mood as enum ('sad', 'ok')",
        "create type moods as list (element type = mood)",
        "create table t (a int, b text, m mood default 'ok', l moods)",
        "create table s.t (a int, c int)",
        "create table u (a int, d int)",
        "create index t_a on t (t.a + 1)",
        "create view v as select t.a, public.t.b, materialize.public.t.m, x.c from t, s.t as x where t.m <> 'sad'::mood",
        "create view w as with t as (select a from u) select t.a, v.b from t join v on v.a = t.a",
        "create materialized view both as select public.t.*, st.c from t join s.t as st on public.t.a = st.a",
        "create view whole as select t, t.l from t where exists (select from u where u.a = t.a)",
        "create index v_idx in cluster quickstart on v (a)",
    ] {
        stored.run(statement);
    }
    stored
}

#[test]
fn items_keep_their_meaning_under_new_names() {
    let mut stored = world();
    for statement in [
        "alter table t rename to t2",
        "alter table t2 rename to \"T\"\"3\"",
        "alter table s.t rename to moved",
        "alter view v rename to v2",
        "alter materialized view both rename to single",
        "alter index t_a rename to by_a",
        "alter type mood rename to feeling",
        "alter type moods rename to feelings",
        "alter table w rename to t",
        "alter schema s rename to s2",
        "alter cluster quickstart rename to slow",
        "alter database materialize rename to other",
    ] {
        stored.run(statement);
        check(&stored);
        if statement.contains("database") {
            assert_eq!(stored.catalog.databases(), ["other"]);
        }
    }
    assert!(text_of(&stored, "whole").contains("FROM \"other\".\"public\".\"T\"\"3\" AS \"t\""));
    assert!(text_of(&stored, "by_a").contains("IN CLUSTER \"slow\""));
}

#[test]
fn columns_keep_their_meaning_under_new_names() {
    let mut stored = world();
    stored.run("create index u_d on u (d, u.a)");
    stored.run(
        "create view by_alias as select y.a as k, (select count(*) from u where u.d = y.d) from u as y order by y.d",
    );
    for statement in [
        "alter table s.t rename column c to \"C\"\"2\"",
        "alter table u rename a to key",
        "alter table s.t rename a to key",
        "alter table u rename column d to e",
        "alter table s.t rename column \"C\"\"2\" to d",
    ] {
        stored.run(statement);
        check(&stored);
    }
    let names = |name: &str| {
        let item = stored.catalog.items().into_iter().find(|item| item.name.item == name).expect("it is there");
        item.desc().expect("it has columns").names.clone()
    };
    assert_eq!(names("u"), ["key", "e"]);
    assert_eq!(names("v"), ["a", "b", "m", "c"]);
    let index = text_of(&stored, "u_d").replace('"', "");
    assert!(index.contains("(e, ") && index.ends_with("key)"), "{index}");
}

#[test]
fn schemas_and_clusters_change_places() {
    let mut stored = world();
    stored.run("create cluster fast (size = '1', replication factor = 0)");
    stored.run("create materialized view quick in cluster fast as select * from u");
    let before = text_of(&stored, "quick");
    stored.run("alter cluster quickstart swap with fast");
    check(&stored);
    assert_ne!(text_of(&stored, "quick"), before);
    stored.run("alter cluster fast swap with quickstart");
    check(&stored);
    assert_eq!(text_of(&stored, "quick"), before);
    stored.run("alter schema public swap with s");
    check(&stored);
    let t = stored.catalog.items().into_iter().find(|item| item.name.schema == "public").expect("it is there");
    assert_eq!(t.desc().expect("columns").names, ["a", "c"]);
}

#[test]
fn names_that_would_mean_something_else_are_refused() {
    let mut stored = world();
    stored.run("create view by_string as select 't'::regclass::oid as o");
    stored.run("create table s.u (a int, b int)");
    stored.run("create view aliased as select x.a from s.t, u as x");
    stored.run("create view namesakes as select public.u.a, s.u.b from u join s.u on public.u.a = s.u.a");
    let before = shown(&stored.catalog);
    for (statement, code) in [
        // Its former name would be that of both.
        ("alter table u rename to u2", "2BP01"),
        // The string is read as a name whenever the view is planned.
        ("alter table t rename to t9", "2BP01"),
        ("alter table u rename to t", "42P07"),
        ("alter table u rename to u", "42P07"),
        ("alter schema s rename to public", "42P06"),
        ("alter schema s rename to mz_s", "42939"),
        ("alter view t rename to x", "42809"),
        ("alter table nope rename to x", "42P01"),
        ("alter table pg_class rename to x", "42501"),
        ("alter index nope rename to x", "42P01"),
        ("alter cluster nope rename to x", "42704"),
        ("alter cluster quickstart rename to quickstart", "42710"),
        ("alter database materialize rename to materialize", "42P04"),
        ("alter table t rename column a to b", "42701"),
        ("alter table t rename column nope to c", "42703"),
        ("alter view v rename column a to c", "42701"),
        ("alter view v rename column nope to d", "42703"),
        // A view has its columns by a star, and so their names.
        ("alter table t rename a to c", "2BP01"),
        ("alter view v set schema s", "0A000"),
    ] {
        let error = stored.try_run(statement).expect_err(statement);
        assert_eq!(error.code, code, "{statement}: {error:?}");
        assert_eq!(shown(&stored.catalog), before, "{statement}");
    }
}
