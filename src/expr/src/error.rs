//! Errors of evaluation: values like any other, that flow in the error stream and can be retracted.

use serde::{Deserialize, Serialize};

/// An error that a row's evaluation gave.
///
/// `code` is the SQLSTATE and `message` PostgreSQL's text where it has one. Equal errors must be equal values, so that an
/// error can be retracted: nothing that varies between runs belongs in the message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct EvalError {
    pub code: [u8; 5],
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl EvalError {
    /// Makes an error of a SQLSTATE. Panics if `code` is not five bytes.
    pub fn new(code: &str, message: impl Into<String>) -> EvalError {
        let code = code.as_bytes().try_into().expect("a SQLSTATE has five characters");
        EvalError { code, message: message.into(), detail: None, hint: None }
    }

    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> EvalError {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> EvalError {
        self.hint = Some(hint.into());
        self
    }

    /// The SQLSTATE.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code).unwrap_or("XX000")
    }

    pub fn division_by_zero() -> EvalError {
        EvalError::new("22012", "division by zero")
    }

    pub fn out_of_range(type_name: &str) -> EvalError {
        EvalError::new("22003", format!("{type_name} out of range"))
    }

    /// A multiset in which something occurs fewer than zero times: bad input from upstream, or a defect.
    pub fn negative_multiplicity(what: &str) -> EvalError {
        EvalError::new("XX001", format!("invalid negative or overflowed multiplicity in {what}"))
    }
}
