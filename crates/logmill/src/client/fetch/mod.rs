//! Reading records.

/// Which records of transactions are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Only those of transactions that were committed, and those that belong to none. The log ends, for
    /// a reader, where the oldest open transaction begins (the last stable offset).
    #[default]
    Committed,
    /// All, aborted ones included.
    Uncommitted,
}

impl Isolation {
    /// The number on the wire.
    pub(crate) fn level(self) -> i8 {
        match self {
            Self::Committed => 1,
            Self::Uncommitted => 0,
        }
    }
}
