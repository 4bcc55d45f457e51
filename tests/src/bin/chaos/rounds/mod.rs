//! The rounds, one module a kind of fault.

pub(crate) mod edges;
pub(crate) mod sabotage;
