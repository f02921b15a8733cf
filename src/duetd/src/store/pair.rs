//! A store that is one of two: what the crate `store` needs of this machine. Start at [`open`]. Files,
//! clocks, the witness and the power switch are reached here; nothing is decided.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use ::store::config::PairConfig;
use ::store::engine::{Asking, Authority, Engine, PairOptions, Reach};
use ::store::peer;
use ::store::recover::Place;
use ::store::serve::Road;
use pair::witness::Reply;
use pair::{Answer, Ask, Epoch, PowerAnswer, Room};
use ring::rand::{SecureRandom, SystemRandom};

/// Which boot of the kernel this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A switch and all machines behind it need no longer.
const SWITCHING: Duration = Duration::from_secs(60);

/// How often the witness is asked though nothing is to be decided.
const PROBE: Duration = Duration::from_secs(5);

/// 2025-01-01: no machine with this program has an earlier time.
const EARLIEST: u64 = 1_735_689_600;

/// Why a store cannot be one of two here.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum PairError {
    /// The clock is years off.
    #[error(
        "this machine's clock says {seconds} s after 1970, which was before this program was made"
    )]
    #[diagnostic(
        code(input::clock),
        help(
            "set the clock, or let a time server set it: certificates cannot be judged by it, and the \
             number of a new disk would be lower than that of the one before it"
        )
    )]
    Clock { seconds: u64 },
    /// The kernel does not say which boot this is.
    #[error("cannot read {BOOT_ID}")]
    #[diagnostic(code(output::system), help("is /proc mounted?"))]
    BootId(#[source] std::io::Error),
}

/// What the pair needs of this machine, at a start.
pub(crate) fn options(config: &PairConfig) -> Result<PairOptions, PairError> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if since.as_secs() < EARLIEST {
        return Err(PairError::Clock { seconds: since.as_secs() });
    }
    let boot_id = std::fs::read_to_string(BOOT_ID).map_err(PairError::BootId)?;
    let boot_id = u128::from_str_radix(&boot_id.trim().replace('-', ""), 16);
    let boot_id = boot_id.map_err(|error| PairError::BootId(std::io::Error::other(error)))?;
    Ok(PairOptions {
        place: Place { site: config.site.clone(), room: config.room },
        authority: config.authority,
        timing: config.timing,
        stuck_after: config.stuck_after,
        found: config.found,
        boot_id,
        incarnation: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        cluster: random(),
        asks: Arc::new(Authorities::new(config)),
    })
}

/// Opens the road to the other room.
pub(crate) async fn open(config: &PairConfig, engine: &Engine) -> Result<Road, miette::Report> {
    let config = peer::Config {
        site: config.site.clone(),
        room: config.room,
        listen: config.listen_peer.clone(),
        peers: config.peers.clone(),
        peers_file: config.peers_file.clone(),
        cert_file: config.cert_file.clone(),
        key_file: config.key_file.clone(),
        ca_file: config.ca_file.clone(),
        release: env!("CARGO_PKG_VERSION").to_owned(),
        terms: config.terms(),
    };
    Ok(Road::open(config, engine).await?)
}

fn random() -> u128 {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).expect("the kernel gives random numbers");
    u128::from_le_bytes(bytes).max(1)
}

/// Who decides in the end, as this machine reaches them.
struct Authorities {
    witness: Option<Arc<witness::Client>>,
    /// The newest decision that the witness holds; 0 before it said.
    holds: Arc<AtomicU64>,
    switch: Option<PathBuf>,
}

impl Authorities {
    fn new(config: &PairConfig) -> Authorities {
        let witness = config.witness.as_ref().map(|witness| {
            Arc::new(witness::Client::new(witness::Config {
                addresses: witness.addresses.clone(),
                server_name: witness.name.clone(),
                ca_file: witness.ca_file.clone(),
                cert_file: config.cert_file.clone(),
                key_file: config.key_file.clone(),
                timeout: witness::client::TIMEOUT.min(config.timing.retry),
            }))
        });
        let holds = Arc::new(AtomicU64::new(0));
        if let Some(witness) = &witness {
            tokio::spawn(probe(witness.clone(), holds.clone()));
        }
        Authorities { witness, holds, switch: config.power_command.clone() }
    }
}

impl Authority for Authorities {
    fn ask(&self, ask: Ask) -> Asking {
        let (witness, switch) = (self.witness.clone(), self.switch.clone());
        let holds = self.holds.clone();
        Box::pin(async move {
            match (ask, witness, switch) {
                (Ask::Witness(request), Some(witness), _) => match witness.ask(request).await {
                    Ok(reply) => {
                        if let Reply::Granted(register) | Reply::Holds(register) = &reply {
                            holds.store(register.epoch, Ordering::Relaxed);
                        }
                        Answer::Witness(reply)
                    }
                    Err(error) => {
                        tracing::warn!("the witness does not decide: {error}");
                        Answer::Unreachable
                    }
                },
                (Ask::PowerOff(room), _, Some(switch)) => switch_off(&switch, room).await,
                _ => Answer::Unreachable,
            }
        })
    }

    fn reach(&self) -> Reach {
        let Some(witness) = &self.witness else { return Reach::default() };
        let witness::client::Status { last_answer, last_error, .. } = witness.status();
        let holds = Some(self.holds.load(Ordering::Relaxed)).filter(|epoch| *epoch > 0);
        Reach { answered: last_answer, trouble: last_error, holds }
    }

    fn fence(&self, peer: Room, epoch: Epoch) {
        tracing::warn!(%peer, epoch, "the other room is to be made harmless");
        // The decision has fallen; the switch only makes it visible sooner to disks and machines.
        let Some(switch) = self.switch.clone() else { return };
        tokio::runtime::Handle::current().spawn(async move {
            let _ = switch_off(&switch, peer).await;
        });
    }
}

/// Asks the witness now and then, so that a room knows before it needs to whether it could ask.
async fn probe(witness: Arc<witness::Client>, holds: Arc<AtomicU64>) {
    loop {
        if let Ok(site) = witness.site().await {
            let epoch = site.held.map_or(0, |register| register.epoch);
            holds.store(epoch, Ordering::Relaxed);
        }
        tokio::time::sleep(PROBE).await;
    }
}

/// Runs `SWITCH off ROOM`. Only its success says that the room is off.
async fn switch_off(switch: &PathBuf, room: Room) -> Answer {
    let mut command = tokio::process::Command::new(switch);
    command.args(["off", &room.to_string()]).stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(SWITCHING, command.status()).await {
        Ok(Ok(status)) if status.success() => Answer::Power(PowerAnswer::Off),
        Ok(Ok(status)) => {
            tracing::warn!(%status, "the power switch did not confirm that room {room} is off");
            Answer::Power(PowerAnswer::StillOn)
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "cannot run the power switch {}", switch.display());
            Answer::Unreachable
        }
        Err(_) => {
            tracing::error!("the power switch took longer than {SWITCHING:?}");
            Answer::Unreachable
        }
    }
}
