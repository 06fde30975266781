//! Functions of the session, the clock and chance. None has a body: the planner puts a literal in the place of a stable one,
//! and refuses a volatile one where a result is maintained.

use repr::{Arena, Datum};

use super::ArgType::{Bool, Float8, Int4, MzTimestamp, Name, Numeric, Text, TextArray, TimestampTz, Uuid};
use super::{ArgType, FuncDef, Value, Volatility, function};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] = &[
    stable("now", &[], TimestampTz, "When the transaction started."),
    stable("current_timestamp", &[], TimestampTz, "When the transaction started."),
    stable("transaction_timestamp", &[], TimestampTz, "When the transaction started."),
    stable("statement_timestamp", &[], TimestampTz, "When the statement started."),
    stable("localtimestamp", &[], ArgType::Timestamp, "When the transaction started, in the session's time zone."),
    stable("current_date", &[], ArgType::Date, "The day on which the transaction started."),
    stable("localtime", &[], ArgType::Time, "The time of day at which the transaction started."),
    volatile("clock_timestamp", &[], TimestampTz, "The time of the clock."),
    volatile("timeofday", &[], Text, "The time of the clock as text."),
    stable("mz_logical_timestamp", &[], Numeric, "The logical time of the statement."),
    stable("mz_now_value", &[], MzTimestamp, "The logical time of the statement, as a value."),
    stable("current_user", &[], Name, "The role whose privileges count."),
    stable("current_role", &[], Name, "The role whose privileges count."),
    stable("session_user", &[], Name, "The role that connected."),
    stable("user", &[], Name, "The role whose privileges count."),
    stable("current_database", &[], Name, "The database of the session."),
    stable("current_catalog", &[], Name, "The database of the session."),
    stable("current_schema", &[], Name, "The first schema of the search path that exists.").nullable(),
    stable(
        "current_schemas",
        &[Bool],
        TextArray,
        "The schemas of the search path that exist; with true, also the implicit ones.",
    ),
    stable("current_setting", &[Text], Text, "The value of a setting."),
    overload(
        "current_setting_missing",
        "current_setting",
        &[Text, Bool],
        Text,
        "The value of a setting; with true, NULL if there is none.",
    )
    .nullable(),
    stable("version", &[], Text, "The PostgreSQL version whose behaviour is followed, and the product's own."),
    stable("mz_version", &[], Text, "The product's version."),
    stable("mz_version_num", &[], Int4, "The product's version as a number."),
    stable("mz_environment_id", &[], Text, "The environment's id."),
    stable("mz_uptime", &[], ArgType::Interval, "How long the server has been running."),
    stable("mz_is_superuser", &[], Bool, "True if the session's role is a superuser."),
    stable("pg_backend_pid", &[], Int4, "The number of the session."),
    stable("pg_postmaster_start_time", &[], TimestampTz, "When the server started."),
    stable("pg_is_in_recovery", &[], Bool, "True if the server only follows another."),
    stable("inet_server_port", &[], Int4, "The port of the session.").nullable(),
    super::internal(
        "parameter",
        &[Int4],
        ArgType::Any,
        replaced_by_planner,
        "The value of a statement's parameter, by its index: what a plan for all values holds in its place.",
    )
    .nullable()
    .volatility(Volatility::Stable),
    stable("pg_conf_load_time", &[], TimestampTz, "When the settings were read: when the server started."),
    stable("inet_client_addr", &[], Text, "The address of the client.").nullable(),
    stable("inet_client_port", &[], Int4, "The port of the client.").nullable(),
    stable("inet_server_addr", &[], Text, "The address of the session.").nullable(),
    volatile("pg_cancel_backend", &[Int4], Bool, "Cancels the statement of a session; true if there is the session."),
    volatile("pg_sleep", &[Float8], Text, "Waits so many seconds, before the statement reads anything."),
    volatile(
        "pg_sleep_for",
        &[ArgType::Interval],
        Text,
        "Waits as long as an interval, before the statement reads anything.",
    ),
    volatile("random", &[], Float8, "A random number from 0 to below 1."),
    volatile("gen_random_uuid", &[], Uuid, "A random UUID, version 4."),
];

const fn stable(name: &'static str, args: &'static [ArgType], returns: ArgType, doc: &'static str) -> FuncDef {
    overload(name, name, args, returns, doc)
}

const fn overload(
    key: &'static str,
    name: &'static str,
    args: &'static [ArgType],
    returns: ArgType,
    doc: &'static str,
) -> FuncDef {
    function(key, name, args, returns, replaced_by_planner, doc).fallible().volatility(Volatility::Stable)
}

const fn volatile(name: &'static str, args: &'static [ArgType], returns: ArgType, doc: &'static str) -> FuncDef {
    function(name, name, args, returns, replaced_by_planner, doc).fallible().volatility(Volatility::Volatile)
}

fn replaced_by_planner<'a>(_: &[Datum<'a>], _: &CallTypes, _: &'a Arena) -> Value<'a> {
    Err(EvalError::new("XX000", "a function of the session must be replaced by the planner"))
}
