//! Pages on their way to whoever asked for a listing.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::listed::Listed;

/// A slow store shows that it lives, by a page that is not full, or empty.
pub(super) const PAGE_AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// Nobody takes pages any more: whoever asked has stopped.
#[derive(Debug)]
pub(super) struct Unwanted;

pub(super) struct Pages {
    page: Vec<Listed>,
    page_len: usize,
    sent: Instant,
    pages: mpsc::Sender<Vec<Listed>>,
}

impl Pages {
    pub(super) fn new(page_len: usize, pages: mpsc::Sender<Vec<Listed>>) -> Self {
        Self { page: Vec::new(), page_len, sent: Instant::now(), pages }
    }

    /// Adds an entry; true if it is time to send.
    pub(super) fn add(&mut self, listed: Listed) -> bool {
        self.page.push(listed);
        self.page.len() >= self.page_len || self.is_late()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.page.is_empty()
    }

    pub(super) fn is_late(&self) -> bool {
        self.sent.elapsed() > PAGE_AT_LEAST_EVERY
    }

    pub(super) async fn send(&mut self) -> Result<(), Unwanted> {
        let page = std::mem::take(&mut self.page);
        self.sent = Instant::now();
        self.pages.send(page).await.map_err(|_| Unwanted)
    }

    /// For a thread that may block.
    pub(super) fn blocking_send(&mut self) -> Result<(), Unwanted> {
        let page = std::mem::take(&mut self.page);
        self.sent = Instant::now();
        self.pages.blocking_send(page).map_err(|_| Unwanted)
    }
}
