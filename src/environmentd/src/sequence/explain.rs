//! EXPLAIN: texts of plans, and the same as JSON or DOT.

mod format;

use std::fmt::Write;

use expr::relation::{Names, Pretty};
use optimizer::{Access, Labels, Objects, Purpose};
use repr::{CollectionId, Datum, RelationDesc, Row, ScalarType};
use sql::CatalogView;
use sql::plan::{ExplainOptions, ExplainPlan, ExplainStage, SelectPlan};

use super::query::{import_ids, row_order};
use crate::error::{Error, contained};
use crate::objects::ClusterObjects;
use crate::planning;
use crate::session::{Response, Rows, Session};

impl Session {
    pub(super) async fn explain(&mut self, plan: ExplainPlan) -> Result<Response, Error> {
        let ExplainPlan { stage, options, format, select, raw, subject } = plan;
        // What is stored or indexed is maintained; all else is asked once.
        let purpose = if subject.is_some() { Purpose::Maintained } else { Purpose::OneOff };
        let text = match stage {
            ExplainStage::Raw => raw,
            ExplainStage::Decorrelated => select.relation.pretty_with(&self.pretty(options)),
            ExplainStage::Optimized => self.explain_optimized(select, options).await?,
            ExplainStage::Physical => self.explain_physical(select, options, purpose).await?,
            ExplainStage::Trace => self.explain_trace(select, options)?,
            ExplainStage::Timestamp => self.explain_timestamp(select).await?,
        };
        let text = format::formatted(text, format);
        let desc = RelationDesc::new([(stage.column_name().to_owned(), ScalarType::Text.not_null())]);
        let row = Row::pack([Datum::Text(&text)]);
        Ok(Response::Rows { desc, rows: Rows::ready(vec![row]), verb: "EXPLAIN" })
    }

    /// How relations are printed: with the names of stored objects, and what the options add.
    fn pretty(&self, options: ExplainOptions) -> Pretty {
        let items = self.environment.catalog().items();
        let names: Names = items.iter().map(|item| (item.id, item.name.to_string())).collect();
        let described = items.iter().filter(|_| options.humanized).filter_map(|item| Some((item.id, item.desc()?)));
        let columns = described.map(|(id, desc)| (id, desc.names.clone())).collect();
        let ExplainOptions { arity, types, keys, .. } = options;
        Pretty { names, columns, arity, types, keys }
    }

    /// The name of a stored object, for people.
    fn name_of(&self) -> impl Fn(repr::CollectionId) -> Option<String> + use<> {
        let catalog = self.environment.catalog();
        move |id| catalog.item_by_id(id).map(|item| item.name.to_string())
    }

    async fn explain_optimized(&mut self, select: SelectPlan, options: ExplainOptions) -> Result<String, Error> {
        let prepared = self.prepare(select.relation, &select.when).await?;
        Ok(prepared.relation.pretty_with(&self.pretty(options)))
    }

    async fn explain_physical(
        &mut self,
        select: SelectPlan,
        options: ExplainOptions,
        purpose: Purpose,
    ) -> Result<String, Error> {
        let prepared = self.prepare(select.relation, &select.when).await?;
        let object = self.environment.transient_id();
        let objects = vec![(object, prepared.relation)];
        let dataflow = planning::lower("explained".to_owned(), purpose, objects, &prepared.objects, Vec::new())?;
        let access = match (purpose, prepared.access) {
            // An index may be peeked for an answer, but what is maintained is a dataflow all the same.
            (Purpose::Maintained, Access::Index(_)) => Access::Dataflow,
            (Purpose::OneOff, Access::Index(access)) => {
                Access::Index(access.in_order(&row_order(&select.finishing), &prepared.objects))
            }
            (_, access) => access,
        };
        let ExplainOptions { arity, node_identifiers, cardinality, .. } = options;
        let leader = &self.environment.leader;
        let stored_rows = |id| prepared.objects.shard(id).and_then(|shard| leader.stored_updates(shard));
        let stored_rows: Option<&dyn Fn(CollectionId) -> Option<u64>> = cardinality.then_some(&stored_rows);
        let labels = Labels { name_of: &self.name_of(), node_identifiers, arity, stored_rows };
        Ok(optimizer::explain_physical(&access, &dataflow, &labels))
    }

    /// The relation after each pass that changed it. Functions of the session stay as they are.
    fn explain_trace(&mut self, select: SelectPlan, options: ExplainOptions) -> Result<String, Error> {
        let pretty = self.pretty(options);
        let catalog = self.environment.catalog();
        let cluster = catalog.cluster(self.vars.cluster()).map(|cluster| cluster.id);
        let objects = ClusterObjects { catalog, cluster, before: None };
        let mut text = format!("decorrelated:\n{}", select.relation.pretty_with(&pretty));
        let mut last = select.relation.clone();
        contained(|| {
            optimizer::optimize_traced(select.relation, &objects, &mut |pass, relation| {
                if *relation != last {
                    last = relation.clone();
                    // A string takes all.
                    let _ = write!(text, "\n{pass}:\n{}", relation.pretty_with(&pretty));
                }
            });
            Ok(text)
        })
    }

    async fn explain_timestamp(&mut self, select: SelectPlan) -> Result<String, Error> {
        let SelectPlan { relation, when, .. } = select;
        let prepared = self.prepare(relation, &when).await?;
        let object = self.environment.transient_id();
        let dataflow = planning::lower(
            "explained".to_owned(),
            Purpose::OneOff,
            vec![(object, prepared.relation)],
            &prepared.objects,
            Vec::new(),
        )?;
        let inputs = import_ids(&dataflow);
        let (chosen, holds) = self.choose(&when, &inputs).await?;
        let mut text = format!(
            "                query timestamp: {}\n          oracle read timestamp: {}\n                            now: {}\n",
            chosen.at, chosen.read_ts, chosen.now
        );
        text += &format!(
            "                          since: {}\n                          upper: {}\n",
            chosen.since, chosen.upper
        );
        let name_of = self.name_of();
        for id in inputs {
            let name = name_of(id).unwrap_or_else(|| id.to_string());
            if let Some(frontiers) = self.environment.controller.frontiers(id) {
                text += &format!(
                    "\nsource {name} ({id}):\n  read frontier: [{}]\n write frontier: [{}]\n",
                    frontiers.since, frontiers.upper
                );
            }
        }
        drop(holds);
        Ok(text)
    }
}
