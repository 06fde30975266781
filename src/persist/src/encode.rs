//! Log entry bodies and checkpoint states as bytes, by hand and with a version.
//!
//! Whatever is changed here needs a new `FORMAT_VERSION` and keeps reading the old ones: the golden bytes in `tests` and the
//! tables of `misc/doc/persist-format.md` say what version 1 is.

use bytes::Bytes;
use repr::ShardId;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::columns::Columns;
use crate::op::{BatchDesc, GroupId, HollowPart, Op, Part, PinId, SchemaId, Txn, Validate, WriterId};

/// The version of log entries, checkpoints and parts that this program writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

const TAG_OPEN: u8 = 1;
const TAG_CLOSE: u8 = 2;
const TAG_CREATE: u8 = 3;
const TAG_RETIRE: u8 = 4;
const TAG_APPEND: u8 = 5;
const TAG_COMMIT: u8 = 6;
const TAG_SINCE: u8 = 7;
const TAG_REPLACE: u8 = 8;
const TAG_SCHEMA: u8 = 9;
const TAG_PIN: u8 = 10;
const TAG_UNPIN: u8 = 11;

const PART_INLINE: u8 = 1;
const PART_HOLLOW: u8 = 2;

/// Encodes the body of one log entry.
pub fn encode_txns(txns: &[Txn]) -> Bytes {
    let mut out = Encoder::default();
    out.varint(u64::from(FORMAT_VERSION));
    out.count(txns.len());
    for txn in txns {
        out.count(txn.ops.len());
        for op in &txn.ops {
            put_op(&mut out, op);
        }
    }
    out.finish()
}

/// Decodes the body of one log entry. Errors: damaged, or written by a newer program.
pub fn decode_txns(body: &Bytes) -> Result<Vec<Txn>, DecodeError> {
    let mut input = Decoder(body.clone());
    check_version(&mut input)?;
    let mut txns = Vec::new();
    for _ in 0..input.count()? {
        let mut ops = Vec::new();
        for _ in 0..input.count()? {
            ops.push(get_op(&mut input)?);
        }
        txns.push(Txn { ops });
    }
    input.end()?;
    Ok(txns)
}

pub(crate) fn check_version(input: &mut Decoder) -> Result<(), DecodeError> {
    let found = u32::try_from(input.varint()?).map_err(|_| DecodeError::Damaged("format version"))?;
    match found {
        0 => Err(DecodeError::Damaged("format version 0")),
        1..=FORMAT_VERSION => Ok(()),
        _ => Err(DecodeError::Newer { found, supported: FORMAT_VERSION }),
    }
}

/// Encoded size of a transaction, close enough to bound entries by.
pub(crate) fn size_estimate(txn: &Txn) -> usize {
    let batch_size = |batch: &BatchDesc| -> usize {
        let parts = batch.parts.iter().map(|part| match part {
            Part::Inline(bytes) => bytes.len() + 8,
            Part::Hollow(hollow) => 128 + hollow.statistics.len(),
        });
        64 + parts.sum::<usize>()
    };
    let op_size = |op: &Op| match op {
        Op::Append { batch, .. } => 64 + batch.as_ref().map_or(0, batch_size),
        Op::Commit { validate, appends, .. } => {
            let tables: usize = validate.iter().map(|v| 16 + 10 * v.tables.len()).sum();
            64 + tables + appends.iter().map(|(_, _, batch)| 16 + batch_size(batch)).sum::<usize>()
        }
        Op::Replace { inputs, output, .. } => 32 + 8 * inputs.len() + batch_size(output),
        Op::Schema { columns, .. } => 64 + columns.iter().map(|column| 2 + column.default.len()).sum::<usize>(),
        _ => 64,
    };
    txn.ops.iter().map(op_size).sum::<usize>() + 8
}

fn put_op(out: &mut Encoder, op: &Op) {
    match op {
        Op::Open { log_id, epoch, nonce, generation, version, lease_ms } => {
            out.u8(TAG_OPEN);
            out.uuid(*log_id);
            out.varint(*epoch);
            out.uuid(*nonce);
            out.varint(*generation);
            out.varint(u64::from(*version));
            out.varint(*lease_ms);
        }
        Op::Close { read_ts } => {
            out.u8(TAG_CLOSE);
            out.time(*read_ts);
        }
        Op::Create { shard, group, schema, since, scheduled } => {
            out.u8(TAG_CREATE);
            out.varint(shard.0);
            put_group(out, *group);
            out.varint(schema.0);
            out.time(*since);
            out.bool(*scheduled);
        }
        Op::Retire { shard } => {
            out.u8(TAG_RETIRE);
            out.varint(shard.0);
        }
        Op::Append { .. } => put_append(out, op),
        Op::Commit { .. } => put_commit(out, op),
        Op::Since { shard, generation, since } => {
            out.u8(TAG_SINCE);
            out.varint(shard.0);
            out.varint(*generation);
            out.time(*since);
        }
        Op::Replace { shard, generation, inputs, output } => {
            out.u8(TAG_REPLACE);
            out.varint(shard.0);
            out.varint(*generation);
            out.count(inputs.len());
            inputs.iter().for_each(|id| out.varint(*id));
            put_batch(out, output);
        }
        Op::Schema { shard, schema, columns } => {
            out.u8(TAG_SCHEMA);
            out.varint(shard.0);
            out.varint(schema.0);
            columns.encode(out);
        }
        Op::Pin { id, seq, expires } => {
            out.u8(TAG_PIN);
            out.varint(id.0);
            out.varint(*seq);
            out.time(*expires);
        }
        Op::Unpin { id } => {
            out.u8(TAG_UNPIN);
            out.varint(id.0);
        }
    }
}

fn put_append(out: &mut Encoder, op: &Op) {
    let Op::Append { shard, writer, expect_upper, new_upper, batch } = op else { return };
    out.u8(TAG_APPEND);
    out.varint(shard.0);
    out.varint(writer.generation);
    out.varint(writer.writer);
    out.varint(writer.incarnation);
    out.time(*expect_upper);
    out.time(*new_upper);
    out.bool(batch.is_some());
    if let Some(batch) = batch {
        put_batch(out, batch);
    }
}

fn put_commit(out: &mut Encoder, op: &Op) {
    let Op::Commit { group, expect_upper, ts, validate, catalog, appends } = op else { return };
    out.u8(TAG_COMMIT);
    out.varint(group.0);
    out.time(*expect_upper);
    out.time(*ts);
    out.count(validate.len());
    for Validate { read_ts, tables } in validate {
        out.time(*read_ts);
        out.count(tables.len());
        tables.iter().for_each(|table| out.varint(table.0));
    }
    out.bool(catalog.is_some());
    if let Some(version) = catalog {
        out.varint(*version);
    }
    out.count(appends.len());
    for (shard, schema, batch) in appends {
        out.varint(shard.0);
        out.varint(schema.0);
        put_batch(out, batch);
    }
}

fn get_op(input: &mut Decoder) -> Result<Op, DecodeError> {
    match input.u8()? {
        TAG_OPEN => Ok(Op::Open {
            log_id: input.uuid()?,
            epoch: input.varint()?,
            nonce: input.uuid()?,
            generation: input.varint()?,
            version: u32::try_from(input.varint()?).map_err(|_| DecodeError::Damaged("program version"))?,
            lease_ms: input.varint()?,
        }),
        TAG_CLOSE => Ok(Op::Close { read_ts: input.time()? }),
        TAG_CREATE => Ok(Op::Create {
            shard: get_shard(input)?,
            group: get_group(input)?,
            schema: SchemaId(input.varint()?),
            since: input.time()?,
            scheduled: input.bool()?,
        }),
        TAG_RETIRE => Ok(Op::Retire { shard: get_shard(input)? }),
        TAG_APPEND => Ok(Op::Append {
            shard: get_shard(input)?,
            writer: WriterId { generation: input.varint()?, writer: input.varint()?, incarnation: input.varint()? },
            expect_upper: input.time()?,
            new_upper: input.time()?,
            batch: if input.bool()? { Some(get_batch(input)?) } else { None },
        }),
        TAG_COMMIT => get_commit(input),
        TAG_SINCE => Ok(Op::Since { shard: get_shard(input)?, generation: input.varint()?, since: input.time()? }),
        TAG_REPLACE => {
            let (shard, generation) = (get_shard(input)?, input.varint()?);
            let count = input.count()?;
            let inputs = (0..count).map(|_| input.varint()).collect::<Result<_, _>>()?;
            Ok(Op::Replace { shard, generation, inputs, output: get_batch(input)? })
        }
        TAG_SCHEMA => Ok(Op::Schema {
            shard: get_shard(input)?,
            schema: SchemaId(input.varint()?),
            columns: Columns::decode(input)?,
        }),
        TAG_PIN => Ok(Op::Pin { id: PinId(input.varint()?), seq: input.varint()?, expires: input.time()? }),
        TAG_UNPIN => Ok(Op::Unpin { id: PinId(input.varint()?) }),
        _ => Err(DecodeError::Damaged("unknown operation")),
    }
}

fn get_commit(input: &mut Decoder) -> Result<Op, DecodeError> {
    let (group, expect_upper, ts) = (GroupId(input.varint()?), input.time()?, input.time()?);
    let mut validate = Vec::new();
    for _ in 0..input.count()? {
        let read_ts = input.time()?;
        let count = input.count()?;
        let tables = (0..count).map(|_| get_shard(input)).collect::<Result<_, _>>()?;
        validate.push(Validate { read_ts, tables });
    }
    let catalog = if input.bool()? { Some(input.varint()?) } else { None };
    let mut appends = Vec::new();
    for _ in 0..input.count()? {
        appends.push((get_shard(input)?, SchemaId(input.varint()?), get_batch(input)?));
    }
    Ok(Op::Commit { group, expect_upper, ts, validate, catalog, appends })
}

fn get_shard(input: &mut Decoder) -> Result<ShardId, DecodeError> {
    input.varint().map(ShardId)
}

pub(crate) fn put_group(out: &mut Encoder, group: Option<GroupId>) {
    out.bool(group.is_some());
    if let Some(group) = group {
        out.varint(group.0);
    }
}

pub(crate) fn get_group(input: &mut Decoder) -> Result<Option<GroupId>, DecodeError> {
    if input.bool()? { Ok(Some(GroupId(input.varint()?))) } else { Ok(None) }
}

pub(crate) fn put_batch(out: &mut Encoder, batch: &BatchDesc) {
    let BatchDesc { id, lower, upper, since, updates, bytes, token, parts } = batch;
    out.varint(*id);
    out.time(*lower);
    out.time(*upper);
    out.time(*since);
    out.varint(*updates);
    out.varint(*bytes);
    out.uuid(*token);
    put_parts(out, parts);
}

pub(crate) fn put_parts(out: &mut Encoder, parts: &[Part]) {
    out.count(parts.len());
    for part in parts {
        match part {
            Part::Inline(bytes) => {
                out.u8(PART_INLINE);
                out.bytes(bytes);
            }
            Part::Hollow(HollowPart { key, bytes, updates, t_min, t_max, statistics }) => {
                out.u8(PART_HOLLOW);
                out.bytes(key.as_bytes());
                out.varint(*bytes);
                out.varint(*updates);
                out.time(*t_min);
                out.time(*t_max);
                out.bytes(statistics);
            }
        }
    }
}

pub(crate) fn get_batch(input: &mut Decoder) -> Result<BatchDesc, DecodeError> {
    Ok(BatchDesc {
        id: input.varint()?,
        lower: input.time()?,
        upper: input.time()?,
        since: input.time()?,
        updates: input.varint()?,
        bytes: input.varint()?,
        token: input.uuid()?,
        parts: get_parts(input)?.into(),
    })
}

pub(crate) fn get_parts(input: &mut Decoder) -> Result<Vec<Part>, DecodeError> {
    (0..input.count()?).map(|_| get_part(input)).collect()
}

fn get_part(input: &mut Decoder) -> Result<Part, DecodeError> {
    match input.u8()? {
        PART_INLINE => Ok(Part::Inline(input.bytes()?)),
        PART_HOLLOW => Ok(Part::Hollow(HollowPart {
            key: input.string()?,
            bytes: input.varint()?,
            updates: input.varint()?,
            t_min: input.time()?,
            t_max: input.time()?,
            statistics: input.bytes()?,
        })),
        _ => Err(DecodeError::Damaged("unknown kind of part")),
    }
}
