//! The million files that several figures list: written for the first of them, removed when the run ends.

use std::{path::PathBuf, rc::Rc};

use tokio::sync::OnceCell;

use crate::data::tree::Tree;

const FILES: f64 = 1_000_000.0;

/// Where they are, once they are.
pub(crate) struct Million {
    parent: PathBuf,
    scale: f64,
    tree: OnceCell<Rc<Tree>>,
}

impl Million {
    /// Writes nothing yet.
    pub(crate) fn new(parent: PathBuf, scale: f64) -> Self {
        Self { parent, scale, tree: OnceCell::new() }
    }

    /// Writes them, unless another figure has; `figure` is named with the progress.
    pub(crate) async fn tree(&self, figure: &'static str) -> anyhow::Result<Rc<Tree>> {
        let files = (FILES * self.scale).round().max(1.0) as u64;
        self.tree
            .get_or_try_init(async || Tree::write(figure, &self.parent, files).await.map(Rc::new))
            .await
            .cloned()
    }
}
