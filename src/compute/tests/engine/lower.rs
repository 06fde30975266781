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
    /// Inputs only grow.
    pub(crate) monotonic: bool,
    /// Joins are delta joins, in which of changes at one time those of input `last` count as the last.
    pub(crate) delta: bool,
    pub(crate) last: usize,
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
                match base {
                    Relation::Join { inputs, equivalences, .. } => {
                        let plans = inputs.iter().map(|input| *lower(input)).collect();
                        Node::Join(Box::new(self.join(inputs, plans, equivalences, mfp)))
                    }
                    base => Node::Mfp { input: lower(base), mfp },
                }
            }
            Relation::FlatMap { input, func, exprs } => Node::FlatMap {
                input: lower(input),
                func: func.clone(),
                exprs: exprs.clone(),
                mfp: Mfp::identity(relation.kinds()),
            },
            Relation::Join { inputs, equivalences, .. } => {
                let plans = inputs.iter().map(|input| *lower(input)).collect();
                Node::Join(Box::new(self.join(inputs, plans, equivalences, Mfp::identity(relation.kinds()))))
            }
            Relation::Reduce { input, group_key, aggregates, .. } => Node::Reduce {
                input: lower(input),
                key: group_key.clone(),
                plan: self.reduce(aggregates),
                mfp: Mfp::identity(relation.kinds()),
            },
            Relation::TopK { input, group_key, order, limit, offset, .. } => Node::TopK {
                input: lower(input),
                group_key: group_key.clone(),
                order: order.clone(),
                limit: *limit,
                offset: *offset,
                monotonic: self.monotonic,
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
            1 => ReducePlan::Hierarchical { aggregates, monotonic: self.monotonic, levels: self.levels },
            _ => ReducePlan::Basic { aggregates },
        };
        let mut parts: Vec<(ReducePlan, Vec<usize>)> =
            parts.into_iter().map(|(kind, (aggregates, places))| (plan(kind, aggregates), places)).collect();
        if parts.len() == 1 { parts.remove(0).0 } else { ReducePlan::Collation { parts } }
    }

    /// Joins the inputs from the first to the last, or, as a delta join, from each one on. Each class has at most one expression
    /// over each input alone, and none over several.
    fn join(self, inputs: &[Relation], plans: Vec<Plan>, equivalences: &[Vec<Scalar>], mfp: Mfp) -> JoinPlan {
        let arities: Vec<usize> = inputs.iter().map(Relation::arity).collect();
        let chain = |start: usize| {
            let others = (0..inputs.len()).filter(|input| *input != start);
            stages(&[start].into_iter().chain(others).collect::<Vec<_>>(), &arities, equivalences)
        };
        let kind = match self.delta {
            true => JoinKind::Delta { paths: (0..inputs.len()).map(chain).collect(), last: self.last },
            false => JoinKind::Linear { start: 0, stages: chain(0) },
        };
        JoinPlan { inputs: plans, kind, mfp }
    }
}

/// Joins inputs in an order: each by what its columns and those of the inputs before have in common.
fn stages(order: &[usize], arities: &[usize], equivalences: &[Vec<Scalar>]) -> Vec<JoinStage> {
    let columns_of = |input: usize| {
        let start: usize = arities[..input].iter().sum();
        start..start + arities[input]
    };
    let is_over = |scalar: &Scalar, inputs: &[usize]| {
        scalar.support().iter().all(|column| inputs.iter().any(|input| columns_of(*input).contains(column)))
    };
    let mut stages = Vec::new();
    for (place, input) in order.iter().enumerate().skip(1) {
        let joined: Vec<usize> = order[..place].iter().flat_map(|input| columns_of(*input)).collect();
        let own = columns_of(*input);
        let mut stage = JoinStage { input: *input, lookup_key: Vec::new(), stream_key: Vec::new() };
        for class in equivalences {
            let known = class.iter().find(|scalar| is_over(scalar, &order[..place]));
            let looked_up = class.iter().find(|scalar| is_over(scalar, &[*input]));
            if let (Some(known), Some(looked_up)) = (known, looked_up) {
                let (mut known, mut looked_up) = (known.clone(), looked_up.clone());
                known.permute_by(|column| joined.iter().position(|at| *at == column).expect("the input is joined"));
                looked_up.permute_by(|column| column - own.start);
                stage.stream_key.push(known);
                stage.lookup_key.push(looked_up);
            }
        }
        stages.push(stage);
    }
    stages
}
