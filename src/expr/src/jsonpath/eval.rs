//! Path over a value.

use std::cmp::Ordering;

use repr::Arena;
use repr::jsonb::{Json, JsonbBuilder, JsonbError, JsonbKind, JsonbRef};
use repr::numeric::Numeric;

use super::{Comparison, Method, Node, Operator, Path, Predicate, Step};
use crate::error::EvalError;
use crate::func::jsonb_error;

/// Why a walk ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error that a predicate turns into unknown, and a silent call into nothing.
    Data(EvalError),
    /// An error of the call itself.
    Call(EvalError),
    /// Nothing more is wanted.
    Enough,
}

impl From<JsonbError> for Failure {
    fn from(error: JsonbError) -> Failure {
        Failure::Data(jsonb_error(error))
    }
}

type Outcome<T = ()> = Result<T, Failure>;

/// Takes the items a path leads to, one by one.
type Sink<'s, 'a> = &'s mut dyn FnMut(JsonbRef<'a>) -> Outcome;

/// All items `path` leads to from `value`.
pub(crate) fn query<'a>(
    path: &Path,
    value: JsonbRef<'a>,
    variables: JsonbRef<'a>,
    arena: &'a Arena,
) -> Outcome<Vec<JsonbRef<'a>>> {
    let mut found = Vec::new();
    visit(path, value, variables, arena, &mut |item| {
        found.push(item);
        Ok(())
    })?;
    Ok(found)
}

/// Hands each item `path` leads to from `value` to `sink`. In strict mode all are found before the first is handed over.
pub(crate) fn visit<'a>(
    path: &Path,
    value: JsonbRef<'a>,
    variables: JsonbRef<'a>,
    arena: &'a Arena,
    sink: Sink<'_, 'a>,
) -> Outcome {
    if variables.kind() != JsonbKind::Object {
        return Err(Failure::Call(
            EvalError::new("22023", "\"vars\" argument is not an object")
                .with_detail("Jsonpath parameters should be encoded as key-value pairs of \"vars\" object."),
        ));
    }
    let walk = Walk { lax: path.lax, root: value, variables, arena };
    let place = Place { current: value, last: None, forgiving: path.lax };
    if path.lax {
        return walk.node(&path.root, place, sink);
    }
    walk.collect(&path.root, place, false)?.into_iter().try_for_each(sink)
}

/// What all of a call shares.
struct Walk<'a> {
    lax: bool,
    root: JsonbRef<'a>,
    variables: JsonbRef<'a>,
    arena: &'a Arena,
}

/// What depends on where in the path one is.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// What `@` means.
    current: JsonbRef<'a>,
    /// What `last` means.
    last: Option<i64>,
    /// True if what is missing is no error.
    forgiving: bool,
}

fn fail<T>(code: &str, message: impl Into<String>) -> Outcome<T> {
    Err(Failure::Data(EvalError::new(code, message)))
}

impl<'a> Walk<'a> {
    fn made(&self, fill: impl FnOnce(&mut JsonbBuilder) -> Result<(), JsonbError>) -> Outcome<JsonbRef<'a>> {
        let mut builder = JsonbBuilder::new();
        fill(&mut builder)?;
        Ok(builder.finish_in(self.arena))
    }

    fn number(&self, number: &Numeric) -> Outcome<JsonbRef<'a>> {
        self.made(|builder| builder.number(number))
    }

    /// The items of a node; in lax mode, if `unwrap`, with the elements of arrays in their place.
    fn collect(&self, node: &Node, place: Place<'a>, unwrap: bool) -> Outcome<Vec<JsonbRef<'a>>> {
        let mut items = Vec::new();
        self.node(node, place, &mut |item| {
            match item.decode() {
                Json::Array(array) if unwrap && self.lax => items.extend(array.iter()),
                _ => items.push(item),
            }
            Ok(())
        })?;
        Ok(items)
    }

    fn node(&self, node: &Node, place: Place<'a>, sink: Sink<'_, 'a>) -> Outcome {
        match node {
            Node::Root => sink(self.root),
            Node::Current => sink(place.current),
            Node::Last => sink(self.number(&Numeric::from_i64(place.last.unwrap_or(0)))?),
            Node::Variable(name) => match self.variables.get(name) {
                Some(value) => sink(value),
                None => {
                    let message = format!("could not find jsonpath variable \"{name}\"");
                    Err(Failure::Call(EvalError::new("42704", message)))
                }
            },
            Node::Null => sink(self.made(|builder| {
                builder.null();
                Ok(())
            })?),
            Node::Bool(value) => sink(self.truth(Some(*value))?),
            Node::Number(number) => sink(self.number(number)?),
            Node::String(text) => sink(self.made(|builder| builder.string(text))?),
            Node::Steps(start, steps) => {
                self.node(start, place, &mut |item| self.steps(steps, item, place, self.lax, sink))
            }
            Node::Arithmetic(operator, left, right) => {
                let left = self.operand(*operator, left, place, "left")?;
                let right = self.operand(*operator, right, place, "right")?;
                let result = match operator {
                    Operator::Add => left.add(&right),
                    Operator::Subtract => left.sub(&right),
                    Operator::Multiply => left.mul(&right),
                    Operator::Divide => left.div(&right),
                    Operator::Remainder => left.rem(&right),
                };
                let result = result.map_err(|error| Failure::Data(crate::func::numeric_error(error)))?;
                sink(self.number(&result)?)
            }
            Node::Signed(negative, inner) => {
                for item in self.collect(inner, place, true)? {
                    let Json::Number(number) = item.decode() else {
                        let sign = if *negative { "-" } else { "+" };
                        let message = format!("operand of unary jsonpath operator {sign} is not a numeric value");
                        return fail("2203B", message);
                    };
                    let number = number.decode();
                    sink(self.number(&if *negative { number.neg() } else { number })?)?;
                }
                Ok(())
            }
            Node::Predicate(predicate) => sink(self.truth(self.predicate(predicate, place)?)?),
        }
    }

    /// True, false, or null for unknown.
    fn truth(&self, value: Option<bool>) -> Outcome<JsonbRef<'a>> {
        self.made(|builder| {
            match value {
                Some(value) => builder.bool(value),
                None => builder.null(),
            }
            Ok(())
        })
    }

    /// The one number of an operand.
    fn operand(&self, operator: Operator, node: &Node, place: Place<'a>, side: &str) -> Outcome<Numeric> {
        if let [one] = self.collect(node, place, true)?.as_slice()
            && let Json::Number(number) = one.decode()
        {
            return Ok(number.decode());
        }
        let symbol = operator.symbol();
        fail("22038", format!("{side} operand of jsonpath operator {symbol} is not a single numeric value"))
    }

    /// Goes on from `item`; an array is taken apart, if `unwrap`, where a step wants something else.
    fn steps(&self, steps: &[Step], item: JsonbRef<'a>, place: Place<'a>, unwrap: bool, sink: Sink<'_, 'a>) -> Outcome {
        let Some((step, rest)) = steps.split_first() else { return sink(item) };
        let next = &mut |item| self.steps(rest, item, place, self.lax, sink);
        let takes_array = match step {
            Step::AnyElement | Step::Elements(_) | Step::Descend(..) => true,
            Step::Method(method) => matches!(method, Method::Type | Method::Size),
            _ => false,
        };
        if let (Json::Array(array), true, false) = (item.decode(), unwrap, takes_array) {
            return array.iter().try_for_each(|element| self.steps(steps, element, place, false, sink));
        }
        match step {
            Step::Member(key) => match item.decode() {
                Json::Object(object) => match object.get(key) {
                    Some(value) => next(value),
                    None if place.forgiving => Ok(()),
                    None => fail("2203A", format!("JSON object does not contain key \"{key}\"")),
                },
                _ if place.forgiving => Ok(()),
                _ => fail("2203A", "jsonpath member accessor can only be applied to an object"),
            },
            Step::AnyMember => match item.decode() {
                Json::Object(object) => object.iter().try_for_each(|(_, value)| next(value)),
                _ if place.forgiving => Ok(()),
                _ => fail("2203C", "jsonpath wildcard member accessor can only be applied to an object"),
            },
            Step::AnyElement => match item.decode() {
                Json::Array(array) => array.iter().try_for_each(next),
                _ if self.lax => next(item),
                _ if place.forgiving => Ok(()),
                _ => fail("22039", "jsonpath wildcard array accessor can only be applied to an array"),
            },
            Step::Elements(subscripts) => self.elements(subscripts, item, place, next),
            Step::Descend(first, last) => {
                let place = Place { forgiving: true, ..place };
                let mut next = |item| self.steps(rest, item, place, self.lax, sink);
                if *first == Some(0) {
                    next(item)?;
                }
                self.descend(item, 1, (*first, *last), &mut next)
            }
            Step::Filter(predicate) => match self.predicate(predicate, Place { current: item, ..place })? {
                Some(true) => next(item),
                _ => Ok(()),
            },
            Step::Method(method) => self.method(*method, item, place, next),
        }
    }

    /// Everything inside of `item` between two levels.
    fn descend(
        &self,
        item: JsonbRef<'a>,
        level: u32,
        (first, last): (Option<u32>, Option<u32>),
        sink: Sink<'_, 'a>,
    ) -> Outcome {
        let inside: Vec<JsonbRef<'a>> = match item.decode() {
            Json::Array(array) => array.iter().collect(),
            Json::Object(object) => object.iter().map(|(_, value)| value).collect(),
            _ => return Ok(()),
        };
        for value in inside {
            let is_leaf = !matches!(value.kind(), JsonbKind::Array | JsonbKind::Object);
            let wanted = match first {
                Some(first) => level >= first,
                None => is_leaf && last.is_none(),
            };
            if wanted {
                sink(value)?;
            }
            if last.is_none_or(|last| level < last) {
                self.descend(value, level + 1, (first, last), sink)?;
            }
        }
        Ok(())
    }

    fn elements(
        &self,
        subscripts: &[(Node, Option<Node>)],
        item: JsonbRef<'a>,
        place: Place<'a>,
        sink: Sink<'_, 'a>,
    ) -> Outcome {
        let elements: Vec<JsonbRef<'a>> = match item.decode() {
            Json::Array(array) => array.iter().collect(),
            _ if self.lax => vec![item],
            _ if place.forgiving => return Ok(()),
            _ => return fail("22039", "jsonpath array accessor can only be applied to an array"),
        };
        let size = elements.len() as i64;
        let inner = Place { last: Some(size - 1), ..place };
        for (from, to) in subscripts {
            let from = self.subscript(from, inner)?;
            let to = to.as_ref().map_or(Ok(from), |to| self.subscript(to, inner))?;
            if !place.forgiving && (from < 0 || from > to || to >= size) {
                return fail("22033", "jsonpath array subscript is out of bounds");
            }
            for index in from.max(0)..=to.min(size - 1) {
                sink(elements[usize::try_from(index).expect("within the array")])?;
            }
        }
        Ok(())
    }

    fn subscript(&self, node: &Node, place: Place<'a>) -> Outcome<i64> {
        let items = self.collect(node, place, false)?;
        let number = match items.as_slice() {
            [one] => match one.decode() {
                Json::Number(number) => number.decode(),
                _ => return fail("22033", "jsonpath array subscript is not a single numeric value"),
            },
            _ => return fail("22033", "jsonpath array subscript is not a single numeric value"),
        };
        let whole = number.trunc(0).to_i128().and_then(|index| i32::try_from(index).ok());
        match whole {
            Some(index) => Ok(index.into()),
            None => fail("22033", "jsonpath array subscript is out of integer range"),
        }
    }

    fn method(&self, method: Method, item: JsonbRef<'a>, place: Place<'a>, sink: Sink<'_, 'a>) -> Outcome {
        let name = method.name();
        let misapplied = |code: &str, what: &str| {
            fail(code, format!("jsonpath item method .{name}() can only be applied to {what}"))
        };
        match (method, item.decode()) {
            (Method::Type, _) => sink(self.made(|builder| builder.string(item.kind().name()))?),
            (Method::Size, Json::Array(array)) => sink(self.number(&Numeric::from_i64(array.len() as i64))?),
            (Method::Size, _) if self.lax => sink(self.number(&Numeric::from_i64(1))?),
            (Method::Size, _) if place.forgiving => Ok(()),
            (Method::Size, _) => misapplied("22039", "an array"),
            (Method::Double, Json::String(text)) => match text.trim().parse::<f64>() {
                Ok(value) if value.is_finite() => {
                    let number = Numeric::from_f64(value).map_err(JsonbError::from)?;
                    sink(self.number(&number)?)
                }
                _ => fail(
                    "22036",
                    format!(
                        "string argument of jsonpath item method .{name}() is not a valid representation of a double precision number"
                    ),
                ),
            },
            (Method::Double, Json::Number(number)) => {
                let number = Numeric::from_f64(number.decode().to_f64()).map_err(JsonbError::from)?;
                sink(self.number(&number)?)
            }
            (Method::Double, _) => misapplied("22036", "a string or numeric value"),
            (Method::Ceiling | Method::Floor | Method::Abs, Json::Number(number)) => {
                let number = number.decode();
                let result = match method {
                    Method::Ceiling => number.ceil(),
                    Method::Floor => number.floor(),
                    _ => Ok(number.abs()),
                };
                sink(self.number(&result.map_err(JsonbError::from)?)?)
            }
            (Method::Ceiling | Method::Floor | Method::Abs, _) => misapplied("22036", "a numeric value"),
            (Method::KeyValue, Json::Object(object)) => object.iter().try_for_each(|(key, value)| {
                sink(self.made(|builder| {
                    builder.begin_object()?;
                    builder.key("id")?;
                    builder.int(0);
                    builder.key("key")?;
                    builder.string(key)?;
                    builder.key("value")?;
                    builder.push(value)?;
                    builder.end_object();
                    Ok(())
                })?)
            }),
            (Method::KeyValue, _) => misapplied("2203C", "an object"),
        }
    }

    /// True, false or unknown.
    fn predicate(&self, predicate: &Predicate, place: Place<'a>) -> Outcome<Option<bool>> {
        Ok(match predicate {
            Predicate::And(left, right) => match self.predicate(left, place)? {
                Some(false) => Some(false),
                left => match (left, self.predicate(right, place)?) {
                    (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                },
            },
            Predicate::Or(left, right) => match self.predicate(left, place)? {
                Some(true) => Some(true),
                left => match (left, self.predicate(right, place)?) {
                    (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                },
            },
            Predicate::Not(inner) => self.predicate(inner, place)?.map(|value| !value),
            Predicate::IsUnknown(inner) => Some(self.predicate(inner, place)?.is_none()),
            Predicate::Exists(node) => self.exists(node, place)?,
            Predicate::Compare(comparison, left, right) => {
                self.pairs(left, Some(right), place, &|left, right| compare(*comparison, left, right))?
            }
            Predicate::StartsWith(left, right) => {
                self.pairs(left, Some(right), place, &|left, right| match (left.decode(), right.decode()) {
                    (Json::String(text), Json::String(start)) => Some(text.starts_with(start)),
                    _ => None,
                })?
            }
            Predicate::LikeRegex(node, pattern, flags) => {
                let regex = crate::func::compile_regexp(pattern, flags).map_err(Failure::Call)?;
                self.pairs(node, None, place, &|item, _| match item.decode() {
                    Json::String(text) => Some(regex.is_match(text)),
                    _ => None,
                })?
            }
        })
    }

    fn exists(&self, node: &Node, place: Place<'a>) -> Outcome<Option<bool>> {
        if self.lax {
            let mut found = false;
            let walked = self.node(node, place, &mut |_| {
                found = true;
                Err(Failure::Enough)
            });
            return match walked {
                Ok(()) | Err(Failure::Enough) => Ok(Some(found)),
                Err(Failure::Data(_)) => Ok(None),
                Err(failure) => Err(failure),
            };
        }
        Ok(forgiven(self.collect(node, place, false))?.map(|items| !items.is_empty()))
    }

    /// True if `test` holds for any pair; unknown if it is for one, or if an operand fails. In lax mode the first that
    /// holds decides, in strict mode the first that is unknown.
    fn pairs(
        &self,
        left: &Node,
        right: Option<&Node>,
        place: Place<'a>,
        test: &dyn Fn(JsonbRef<'a>, JsonbRef<'a>) -> Option<bool>,
    ) -> Outcome<Option<bool>> {
        let Some(lefts) = forgiven(self.collect(left, place, true))? else { return Ok(None) };
        let rights = match right {
            Some(right) => forgiven(self.collect(right, place, true))?,
            // A test of one operand is made once for each.
            None => Some(vec![self.root]),
        };
        let Some(rights) = rights else { return Ok(None) };
        let (mut found, mut unknown) = (false, false);
        for left in &lefts {
            for right in &rights {
                match test(*left, *right) {
                    Some(true) if self.lax => return Ok(Some(true)),
                    Some(true) => found = true,
                    Some(false) => {}
                    None if !self.lax => return Ok(None),
                    None => unknown = true,
                }
            }
        }
        Ok(match (found, unknown) {
            (true, _) => Some(true),
            (false, true) => None,
            (false, false) => Some(false),
        })
    }
}

/// An error of the data as nothing.
fn forgiven<T>(outcome: Outcome<T>) -> Outcome<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(Failure::Data(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn compare(comparison: Comparison, left: JsonbRef<'_>, right: JsonbRef<'_>) -> Option<bool> {
    let order = match (left.decode(), right.decode()) {
        (Json::Null, Json::Null) => Ordering::Equal,
        // Null is different from everything, and neither less nor greater.
        (Json::Null, _) | (_, Json::Null) => return Some(comparison == Comparison::NotEqual),
        (Json::Bool(left), Json::Bool(right)) => left.cmp(&right),
        (Json::Number(left), Json::Number(right)) => left.cmp(&right),
        (Json::String(left), Json::String(right)) => left.cmp(right),
        _ => return None,
    };
    Some(match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    })
}
