//! Why a text or binary value could not be read.

/// A value was refused. The message is PostgreSQL's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    pub kind: ParseErrorKind,
    /// Lower case, without a full stop.
    pub message: String,
    /// What more is known, as a sentence.
    pub detail: Option<String>,
}

/// The class of a refusal; each is one SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParseErrorKind {
    /// 22P02
    InvalidText,
    /// 22003
    NumberOutOfRange,
    /// 22007
    InvalidDatetime,
    /// 22008
    DatetimeOutOfRange,
    /// 22009
    InvalidTimeZoneDisplacement,
    /// 22015
    IntervalOutOfRange,
    /// 22021
    InvalidCharacter,
    /// 22P05
    UntranslatableCharacter,
    /// 22001
    TooLong,
    /// 22000
    DataException,
    /// 22023
    InvalidParameter,
    /// 2202E
    InvalidArrayBound,
    /// 22P03
    InvalidBinary,
    /// 42704
    UndefinedObject,
    /// 54000
    LimitExceeded,
}

impl ParseErrorKind {
    /// The five characters clients know the error by.
    pub fn sqlstate(self) -> &'static str {
        match self {
            ParseErrorKind::InvalidText => "22P02",
            ParseErrorKind::NumberOutOfRange => "22003",
            ParseErrorKind::InvalidDatetime => "22007",
            ParseErrorKind::DatetimeOutOfRange => "22008",
            ParseErrorKind::InvalidTimeZoneDisplacement => "22009",
            ParseErrorKind::IntervalOutOfRange => "22015",
            ParseErrorKind::InvalidCharacter => "22021",
            ParseErrorKind::UntranslatableCharacter => "22P05",
            ParseErrorKind::TooLong => "22001",
            ParseErrorKind::DataException => "22000",
            ParseErrorKind::InvalidParameter => "22023",
            ParseErrorKind::InvalidArrayBound => "2202E",
            ParseErrorKind::InvalidBinary => "22P03",
            ParseErrorKind::UndefinedObject => "42704",
            ParseErrorKind::LimitExceeded => "54000",
        }
    }
}

impl ParseError {
    pub(crate) fn new(kind: ParseErrorKind, message: impl Into<String>) -> ParseError {
        ParseError { kind, message: message.into(), detail: None }
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> ParseError {
        self.detail = Some(detail.into());
        self
    }

    pub(crate) fn syntax(type_name: &str, text: &str) -> ParseError {
        ParseError::new(ParseErrorKind::InvalidText, format!("invalid input syntax for type {type_name}: \"{text}\""))
    }

    pub(crate) fn out_of_range(type_name: &str, text: &str) -> ParseError {
        ParseError::new(
            ParseErrorKind::NumberOutOfRange,
            format!("value \"{text}\" is out of range for type {type_name}"),
        )
    }

    /// The five characters clients know the error by.
    pub fn sqlstate(&self) -> &'static str {
        self.kind.sqlstate()
    }
}
