//! Tells every part of a process to stop.

use tokio::sync::watch;

/// A switch that is thrown once and seen by every clone.
#[derive(Clone)]
pub struct Shutdown {
    sender: std::sync::Arc<watch::Sender<bool>>,
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown::new()
    }
}

impl Shutdown {
    pub fn new() -> Shutdown {
        Shutdown { sender: std::sync::Arc::new(watch::Sender::new(false)) }
    }

    /// Throws the switch; further calls do nothing.
    pub fn trigger(&self) {
        self.sender.send_replace(true);
    }

    pub fn is_triggered(&self) -> bool {
        *self.sender.borrow()
    }

    /// Waits until the switch is thrown. Cancel safety: may be dropped at any await.
    pub async fn triggered(&self) {
        let mut receiver = self.sender.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = receiver.wait_for(|thrown| *thrown).await;
    }
}
