//! `CREATE SOURCE name [IN CLUSTER c] FROM LOAD GENERATOR kind [(options)] [FOR ALL TABLES | FOR TABLES (...)]`.

use protocol::source::{LoadGenerator, LoadGeneratorKind, SourceConnection};
use repr::{CollectionId, RelationDesc, ScalarType};
use sqlparser::ast::{Ident, ObjectName};
use sqlparser::tokenizer::Token;

use super::create_table::{check_new, from_source, refuse_options};
use super::qualify::full_name;
use super::{Planner, duration};
use crate::catalog_view::{FullName, SourceReference};
use crate::error::Error;
use crate::names::{self, in_quotes};
use crate::parse::{Cursor, OptionItem};
use crate::plan::{CreateSourcePlan, CreateTablePlan, Plan};

/// Of the generators that always tick.
const TICK_INTERVAL_DEFAULT_MS: u64 = 1000;
const SCALE_FACTOR_DEFAULT_MILLIONTHS: u64 = 10_000;
const SCALE_FACTOR_MAX: f64 = 1000.0;

#[derive(Clone, Debug)]
pub struct CreateSource {
    pub name: ObjectName,
    pub if_not_exists: bool,
    pub cluster: Option<Ident>,
    pub generator: LoadGenerator,
    pub tables: Tables,
}

/// Which tables are made with the source.
#[derive(Clone, Debug)]
pub enum Tables {
    None,
    All,
    /// Upstream name and name of the table.
    Some(Vec<(ObjectName, Option<ObjectName>)>),
}

impl CreateSource {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<CreateSource, Error> {
        let if_not_exists = cursor.if_not_exists();
        let name = cursor.name()?;
        let cluster = cursor.in_cluster()?;
        cursor.expect(&["from"])?;
        for kind in ["kafka", "postgres", "mysql", "sql server", "webhook"] {
            if cursor.peek_words(&kind.split(' ').collect::<Vec<_>>()) {
                return Err(cursor.unsupported(&format!("CREATE SOURCE FROM {}", kind.to_uppercase())));
            }
        }
        cursor.expect(&["load", "generator"])?;
        let generator = parse_generator(cursor)?;
        let tables = parse_tables(cursor)?;
        for clause in ["format", "key", "value", "include", "envelope", "expose"] {
            if cursor.peek_words(&[clause]) {
                return Err(cursor.unsupported(&format!("{} of a load generator source", clause.to_uppercase())));
            }
        }
        refuse_options(cursor)?;
        Ok(CreateSource { name, if_not_exists, cluster, generator, tables })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let name = names::new_item_name(planner.context, planner.catalog, &self.name)?;
        if let Some(plan) =
            check_new(planner, &name, self.if_not_exists, "CREATE SOURCE").map_err(|error| error.at_node(&self.name))?
        {
            return Ok(plan);
        }
        let cluster = names::cluster_or_default(planner.context, planner.catalog, self.cluster.as_ref())?;
        let connection = SourceConnection::LoadGenerator(self.generator.clone());
        let tables = self.plan_tables(planner, &name, &connection)?;
        let create_sql = normalized(&name, &cluster.name, &self.generator);
        let desc = RelationDesc::new([("offset".to_owned(), ScalarType::UInt8.not_null())]);
        let (if_not_exists, cluster) = (self.if_not_exists, cluster.id);
        Ok(Plan::CreateSource(CreateSourcePlan { name, if_not_exists, create_sql, desc, connection, cluster, tables }))
    }

    fn plan_tables(
        &self,
        planner: &Planner<'_>,
        source: &FullName,
        connection: &SourceConnection,
    ) -> Result<Vec<CreateTablePlan>, Error> {
        let mut wanted: Vec<(FullName, String, RelationDesc)> = Vec::new();
        match &self.tables {
            Tables::None => {}
            Tables::All => {
                let SourceConnection::LoadGenerator(generator) = connection;
                for (reference, desc) in generator.relations() {
                    let name = FullName { item: reference.to_owned(), ..source.clone() };
                    wanted.push((name, reference.to_owned(), desc));
                }
            }
            Tables::Some(tables) => {
                for (upstream, alias) in tables {
                    let (reference, desc) = reference(connection, upstream)?;
                    let name = match alias {
                        Some(alias) => names::new_item_name(planner.context, planner.catalog, alias)?,
                        None => FullName { item: reference.clone(), ..source.clone() },
                    };
                    wanted.push((name, reference, desc));
                }
            }
        }
        let mut tables: Vec<CreateTablePlan> = Vec::with_capacity(wanted.len());
        for (name, reference, desc) in wanted {
            check_new(planner, &name, false, "CREATE SOURCE").map_err(|error| error.at_node(&self.name))?;
            if name == *source || tables.iter().any(|table| table.name == name) {
                let message = format!("relation \"{name}\" would be created twice");
                return Err(Error::new("42P07", message).at_node(&self.name));
            }
            let reference = SourceReference { source: CollectionId::Transient(0), reference };
            tables.push(from_source(name, false, desc, reference, source));
        }
        Ok(tables)
    }
}

/// The upstream relation that `name` means: its name and columns. Errors: 42704.
pub(crate) fn reference(connection: &SourceConnection, name: &ObjectName) -> Result<(String, RelationDesc), Error> {
    let SourceConnection::LoadGenerator(generator) = connection;
    let idents = names::parts(name)?;
    let wanted = names::fold(idents.last().expect("parts() returns at least one"));
    let mut relations = generator.relations();
    match relations.iter().position(|(reference, _)| *reference == wanted) {
        Some(index) => {
            let (reference, desc) = relations.swap_remove(index);
            Ok((reference.to_owned(), desc))
        }
        None => {
            let known: Vec<&str> = relations.iter().map(|(reference, _)| *reference).collect();
            Err(Error::new("42704", format!("the source has no upstream relation {}", in_quotes(&wanted)))
                .with_hint(format!("It has: {}.", known.join(", ")))
                .at_node(name))
        }
    }
}

fn parse_generator(cursor: &mut Cursor<'_>) -> Result<LoadGenerator, Error> {
    for kind in ["marketing", "clock", "key value", "datums"] {
        if cursor.peek_words(&kind.split(' ').collect::<Vec<_>>()) {
            return Err(cursor.unsupported(&format!("LOAD GENERATOR {}", kind.to_uppercase())));
        }
    }
    let Some(kind) = cursor.take_one_of(&["auction", "counter", "tpch"]) else {
        return Err(cursor.expected("AUCTION, COUNTER or TPCH"));
    };
    let mut allowed = vec!["tick interval", "as of", "up to"];
    let (kind, tick_interval_ms) = match kind {
        "auction" => (LoadGeneratorKind::Auction, Some(TICK_INTERVAL_DEFAULT_MS)),
        "counter" => {
            allowed.push("max cardinality");
            (LoadGeneratorKind::Counter { max_cardinality: None }, Some(TICK_INTERVAL_DEFAULT_MS))
        }
        _ => {
            allowed.push("scale factor");
            let scale_factor_millionths = SCALE_FACTOR_DEFAULT_MILLIONTHS;
            (LoadGeneratorKind::Tpch { scale_factor_millionths }, None)
        }
    };
    let mut generator = LoadGenerator { kind, tick_interval_ms, as_of: 0, up_to: None };
    if *cursor.peek() == Token::LParen {
        for option in cursor.option_list(&allowed, &[])? {
            apply(&mut generator, &option)?;
        }
    }
    if generator.up_to.is_some_and(|up_to| up_to < generator.as_of) {
        return Err(Error::new("22023", "option UP TO must not be less than option AS OF"));
    }
    Ok(generator)
}

fn apply(generator: &mut LoadGenerator, option: &OptionItem) -> Result<(), Error> {
    match option.name {
        "tick interval" => {
            let interval = duration::parse_ms(option.text()?).map_err(|error| error.at(option.position))?;
            if interval == 0 {
                return Err(option.invalid("a positive interval"));
            }
            generator.tick_interval_ms = Some(interval);
        }
        "as of" => generator.as_of = option.unsigned()?,
        "up to" => generator.up_to = Some(option.unsigned()?),
        "max cardinality" => {
            let most = option.unsigned()?;
            if most == 0 {
                return Err(option.invalid("positive"));
            }
            generator.kind = LoadGeneratorKind::Counter { max_cardinality: Some(most) };
        }
        _ => {
            let factor: f64 = option.text()?.parse().map_err(|_| option.invalid("a number"))?;
            let scale_factor_millionths = (factor * 1e6).round() as u64;
            if !(factor > 0.0 && factor <= SCALE_FACTOR_MAX) || scale_factor_millionths == 0 {
                return Err(option.invalid(&format!("between 0.000001 and {SCALE_FACTOR_MAX}")));
            }
            generator.kind = LoadGeneratorKind::Tpch { scale_factor_millionths };
        }
    }
    Ok(())
}

fn parse_tables(cursor: &mut Cursor<'_>) -> Result<Tables, Error> {
    if cursor.take(&["for", "all", "tables"]) {
        return Ok(Tables::All);
    }
    if cursor.take(&["for", "tables"]) {
        return cursor
            .parenthesized(|cursor| {
                let upstream = cursor.name()?;
                let alias = if cursor.take(&["as"]) { Some(cursor.name()?) } else { None };
                Ok((upstream, alias))
            })
            .map(Tables::Some);
    }
    if cursor.peek_words(&["for", "schemas"]) {
        return Err(cursor.unsupported("FOR SCHEMAS"));
    }
    Ok(Tables::None)
}

/// The text of a source's definition.
pub(super) fn normalized(name: &FullName, cluster: &str, generator: &LoadGenerator) -> String {
    let LoadGenerator { kind, tick_interval_ms, as_of, up_to } = generator;
    let mut options = Vec::new();
    if let Some(interval) = tick_interval_ms {
        options.push(format!("TICK INTERVAL = '{interval}ms'"));
    }
    if *as_of > 0 {
        options.push(format!("AS OF = {as_of}"));
    }
    if let Some(up_to) = up_to {
        options.push(format!("UP TO = {up_to}"));
    }
    let kind = match kind {
        LoadGeneratorKind::Auction => "AUCTION",
        LoadGeneratorKind::Counter { max_cardinality } => {
            options.extend(max_cardinality.map(|most| format!("MAX CARDINALITY = {most}")));
            "COUNTER"
        }
        LoadGeneratorKind::Tpch { scale_factor_millionths } => {
            options.push(format!("SCALE FACTOR = {}", *scale_factor_millionths as f64 / 1e6));
            "TPCH"
        }
    };
    let options = if options.is_empty() { String::new() } else { format!(" ({})", options.join(", ")) };
    let cluster = Ident::with_quote('"', cluster);
    format!("CREATE SOURCE {} IN CLUSTER {cluster} FROM LOAD GENERATOR {kind}{options}", full_name(name))
}
