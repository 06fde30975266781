//! A state as bytes, so that a start need not replay the whole log.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use repr::ShardId;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::columns::Columns;
use crate::encode::{FORMAT_VERSION, check_version, get_batch, get_group, put_batch, put_group};
use crate::op::{GroupId, PinId, SchemaId};
use crate::state::{Group, Pin, Shard, State};

/// Encodes a whole state.
pub fn encode_state(state: &State) -> Bytes {
    let State {
        log_id,
        epoch,
        generation,
        nonce,
        lease_ms,
        closed,
        next_seq,
        catalog_version,
        read_floor,
        version_max,
        shards,
        groups,
        pins,
    } = state;
    let mut out = Encoder::default();
    out.varint(u64::from(FORMAT_VERSION));
    out.uuid(*log_id);
    out.varint(*epoch);
    out.varint(*generation);
    out.uuid(*nonce);
    out.varint(*lease_ms);
    out.bool(*closed);
    out.varint(*next_seq);
    out.varint(*catalog_version);
    out.time(*read_floor);
    out.varint(u64::from(*version_max));
    out.count(groups.len());
    for (id, Group { upper }) in groups {
        out.varint(id.0);
        out.time(*upper);
    }
    out.count(pins.len());
    for (id, Pin { seq, expires }) in pins {
        out.varint(id.0);
        out.varint(*seq);
        out.time(*expires);
    }
    out.count(shards.len());
    for (id, shard) in shards {
        out.varint(id.0);
        put_shard(&mut out, shard);
    }
    out.finish()
}

/// Decodes a whole state. Errors: damaged, or written by a newer program.
pub fn decode_state(bytes: &Bytes) -> Result<State, DecodeError> {
    let mut input = Decoder(bytes.clone());
    check_version(&mut input)?;
    let mut state = State {
        log_id: input.uuid()?,
        epoch: input.varint()?,
        generation: input.varint()?,
        nonce: input.uuid()?,
        lease_ms: input.varint()?,
        closed: input.bool()?,
        next_seq: input.varint()?,
        catalog_version: input.varint()?,
        read_floor: input.time()?,
        version_max: u32::try_from(input.varint()?).map_err(|_| DecodeError::Damaged("program version"))?,
        ..State::default()
    };
    for _ in 0..input.count()? {
        state.groups.insert(GroupId(input.varint()?), Group { upper: input.time()? });
    }
    for _ in 0..input.count()? {
        state.pins.insert(PinId(input.varint()?), Pin { seq: input.varint()?, expires: input.time()? });
    }
    for _ in 0..input.count()? {
        state.shards.insert(ShardId(input.varint()?), get_shard(&mut input)?);
    }
    input.end()?;
    Ok(state)
}

fn put_shard(out: &mut Encoder, shard: &Shard) {
    let Shard {
        group,
        schema,
        columns,
        created,
        since,
        upper,
        next_batch,
        batches,
        closed,
        scheduled,
        retired,
        tokens,
    } = shard;
    put_group(out, *group);
    out.varint(schema.0);
    columns.encode(out);
    out.time(*created);
    out.time(*since);
    out.time(*upper);
    out.varint(*next_batch);
    out.bool(*closed);
    out.bool(*scheduled);
    out.bool(*retired);
    out.count(tokens.len());
    tokens.iter().for_each(|token| out.uuid(*token));
    out.count(batches.len());
    batches.iter().for_each(|batch| put_batch(out, batch));
}

fn get_shard(input: &mut Decoder) -> Result<Shard, DecodeError> {
    let mut shard = Shard {
        group: get_group(input)?,
        schema: SchemaId(input.varint()?),
        columns: Columns::decode(input)?,
        created: input.time()?,
        since: input.time()?,
        upper: input.time()?,
        next_batch: input.varint()?,
        closed: input.bool()?,
        scheduled: input.bool()?,
        retired: input.bool()?,
        tokens: VecDeque::new(),
        batches: Arc::default(),
    };
    for _ in 0..input.count()? {
        shard.tokens.push_back(input.uuid()?);
    }
    shard.batches = Arc::new((0..input.count()?).map(|_| get_batch(input)).collect::<Result<_, _>>()?);
    Ok(shard)
}
