//! An error together with what it was caused by, as one line.

use std::error::Error;

/// An error and its causes, outermost first, with `: ` between them. A cause that the text before it tells already is left out.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Failed {
        text: &'static str,
        source: Option<Box<Failed>>,
    }

    impl std::fmt::Display for Failed {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.text)
        }
    }

    impl Error for Failed {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.source.as_deref().map(|source| source as &dyn Error)
        }
    }

    fn failed(text: &'static str, source: Option<Failed>) -> Failed {
        Failed { text, source: source.map(Box::new) }
    }

    #[test]
    fn each_cause_is_told_once() {
        let chain = failed("cannot connect: refused", Some(failed("refused", Some(failed("port 1", None)))));
        assert_eq!(with_causes(&chain), "cannot connect: refused: port 1");
        assert_eq!(with_causes(&failed("alone", None)), "alone");
    }
}
