//! Identifiers. None is ever used again, not even after its object is dropped.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names a collection (table, view, source, index, ...) in every message and every log line.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CollectionId {
    /// Built in: the system catalog.
    System(u64),
    /// Made by a user's statement; durable.
    User(u64),
    /// Lives as long as one query or one subscription.
    Transient(u64),
}

impl fmt::Display for CollectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CollectionId::System(n) => write!(f, "s{n}"),
            CollectionId::User(n) => write!(f, "u{n}"),
            CollectionId::Transient(n) => write!(f, "t{n}"),
        }
    }
}

impl fmt::Debug for CollectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The text was not an identifier such as `u12`.
#[derive(Debug, thiserror::Error)]
#[error("invalid identifier {0:?}")]
pub struct InvalidId(pub String);

fn split(text: &str) -> Result<(char, u64), InvalidId> {
    let invalid = || InvalidId(text.to_owned());
    let kind = text.chars().next().ok_or_else(invalid)?;
    let number = text.get(kind.len_utf8()..).and_then(|rest| rest.parse().ok()).ok_or_else(invalid)?;
    Ok((kind, number))
}

impl FromStr for CollectionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<CollectionId, InvalidId> {
        match split(text)? {
            ('s', n) => Ok(CollectionId::System(n)),
            ('u', n) => Ok(CollectionId::User(n)),
            ('t', n) => Ok(CollectionId::Transient(n)),
            _ => Err(InvalidId(text.to_owned())),
        }
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<$name, InvalidId> {
                let digits = text.strip_prefix($prefix).ok_or_else(|| InvalidId(text.to_owned()))?;
                digits.parse().map($name).map_err(|_| InvalidId(text.to_owned()))
            }
        }
    };
}

number_id!(
    /// A durable collection in `persist`.
    ShardId, "shard-"
);
number_id!(
    /// A cluster: a set of replicas that compute the same dataflows.
    ClusterId, "u"
);
number_id!(
    /// One replica of a cluster.
    ReplicaId, "r"
);
number_id!(
    /// What runs one replica in one deploy generation; the orchestrator's name for it.
    ServiceId, "cluster-"
);
