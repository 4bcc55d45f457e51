//! Which names a dataset wants: the same rules for every store.

use std::{path::Path, sync::Arc};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::listed::{SkipReason, is_half_written};

/// The patterns of `include`, over the path below the source.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    patterns: Arc<GlobSet>,
}

impl Wanted {
    pub(super) fn new(include: &[String]) -> anyhow::Result<Self> {
        let mut patterns = GlobSetBuilder::new();
        for pattern in include {
            patterns.add(GlobBuilder::new(pattern).literal_separator(true).build()?);
        }
        Ok(Self { patterns: Arc::new(patterns.build()?) })
    }

    /// Why something of this path below the source is left out, as far as its name tells.
    pub(super) fn reason_to_skip(&self, below: &Path, name: &[u8]) -> Option<SkipReason> {
        if is_half_written(name) {
            return Some(SkipReason::HalfWritten);
        }
        (!self.patterns.is_match(below)).then_some(SkipReason::PatternMismatch)
    }
}
