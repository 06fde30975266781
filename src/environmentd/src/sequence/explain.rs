//! EXPLAIN.

use expr::relation::Names;
use repr::{Datum, RelationDesc, Row, ScalarType};
use sql::plan::{ExplainPlan, ExplainStage, SelectPlan};

use super::query::import_ids;
use crate::error::Error;
use crate::session::{Response, Rows, Session};

impl Session {
    pub(super) async fn explain(&mut self, plan: ExplainPlan) -> Result<Response, Error> {
        let ExplainPlan { stage, select, .. } = plan;
        let (title, text) = match stage {
            ExplainStage::Decorrelated => ("Decorrelated Plan", self.explain_decorrelated(select)?),
            ExplainStage::Optimized => ("Optimized Plan", self.explain_optimized(select).await?),
            ExplainStage::Physical => ("Physical Plan", self.explain_physical(select).await?),
            ExplainStage::Timestamp => ("Timestamp", self.explain_timestamp(select).await?),
        };
        let desc = RelationDesc::new([(title.to_owned(), ScalarType::Text.not_null())]);
        let row = Row::pack([Datum::Text(&text)]);
        Ok(Response::Rows { desc, rows: Rows::ready(vec![row]), verb: "EXPLAIN" })
    }

    /// Names of stored objects, by id.
    fn names(&self) -> Names {
        use sql::CatalogView;
        let items = self.environment.catalog().items();
        items.into_iter().map(|item| (item.id, item.name.to_string())).collect()
    }

    /// The name of a stored object, for people.
    fn name_of(&self) -> impl Fn(repr::CollectionId) -> Option<String> + use<> {
        use sql::CatalogView;
        let catalog = self.environment.catalog();
        move |id| catalog.item_by_id(id).map(|item| item.name.to_string())
    }

    fn explain_decorrelated(&self, select: SelectPlan) -> Result<String, Error> {
        Ok(select.relation.pretty_with_names(&self.names()))
    }

    async fn explain_optimized(&mut self, select: SelectPlan) -> Result<String, Error> {
        let when = select.when.clone();
        let prepared = self.prepare(select.relation, &when).await?;
        Ok(prepared.relation.pretty_with_names(&self.names()))
    }

    async fn explain_physical(&mut self, select: SelectPlan) -> Result<String, Error> {
        let when = select.when.clone();
        let prepared = self.prepare(select.relation, &when).await?;
        let object = self.environment.transient_id();
        let dataflow =
            optimizer::lower("explained".to_owned(), vec![(object, prepared.relation)], &prepared.objects, Vec::new())?;
        Ok(optimizer::explain_physical(&prepared.access, &dataflow, &self.name_of()))
    }

    async fn explain_timestamp(&mut self, select: SelectPlan) -> Result<String, Error> {
        let SelectPlan { relation, when, .. } = select;
        let prepared = self.prepare(relation, &when).await?;
        let object = self.environment.transient_id();
        let dataflow =
            optimizer::lower("explained".to_owned(), vec![(object, prepared.relation)], &prepared.objects, Vec::new())?;
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
