//! Asking the leader in another process for a backup.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use repr::Timestamp;
use tokio::sync::mpsc;
use tonic::Status;

use crate::backup::{BackupError, BackupReport, Progress};
use crate::blob::Blob;
use crate::leader::LeaderHandle;
use crate::location::{BlobUrl, UrlError, open_blob};
use crate::remote::RemoteShards;
use crate::service::proto;
use crate::service::proto::backup_event::Kind;

/// Events that may wait for the connection; progress that finds no room is left out, for the next one says more.
const EVENTS_MAX: usize = 16;

pub(crate) type BackupStream = Pin<Box<dyn Stream<Item = Result<proto::BackupEvent, Status>> + Send>>;

fn open_target(leader: &LeaderHandle, url: &str) -> Result<Blob, BackupError> {
    let unsuitable = |error: UrlError| BackupError::Unsuitable(error.to_string());
    let url: BlobUrl = url.parse().map_err(unsuitable)?;
    if leader.blob_url() == Some(url.to_string().as_str()) {
        return Err(BackupError::Unsuitable(format!("{url} is the environment's own blob store")));
    }
    open_blob(&url).map_err(BackupError::Target)
}

/// Makes a backup for a remote client. It ends with the stream.
pub(crate) fn serve_backup(leader: &LeaderHandle, url: String) -> BackupStream {
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    let made = {
        let leader = leader.clone();
        async move {
            let report = |progress: Progress| {
                let _ = sender.try_send(Kind::Progress(progress_to_proto(progress)));
            };
            let made = match open_target(&leader, &url) {
                Ok(target) => leader.backup(&target, &report).await,
                Err(error) => Err(error),
            };
            let last = match made {
                Ok(done) => Kind::Done(done_to_proto(done)),
                Err(error) => Kind::Failed(error.to_string()),
            };
            // The client may have gone.
            let _ = sender.send(last).await;
        }
    };
    let task = leader.shared().tasks.spawn("persist-backup", made);
    let next = |mut state: (mpsc::Receiver<Kind>, stdx::Task)| async move {
        let kind = state.0.recv().await?;
        Some((Ok(proto::BackupEvent { kind: Some(kind) }), state))
    };
    futures::stream::unfold((receiver, task), next).boxed()
}

impl RemoteShards {
    /// Has the leader make a backup at `url`, which its process opens.
    ///
    /// Cancel safety: dropped, the backup ends and is not complete.
    pub async fn backup(
        &self,
        url: &str,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<BackupReport, BackupError> {
        let broken = |status: Status| BackupError::Halted(format!("it cannot be reached: {}", status.message()));
        let request = proto::BackupRequest { url: url.to_owned() };
        let mut events = self.client.clone().backup(request).await.map_err(broken)?.into_inner();
        while let Some(event) = events.message().await.map_err(broken)? {
            match event.kind {
                Some(Kind::Progress(event)) => progress(progress_of_proto(event)),
                Some(Kind::Done(done)) => return Ok(done_of_proto(done)),
                Some(Kind::Failed(reason)) => return Err(BackupError::Unsuitable(reason)),
                None => {}
            }
        }
        Err(BackupError::Halted("it ended before the backup was complete".to_owned()))
    }
}

fn progress_to_proto(progress: Progress) -> proto::BackupProgress {
    let Progress { parts_total, parts_copied, bytes_copied, parts_shared, bytes_shared } = progress;
    proto::BackupProgress { parts_total, parts_copied, bytes_copied, parts_shared, bytes_shared }
}

fn progress_of_proto(progress: proto::BackupProgress) -> Progress {
    let proto::BackupProgress { parts_total, parts_copied, bytes_copied, parts_shared, bytes_shared } = progress;
    Progress { parts_total, parts_copied, bytes_copied, parts_shared, bytes_shared }
}

fn done_to_proto(report: BackupReport) -> proto::BackupDone {
    let BackupReport { id, seq, from, to, copied } = report;
    let copied = Some(progress_to_proto(copied));
    proto::BackupDone { id, seq, from: from.micros(), to: to.micros(), copied }
}

fn done_of_proto(done: proto::BackupDone) -> BackupReport {
    let proto::BackupDone { id, seq, from, to, copied } = done;
    let copied = copied.map_or_else(Progress::default, progress_of_proto);
    BackupReport { id, seq, from: Timestamp::new(from), to: Timestamp::new(to), copied }
}
