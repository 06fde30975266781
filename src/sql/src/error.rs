//! What a user reads when a statement cannot be parsed or planned.

/// The message of an error that could quote the value of a secret.
pub const OF_SECRET: &str = "invalid statement or value of a secret";
pub const OF_SECRET_DETAIL: &str = "Nothing more is told, for it could show a part of the secret.";

/// An error with everything the wire protocol can carry of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// SQLSTATE.
    pub code: &'static str,
    /// Lower case, without full stop.
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// The character in the statement's text where it went wrong, counted from 1.
    pub position: Option<usize>,
}

impl Error {
    pub fn new(code: &'static str, message: impl Into<String>) -> Error {
        Error { code, message: message.into(), detail: None, hint: None, position: None }
    }

    /// `0A000: {feature} is not supported`.
    pub fn unsupported(feature: impl std::fmt::Display) -> Error {
        Error::new("0A000", format!("{feature} is not supported"))
    }

    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Error {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// What may be told of an error that could quote the value of a secret: its code. Its place would make clients print that
    /// line of the statement.
    #[must_use]
    pub fn of_secret(self) -> Error {
        Error::new(self.code, OF_SECRET).with_detail(OF_SECRET_DETAIL)
    }

    /// Sets the position unless a more exact one is known already.
    #[must_use]
    pub fn at(mut self, position: usize) -> Error {
        self.position.get_or_insert(position);
        self
    }
}
