//! Drivers that are wrong on purpose. Start at [`Mutant`]: the seeds must find each of them, or they would
//! not find a real mistake either. The store itself knows nothing of this.

/// What a driver does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mutant {
    /// Says that a write is on the disk when it has only begun.
    WrittenTooEarly,
    /// Forgets to persist the register.
    RegisterForgotten,
    /// Speaks before the register is on the disk.
    SpeaksTooEarly,
    /// Leaves entries on the disk that were to be cut off.
    TailKept,
    /// Answers reads after its lease has ended.
    LeaseIgnored,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 5] = [
        Mutant::WrittenTooEarly,
        Mutant::RegisterForgotten,
        Mutant::SpeaksTooEarly,
        Mutant::TailKept,
        Mutant::LeaseIgnored,
    ];
}
