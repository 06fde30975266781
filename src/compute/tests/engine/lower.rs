//! A plain lowering of MIR, without any choice that an optimizer would make, but for those that a test asks for.

use std::collections::BTreeMap;

use expr::aggregate::Aggregate;
use expr::{Id, Mfp, Relation, Scalar};
use protocol::plan::{JoinKind, JoinPlan, JoinStage, Node, Plan, ReducePlan};

/// How to lower what can be lowered in several ways.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lowering {
    pub(crate) all_basic: bool,
    pub(crate) levels: u32,
    pub(crate) delta: bool,
}

impl Lowering {
    pub(crate) fn lower(self, relation: &Relation) -> Plan {
        let mut next_id = 0;
        self.plan(relation, &mut next_id)
    }

    fn plan(self, relation: &Relation, next_id: &mut u64) -> Plan {
        let mut lower = |input: &Relation| Box::new(self.plan(input, next_id));
        let node = match relation {
            Relation::Constant { rows, .. } => Node::Constant { rows: rows.clone() },
            Relation::Get { id: Id::Global(id), .. } => {
                Node::Get { id: *id, key: None, lookup: None, mfp: Mfp::identity(relation.kinds()) }
            }
            Relation::Get { id: Id::Local(id), .. } => Node::GetLocal { id: *id, mfp: Mfp::identity(relation.kinds()) },
            Relation::Let { id, value, body } => Node::Let { id: *id, value: lower(value), body: lower(body) },
            Relation::LetRec { ids, values, limit, body } => Node::LetRec {
                ids: ids.clone(),
                values: values.iter().map(|value| *lower(value)).collect(),
                limit: *limit,
                body: lower(body),
            },
            Relation::Map { .. } | Relation::Filter { .. } | Relation::Project { .. } => {
                let (mfp, base) = Mfp::extract_from_relation(relation);
                Node::Mfp { input: lower(base), mfp }
            }
            Relation::FlatMap { input, func, exprs } => Node::FlatMap {
                input: lower(input),
                func: func.clone(),
                exprs: exprs.clone(),
                mfp: Mfp::identity(relation.kinds()),
            },
            Relation::Join { inputs, equivalences, .. } => {
                let plans = inputs.iter().map(|input| *lower(input)).collect();
                Node::Join(Box::new(self.join(inputs, plans, equivalences, relation)))
            }
            Relation::Reduce { input, group_key, aggregates, .. } => Node::Reduce {
                input: lower(input),
                key: group_key.clone(),
                plan: self.reduce(aggregates),
                mfp: Mfp::identity(relation.kinds()),
            },
            Relation::TopK { input, group_key, order, limit, offset, monotonic, .. } => Node::TopK {
                input: lower(input),
                group_key: group_key.clone(),
                order: order.clone(),
                limit: *limit,
                offset: *offset,
                monotonic: *monotonic,
                levels: self.levels,
            },
            Relation::Negate { input } => Node::Negate { input: lower(input) },
            Relation::Threshold { input } => Node::Threshold { input: lower(input) },
            Relation::Union { inputs } => Node::Union { inputs: inputs.iter().map(|input| *lower(input)).collect() },
            Relation::ArrangeBy { input, keys } => Node::ArrangeBy { input: lower(input), keys: keys.clone() },
        };
        *next_id += 1;
        Plan { id: *next_id, kinds: relation.kinds(), node }
    }

    fn reduce(self, aggregates: &[Aggregate]) -> ReducePlan {
        if aggregates.is_empty() {
            return ReducePlan::Distinct;
        }
        let mut parts: BTreeMap<u8, (Vec<Aggregate>, Vec<usize>)> = BTreeMap::new();
        for (place, aggregate) in aggregates.iter().enumerate() {
            let kind = match &aggregate.func {
                _ if self.all_basic => 2,
                func if func.is_accumulable() => 0,
                func if func.is_hierarchical() => 1,
                _ => 2,
            };
            let part = parts.entry(kind).or_default();
            part.0.push(aggregate.clone());
            part.1.push(place);
        }
        let plan = |kind, aggregates| match kind {
            0 => ReducePlan::Accumulable { aggregates },
            1 => ReducePlan::Hierarchical { aggregates, monotonic: false, levels: self.levels },
            _ => ReducePlan::Basic { aggregates },
        };
        let mut parts: Vec<(ReducePlan, Vec<usize>)> =
            parts.into_iter().map(|(kind, (aggregates, places))| (plan(kind, aggregates), places)).collect();
        if parts.len() == 1 { parts.remove(0).0 } else { ReducePlan::Collation { parts } }
    }

    /// Joins the inputs from the first to the last; each class has at most one expression over each input alone.
    fn join(
        self,
        inputs: &[Relation],
        plans: Vec<Plan>,
        equivalences: &[Vec<Scalar>],
        relation: &Relation,
    ) -> JoinPlan {
        let mut start = inputs[0].kinds().len();
        let mut stages = Vec::new();
        for (input, described) in inputs.iter().enumerate().skip(1) {
            let end = start + described.kinds().len();
            let mut stage = JoinStage { input, lookup_key: Vec::new(), stream_key: Vec::new() };
            for class in equivalences {
                let known = class.iter().find(|scalar| scalar.support().last().is_none_or(|last| *last < start));
                let own = class.iter().find(|scalar| {
                    let support = scalar.support();
                    support.first().is_some_and(|first| *first >= start)
                        && support.last().is_some_and(|last| *last < end)
                });
                if let (Some(known), Some(own)) = (known, own) {
                    let mut own = own.clone();
                    own.permute_by(|column| column - start);
                    stage.stream_key.push(known.clone());
                    stage.lookup_key.push(own);
                }
            }
            stages.push(stage);
            start = end;
        }
        let kind = match self.delta {
            true => JoinKind::Delta { paths: vec![stages] },
            false => JoinKind::Linear { start: 0, stages },
        };
        JoinPlan { inputs: plans, kind, mfp: Mfp::identity(relation.kinds()) }
    }
}
