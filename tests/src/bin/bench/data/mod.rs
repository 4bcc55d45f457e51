//! Files to load: specs, generators, and what must come of them.

pub(crate) mod huge;
pub(crate) mod loans;
pub(crate) mod spoiled;
pub(crate) mod tree;
pub(crate) mod wide;
