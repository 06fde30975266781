//! The SQL/JSON path language: `$.store.book[*] ? (@.price < 10).title`.
//!
//! In lax mode, the default, arrays are taken apart where an element is wanted and what is missing is left out; in strict
//! mode both are errors. A predicate in which something fails is neither true nor false.

mod eval;
mod parse;

pub(crate) use self::eval::{Failure, query, visit};
pub(crate) use self::parse::parse;

use repr::numeric::Numeric;

/// A parsed path.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    lax: bool,
    root: Node,
}

/// A path, or a part of one.
#[derive(Clone, Debug)]
enum Node {
    /// `$`
    Root,
    /// `@`
    Current,
    /// `last`
    Last,
    Variable(String),
    Null,
    Bool(bool),
    Number(Numeric),
    String(String),
    /// Where to start and the way from there.
    Steps(Box<Node>, Vec<Step>),
    Arithmetic(Operator, Box<Node>, Box<Node>),
    /// True if negative.
    Signed(bool, Box<Node>),
    Predicate(Box<Predicate>),
}

#[derive(Clone, Debug)]
enum Step {
    Member(String),
    AnyMember,
    AnyElement,
    /// Subscripts, each with its upper end where it is a range.
    Elements(Vec<(Node, Option<Node>)>),
    /// `**`, with the levels it goes down; none is the last.
    Descend(Option<u32>, Option<u32>),
    Filter(Predicate),
    Method(Method),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Type,
    Size,
    Double,
    Ceiling,
    Floor,
    Abs,
    KeyValue,
}

const METHODS: [(&str, Method); 7] = [
    ("type", Method::Type),
    ("size", Method::Size),
    ("double", Method::Double),
    ("ceiling", Method::Ceiling),
    ("floor", Method::Floor),
    ("abs", Method::Abs),
    ("keyvalue", Method::KeyValue),
];

impl Method {
    fn name(self) -> &'static str {
        METHODS.iter().find(|(_, method)| *method == self).map_or("", |(name, _)| name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    fn symbol(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Remainder => "%",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug)]
enum Predicate {
    And(Box<Predicate>, Box<Predicate>),
    Or(Box<Predicate>, Box<Predicate>),
    Not(Box<Predicate>),
    IsUnknown(Box<Predicate>),
    Exists(Node),
    Compare(Comparison, Node, Node),
    StartsWith(Node, Node),
    /// The pattern with the flags our regular expressions know.
    LikeRegex(Node, String, String),
}
