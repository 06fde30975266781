//! `pg_sleep`: a statement waits before it reads anything. Canceled or timed out, it is dropped like any other wait.

use std::time::Duration;

use expr::func::FuncKind;
use expr::{EvalError, Relation, Scalar};
use repr::{Datum, ScalarType};

use crate::error::Error;
use crate::session::Session;

/// Longer than anybody waits, and short enough for any clock.
const SECONDS_MAX: f64 = 1e9;

impl Session {
    /// Waits for as long as the calls of `pg_sleep` in the query say, all together, and puts their results in their places.
    ///
    /// Errors: 0A000 for a time that is no constant.
    pub(super) async fn sleep_as_asked(&self, relation: &mut Relation) -> Result<(), Error> {
        let mut seconds = 0.0;
        let mut failure = None;
        relation.visit_scalars_mut(&mut |scalar| {
            scalar.visit_mut_post(&mut |node| match take_sleep(node) {
                Ok(asked) => seconds += asked,
                Err(error) => failure = failure.take().or(Some(error)),
            });
        });
        if let Some(error) = failure {
            return Err(error);
        }
        if seconds > 0.0 {
            let duration = Duration::from_secs_f64(seconds.min(SECONDS_MAX));
            self.environment.tasks.sleep(duration).await;
        }
        Ok(())
    }
}

/// The seconds that a call asks for; it becomes its result, which says nothing. 0 for everything else.
fn take_sleep(node: &mut Scalar) -> Result<f64, Error> {
    let Scalar::Call { func, args, .. } = node else { return Ok(0.0) };
    if func.kind != FuncKind::Function || !matches!(func.name, "pg_sleep" | "pg_sleep_for") {
        return Ok(0.0);
    }
    let mut asked = args[0].clone();
    // Over columns there is nothing to compute, and their types are not known here.
    if !asked.any(|scalar| matches!(scalar, Scalar::Column(_))) {
        asked.reduce(&[]);
    }
    let (result, seconds) = match asked.as_literal() {
        Some(Ok(Datum::Null)) => (Datum::Null, 0.0),
        Some(Ok(Datum::Float8(seconds))) => (Datum::Text(""), seconds.get()),
        Some(Ok(Datum::Interval(span))) => (Datum::Text(""), span.key() as f64 / 1e6),
        Some(Err(error)) => return Err(EvalError::clone(error).into()),
        _ => return Err(Error::unsupported(format!("{} of anything but a constant", func.name))),
    };
    *node = Scalar::literal(result, ScalarType::Text);
    Ok(if seconds.is_nan() { 0.0 } else { seconds.max(0.0) })
}
