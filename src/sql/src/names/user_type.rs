//! Types that users made: found by name, and named in full where a definition keeps its text.

use std::collections::BTreeSet;

use repr::{CollectionId, ScalarType};
use sqlparser::ast::{ArrayElemTypeDef, DataType, ObjectName};

use super::types::{COMPOSITE_TYPE, Spelled, spelled};
use super::{fold, parts, resolve_or_none};
use crate::catalog_view::{CatalogView, FullName, Item, ItemDefinition};
use crate::error::Error;
use crate::plan::PlanContext;

/// Where names of types are looked up.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    pub context: &'a PlanContext,
    pub catalog: &'a dyn CatalogView,
}

impl Names<'_> {
    /// The type that a user made under this name.
    pub(super) fn user_type(self, name: &ObjectName) -> Option<ScalarType> {
        match &self.item(name)?.definition {
            ItemDefinition::Type { typ } => Some(typ.clone()),
            _ => None,
        }
    }

    fn item(self, name: &ObjectName) -> Option<std::sync::Arc<Item>> {
        resolve_or_none(self.context, self.catalog, name).ok().flatten()
    }

    /// The names of users' types that need no schema, for near misses.
    pub(super) fn user_type_names(self) -> Vec<String> {
        let visible = super::visible_items(self.context, self.catalog);
        let types = visible.iter().filter(|item| matches!(item.definition, ItemDefinition::Type { .. }));
        types.map(|item| item.name.item.clone()).collect()
    }

    /// Gives the users' types in `data_type` their full names, and adds them to `used`.
    pub(crate) fn qualify_type(self, data_type: &mut DataType, used: &mut BTreeSet<CollectionId>) -> Result<(), Error> {
        rename_types(data_type, &mut |name| {
            let item = self.item(name).filter(|item| matches!(item.definition, ItemDefinition::Type { .. }))?;
            used.insert(item.id);
            Some(item.name.clone())
        })
    }
}

/// Gives the types in `data_type` that are no plain ones of the system the names that `full` has for them.
///
/// Errors: 0A000 for a name in quotes inside a list or map.
pub(crate) fn rename_types(
    data_type: &mut DataType,
    full: &mut dyn FnMut(&ObjectName) -> Option<FullName>,
) -> Result<(), Error> {
    match data_type {
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::Qualified(element, _)) => {
            rename_types(element, full)
        }
        DataType::Custom(name, modifiers) => {
            if let ([text], true) = (&mut modifiers[..], is_composite(name)) {
                *text = format!("\"{}\"", rename_in_composite(text.trim_matches('"'), full)?);
                return Ok(());
            }
            if super::is_type_name(&last(name)) && name.0.len() == 1 {
                return Ok(());
            }
            if let Some(new) = full(name) {
                *name = crate::statement::full_name(&new);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// As [`rename_types`], of a list or a map, which the parser passes on as text.
fn rename_in_composite(text: &str, full: &mut dyn FnMut(&ObjectName) -> Option<FullName>) -> Result<String, Error> {
    Ok(match spelled(text) {
        Spelled::List(element) => format!("{} list", rename_in_composite(element, full)?),
        Spelled::Array(element) => format!("{}[]", rename_in_composite(element, full)?),
        Spelled::Map { key, value } => format!("map[{key}=>{}]", rename_in_composite(value, full)?),
        Spelled::Plain(text) => {
            let mut data_type = crate::parse::data_type(text)?;
            let before = data_type.clone();
            rename_types(&mut data_type, full)?;
            if data_type == before {
                return Ok(text.to_owned());
            }
            let DataType::Custom(name, _) = &data_type else { return Ok(data_type.to_string()) };
            let plain: Vec<String> = parts(name)?.into_iter().map(|ident| super::quoted(&fold(ident))).collect();
            if plain.iter().any(|part| part.starts_with('"')) {
                return Err(Error::unsupported(format!("a list or map of {name}, whose name needs quotes")));
            }
            plain.join(".")
        }
    })
}

fn last(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default()
}

fn is_composite(name: &ObjectName) -> bool {
    name.0.len() == 1 && last(name) == COMPOSITE_TYPE
}
