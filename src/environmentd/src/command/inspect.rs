//! `environmentd persist inspect`: what a store holds, by shard.

use std::collections::BTreeMap;

use catalog::CATALOG_SHARD;
use persist::{GroupId, Part, Shard, State, StoredState, read_snapshot, read_state};
use repr::ShardId;
use serde_json::json;
use sql::{CatalogView, ItemDefinition};
use stdx::Tasks;

use crate::boot::BootError;
use crate::command::store::ReadStore;
use crate::command::{InspectArgs, failed, text};

/// What is printed of one shard.
struct Row {
    id: ShardId,
    name: String,
    kind: &'static str,
    since: String,
    upper: String,
    batches: usize,
    parts: usize,
    updates: u64,
    bytes: u64,
    inline_bytes: u64,
}

pub(crate) async fn run(args: &InspectArgs, tasks: &Tasks) -> Result<(), BootError> {
    let store = args.store.open_to_read(tasks).await?;
    let stored = read_state(store.log.as_ref()).await.map_err(failed)?;
    let names = names(&stored.state, &store).await;
    let rows: Vec<Row> = stored.state.shards.iter().map(|(id, shard)| row(&stored.state, *id, shard, &names)).collect();
    match args.json {
        true => print_json(&store, &stored, &rows),
        false => print(&store, &stored, &rows),
    }
    Ok(())
}

/// What the catalog calls the shards. Without a catalog that can be read they have no names.
async fn names(state: &State, store: &ReadStore) -> BTreeMap<ShardId, String> {
    let mut names = BTreeMap::from([(CATALOG_SHARD, "(catalog)".to_owned())]);
    let at = state.group_upper(GroupId::TABLES).step_back();
    let Ok(rows) = read_snapshot(state, &store.blob, CATALOG_SHARD, at).await else { return names };
    let Ok(catalog) = catalog::load(&rows, state.catalog_version) else { return names };
    for item in catalog.items() {
        match &item.definition {
            ItemDefinition::Table { shard, .. } => names.insert(*shard, format!("table {}", item.name)),
            ItemDefinition::MaterializedView { shard, .. } => {
                names.insert(*shard, format!("materialized view {}", item.name))
            }
            ItemDefinition::Source { remap_shard, .. } => {
                names.insert(*remap_shard, format!("progress of source {}", item.name))
            }
            ItemDefinition::View { .. }
            | ItemDefinition::Index { .. }
            | ItemDefinition::Type { .. }
            | ItemDefinition::Secret { .. }
            | ItemDefinition::Builtin { .. } => None,
        };
    }
    names
}

fn row(state: &State, id: ShardId, shard: &Shard, names: &BTreeMap<ShardId, String>) -> Row {
    let kind = match (shard.retired, shard.group) {
        (true, _) => "dropped",
        (false, Some(_)) => "group",
        (false, None) => "solo",
    };
    let upper = shard.group.map_or(shard.upper, |group| state.group_upper(group));
    let parts = || shard.batches.iter().flat_map(|batch| batch.parts.iter());
    let inline_bytes = parts().map(|part| match part {
        Part::Inline(bytes) => bytes.len() as u64,
        Part::Hollow(_) => 0,
    });
    Row {
        id,
        name: names.get(&id).cloned().unwrap_or_default(),
        kind,
        since: text::time(shard.since),
        upper: text::time(upper),
        batches: shard.batches.len(),
        parts: parts().filter(|part| matches!(part, Part::Hollow(_))).count(),
        updates: shard.batches.iter().map(|batch| batch.updates).sum(),
        bytes: shard.batches.iter().map(|batch| batch.bytes).sum(),
        inline_bytes: inline_bytes.sum(),
    }
}

fn print(store: &ReadStore, stored: &StoredState, rows: &[Row]) {
    let StoredState { state, checkpoint, checkpoint_bytes, tail_entries, tail_bytes } = stored;
    let used = if store.in_use { " (in use by a running environment: read as it is)" } else { "" };
    println!("log              {}{used}", store.log_url);
    println!("blobs            {}", store.blob_url);
    println!("log id           {}", state.log_id);
    println!("epoch            {}, generation {}", state.epoch, state.generation);
    println!("closed cleanly   {}", if state.closed { "yes" } else { "no" });
    println!("catalog version  {}", state.catalog_version);
    match checkpoint {
        Some(upto) => println!("checkpoint       up to entry {upto}, {}", text::size(*checkpoint_bytes)),
        None => println!("checkpoint       none"),
    }
    println!("tail             {tail_entries} entries, {}", text::size(*tail_bytes));
    for (id, pin) in &state.pins {
        println!("pin              {} keeps entry {} until {}", id.0, pin.seq, text::time(pin.expires));
    }
    println!();
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(4);
    println!(
        "{:<6} {:<width$} {:<7} {:<24} {:<24} {:>7} {:>6} {:>10} {:>10} {:>10}",
        "shard", "name", "kind", "since", "upper", "batches", "parts", "updates", "bytes", "inline"
    );
    for row in rows {
        let Row { id, name, kind, since, upper, batches, parts, updates, bytes, inline_bytes } = row;
        println!(
            "{:<6} {name:<width$} {kind:<7} {since:<24} {upper:<24} {batches:>7} {parts:>6} {updates:>10} {:>10} {:>10}",
            id.to_string(),
            text::size(*bytes),
            text::size(*inline_bytes),
        );
    }
}

fn print_json(store: &ReadStore, stored: &StoredState, rows: &[Row]) {
    let StoredState { state, checkpoint, checkpoint_bytes, tail_entries, tail_bytes } = stored;
    let shards: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| {
            let shard = &state.shards[&row.id];
            json!({
                "shard": row.id.to_string(),
                "name": row.name,
                "kind": row.kind,
                "since": shard.since.millis(),
                "upper": shard.group.map_or(shard.upper, |group| state.group_upper(group)).millis(),
                "batches": row.batches,
                "parts": row.parts,
                "updates": row.updates,
                "bytes": row.bytes,
                "inline_bytes": row.inline_bytes,
            })
        })
        .collect();
    let pins: Vec<serde_json::Value> = state
        .pins
        .iter()
        .map(|(id, pin)| json!({ "pin": id.0, "seq": pin.seq, "expires": pin.expires.millis() }))
        .collect();
    let text = json!({
        "log": store.log_url.to_string(),
        "blobs": store.blob_url.to_string(),
        "in_use": store.in_use,
        "log_id": state.log_id.to_string(),
        "epoch": state.epoch,
        "generation": state.generation,
        "closed": state.closed,
        "catalog_version": state.catalog_version,
        "checkpoint": checkpoint,
        "checkpoint_bytes": checkpoint_bytes,
        "tail_entries": tail_entries,
        "tail_bytes": tail_bytes,
        "pins": pins,
        "shards": shards,
    });
    println!("{text:#}");
}
