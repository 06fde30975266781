//! A subscription that adds up what it is told, on a connection of its own.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use futures::StreamExt;
use system_test::Server;
use tokio::sync::watch;

use crate::answer::{Answer, Failure, TextRow};
use crate::roads::failure_of;

/// What has come so far.
#[derive(Clone, Default)]
struct State {
    /// All updates at times before this one, in milliseconds, have come.
    progress: u64,
    rows: BTreeMap<TextRow, i64>,
    ended: Option<Failure>,
}

/// A running subscription; dropping it ends it.
pub(crate) struct Subscription {
    state: watch::Receiver<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Subscription {
    pub(crate) async fn start(server: &Server, schema: &str, query: &str) -> Result<Subscription> {
        let client = server.connect().await?;
        client.batch_execute(&format!("SET search_path = {schema}")).await.context("choosing a schema")?;
        let copy = format!("COPY (SUBSCRIBE ({query}) WITH (PROGRESS)) TO STDOUT");
        let (sender, state) = watch::channel(State::default());
        // Its time is chosen when this has an answer: later changes are told of as changes.
        let copied = client.copy_out(&copy).await;
        let task = tokio::spawn(async move {
            let fail = |error: tokio_postgres::Error| {
                sender.send_modify(|state| state.ended = Some(failure_of(&error)));
            };
            let stream = match copied {
                Ok(stream) => stream,
                Err(error) => return fail(error),
            };
            let mut stream = std::pin::pin!(stream);
            let mut rest = String::new();
            while let Some(bytes) = stream.next().await {
                match bytes {
                    Ok(bytes) => rest.push_str(&String::from_utf8_lossy(&bytes)),
                    Err(error) => return fail(error),
                }
                sender.send_modify(|state| {
                    while let Some((line, after)) = rest.split_once('\n') {
                        state.take_line(line);
                        rest = after.to_owned();
                    }
                });
            }
            // What reads nothing that can change tells its rows, and that there will be no others.
            sender.send_modify(|state| state.progress = u64::MAX);
            sender.closed().await;
        });
        Ok(Subscription { state, task })
    }

    /// What has been added up once everything before `time` is known.
    pub(crate) async fn at(&mut self, time: u64) -> Answer {
        let wait = self.state.wait_for(|state| state.progress > time || state.ended.is_some());
        let failure = |code: &str, message: &str| Failure { code: code.to_owned(), message: message.to_owned() };
        let state = match tokio::time::timeout(crate::roads::PATIENCE, wait).await {
            Err(_) => return Err(failure("57014", "the subscription does not get on")),
            Ok(Err(_)) => return Err(failure("08006", "the subscription ended by itself")),
            Ok(Ok(state)) => state,
        };
        if let Some(failure) = &state.ended {
            return Err(failure.clone());
        }
        let mut rows = Vec::new();
        for (row, count) in &state.rows {
            let Ok(count) = usize::try_from(*count) else {
                return Err(failure("XX000", "a row was taken away more often than it came"));
            };
            rows.extend(std::iter::repeat_n(row.clone(), count));
        }
        Ok(rows)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state.borrow().ended.is_some()
    }
}

impl State {
    /// A line of COPY: time, whether it is progress, how often, and the values.
    fn take_line(&mut self, line: &str) {
        let mut fields = line.split('\t');
        let (time, progressed, diff) = (fields.next(), fields.next(), fields.next());
        let time: u64 = time.and_then(|time| time.parse().ok()).expect("a time");
        if progressed == Some("t") {
            self.progress = self.progress.max(time);
            return;
        }
        let diff: i64 = diff.and_then(|diff| diff.parse().ok()).expect("a multiplicity");
        let row: TextRow = fields.map(unescaped).collect();
        let count = self.rows.entry(row.clone()).or_default();
        *count += diff;
        if *count == 0 {
            self.rows.remove(&row);
        }
    }
}

/// A field of COPY's text format.
fn unescaped(field: &str) -> Option<String> {
    if field == "\\N" {
        return None;
    }
    let mut text = String::new();
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        text.push(match characters.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('v') => '\u{b}',
            Some(other) => other,
            None => '\\',
        });
    }
    Some(text)
}
