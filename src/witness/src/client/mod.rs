//! A room's way to the witness. Start at [`Client::ask`].
//!
//! One connection is kept and made anew when it breaks; of several addresses the first that answers is
//! taken. A question may be repeated without harm, so one that a broken connection swallowed is asked once
//! more, within the same time.

mod connect;
mod error;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use pair::witness::{Reply, Request};
use tokio::time::{Instant, timeout, timeout_at};

use crate::count::lock;
use crate::wire::{self, Answer, Question};
use connect::Line;
pub use error::AskError;
use error::Trouble;

/// How long an answer may take, unless the settings say otherwise: a slow network and a slow disk.
pub const TIMEOUT: Duration = Duration::from_millis(1500);

/// How a room finds its witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where it may be: `HOST:PORT`. An IP address needs no name service.
    pub addresses: Vec<String>,
    /// The DNS name in its certificate, such as [`crate::DEFAULT_SERVER_NAME`].
    pub server_name: String,
    /// Who signs its certificate: a PEM file.
    pub ca_file: PathBuf,
    /// This room's certificate, with those that signed it: a PEM file.
    pub cert_file: PathBuf,
    /// Its key: a PEM file.
    pub key_file: PathBuf,
    /// How long an answer may take, with everything: such as [`TIMEOUT`].
    pub timeout: Duration,
}

/// How the way to the witness is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether a connection stands. A peer that vanished is only noticed with the next question.
    pub connected: bool,
    /// Where the last connection went.
    pub address: Option<String>,
    /// When the witness answered last, whatever it said.
    pub last_answer: Option<SystemTime>,
    /// Why there is no answer to the last question; none if there was one.
    pub last_error: Option<String>,
}

/// Asks the witness, one question at a time. Files of certificates are read for each new connection, so
/// renewing them needs no restart.
#[derive(Debug)]
pub struct Client {
    config: Config,
    line: tokio::sync::Mutex<Kept>,
    status: Mutex<Status>,
}

#[derive(Debug, Default)]
struct Kept {
    line: Option<Line>,
    /// Which of the addresses answered last.
    good: usize,
    number: u64,
}

impl Client {
    /// A way that nobody has gone yet: nothing is read or reached before the first question.
    #[must_use]
    pub fn new(config: Config) -> Client {
        Client { config, line: tokio::sync::Mutex::default(), status: Mutex::default() }
    }

    /// What the witness says to a question of the protocol.
    ///
    /// # Errors
    /// [`AskError`]; whether the witness has decided is not known then, and to ask again is safe.
    pub async fn ask(&self, request: Request) -> Result<Reply, AskError> {
        match self.question(Question::Ask(request)).await? {
            Answer::Reply(reply) => Ok(reply),
            other => Err(self.mixed_up(&other)),
        }
    }

    /// How this room's site is at the witness.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn site(&self) -> Result<wire::Status, AskError> {
        match self.question(Question::Status).await? {
            Answer::Status(status) => Ok(status),
            other => Err(self.mixed_up(&other)),
        }
    }

    /// How the way to the witness is. Does not wait.
    #[must_use]
    pub fn status(&self) -> Status {
        lock(&self.status).clone()
    }

    fn mixed_up(&self, answer: &Answer) -> AskError {
        let address = self.status().address.unwrap_or_default();
        AskError::Broken { address, reason: format!("it answered something else: {answer:?}") }
    }

    async fn question(&self, question: Question) -> Result<Answer, AskError> {
        let doing = Mutex::new("another question is under way".to_owned());
        let time = self.config.timeout;
        let result = match timeout(time, self.exchange(&question, &doing)).await {
            Ok(result) => result,
            Err(_) => {
                // The exchange was dropped, and with it the connection that it had taken.
                Err(AskError::Timeout { timeout: time, doing: lock(&doing).clone() })
            }
        };
        let mut status = lock(&self.status);
        match result {
            Ok(answer) => {
                status.connected = true;
                status.last_answer = Some(SystemTime::now());
                match answer {
                    Answer::Refused(refused) => {
                        let error = AskError::Refused(refused);
                        status.last_error = Some(error.to_string());
                        Err(error)
                    }
                    answer => {
                        status.last_error = None;
                        Ok(answer)
                    }
                }
            }
            Err(error) => {
                status.connected = false;
                status.last_error = Some(error.to_string());
                Err(error)
            }
        }
    }

    async fn exchange(
        &self,
        question: &Question,
        doing: &Mutex<String>,
    ) -> Result<Answer, AskError> {
        let mut kept = self.line.lock().await;
        // A peer that vanished does not say so: the second half of the time is for a new connection.
        let half = Instant::now() + self.config.timeout / 2;
        kept.number += 1;
        let number = kept.number;
        if let Some(mut line) = kept.line.take() {
            *lock(doing) = format!("{} says nothing", line.address);
            if let Ok(Ok(answer)) = timeout_at(half, line.exchange(number, question)).await {
                kept.line = Some(line);
                return Ok(answer);
            }
        }
        let mut line = connect::connect(&self.config, kept.good, doing).await?;
        kept.good = line.index;
        lock(&self.status).address = Some(line.address.clone());
        *lock(doing) = format!("{} says nothing", line.address);
        match line.exchange(number, question).await {
            Ok(answer) => {
                kept.line = Some(line);
                Ok(answer)
            }
            Err(error) => Err(match Trouble::of(&line.address, &self.config.server_name, error) {
                Trouble::Final(error) => error,
                Trouble::Gone(reason) => AskError::Broken { address: line.address, reason },
            }),
        }
    }
}
