//! How errors, descriptions and plans look in scripts.

use std::fmt::Write;

use repr::RelationDesc;
use sql::plan::{
    CopyToSource, CreateTablePlan, Finishing, ReadThenWritePlan, ReturningPlan, SelectPlan, SubscribePlan, When,
};
use sql::{Description, Error, Plan};

/// An error with all it carries.
pub(crate) fn render_error(error: &Error) -> String {
    let Error { code, message, detail, hint, position } = error;
    let mut text = match position {
        Some(position) => format!("ERROR {code} at {position}: {message}\n"),
        None => format!("ERROR {code}: {message}\n"),
    };
    detail.iter().for_each(|detail| text.push_str(&format!("DETAIL: {detail}\n")));
    hint.iter().for_each(|hint| text.push_str(&format!("HINT: {hint}\n")));
    text
}

/// The result's columns and the parameters' types.
pub(crate) fn render_description(description: &Description) -> String {
    let columns = description.desc.as_ref().map_or("none".to_owned(), columns);
    format!("columns: {columns}\nparams: {:?}\n", description.params)
}

fn columns(desc: &RelationDesc) -> String {
    let columns = desc.iter().map(|(name, typ)| {
        let null = if typ.nullable { "" } else { " not null" };
        format!("{name} {:?}{null}", typ.scalar)
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// A plan: its name, what decides it, its relation.
pub(crate) fn render_plan(plan: &Plan) -> String {
    match plan {
        Plan::Select(select) => format!("Select{}", render_select(select)),
        Plan::Subscribe(subscribe) => render_subscribe(subscribe),
        Plan::Explain(explain) => {
            format!("Explain {:?} {:?}{}", explain.stage, explain.subject, render_select(&explain.select))
        }
        Plan::Insert(insert) => {
            let returning = render_returning(insert.returning.as_ref());
            format!("Insert into {}{returning}\n{}", insert.table, insert.relation.pretty())
        }
        Plan::ReadThenWrite(write) => render_write(write),
        Plan::Truncate(writes) => writes.iter().map(render_write).collect::<Vec<_>>().join("\n"),
        Plan::CopyTo(copy) => {
            let source = match &copy.source {
                CopyToSource::Select(select) => format!("Select{}", render_select(select)),
                CopyToSource::Subscribe(subscribe) => render_subscribe(subscribe),
            };
            format!("CopyTo {:?}\n{source}", copy.options)
        }
        Plan::CreateTable(plan) => render_table(plan),
        Plan::CreateView(plan) => {
            format!("{}\ncolumns: {}\n{}", plan.create_sql, columns(&plan.desc), plan.relation.pretty())
        }
        Plan::CreateMaterializedView(plan) => {
            format!("{}\ncolumns: {}\n{}", plan.create_sql, columns(&plan.desc), plan.relation.pretty())
        }
        Plan::CreateIndex(plan) => format!("{}\n{}\n", plan.name, plan.create_sql),
        Plan::CreateSource(plan) => {
            let tables: String = plan.tables.iter().map(render_table).collect();
            format!("{}\n{:?}\n{tables}", plan.create_sql, plan.connection)
        }
        other => format!("{other:?}\n"),
    }
}

fn render_table(plan: &CreateTablePlan) -> String {
    let mut text = format!("{}\ncolumns: {}\n", plan.create_sql, columns(&plan.desc));
    for (name, default) in plan.desc.names.iter().zip(&plan.defaults) {
        default.iter().for_each(|default| text.push_str(&format!("default of {name}: {default}\n")));
    }
    plan.source.iter().for_each(|source| text.push_str(&format!("from {} {}\n", source.source, source.reference)));
    text
}

fn render_write(write: &ReadThenWritePlan) -> String {
    let returning = render_returning(write.returning.as_ref());
    format!("{:?} {}{returning}\n{}", write.kind, write.table, write.relation.pretty())
}

fn render_returning(returning: Option<&ReturningPlan>) -> String {
    returning.map_or(String::new(), |returning| format!(" returning {}", columns(&returning.desc)))
}

fn render_when(when: &When) -> String {
    if *when == When::Immediately { String::new() } else { format!(" {when:?}") }
}

fn render_select(select: &SelectPlan) -> String {
    let SelectPlan { relation, finishing, desc, when } = select;
    let Finishing { order_by, limit, offset, project } = finishing;
    let mut text = format!("{}\ncolumns: {}\n", render_when(when), columns(desc));
    if !order_by.is_empty() || limit.is_some() || *offset > 0 {
        writeln!(text, "order {order_by:?} limit {limit:?} offset {offset}").expect("a string takes all");
    }
    if !project.iter().copied().eq(0..relation.arity()) {
        writeln!(text, "project {project:?}").expect("a string takes all");
    }
    text + &relation.pretty()
}

fn render_subscribe(subscribe: &SubscribePlan) -> String {
    let SubscribePlan { relation, desc: _, with_snapshot, progress, when, up_to } = subscribe;
    format!(
        "Subscribe snapshot={with_snapshot} progress={progress}{} up_to={up_to:?}\ncolumns: {}\n{}",
        render_when(when),
        columns(&subscribe.output_desc()),
        relation.pretty(),
    )
}
