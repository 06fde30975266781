//! What a one-off query's expression needs before it is optimized: session functions, `mz_now()` and the system catalog
//! become constants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use catalog::Catalog;
use expr::func::{ArgType, Volatility};
use expr::scalar::CallTypes;
use expr::{EvalError, Id, Relation, Scalar};
use optimizer::Objects;
use repr::composite::{Dimension, pack_array};
use repr::datetime::{DAYS, MICROS_PER_DAY, MONTHS, civil_from_days};
use repr::interval::{Interval, IntervalStyle};
use repr::jsonb::JsonbBuilder;
use repr::{CollectionId, Datum, Diff, Kind, Row, ScalarType, Timestamp};
use sql::{CatalogView, ItemDefinition};

use crate::error::Error;
use crate::objects::ClusterObjects;
use crate::session::Session;
use crate::vars::{MZ_VERSION, SERVER_VERSION};

/// Inlines every view that no index of the cluster holds, so that functions of the session in them are seen and bound.
pub(crate) fn inline_views(catalog: &Catalog, objects: &ClusterObjects, relation: &mut Relation) -> Result<(), Error> {
    let mut broken = None;
    relation.visit_mut_pre(&mut |node| {
        // Columns may have come since the query was planned.
        catalog.widen_node(node);
        while let Relation::Get { id: Id::Global(id), .. } = node {
            if let Some(reason) = catalog.broken(*id) {
                broken.get_or_insert_with(|| (*id, reason.to_owned()));
            }
            let item = catalog.item_by_id(*id);
            match item.as_deref().map(|item| &item.definition) {
                Some(ItemDefinition::View { relation, .. }) if objects.indexes(*id).is_empty() => {
                    *node = relation.clone();
                }
                _ => break,
            }
        }
    });
    match broken {
        None => Ok(()),
        Some((id, reason)) => {
            let name = catalog.item_by_id(id).map_or_else(|| id.to_string(), |item| item.name.to_string());
            Err(Error::new("XX000", format!("{name} cannot be used: its definition no longer plans: {reason}")))
        }
    }
}

/// The collections whose frontiers decide when the query reads: of what it names, the indexes or else the shard.
pub(crate) fn inputs_with_frontier(objects: &ClusterObjects, relation: &Relation) -> Vec<CollectionId> {
    let mut inputs = Vec::new();
    for id in relation.depends_on() {
        match objects.indexes(id).first() {
            Some((index, _)) => inputs.push(*index),
            None if objects.shard(id).is_some() => inputs.push(id),
            None => {}
        }
    }
    inputs
}

/// Replaces reads of the system catalog by its rows as of `catalog`.
pub(crate) fn bind_builtins(session: &Session, catalog: &Arc<Catalog>, relation: &mut Relation) {
    if !relation.depends_on().iter().any(|id| matches!(id, CollectionId::System(_))) {
        return;
    }
    let mut facts = session.environment.facts();
    facts.database = Some(session.vars.database().to_owned());
    let settings = session.vars.all();
    facts.settings =
        settings.map(|(name, value, about)| (name.to_owned(), value.to_owned(), about.to_owned())).collect();
    relation.visit_mut_pre(&mut |node| {
        if let Relation::Get { id: Id::Global(id), typ } = node
            && let Some(rows) = catalog::builtin::rows(catalog, &facts, *id)
        {
            let rows = rows.into_iter().map(|row| (row, Diff::ONE)).collect();
            *node = Relation::Constant { rows: Ok(rows), typ: typ.clone() };
        }
    });
}

/// Replaces calls of functions that depend on the session, the clock or chance by their value now.
///
/// Errors: 0A000 if chance would have to be asked for each of several rows.
pub(crate) fn bind_functions(session: &Session, relation: &mut Relation) -> Result<(), Error> {
    part_rows_with_chance(relation);
    refuse_chance_by_row(relation)?;
    let mut failure = None;
    relation.visit_scalars_mut(&mut |scalar| {
        scalar.visit_mut_post(&mut |node| {
            if let Err(error) = bind_call(session, node) {
                failure.get_or_insert(error);
            }
        });
    });
    failure.map_or(Ok(()), Err)
}

/// Chance over constant rows, as in an INSERT of several rows with a random default, becomes chance over each of them.
fn part_rows_with_chance(relation: &mut Relation) {
    relation.visit_mut_pre(&mut |node| {
        let Relation::Map { input, scalars } = &*node else { return };
        if !is_one_row(input)
            && scalars.iter().any(asks_chance)
            && let Some(rows) = each_row(node).filter(|rows| !rows.is_empty())
        {
            *node = Relation::union(rows);
        }
    });
}

/// The rows as one relation each, if the relation is nothing but constant rows and expressions over them.
fn each_row(relation: &Relation) -> Option<Vec<Relation>> {
    match relation {
        Relation::Constant { rows: Ok(rows), typ } => {
            let mut alone = Vec::new();
            for (row, count) in rows {
                let one = Relation::Constant { rows: Ok(vec![(row.clone(), Diff::ONE)]), typ: typ.clone() };
                alone.extend(std::iter::repeat_n(one, usize::try_from(count.get()).ok()?));
            }
            Some(alone)
        }
        Relation::Map { input, scalars } => {
            Some(each_row(input)?.into_iter().map(|row| row.map(scalars.clone())).collect())
        }
        Relation::Project { input, outputs } => {
            Some(each_row(input)?.into_iter().map(|row| row.project(outputs.clone())).collect())
        }
        Relation::Union { inputs } => {
            let rows: Option<Vec<_>> = inputs.iter().map(each_row).collect();
            Some(rows?.into_iter().flatten().collect())
        }
        _ => None,
    }
}

/// A call is bound to one value, which is right where there is one row.
fn refuse_chance_by_row(relation: &Relation) -> Result<(), Error> {
    let (mut all, mut once) = (0, 0);
    relation.visit_scalars(&mut |scalar| all += chance_calls(scalar));
    if all == 0 {
        return Ok(());
    }
    relation.visit_pre(&mut |node| {
        let (Relation::Map { input, scalars } | Relation::FlatMap { input, exprs: scalars, .. }) = node else { return };
        if is_one_row(input) {
            once += scalars.iter().map(chance_calls).sum::<usize>();
        }
    });
    if once == all {
        return Ok(());
    }
    Err(Error::unsupported("a random value for each row of a query")
        .with_hint("random() and gen_random_uuid() can be called in a SELECT without FROM and in the rows of VALUES."))
}

fn chance_calls(scalar: &Scalar) -> usize {
    let mut calls = 0;
    scalar.any(|node| {
        let Scalar::Call { func, .. } = node else { return false };
        calls += usize::from(matches!(func.name, "random" | "gen_random_uuid"));
        false
    });
    calls
}

/// Whether two rows may get different values of the expression, and each row its own binding.
pub(crate) fn asks_chance(scalar: &Scalar) -> bool {
    chance_calls(scalar) > 0
}

fn is_one_row(relation: &Relation) -> bool {
    match relation {
        Relation::Constant { rows: Ok(rows), .. } => matches!(rows[..], [(_, Diff::ONE)]),
        Relation::Map { input, .. } | Relation::Project { input, .. } => is_one_row(input),
        _ => false,
    }
}

/// As [`bind_functions`], for one expression.
pub(crate) fn bind_functions_in(session: &Session, scalar: &mut Scalar) -> Result<(), Error> {
    let mut failure = None;
    scalar.visit_mut_post(&mut |node| {
        if let Err(error) = bind_call(session, node) {
            failure.get_or_insert(error);
        }
    });
    failure.map_or(Ok(()), Err)
}

/// Replaces `mz_now()` by the time of the read.
pub(crate) fn bind_now(relation: &mut Relation, at: Timestamp) {
    relation.visit_scalars_mut(&mut |scalar| {
        scalar.visit_mut_post(&mut |node| {
            if *node == Scalar::MzNow {
                *node = Scalar::literal(Datum::UInt(at.millis()), ScalarType::MzTimestamp);
            }
        });
    });
}

/// Whether the expression depends on the time of the read.
pub(crate) fn reads_now(relation: &Relation) -> bool {
    let mut found = false;
    relation.visit_scalars(&mut |scalar| found |= scalar.contains_mz_now());
    found
}

/// Whether the answer rests on more than stored rows and parameters: on the session, the clock, chance or the catalog.
pub(crate) fn reads_session(relation: &Relation) -> bool {
    let mut found = relation.depends_on().iter().any(|id| matches!(id, CollectionId::System(_)));
    relation.visit_scalars(&mut |scalar| {
        found |= scalar.any(|node| match node {
            Scalar::Call { func, .. } => func.volatility != Volatility::Immutable && *func != expr::func::parameter(),
            _ => false,
        });
    });
    found
}

/// What a call makes of intervals is in the style of the session, if that is not the one of stored data.
fn style_texts(session: &Session, node: &mut Scalar) {
    let style = session.vars.interval_style();
    let Scalar::Call { func, args, types } = node else { return };
    if style == IntervalStyle::default() || types.ret.kind() != Kind::Text && types.ret != ScalarType::Jsonb {
        return;
    }
    let types = Arc::make_mut(types);
    for (index, (arg, typ)) in args.iter_mut().zip(&mut types.args).enumerate() {
        let declared = func.args.get(index).copied().or(func.variadic);
        let prints = match types.ret {
            ScalarType::Jsonb => typ.is_interval(),
            _ => typ.contains_interval(),
        };
        if declared == Some(ArgType::Any) && prints && *func != expr::func::text_in_style() {
            let name = session.vars.get("IntervalStyle").unwrap_or_default();
            let style = Scalar::literal(Datum::Text(name), ScalarType::Text);
            let own = std::mem::replace(typ, ScalarType::Text);
            let value = std::mem::replace(arg, style.clone());
            let types = vec![own, ScalarType::Text];
            *arg = Scalar::call(expr::func::text_in_style(), vec![value, style], types, ScalarType::Text);
        }
    }
}

fn bind_call(session: &Session, node: &mut Scalar) -> Result<(), Error> {
    style_texts(session, node);
    let Scalar::Call { func, args, types } = node else { return Ok(()) };
    if func.volatility == Volatility::Immutable {
        return Ok(());
    }
    if let Some(entries) = catalog_entries(session, func.name) {
        let replacement = catalog_call(&entries, std::mem::take(args), types)?;
        *node = replacement;
        return Ok(());
    }
    let scalar = types.ret.clone();
    let row = session_value(session, func.name, args)?;
    let nullable = row == Row::pack([Datum::Null]);
    *node = Scalar::Literal(Ok(row), repr::ColumnType { scalar, nullable });
    Ok(())
}

/// What a function of the catalog answers, for every object; None for other functions.
pub(crate) fn catalog_entries(session: &Session, name: &str) -> Option<Vec<(String, String)>> {
    let catalog = session.environment.catalog();
    match name {
        "pg_table_is_visible" => {
            let mut visible = sql::names::visible_items(&session.plan_context(), &*catalog);
            // They can be named; but clients list what is visible, and are to list the user's objects.
            visible.retain(|item| item.name.schema != "mz_catalog");
            Some(visible.into_iter().map(|item| (item.oid.to_string(), "t".to_owned())).collect())
        }
        "regclass_text" => Some(relation_names(session)),
        "to_regclass" => Some(relation_oids(session)),
        _ => catalog::builtin::entries(&catalog, name),
    }
}

/// The names of relations by their oids: what the search path finds without its schema, the rest with it.
fn relation_names(session: &Session) -> Vec<(String, String)> {
    let catalog = session.environment.catalog();
    let visible: BTreeSet<u32> =
        sql::names::visible_items(&session.plan_context(), &*catalog).iter().map(|item| item.oid).collect();
    let quoted = sql::quoted;
    let name = |item: &sql::Item| match visible.contains(&item.oid) {
        true => quoted(&item.name.item),
        false => format!("{}.{}", quoted(&item.name.schema), quoted(&item.name.item)),
    };
    catalog.items().into_iter().map(|item| (item.oid.to_string(), name(&item))).collect()
}

/// The oids of relations by the names they can be given: with their schema, and without it where the search path finds them.
fn relation_oids(session: &Session) -> Vec<(String, String)> {
    let catalog = session.environment.catalog();
    let quoted = sql::quoted;
    let mut oids: BTreeMap<String, String> = BTreeMap::new();
    for item in catalog.items().into_iter().filter(|item| item.kind() != "type") {
        oids.insert(format!("{}.{}", quoted(&item.name.schema), quoted(&item.name.item)), item.oid.to_string());
    }
    for item in sql::names::visible_items(&session.plan_context(), &*catalog) {
        oids.insert(quoted(&item.name.item), item.oid.to_string());
    }
    oids.into_iter().collect()
}

/// A look-up of the arguments among `entries`; of a truth, whether there is an entry.
fn catalog_call(entries: &[(String, String)], args: Vec<Scalar>, types: &CallTypes) -> Result<Scalar, Error> {
    let broken = |error: repr::jsonb::JsonbError| Error::new("XX000", error.to_string());
    let mut object = JsonbBuilder::new();
    object.begin_object().map_err(broken)?;
    for (key, value) in entries {
        object.key(key).map_err(broken)?;
        object.string(value).map_err(broken)?;
    }
    object.end_object();
    let column = repr::ColumnType { scalar: ScalarType::Jsonb, nullable: false };
    let all = std::iter::once(Scalar::Literal(Ok(object.finish_row()), column)).chain(args).collect();
    let arg_types = std::iter::once(ScalarType::Jsonb).chain(types.args.iter().cloned()).collect();
    let found = Scalar::call(expr::func::catalog_lookup(), all, arg_types, ScalarType::Text);
    Ok(match &types.ret {
        ScalarType::Bool => found.is_null().not(),
        // They are listed as numbers.
        of if of.is_reg() => {
            let oid = expr::cast::cast(found, &ScalarType::Text, of, expr::cast::CastContext::Explicit);
            oid.ok_or_else(|| Error::new("XX000", "text does not cast to an object identifier"))?
        }
        _ => found,
    })
}

/// `v26.38.0 ...` as 263800: two digits for each part behind the first.
fn version_number(version: &str) -> i64 {
    let numbers = version.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
    numbers.take(3).fold(0, |number, part| number * 100 + part.parse::<i64>().unwrap_or(0))
}

fn text(value: &str) -> Row {
    Row::pack([Datum::Text(value)])
}

/// The value of a session function, packed.
fn session_value(session: &Session, name: &str, args: &[Scalar]) -> Result<Row, Error> {
    let vars = &session.vars;
    let micros = || i64::try_from(session.statement_wall_ms).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000);
    Ok(match name {
        "now" | "current_timestamp" | "transaction_timestamp" | "statement_timestamp" | "clock_timestamp" => {
            Row::pack([Datum::Timestamp(micros())])
        }
        "localtimestamp" => Row::pack([Datum::Timestamp(micros())]),
        "current_date" => {
            let days = micros().div_euclid(86_400_000_000);
            Row::pack([Datum::Date(i32::try_from(days).unwrap_or(i32::MAX - 1))])
        }
        "current_time" | "localtime" => Row::pack([Datum::Time(micros().rem_euclid(86_400_000_000))]),
        "current_user" | "session_user" | "user" | "current_role" => text(&session.user),
        "current_database" | "current_catalog" => text(vars.database()),
        "current_schema" => match vars.search_path().first() {
            Some(schema) => text(schema),
            None => Row::pack([Datum::Null]),
        },
        "current_schemas" => current_schemas(vars.search_path(), args)?,
        "version" => text(&format!("PostgreSQL {SERVER_VERSION} on x86_64-unknown-linux-gnu")),
        "mz_version" => text(MZ_VERSION),
        "mz_version_num" => Row::pack([Datum::Int(version_number(MZ_VERSION))]),
        // The port is not known here; over a Unix socket PostgreSQL, too, has none to show.
        "inet_server_port" | "inet_server_addr" | "inet_client_addr" | "inet_client_port" => Row::pack([Datum::Null]),
        "timeofday" => text(&time_of_day(micros())),
        "mz_uptime" => {
            let started = session.environment.started_wall_ms;
            let millis = session.statement_wall_ms.saturating_sub(started);
            let micros = i64::try_from(millis).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000);
            Row::pack([Datum::Interval(Interval::from_micros(micros))])
        }
        "pg_postmaster_start_time" | "pg_conf_load_time" => {
            let started = i64::try_from(session.environment.started_wall_ms).unwrap_or(i64::MAX / 1_000);
            Row::pack([Datum::Timestamp(started.saturating_mul(1_000))])
        }
        // Only a statement that is run waits.
        "pg_sleep" | "pg_sleep_for" => text(""),
        "mz_environment_id" => text(&session.environment.environment_id()),
        "mz_is_superuser" => Row::pack([Datum::TRUE]),
        "pg_backend_pid" => Row::pack([Datum::Int(i64::from(session.connection_id()))]),
        "pg_cancel_backend" => cancel_backend(session, args)?,
        "pg_is_in_recovery" => Row::pack([Datum::FALSE]),
        "current_setting" => current_setting(session, args)?,
        "random" => {
            let bits = session.environment.rng.next_u64() >> 11;
            Row::pack([Datum::float8(bits as f64 / (1u64 << 53) as f64)])
        }
        "gen_random_uuid" => {
            let uuid = uuid::Builder::from_random_bytes(session.environment.rng.bytes16()).into_uuid();
            Row::pack([Datum::Uuid(uuid)])
        }
        other => return Err(Error::unsupported(format!("the function {other}"))),
    })
}

/// The argument says whether the schemas that are always searched belong to them.
fn current_schemas(search_path: Vec<String>, args: &[Scalar]) -> Result<Row, Error> {
    let Some(all) = literal_arg(args, "current_schemas")? else { return Ok(Row::pack([Datum::Null])) };
    let implicit: &[&str] = if all.unwrap_bool() { &["mz_catalog", "pg_catalog"] } else { &[] };
    let names = implicit.iter().copied().chain(search_path.iter().map(String::as_str));
    let datums: Vec<Datum<'_>> = names.map(Datum::Text).collect();
    Ok(pack_array(&datums, Kind::Text, &[Dimension { length: datums.len(), lower: 1 }]))
}

fn literal_arg<'a>(args: &'a [Scalar], name: &str) -> Result<Option<Datum<'a>>, Error> {
    match args.first().map(Scalar::as_literal) {
        Some(Some(Ok(datum))) => Ok(Some(datum).filter(|datum| !datum.is_null())),
        Some(Some(Err(error))) => Err(EvalError::clone(error).into()),
        _ => Err(Error::unsupported(format!("{name} of anything but a constant"))),
    }
}

fn cancel_backend(session: &Session, args: &[Scalar]) -> Result<Row, Error> {
    let Some(id) = literal_arg(args, "pg_cancel_backend")? else { return Ok(Row::pack([Datum::Null])) };
    let id = u32::try_from(id.unwrap_int()).unwrap_or(0);
    Ok(Row::pack([Datum::Bool(session.environment.sessions.cancel_backend(id))]))
}

fn current_setting(session: &Session, args: &[Scalar]) -> Result<Row, Error> {
    let Some(name) = literal_arg(args, "current_setting")? else { return Ok(Row::pack([Datum::Null])) };
    let may_be_missing = match literal_arg(args.get(1..).unwrap_or_default(), "current_setting") {
        Ok(Some(datum)) => datum.unwrap_bool(),
        Ok(None) => return Ok(Row::pack([Datum::Null])),
        Err(_) if args.len() == 1 => false,
        Err(error) => return Err(error),
    };
    match session.vars.get(name.unwrap_text()) {
        Ok(value) => Ok(text(value)),
        Err(_) if may_be_missing => Ok(Row::pack([Datum::Null])),
        Err(error) => Err(error),
    }
}

/// `Sat Nov 21 22:33:01.123456 2026 UTC`
fn time_of_day(micros: i64) -> String {
    let day = civil_from_days(micros.div_euclid(MICROS_PER_DAY));
    // The first day of the epoch was a Thursday.
    let weekday = DAYS[(micros.div_euclid(MICROS_PER_DAY) + 4).rem_euclid(7) as usize];
    let mut time = String::new();
    repr::datetime::format_time(micros.rem_euclid(MICROS_PER_DAY), &mut time);
    let (whole, fraction) = time.split_once('.').unwrap_or((&time, ""));
    let month = MONTHS[day.month as usize - 1];
    format!("{} {} {:02} {whole}.{fraction:0<6} {} UTC", &weekday[..3], &month[..3], day.day, day.year)
}
