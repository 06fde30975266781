//! `CREATE CLUSTER`, `CREATE CLUSTER REPLICA`.

use sqlparser::ast::Ident;
use sqlparser::tokenizer::Token;

use super::Planner;
use super::database::exists;
use crate::error::Error;
use crate::names::{self, in_quotes};
use crate::parse::{Cursor, OptionItem};
use crate::plan::{CreateClusterPlan, Plan};

/// Most replicas of one cluster.
const REPLICAS_MAX: u32 = 16;

pub(super) const CLUSTER_REFUSED: [&str; 8] = [
    "availability zones",
    "introspection interval",
    "introspection debugging",
    "disk",
    "workload class",
    "schedule",
    "auto scaling strategy",
    "experimental arrangement compression",
];
const REPLICA_REFUSED: [&str; 11] = [
    "availability zone",
    "introspection interval",
    "introspection debugging",
    "disk",
    "billed as",
    "internal",
    "storagectl addresses",
    "storage addresses",
    "computectl addresses",
    "compute addresses",
    "workers",
];

#[derive(Clone, Debug)]
pub struct CreateCluster {
    pub name: Ident,
    pub if_not_exists: bool,
    /// Managed: SIZE, with the place where it stands.
    pub size: Option<(String, usize)>,
    pub replication_factor: u32,
    /// Unmanaged: names and sizes.
    pub replicas: Option<Vec<Replica>>,
}

#[derive(Clone, Debug)]
pub struct Replica {
    pub name: Ident,
    pub size: (String, usize),
}

#[derive(Clone, Debug)]
pub struct CreateReplica {
    pub cluster: Ident,
    pub replica: Replica,
    pub if_not_exists: bool,
}

impl CreateCluster {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<CreateCluster, Error> {
        let if_not_exists = cursor.if_not_exists();
        let name = cursor.ident()?;
        let mut create = CreateCluster { name, if_not_exists, size: None, replication_factor: 1, replicas: None };
        let enclosed = cursor.take_token(&Token::LParen);
        loop {
            if cursor.take(&["replicas"]) {
                create.replicas = Some(parse_replicas(cursor)?);
            } else {
                create.option(cursor.option(&["size", "replication factor", "managed"], &CLUSTER_REFUSED)?)?;
            }
            if !cursor.take_token(&Token::Comma) {
                break;
            }
        }
        if enclosed {
            cursor.expect_token(&Token::RParen)?;
        }
        if create.size.is_some() == create.replicas.is_some() {
            return Err(Error::new("42601", "a cluster has either a SIZE or REPLICAS")
                .with_hint("Write CREATE CLUSTER c (SIZE = '1').")
                .at_ident(&create.name));
        }
        Ok(create)
    }

    fn option(&mut self, option: OptionItem) -> Result<(), Error> {
        match option.name {
            "size" => self.size = Some((option.text()?.to_owned(), option.position)),
            "replication factor" => self.replication_factor = replication_factor(&option)?,
            // `MANAGED` says what SIZE or REPLICAS says anyway.
            _ => {
                option.flag()?;
            }
        }
        Ok(())
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let name = names::check_unreserved(&self.name, "cluster")?;
        if planner.catalog.cluster(&name).is_some() {
            let message = format!("cluster {} already exists", in_quotes(&name));
            return exists(self.if_not_exists, "CREATE CLUSTER", "42710", message)
                .map_err(|error| error.at_ident(&self.name));
        }
        let size = self.size.as_ref().map(|size| check_size(planner, size)).transpose()?;
        let mut replicas: Vec<(String, String)> = Vec::new();
        for replica in self.replicas.iter().flatten() {
            let planned = replica.plan(planner)?;
            if replicas.iter().any(|(name, _)| *name == planned.0) {
                let message = format!("replica {} specified more than once", in_quotes(&planned.0));
                return Err(Error::new("42710", message).at_ident(&replica.name));
            }
            replicas.push(planned);
        }
        let replication_factor = if size.is_some() { self.replication_factor } else { 0 };
        let if_not_exists = self.if_not_exists;
        Ok(Plan::CreateCluster(CreateClusterPlan { name, if_not_exists, size, replication_factor, replicas }))
    }
}

impl Replica {
    fn plan(&self, planner: &Planner<'_>) -> Result<(String, String), Error> {
        Ok((names::check_unreserved(&self.name, "replica")?, check_size(planner, &self.size)?))
    }
}

impl CreateReplica {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<CreateReplica, Error> {
        let if_not_exists = cursor.if_not_exists();
        let cluster = cursor.ident()?;
        cursor.expect_token(&Token::Period)?;
        let name = cursor.ident()?;
        let enclosed = cursor.take_token(&Token::LParen);
        let size = parse_size(cursor)?;
        if enclosed {
            cursor.expect_token(&Token::RParen)?;
        }
        Ok(CreateReplica { cluster, replica: Replica { name, size }, if_not_exists })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let cluster = names::resolve_cluster(planner.catalog, &self.cluster)?;
        let (name, size) = self.replica.plan(planner)?;
        if cluster.replicas.iter().any(|replica| replica.name == name) {
            let message = format!("cluster replica {}.{} already exists", in_quotes(&cluster.name), in_quotes(&name));
            return exists(self.if_not_exists, "CREATE CLUSTER REPLICA", "42710", message)
                .map_err(|error| error.at_ident(&self.replica.name));
        }
        if cluster.size.is_some() {
            let message = format!("cannot create a replica of managed cluster {}", in_quotes(&cluster.name));
            return Err(Error::new("55000", message)
                .with_hint("Its replicas follow from its REPLICATION FACTOR.")
                .at_ident(&self.cluster));
        }
        Ok(Plan::CreateReplica { cluster: cluster.id, name, size, if_not_exists: self.if_not_exists })
    }
}

/// Errors: 22023 for more replicas than a cluster may have.
pub(super) fn replication_factor(option: &OptionItem) -> Result<u32, Error> {
    let factor = option.unsigned()?;
    u32::try_from(factor)
        .ok()
        .filter(|factor| *factor <= REPLICAS_MAX)
        .ok_or_else(|| option.invalid(&format!("at most {REPLICAS_MAX}")))
}

/// Reads `(r1 (SIZE ...), ...)`, which may be empty.
fn parse_replicas(cursor: &mut Cursor<'_>) -> Result<Vec<Replica>, Error> {
    cursor.expect_token(&Token::LParen)?;
    let mut replicas = Vec::new();
    while *cursor.peek() != Token::RParen {
        let name = cursor.ident()?;
        cursor.expect_token(&Token::LParen)?;
        let size = parse_size(cursor)?;
        cursor.expect_token(&Token::RParen)?;
        replicas.push(Replica { name, size });
        if !cursor.take_token(&Token::Comma) {
            break;
        }
    }
    cursor.expect_token(&Token::RParen)?;
    Ok(replicas)
}

fn parse_size(cursor: &mut Cursor<'_>) -> Result<(String, usize), Error> {
    let option = cursor.option(&["size"], &REPLICA_REFUSED)?;
    if *cursor.peek() == Token::Comma {
        cursor.advance();
        // Whatever it is, it is not offered, or SIZE again.
        cursor.option(&["size"], &REPLICA_REFUSED)?;
        return Err(Error::new("42601", "option SIZE specified more than once").at(option.position));
    }
    Ok((option.text()?.to_owned(), option.position))
}

/// Errors: 22023 for a size that is not in the table of sizes.
pub(super) fn check_size(planner: &Planner<'_>, (size, position): &(String, usize)) -> Result<String, Error> {
    let sizes = planner.catalog.replica_sizes();
    if sizes.iter().any(|known| known.name == size) {
        return Ok(size.clone());
    }
    let known: Vec<&str> = sizes.iter().map(|known| known.name).collect();
    Err(Error::new("22023", format!("unknown cluster replica size \"{size}\""))
        .with_hint(format!("Valid sizes are: {}.", known.join(", ")))
        .at(*position))
}
