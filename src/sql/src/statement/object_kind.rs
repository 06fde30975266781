//! The kinds of objects that DROP and ALTER name.

use crate::catalog_view::Item;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    Database,
    Schema,
    Table,
    View,
    MaterializedView,
    Index,
    Source,
    Type,
    Secret,
    Cluster,
    Replica,
}

impl ObjectKind {
    /// All kinds with the words they are written in; longer forms first.
    pub(crate) const ALL: [(&'static [&'static str], ObjectKind); 11] = [
        (&["database"], ObjectKind::Database),
        (&["schema"], ObjectKind::Schema),
        (&["table"], ObjectKind::Table),
        (&["view"], ObjectKind::View),
        (&["materialized", "view"], ObjectKind::MaterializedView),
        (&["index"], ObjectKind::Index),
        (&["source"], ObjectKind::Source),
        (&["type"], ObjectKind::Type),
        (&["secret"], ObjectKind::Secret),
        (&["cluster", "replica"], ObjectKind::Replica),
        (&["cluster"], ObjectKind::Cluster),
    ];

    pub(crate) fn drop_tag(self) -> &'static str {
        match self {
            ObjectKind::Database => "DROP DATABASE",
            ObjectKind::Schema => "DROP SCHEMA",
            ObjectKind::Table => "DROP TABLE",
            ObjectKind::View => "DROP VIEW",
            ObjectKind::MaterializedView => "DROP MATERIALIZED VIEW",
            ObjectKind::Index => "DROP INDEX",
            ObjectKind::Source => "DROP SOURCE",
            ObjectKind::Type => "DROP TYPE",
            ObjectKind::Secret => "DROP SECRET",
            ObjectKind::Cluster => "DROP CLUSTER",
            ObjectKind::Replica => "DROP CLUSTER REPLICA",
        }
    }

    pub(crate) fn alter_tag(self) -> &'static str {
        match self {
            ObjectKind::Database => "ALTER DATABASE",
            ObjectKind::Schema => "ALTER SCHEMA",
            ObjectKind::Table => "ALTER TABLE",
            ObjectKind::View => "ALTER VIEW",
            ObjectKind::MaterializedView => "ALTER MATERIALIZED VIEW",
            ObjectKind::Index => "ALTER INDEX",
            ObjectKind::Source => "ALTER SOURCE",
            ObjectKind::Type => "ALTER TYPE",
            ObjectKind::Secret => "ALTER SECRET",
            ObjectKind::Cluster => "ALTER CLUSTER",
            ObjectKind::Replica => "ALTER CLUSTER REPLICA",
        }
    }

    /// As [`Item::kind`] calls items of this kind.
    pub(crate) fn noun(self) -> String {
        self.drop_tag().trim_start_matches("DROP ").to_lowercase()
    }

    /// True if `item` is of this kind.
    pub(crate) fn matches(self, item: &Item) -> bool {
        item.kind() == self.noun()
    }
}
