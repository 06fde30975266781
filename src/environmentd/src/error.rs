//! What a client reads when something goes wrong.

use expr::EvalError;
use sql::error::{OF_SECRET, OF_SECRET_DETAIL};

/// An error or notice with everything the wire protocol carries of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub severity: Severity,
    /// SQLSTATE.
    pub code: Box<str>,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<Box<str>>,
    /// Characters from the start of the query string, from 1.
    pub position: Option<usize>,
    /// Where it happened, such as the line of a COPY.
    pub context: Option<Box<str>>,
    /// The plan rested on something that is there no more. Nothing was done; planned again, the statement may succeed.
    pub plan_is_stale: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    /// The connection ends after it.
    Fatal,
    Notice,
    Warning,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
            Severity::Notice => "NOTICE",
            Severity::Warning => "WARNING",
        }
    }
}

impl Error {
    pub fn new(code: &str, message: impl Into<String>) -> Error {
        Error {
            severity: Severity::Error,
            code: code.into(),
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            context: None,
            plan_is_stale: false,
        }
    }

    /// Of a plan that rested on something that is there no more.
    pub fn stale(code: &str, message: impl Into<String>) -> Error {
        Error { plan_is_stale: true, ..Error::new(code, message) }
    }

    pub fn fatal(code: &str, message: impl Into<String>) -> Error {
        Error { severity: Severity::Fatal, ..Error::new(code, message) }
    }

    pub fn notice(message: impl Into<String>) -> Error {
        Error { severity: Severity::Notice, ..Error::new("00000", message) }
    }

    pub fn warning(code: &str, message: impl Into<String>) -> Error {
        Error { severity: Severity::Warning, ..Error::new(code, message) }
    }

    pub fn unsupported(feature: impl std::fmt::Display) -> Error {
        Error::new("0A000", format!("{feature} is not supported"))
    }

    /// What may be told of an error that could quote the value of a secret.
    #[must_use]
    pub fn of_secret(self) -> Error {
        Error::new(&self.code, OF_SECRET).with_detail(OF_SECRET_DETAIL)
    }

    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Error {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Box<str>>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn with_context(mut self, context: impl Into<Box<str>>) -> Error {
        self.context = Some(context.into());
        self
    }

    pub fn is_fatal(&self) -> bool {
        self.severity == Severity::Fatal
    }
}

impl From<sql::Error> for Error {
    fn from(error: sql::Error) -> Error {
        let sql::Error { code, message, detail, hint, position } = error;
        Error { detail, hint: hint.map(Into::into), position, ..Error::new(code, message) }
    }
}

impl From<sql::plan::Notice> for Error {
    fn from(notice: sql::plan::Notice) -> Error {
        let sql::plan::Notice { code, message } = notice;
        Error { code: code.into(), ..Error::notice(message) }
    }
}

impl From<EvalError> for Error {
    fn from(error: EvalError) -> Error {
        let code = error.code().to_owned();
        Error { detail: error.detail, hint: error.hint.map(Into::into), ..Error::new(&code, error.message) }
    }
}

impl From<controller::ControllerError> for Error {
    fn from(error: controller::ControllerError) -> Error {
        use controller::ControllerError;
        match error {
            ControllerError::BelowSince { .. } => Error::new("40001", format!("{error}; try again")),
            ControllerError::UnknownCollection(_) | ControllerError::UnknownCluster(_) => {
                Error::stale("42704", format!("something the statement reads was dropped: {error}"))
            }
        }
    }
}

/// Does work that touches nothing but its result, such as planning. A defect in it concerns the statement alone: it ends that
/// with an error, neither the session nor the process.
pub(crate) fn contained<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let hint = "This is a defect of Freshet, and the server's log says where. Please report it with the statement.";
        Err(Error::new("XX000", "internal error while the statement was planned").with_hint(hint))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_contained_and_results_pass() {
        assert_eq!(contained(|| Ok(7)), Ok(7));
        let refused = contained::<()>(|| Err(Error::new("42601", "no"))).expect_err("it was refused");
        assert_eq!(&*refused.code, "42601");
        let broken = contained::<()>(|| panic!("a defect")).expect_err("it is an error");
        assert_eq!((&*broken.code, broken.severity), ("XX000", Severity::Error));
    }
}
