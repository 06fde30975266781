//! `ALTER CLUSTER name SET (option, ...), RESET (option, ...) [WITH (WAIT UNTIL READY (...) | WAIT FOR '...')]`.
//!
//! What the statement asks for is a size and a number of replicas; how the cluster comes to have them is the catalog's to say.

use sqlparser::ast::Ident;
use sqlparser::tokenizer::Token;

use super::Planner;
use super::cluster::{CLUSTER_REFUSED, check_size, replication_factor};
use super::drop::is_missing;
use super::duration::parse_ms;
use super::rename::cluster_to_alter;
use crate::catalog_view::{Cluster, ClusterSize, Cutover};
use crate::error::Error;
use crate::names::in_quotes;
use crate::parse::{Cursor, OptionItem};
use crate::plan::{AlterClusterPlan, ClusterWait, Notice, Plan};

/// How long `WAIT UNTIL READY` waits unless it says otherwise.
const READY_TIMEOUT_MS: u64 = 10 * 60 * 1000;

const OPTIONS: [&str; 3] = ["size", "replication factor", "managed"];

#[derive(Clone, Debug)]
pub struct AlterCluster {
    pub name: Ident,
    pub if_exists: bool,
    /// SIZE, with the place where it stands.
    pub size: Option<(String, usize)>,
    pub replication_factor: Option<u32>,
    pub managed: Option<bool>,
    pub wait: Option<ClusterWait>,
}

impl AlterCluster {
    /// Reads what follows `ALTER CLUSTER name`, from SET or RESET on.
    pub(crate) fn parse(cursor: &mut Cursor<'_>, name: Ident, if_exists: bool) -> Result<AlterCluster, Error> {
        let mut alter =
            AlterCluster { name, if_exists, size: None, replication_factor: None, managed: None, wait: None };
        loop {
            let resets = match cursor.take_one_of(&["set", "reset"]) {
                Some(word) => word == "reset",
                None => return Err(cursor.expected("SET or RESET")),
            };
            for option in cursor.option_list(&OPTIONS, &CLUSTER_REFUSED)? {
                if resets { alter.reset(&option)? } else { alter.set(&option)? }
            }
            if !cursor.take_token(&Token::Comma) {
                break;
            }
        }
        if cursor.take(&["with"]) {
            alter.wait = parse_with(cursor)?;
        }
        Ok(alter)
    }

    fn set(&mut self, option: &OptionItem) -> Result<(), Error> {
        let is_again = match option.name {
            "size" => self.size.replace((option.text()?.to_owned(), option.position)).is_some(),
            "replication factor" => self.replication_factor.replace(replication_factor(option)?).is_some(),
            _ => self.managed.replace(option.flag()?).is_some(),
        };
        once(option, is_again)
    }

    fn reset(&mut self, option: &OptionItem) -> Result<(), Error> {
        match option.name {
            _ if option.text().is_ok() => Err(Error::new("42601", "RESET takes no values").at(option.position)),
            "replication factor" => once(option, self.replication_factor.replace(1).is_some()),
            name => {
                let message = format!("option {} has no default to be reset to", name.to_uppercase());
                Err(Error::new("22023", message).at(option.position))
            }
        }
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let cluster = match cluster_to_alter(planner, &self.name) {
            Ok(cluster) => cluster,
            Err(error) if self.if_exists && is_missing(&error) => {
                let message = format!("{}, skipping", error.message);
                return Ok(Plan::NoOp { tag: "ALTER CLUSTER", notice: Some(Notice { code: "00000", message }) });
            }
            Err(error) => return Err(error.at_ident(&self.name)),
        };
        let to = self.target(planner, &cluster).map_err(|error| error.at_ident(&self.name))?;
        Ok(Plan::AlterCluster(AlterClusterPlan { cluster: cluster.id, to, wait: self.wait }))
    }

    /// What the cluster is to be; None: its replicas are made and dropped one by one.
    fn target(&self, planner: &Planner<'_>, cluster: &Cluster) -> Result<Option<ClusterSize>, Error> {
        let name = in_quotes(&cluster.name);
        let size = self.size.as_ref().map(|size| check_size(planner, size)).transpose()?;
        if self.managed == Some(false) {
            if size.is_some() || self.replication_factor.is_some() {
                return Err(Error::new("42601", "only managed clusters have a SIZE and a REPLICATION FACTOR"));
            }
            if cluster.reconfiguration.is_some() {
                return Err(Error::new("55000", format!("cluster {name} is being given other replicas"))
                    .with_hint("Wait for the end of that, or go back to the former SIZE and REPLICATION FACTOR."));
            }
            return Ok(None);
        }
        let before = match (cluster.managed(), self.managed) {
            (Some(before), _) => before,
            (None, Some(_)) => of_replicas(cluster, size.as_deref())?,
            (None, None) => {
                return Err(Error::new("55000", format!("cluster {name} is not managed"))
                    .with_detail(
                        "It has no SIZE and no REPLICATION FACTOR: its replicas are made and dropped one by one.",
                    )
                    .with_hint("Use CREATE CLUSTER REPLICA and DROP CLUSTER REPLICA, or SET (MANAGED) before."));
            }
        };
        Ok(Some(ClusterSize {
            size: size.unwrap_or(before.size),
            replication_factor: self.replication_factor.unwrap_or(before.replication_factor),
        }))
    }
}

/// What an unmanaged cluster is once it is managed. Errors: 55000 where its replicas are not of one size.
fn of_replicas(cluster: &Cluster, asked: Option<&str>) -> Result<ClusterSize, Error> {
    let name = in_quotes(&cluster.name);
    let mut sizes = cluster.replicas.iter().map(|replica| replica.size.as_str());
    let size = sizes.next().or(asked).ok_or_else(|| {
        Error::new("55000", format!("cluster {name} has no replica whose size it could have"))
            .with_hint("Write ALTER CLUSTER c SET (MANAGED, SIZE = '1').")
    })?;
    if sizes.any(|other| other != size) {
        return Err(Error::new("55000", format!("the replicas of cluster {name} are not of one size"))
            .with_hint("Replace some by CREATE CLUSTER REPLICA and DROP CLUSTER REPLICA before."));
    }
    let replication_factor = u32::try_from(cluster.replicas.len()).unwrap_or(u32::MAX);
    Ok(ClusterSize { size: size.to_owned(), replication_factor })
}

/// Errors: 42601 for an option that was there before.
fn once(option: &OptionItem, is_again: bool) -> Result<(), Error> {
    if !is_again {
        return Ok(());
    }
    let message = format!("option {} specified more than once", option.name.to_uppercase());
    Err(Error::new("42601", message).at(option.position))
}

/// Reads `(WAIT ...)`.
fn parse_with(cursor: &mut Cursor<'_>) -> Result<Option<ClusterWait>, Error> {
    cursor.expect_token(&Token::LParen)?;
    cursor.expect(&["wait"])?;
    cursor.take_token(&Token::Eq);
    let wait = if cursor.take(&["for"]) {
        let position = cursor.position();
        let limit_ms = parse_ms(&cursor.string()?).map_err(|error| error.at(position))?;
        ClusterWait { limit_ms, cutover: Cutover::AtDeadline }
    } else {
        cursor.expect(&["until", "ready"])?;
        parse_ready(cursor)?
    };
    cursor.expect_token(&Token::RParen)?;
    Ok(Some(wait))
}

/// Reads `[(TIMEOUT ..., ON TIMEOUT ...)]`.
fn parse_ready(cursor: &mut Cursor<'_>) -> Result<ClusterWait, Error> {
    let (mut limit_ms, mut cutover) = (None, None);
    if *cursor.peek() == Token::LParen {
        for option in cursor.option_list(&["timeout", "on timeout"], &[])? {
            let is_again = match option.name {
                "timeout" => {
                    let ms = parse_ms(option.text()?).map_err(|error| error.at(option.position))?;
                    limit_ms.replace(ms).is_some()
                }
                _ => cutover.replace(on_timeout(&option)?).is_some(),
            };
            once(&option, is_again)?;
        }
    }
    let limit_ms = limit_ms.unwrap_or(READY_TIMEOUT_MS);
    Ok(ClusterWait { limit_ms, cutover: cutover.unwrap_or(Cutover::ReadyOrRollBack) })
}

fn on_timeout(option: &OptionItem) -> Result<Cutover, Error> {
    match option.text()?.to_lowercase().as_str() {
        "commit" => Ok(Cutover::ReadyOrCommit),
        "rollback" => Ok(Cutover::ReadyOrRollBack),
        _ => Err(option.invalid("COMMIT or ROLLBACK")),
    }
}
