//! Session variables.

use std::collections::BTreeMap;
use std::time::Duration;

use repr::interval::IntervalStyle;

use crate::error::Error;

/// The version of PostgreSQL whose behaviour clients may expect.
pub(crate) const SERVER_VERSION: &str = concat!("15.0 (Freshet ", env!("CARGO_PKG_VERSION"), ")");
/// The dialect's version, which dbt and others look at.
pub(crate) const MZ_VERSION: &str = concat!("v26.38.0 (freshet ", env!("CARGO_PKG_VERSION"), ")");

enum Check {
    Any,
    Bool,
    /// Milliseconds, or a number with a unit; 0 turns it off.
    Duration,
    Isolation,
    OneOf(&'static [&'static str]),
    TimeZone,
    UInt,
    ReadOnly,
}

struct Definition {
    name: &'static str,
    default: &'static str,
    check: Check,
    description: &'static str,
    /// Reported to clients when it changes.
    reported: bool,
}

const fn var(name: &'static str, default: &'static str, check: Check, description: &'static str) -> Definition {
    Definition { name, default, check, description, reported: false }
}

const fn reported(name: &'static str, default: &'static str, check: Check, description: &'static str) -> Definition {
    Definition { name, default, check, description, reported: true }
}

/// Names are shown as written here and compared without regard to case.
const VARIABLES: &[Definition] = &[
    reported("application_name", "", Check::Any, "Sets the application name to be reported in statistics."),
    var(
        "auto_route_catalog_queries",
        "on",
        Check::Bool,
        "Accepted for compatibility; catalog queries need no cluster.",
    ),
    var("bytea_output", "hex", Check::OneOf(&["hex"]), "The output format for bytea."),
    reported("client_encoding", "UTF8", Check::OneOf(&["UTF8", "UTF-8", "UNICODE"]), "The client's character set."),
    var(
        "client_min_messages",
        "notice",
        Check::OneOf(&["debug5", "debug4", "debug3", "debug2", "debug1", "debug", "log", "notice", "warning", "error"]),
        "The least severity of messages sent to the client.",
    ),
    var("cluster", "quickstart", Check::Any, "The cluster that runs this session's queries."),
    var("cluster_replica", "", Check::Any, "The replica that answers this session's queries; empty: any."),
    var("current_object_missing_warnings", "on", Check::Bool, "Accepted for compatibility."),
    var("database", "materialize", Check::Any, "The current database."),
    reported("DateStyle", "ISO, MDY", Check::Any, "The display format for dates: always ISO."),
    var("default_transaction_isolation", "strict serializable", Check::Isolation, "The isolation of new transactions."),
    var("default_transaction_read_only", "off", Check::Bool, "Whether new transactions refuse to write."),
    var("extra_float_digits", "1", Check::Any, "Floats are always shown in their shortest exact form."),
    var("idle_in_transaction_session_timeout", "120 s", Check::Duration, "How long a transaction may stand idle."),
    reported("integer_datetimes", "on", Check::ReadOnly, "Dates are 64-bit integers."),
    reported("IntervalStyle", "postgres", Check::OneOf(INTERVAL_STYLES), "The display format for intervals."),
    var("lock_timeout", "0", Check::Duration, "Accepted for compatibility; there are no locks."),
    var("max_identifier_length", "255", Check::ReadOnly, "The most bytes in an identifier."),
    var("max_result_size", "1073741824", Check::UInt, "The most bytes in one query's result."),
    reported("mz_version", MZ_VERSION, Check::ReadOnly, "The version of the dialect."),
    var("search_path", "public", Check::Any, "The schemas in which unqualified names are looked up."),
    var("server_encoding", "UTF8", Check::ReadOnly, "The server's character set."),
    reported("server_version", SERVER_VERSION, Check::ReadOnly, "The version of PostgreSQL that is spoken."),
    var("server_version_num", "150000", Check::ReadOnly, "The version of PostgreSQL that is spoken, as a number."),
    reported("standard_conforming_strings", "on", Check::OneOf(&["on", "true"]), "Backslashes are literal."),
    var("statement_timeout", "60 s", Check::Duration, "How long a statement may take; 0: without limit."),
    reported("TimeZone", "UTC", Check::TimeZone, "The time zone for timestamps: UTC."),
    var("transaction_isolation", "strict serializable", Check::Isolation, "The current transaction's isolation."),
    var("transaction_read_only", "off", Check::Bool, "Whether the current transaction refuses to write."),
    var("welcome_message", "on", Check::Bool, "Accepted for compatibility; there is no welcome message."),
];

const INTERVAL_STYLES: &[&str] = &["postgres", "postgres_verbose", "sql_standard", "iso_8601"];

const ISOLATION_LEVELS: &[&str] =
    &["strict serializable", "serializable", "repeatable read", "read committed", "read uncommitted"];

/// One session's variables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vars {
    /// What the start-up packet set: RESET goes back to it.
    initial: BTreeMap<&'static str, String>,
    session: BTreeMap<&'static str, String>,
    /// Until the transaction ends.
    local: BTreeMap<&'static str, String>,
}

fn definition(name: &str) -> Result<&'static Definition, Error> {
    // Every statement asks for some by their own names.
    if let Some(definition) = VARIABLES.iter().find(|definition| definition.name == name) {
        return Ok(definition);
    }
    // PostgreSQL's other spellings.
    let name = match name.to_ascii_lowercase().as_str() {
        "time zone" => "timezone".to_owned(),
        "session characteristics" => "default_transaction_isolation".to_owned(),
        "schema" => "search_path".to_owned(),
        other => other.to_owned(),
    };
    VARIABLES
        .iter()
        .find(|definition| definition.name.eq_ignore_ascii_case(&name))
        .ok_or_else(|| Error::new("42704", format!("unrecognized configuration parameter \"{name}\"")))
}

fn invalid(definition: &Definition, value: &str) -> Error {
    Error::new("22023", format!("invalid value for parameter \"{}\": \"{value}\"", definition.name))
}

fn parse_bool(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" | "t" | "yes" | "1" => Some(true),
        "off" | "false" | "f" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// A duration as PostgreSQL's settings spell it: `5000` (milliseconds), `5s`, `1 min`.
pub(crate) fn parse_duration(value: &str) -> Option<Duration> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let number: u64 = value[..digits].parse().ok()?;
    let unit_ms = match value[digits..].trim() {
        "us" => return Some(Duration::from_micros(number)),
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(unit_ms)?))
}

fn normalize(definition: &'static Definition, value: &str) -> Result<String, Error> {
    let valid = match &definition.check {
        Check::Any => Some(value.to_owned()),
        Check::Bool => parse_bool(value).map(|on| if on { "on".to_owned() } else { "off".to_owned() }),
        Check::Duration => parse_duration(value).map(|_| value.to_owned()),
        Check::Isolation => Some(value.to_ascii_lowercase()).filter(|level| ISOLATION_LEVELS.contains(&level.as_str())),
        Check::OneOf(values) => values.iter().find(|v| v.eq_ignore_ascii_case(value)).map(|v| (*v).to_owned()),
        Check::TimeZone => match value.to_ascii_uppercase().as_str() {
            "UTC" | "ETC/UTC" | "GMT" | "ZULU" | "+00:00" | "0" | "+00" | "LOCAL" | "DEFAULT" => Some("UTC".to_owned()),
            _ => {
                return Err(
                    invalid(definition, value).with_hint("Times are shown in UTC; use AT TIME ZONE for another zone.")
                );
            }
        },
        Check::UInt => value.parse::<u64>().ok().map(|number| number.to_string()),
        Check::ReadOnly => {
            return Err(Error::new("55P02", format!("parameter \"{}\" cannot be changed", definition.name)));
        }
    };
    valid.ok_or_else(|| invalid(definition, value))
}

impl Vars {
    /// Sets a variable from the start-up packet.
    pub(crate) fn set_initial(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let definition = definition(name)?;
        self.initial.insert(definition.name, normalize(definition, value)?);
        Ok(())
    }

    /// Sets a variable for the session, or until the transaction ends. Returns its name if clients are told of it.
    pub(crate) fn set(&mut self, name: &str, value: &str, local: bool) -> Result<Option<&'static str>, Error> {
        let definition = definition(name)?;
        let value = normalize(definition, value)?;
        if local {
            self.local.insert(definition.name, value);
        } else {
            self.local.remove(definition.name);
            self.session.insert(definition.name, value);
        }
        Ok(definition.reported.then_some(definition.name))
    }

    pub(crate) fn reset(&mut self, name: &str) -> Result<Option<&'static str>, Error> {
        let definition = definition(name)?;
        if matches!(definition.check, Check::ReadOnly) {
            return Err(Error::new("55P02", format!("parameter \"{}\" cannot be changed", definition.name)));
        }
        self.local.remove(definition.name);
        self.session.remove(definition.name);
        Ok(definition.reported.then_some(definition.name))
    }

    pub(crate) fn reset_all(&mut self) {
        self.local.clear();
        self.session.clear();
    }

    /// Forgets what SET LOCAL set.
    pub(crate) fn end_transaction(&mut self) {
        self.local.clear();
    }

    pub(crate) fn get(&self, name: &str) -> Result<&str, Error> {
        let definition = definition(name)?;
        let set = [&self.local, &self.session, &self.initial].into_iter().find_map(|layer| layer.get(definition.name));
        match set {
            Some(value) => Ok(value),
            // A transaction that says nothing of its modes has the session's defaults.
            None if definition.name == "transaction_isolation" => self.get("default_transaction_isolation"),
            None if definition.name == "transaction_read_only" => self.get("default_transaction_read_only"),
            None => Ok(definition.default),
        }
    }

    /// How intervals are printed.
    pub(crate) fn interval_style(&self) -> IntervalStyle {
        IntervalStyle::of_name(self.known("IntervalStyle")).unwrap_or_default()
    }

    /// A variable known to exist.
    fn known(&self, name: &'static str) -> &str {
        self.get(name).expect("the variable is in the table above")
    }

    /// The name as it is shown.
    pub(crate) fn canonical_name(name: &str) -> Result<&'static str, Error> {
        Ok(definition(name)?.name)
    }

    /// Every variable: name, value, description.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &str, &'static str)> {
        VARIABLES.iter().map(|definition| (definition.name, self.known(definition.name), definition.description))
    }

    /// What a client is told at start-up.
    pub(crate) fn reported(&self) -> impl Iterator<Item = (&'static str, &str)> {
        VARIABLES.iter().filter(|definition| definition.reported).map(|d| (d.name, self.known(d.name)))
    }

    pub(crate) fn database(&self) -> &str {
        self.known("database")
    }

    pub(crate) fn cluster(&self) -> &str {
        self.known("cluster")
    }

    pub(crate) fn cluster_replica(&self) -> Option<&str> {
        Some(self.known("cluster_replica")).filter(|name| !name.is_empty())
    }

    pub(crate) fn search_path(&self) -> Vec<String> {
        let unquote = |name: &str| name.trim().trim_matches('"').to_owned();
        self.known("search_path").split(',').map(unquote).filter(|name| !name.is_empty()).collect()
    }

    /// None: without limit.
    pub(crate) fn statement_timeout(&self) -> Option<Duration> {
        parse_duration(self.known("statement_timeout")).filter(|limit| !limit.is_zero())
    }

    pub(crate) fn idle_in_transaction_timeout(&self) -> Option<Duration> {
        parse_duration(self.known("idle_in_transaction_session_timeout")).filter(|limit| !limit.is_zero())
    }

    pub(crate) fn max_result_bytes(&self) -> u64 {
        self.known("max_result_size").parse().unwrap_or(u64::MAX)
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.known("transaction_read_only") == "on"
    }

    pub(crate) fn is_strict_serializable(&self) -> bool {
        self.known("transaction_isolation") == "strict serializable"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_local_ends_with_the_transaction() {
        let mut vars = Vars::default();
        vars.set("statement_timeout", "5s", true).unwrap();
        assert_eq!(vars.statement_timeout(), Some(Duration::from_secs(5)));
        vars.end_transaction();
        assert_eq!(vars.statement_timeout(), Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_transaction_has_the_default_isolation_unless_it_says_another() {
        let mut vars = Vars::default();
        assert!(vars.is_strict_serializable());
        vars.set("default_transaction_isolation", "serializable", false).unwrap();
        assert_eq!(vars.get("transaction_isolation").unwrap(), "serializable");
        assert!(!vars.is_strict_serializable());
        vars.set("transaction_isolation", "strict serializable", true).unwrap();
        assert!(vars.is_strict_serializable());
    }

    #[test]
    fn bad_names_and_values_are_refused_with_postgres_codes() {
        let mut vars = Vars::default();
        assert_eq!(vars.set("no_such", "1", false).unwrap_err().code.as_ref(), "42704");
        assert_eq!(vars.set("statement_timeout", "soon", false).unwrap_err().code.as_ref(), "22023");
        assert_eq!(vars.set("server_version", "9", false).unwrap_err().code.as_ref(), "55P02");
    }
}
