//! Overload resolution: which of several signatures a call means, after PostgreSQL's rules for functions and operators.

use expr::func::{ArgType, FuncDef};
use repr::{RangeType, ScalarType};

use super::types::{self, Category, category, implicitly_castable, is_preferred, same_base};

/// What resolution must know of a function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signature<'a> {
    pub(crate) args: &'a [ArgType],
    pub(crate) variadic: Option<ArgType>,
}

impl<'a> Signature<'a> {
    pub(crate) fn of(func: &'a FuncDef) -> Signature<'a> {
        Signature { args: func.args, variadic: func.variadic }
    }

    fn arg(&self, index: usize) -> Option<ArgType> {
        self.args.get(index).copied().or(self.variadic)
    }

    fn takes(&self, count: usize) -> bool {
        count == self.args.len() || (self.variadic.is_some() && count > self.args.len())
    }
}

/// The outcome of resolution.
#[derive(Debug, PartialEq)]
pub(crate) enum Resolution {
    /// The chosen signature and the types its arguments are to be cast to.
    One(usize, Vec<ScalarType>),
    None,
    /// Several would do and none is better.
    Ambiguous,
}

/// Chooses among `signatures` for arguments of the types `args`; None is a literal or parameter of unknown type.
pub(crate) fn resolve(signatures: &[Signature<'_>], args: &[Option<ScalarType>]) -> Resolution {
    let right_count: Vec<usize> = (0..signatures.len()).filter(|index| signatures[*index].takes(args.len())).collect();
    if let Some(one) = exact(signatures, &right_count, args) {
        return one;
    }
    let mut candidates: Vec<(usize, Vec<ScalarType>)> = right_count
        .into_iter()
        .filter_map(|index| Some((index, bind(&signatures[index], args)?)))
        .filter(|(_, types)| castable(types, args))
        .collect();
    narrow(&mut candidates, |(_, types)| count_exact(types, args));
    narrow(&mut candidates, |(_, types)| {
        count_exact(types, args)
            + types.iter().zip(args).filter(|(typ, arg)| arg.as_ref().is_some_and(|arg| prefers(arg, typ))).count()
    });
    if candidates.len() > 1 && !by_category(signatures, &mut candidates, args) {
        return Resolution::Ambiguous;
    }
    if candidates.len() > 1 {
        by_known_type(&mut candidates, args);
    }
    match candidates.len() {
        0 => Resolution::None,
        1 => candidates.pop().map_or(Resolution::None, |(index, types)| Resolution::One(index, types)),
        _ => Resolution::Ambiguous,
    }
}

/// A signature whose types are exactly the arguments'; of two arguments, one unknown is taken for the other's type.
fn exact(signatures: &[Signature<'_>], candidates: &[usize], args: &[Option<ScalarType>]) -> Option<Resolution> {
    let assumed: Vec<Option<ScalarType>> = match args {
        [Some(known), None] | [None, Some(known)] => vec![Some(known.clone()), Some(known.clone())],
        other => other.to_vec(),
    };
    if assumed.iter().any(Option::is_none) {
        return None;
    }
    candidates.iter().find_map(|index| {
        let signature = &signatures[*index];
        let concrete = (0..args.len()).all(|arg| signature.arg(arg).and_then(ArgType::concrete).is_some());
        let types = bind(signature, &assumed)?;
        (concrete && count_exact(&types, &assumed) == args.len()).then_some(Resolution::One(*index, types))
    })
}

fn count_exact(types: &[ScalarType], args: &[Option<ScalarType>]) -> usize {
    types.iter().zip(args).filter(|(typ, arg)| arg.as_ref().is_some_and(|arg| same_base(arg, typ))).count()
}

fn prefers(arg: &ScalarType, typ: &ScalarType) -> bool {
    !same_base(arg, typ) && category(arg) == category(typ) && is_preferred(typ)
}

/// Keeps the candidates of the greatest score.
fn narrow<T>(candidates: &mut Vec<T>, score: impl Fn(&T) -> usize) {
    let best = candidates.iter().map(&score).max().unwrap_or(0);
    candidates.retain(|candidate| score(candidate) == best);
}

fn castable(types: &[ScalarType], args: &[Option<ScalarType>]) -> bool {
    types.iter().zip(args).all(|(typ, arg)| arg.as_ref().is_none_or(|arg| implicitly_castable(arg, typ)))
}

/// Decides by the categories that the candidates accept where the argument is unknown; string wins. False: undecidable.
///
/// A polymorphic argument accepts no category of its own (None), so that `'a' || 'b'` is the concatenation of texts.
fn by_category(
    signatures: &[Signature<'_>],
    candidates: &mut Vec<(usize, Vec<ScalarType>)>,
    args: &[Option<ScalarType>],
) -> bool {
    for (index, arg) in args.iter().enumerate() {
        if arg.is_some() {
            continue;
        }
        let accepted = |(signature, types): &(usize, Vec<ScalarType>)| {
            let concrete = signatures[*signature].arg(index).and_then(ArgType::concrete);
            concrete.map(|_| category(&types[index]))
        };
        let categories: Vec<Option<Category>> = candidates.iter().map(accepted).collect();
        let chosen = if categories.contains(&Some(Category::String)) {
            Some(Category::String)
        } else if categories.iter().all(|category| *category == categories[0]) {
            categories[0]
        } else {
            return false;
        };
        candidates.retain(|candidate| accepted(candidate) == chosen);
        if candidates.iter().any(|(_, types)| is_preferred(&types[index])) {
            candidates.retain(|(_, types)| is_preferred(&types[index]));
        }
    }
    true
}

/// If all known arguments are of one type, assumes the unknown ones are too.
fn by_known_type(candidates: &mut Vec<(usize, Vec<ScalarType>)>, args: &[Option<ScalarType>]) {
    let mut known = args.iter().flatten();
    let Some(first) = known.next() else { return };
    if !known.all(|typ| same_base(typ, first)) || args.iter().all(Option::is_some) {
        return;
    }
    let assumed: Vec<Option<ScalarType>> = args.iter().map(|_| Some(first.clone())).collect();
    let fits: Vec<bool> = candidates.iter().map(|(_, types)| castable(types, &assumed)).collect();
    if fits.iter().filter(|fits| **fits).count() == 1 {
        let mut fits = fits.into_iter();
        candidates.retain(|_| fits.next().unwrap_or(false));
    }
}

/// The concrete types of a signature's arguments in a call; None if polymorphic arguments do not agree.
fn bind(signature: &Signature<'_>, args: &[Option<ScalarType>]) -> Option<Vec<ScalarType>> {
    let declared: Vec<ArgType> = (0..args.len()).map(|index| signature.arg(index)).collect::<Option<_>>()?;
    let element = element_type(&declared, args)?;
    let element = || element.clone().unwrap_or(ScalarType::Text);
    let compatible = common_compatible(&declared, args)?;
    declared
        .iter()
        .zip(args)
        .map(|(declared, arg)| {
            Some(match declared {
                ArgType::Any => arg.clone().unwrap_or(ScalarType::Text),
                ArgType::AnyElement => element(),
                ArgType::AnyArray => ScalarType::Array(Box::new(element())),
                ArgType::AnyList => ScalarType::List(Box::new(element())),
                ArgType::AnyMap => match arg {
                    Some(map @ ScalarType::Map(_)) => map.clone(),
                    _ => return None,
                },
                ArgType::AnyRange => match arg {
                    Some(range @ ScalarType::Range(_)) => range.clone(),
                    Some(_) => return None,
                    None => ScalarType::Range(RangeType::of_element(&element())?),
                },
                ArgType::AnyEnum => match element() {
                    of @ ScalarType::Enum(_) => of,
                    _ => return None,
                },
                ArgType::AnyCompatible => compatible.clone(),
                ArgType::Record => match arg {
                    Some(record @ ScalarType::Record(_)) => record.clone(),
                    _ => return None,
                },
                concrete => concrete.concrete()?,
            })
        })
        .collect()
}

/// What AnyElement, AnyArray and AnyList stand for in this call; None if the arguments contradict each other.
#[allow(clippy::option_option)]
fn element_type(declared: &[ArgType], args: &[Option<ScalarType>]) -> Option<Option<ScalarType>> {
    // A range says of what it is.
    let range = declared.iter().zip(args).find_map(|(declared, arg)| match (declared, arg) {
        (ArgType::AnyRange, Some(ScalarType::Range(range))) => Some(*range),
        _ => None,
    });
    let mut element: Option<ScalarType> = None;
    for (declared, arg) in declared.iter().zip(args) {
        let Some(arg) = arg else { continue };
        let found = match (declared, arg) {
            (ArgType::AnyElement, typ) if range.is_some_and(|range| same_base(typ, &range.element())) => continue,
            (ArgType::AnyElement, _) if range.is_some() => return None,
            (ArgType::AnyElement, typ) | (ArgType::AnyEnum, typ @ ScalarType::Enum(_)) => typ.clone(),
            (ArgType::AnyArray, ScalarType::Array(inner)) | (ArgType::AnyList, ScalarType::List(inner)) => {
                (**inner).clone()
            }
            (ArgType::AnyRange, ScalarType::Range(found)) if range == Some(*found) => found.element(),
            (ArgType::AnyArray | ArgType::AnyList | ArgType::AnyRange | ArgType::AnyEnum, _) => return None,
            _ => continue,
        };
        element = Some(match element {
            None => found,
            Some(known) if known == found => known,
            // Different modifiers, or numbers of different widths: the common type, as for UNION.
            Some(known) => types::common(&[&known, &found])?,
        });
    }
    Some(element)
}

fn common_compatible(declared: &[ArgType], args: &[Option<ScalarType>]) -> Option<ScalarType> {
    let known: Vec<&ScalarType> = declared
        .iter()
        .zip(args)
        .filter(|(declared, _)| **declared == ArgType::AnyCompatible)
        .filter_map(|(_, arg)| arg.as_ref())
        .collect();
    types::common(&known)
}

/// The type a call returns: declared, or that of the arguments it is declared by.
pub(crate) fn return_type(func: &FuncDef, types: &[ScalarType]) -> ScalarType {
    let arg_of = |wanted: &[ArgType]| {
        let signature = Signature::of(func);
        (0..types.len()).find_map(|index| {
            let declared = signature.arg(index)?;
            wanted.contains(&declared).then(|| (declared, types[index].clone()))
        })
    };
    const CONTAINERS: [ArgType; 6] = [
        ArgType::AnyElement,
        ArgType::AnyEnum,
        ArgType::AnyArray,
        ArgType::AnyList,
        ArgType::AnyMap,
        ArgType::AnyRange,
    ];
    let element = || match arg_of(&CONTAINERS) {
        Some((ArgType::AnyRange, ScalarType::Range(range))) => range.element(),
        Some((ArgType::AnyArray, ScalarType::Array(inner)))
        | Some((ArgType::AnyList, ScalarType::List(inner)))
        | Some((ArgType::AnyMap, ScalarType::Map(inner))) => *inner,
        Some((_, typ)) => typ,
        None => ScalarType::Text,
    };
    match func.returns {
        ArgType::AnyElement | ArgType::AnyEnum => element(),
        ArgType::AnyArray => ScalarType::Array(Box::new(element())),
        ArgType::AnyList => ScalarType::List(Box::new(element())),
        ArgType::AnyMap => ScalarType::Map(Box::new(element())),
        ArgType::AnyRange => arg_of(&[ArgType::AnyRange]).map_or(ScalarType::Text, |(_, typ)| typ),
        ArgType::AnyCompatible => arg_of(&[ArgType::AnyCompatible]).map_or(ScalarType::Text, |(_, typ)| typ),
        ArgType::Any => types.first().cloned().unwrap_or(ScalarType::Text),
        ArgType::Record => arg_of(&[ArgType::Record]).map_or(ScalarType::Record(Vec::new()), |(_, typ)| typ),
        concrete => concrete.concrete().unwrap_or(ScalarType::Text),
    }
}
