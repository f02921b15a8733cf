//! How long work reports where it is. The library only reports; a program decides what to draw.

/// What a [`Task`]'s numbers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, drawn as KiB, MiB, …
    Bytes,
    /// Whole things: packages, files, blocks.
    Items,
}

/// Receives the stages of long work.
pub trait Progress: Sync {
    /// A stage begins: what is done, and how much of it there is (0 when unknown).
    fn begin(&self, what: &str, total: u64, unit: Unit) -> Box<dyn Task>;
}

/// One stage under way; dropping it ends the stage.
pub trait Task: Send + Sync {
    /// `amount` more is done.
    fn advance(&self, amount: u64);
}

/// Reports nothing: for tests and `--json`.
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _what: &str, _total: u64, _unit: Unit) -> Box<dyn Task> {
        Box::new(Silent)
    }
}

impl Task for Silent {
    fn advance(&self, _amount: u64) {}
}
