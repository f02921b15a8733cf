//! duetd, the program of every node. One file per command: [`boot`], [`disks`], [`run`], [`health`], [`address`],
//! [`agent`], [`status::command`], and those of the state store under [`store`], of Kubernetes under [`kubernetes`] and
//! of the witness under [`witness`]. This file only reads the command line and calls them.
//!
//! On a node systemd runs `boot` once before the network comes up, `disks` once after it, `run` as a
//! service, and `health` once when everything is started (units in overlays/duet). They share no memory; each leaves a small
//! JSON file in /run/duet for the others. [`root`] names every file that is read or written, and a
//! test runs each command on a folder that plays the machine.
//!
//! ```text
//!  /init ──► boot.json ──┐
//!  duetd boot ► node.json ├──► status::collect ──► Status ──┬──► screen ──► consoles (duetd run)
//!  duetd disks ► disks.json ───┤
//!  duetd health ► health.json ─┤                            └──► duetd status
//!  duetd address ► taken.json ─┤
//!  kernel, systemd, chrony ────┘
//! ```
//!
//! `duetd agent` shows the same status to people in a browser, with that of the other room beside it.
//!
//! `duetd discover` shows who announces a Duet machine on the wire; what it hears and how is the crate `agent`'s.
//!
//! `duetd store` is a world of its own: on control nodes it keeps the state of Kubernetes, and shares
//! nothing with the commands above but this program. `duetd witness` is another: it runs outside of all
//! sites, on any Linux machine.
//!
//! Nothing here decides for the other room, and nothing depends on /etc: it is part of the verified
//! root and the same on every machine.

mod address;
mod agent;
mod boot;
mod boot_count;
mod bounded;
mod clock;
mod console;
mod discover;
mod disks;
mod durable;
mod exit;
mod health;
mod journal;
mod kubernetes;
mod node;
mod notify;
mod process;
mod root;
mod rtnetlink;
mod run;
mod screen;
mod service;
mod status;
mod store;
mod systemd;
mod tty;
mod witness;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use root::Root;

/// The node's program: who this machine is, how it is, and whether its boot is good
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "To look at this node, run `duetd status`. The other commands are for systemd."
)]
struct Cli {
    /// Take DIR for the root of the file system (for tests)
    #[arg(long, value_name = "DIR", default_value = "/", global = true, hide = true)]
    root: PathBuf,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show who this node is and how it is
    ///
    /// Shows the same facts as the screen at the machine's console, and all of the findings, each
    /// with its cure.
    ///
    /// Exit status: 0 if all is well or services are still starting, 1 if somebody should look, 2 if
    /// the node does not do its work.
    #[command(after_long_help = status::SCHEMA)]
    Status {
        /// Print JSON for a script
        #[arg(long, conflicts_with = "watch")]
        json: bool,
        /// Show it again and again on this terminal, until Ctrl-C
        #[arg(long)]
        watch: bool,
    },

    /// Make this machine what its seed says (duet-boot.service)
    ///
    /// Verifies the seed on the EFI partition against the site's key, which is kept since the first
    /// seed, and writes what follows from it to /run: the host name, the network, who may log in, the
    /// time servers. Makes the ssh host key on the machine's first boot. A seed that cannot be used is
    /// no error: the node then starts on DHCP, lets nobody in, and says so on its screen.
    Boot,

    /// Give disks that hold no data to the site's volumes (duet-disks.service)
    ///
    /// Looks at all disks and takes those that the site file's rules allow: a GPT with one partition,
    /// `duet-data`. A disk with data on it is left as it is, unless the site file names it by serial
    /// number; one that is this site's already is never erased. What came of each disk is left in
    /// /run/duet/disks.json.
    ///
    /// Exit status: 0, also if no disk was taken; 1 if one could not be written.
    #[command(after_long_help = disks::report::SCHEMA)]
    Disks {
        /// Print JSON for a script
        #[arg(long)]
        json: bool,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },

    /// Keep the status screen on the consoles (duetd.service)
    Run,

    /// Decide whether this boot is good (duet-health.service)
    ///
    /// Waits until everything is started and checks that the root is verified, /var can be written
    /// and the services that matter run. A good boot lets the boot loader stop counting. A bad one
    /// restarts the machine if that leads anywhere.
    ///
    /// Exit status: 0 if the boot is good, 1 if not.
    Health {
        /// How many seconds everything may take to start
        #[arg(long, value_name = "SECONDS", default_value_t = 600)]
        wait: u64,
        /// Only tell: write no verdict and never restart
        #[arg(long)]
        dry_run: bool,
    },

    /// Get back a static address that another machine had (duet-address.service)
    ///
    /// A machine does not take an address for which another one answers. This finds out who does, for the
    /// status screen, and tries again when nobody does any more. It ends at once where addresses come from
    /// DHCP.
    Address,

    /// Show people how both rooms are (duet-agent.service)
    ///
    /// Serves the status page over HTTPS, on the port that the site's seed says, and asks the other
    /// room's control machine how it is. The page only shows; whoever reaches this machine may read it.
    ///
    /// Exit status: 0 after SIGTERM or SIGINT, 3 settings or certificates, 4 the port cannot be had.
    Agent(agent::Agent),
    /// Show who is on the wire: the machines of all sites that announce themselves here
    ///
    /// Listens by mDNS (RFC 6762) on all network cards, IPv4 and IPv6, and says nothing itself. What is
    /// shown is what machines claim: nothing of it is verified.
    ///
    /// Exit status: 0, also if nobody is there.
    Discover(discover::Discover),

    /// Run the state store, or work on its data (duet-store.service)
    ///
    /// Without a subcommand, serves etcd's v3 API from the data folder. The flags are etcd's; those
    /// that mean nothing to a store without peers are taken and left aside.
    ///
    /// Exit status: 0 after SIGTERM or SIGINT, 2 command line, 3 settings, 4 network, 5 the data is
    /// damaged, 7 the data folder cannot be written or is in use, 11 the disk did not keep what was
    /// written.
    Store(Box<store::Store>),

    /// Prepare the start of Kubernetes (k3s.service, k3s-agent.service)
    Kubernetes(kubernetes::Kubernetes),

    /// Run the witness of many sites, or work on its sites (duet-witness.service)
    ///
    /// Without a subcommand, answers the rooms of the sites in the data folder. It runs on any Linux
    /// machine outside of the rooms; one witness serves thousands of sites.
    ///
    /// Exit status: 0 after SIGTERM or SIGINT, 2 command line, 3 settings, 4 network, 5 a site is
    /// damaged, 7 the data folder cannot be written or is in use, 11 the disk did not keep what was
    /// written.
    Witness(Box<witness::Witness>),
}

/// The state store frees on one thread what another took, all the time: glibc's allocator locks for that,
/// and gives memory back to the kernel in pauses of a tenth of a second.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse_from(store::command_line(std::env::args_os()));
    let root = Root::new(cli.root);
    let done = match cli.command {
        Command::Status { json, watch: false } => status::command::status(&root, json),
        Command::Status { watch: true, .. } => status::command::watch(&root),
        Command::Boot => boot::boot(&root),
        Command::Disks { json, dry_run } => disks::disks(&root, json, dry_run),
        Command::Run => run::run(&root),
        Command::Health { wait, dry_run } => {
            health::health(&root, Duration::from_secs(wait), dry_run)
        }
        Command::Address => address::address(&root),
        Command::Agent(agent) => return agent.run(&root),
        Command::Discover(discover) => return exit::end(discover.run()),
        Command::Store(store) => return store.run(),
        Command::Kubernetes(kubernetes) => return kubernetes.run(&root),
        Command::Witness(witness) => return witness.run(),
    };
    done.unwrap_or_else(|error| {
        console::error(error.as_ref());
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
