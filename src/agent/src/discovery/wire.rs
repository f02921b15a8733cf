//! The edge to the wire: mDNS and DNS-SD (RFC 6762, RFC 6763) by the crate `mdns-sd`. Start at [`Wire::open`].
//! Passes on what it hears, and decides nothing.

use std::net::IpAddr;
use std::time::Duration;

use mdns_sd::{
    DaemonEvent, Error, IfKind, IfPredicate, Receiver, ResolvedService, ScopedIp, ServiceDaemon,
    ServiceEvent, ServiceInfo,
};
use tokio::time::timeout;

use super::announcement::{Address, Announcement, Id, Malformed, SERVICE, is_loopback};

/// How often the interfaces are looked at, in seconds: a cable that was plugged in, an address that came.
const INTERFACES_S: u32 = 1;

/// How many records are remembered before all are forgotten: thrice what as many machines as are remembered
/// take with a handful of addresses. The crate itself has no bound but the time to live that a sender names.
const RECORDS: i64 = 8192;

/// How long the crate may take to answer or to say goodbye.
const ANSWER: Duration = Duration::from_secs(1);

/// Interfaces that begin with these are of containers on this machine: nobody else is behind them.
const INNER: [&str; 5] = ["cni", "flannel", "veth", "docker", "lxc"];

/// What was heard.
pub(super) enum Event {
    /// A machine announced itself, or is still known.
    Heard(Announcement),
    /// Somebody announced something else.
    Malformed(Malformed),
    /// A machine said goodbye, or what it said ran out.
    Gone(Id),
    /// More came than could be taken, and all is to be heard anew: the wire is to be opened again.
    Overrun,
}

/// The wire, listened to. Says goodbye when it goes.
pub(super) struct Wire {
    daemon: ServiceDaemon,
    events: Receiver<ServiceEvent>,
    /// The events of the search before, of which the last ones may still come.
    before: Option<Receiver<ServiceEvent>>,
    troubles: Receiver<DaemonEvent>,
    loopback: bool,
}

impl Wire {
    /// Listens on all interfaces that lead to others, now and later, and announces this machine if it says
    /// something of itself. `loopback`: also on the loopback.
    pub(super) fn open(own: Option<&Announcement>, loopback: bool) -> Result<Wire, Error> {
        let daemon = ServiceDaemon::new()?;
        let started = Wire::start(&daemon, own, loopback);
        match started {
            Ok((events, troubles)) => Ok(Wire { daemon, events, before: None, troubles, loopback }),
            Err(error) => {
                // Its thread would go on without anybody.
                let _ = daemon.shutdown();
                Err(error)
            }
        }
    }

    fn start(
        daemon: &ServiceDaemon,
        own: Option<&Announcement>,
        loopback: bool,
    ) -> Result<(Receiver<ServiceEvent>, Receiver<DaemonEvent>), Error> {
        let troubles = daemon.monitor()?;
        daemon.set_ip_check_interval(INTERFACES_S)?;
        let inner = IfPredicate::new(move |interface| {
            !leads_out(&interface.name, interface.is_loopback(), loopback)
        });
        daemon.disable_interface(IfKind::Predicate(inner))?;
        if let Some(own) = own {
            daemon.register(service(own)?)?;
        }
        Ok((daemon.browse(SERVICE)?, troubles))
    }

    /// What is heard next. May be cancelled.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            let event = match &self.before {
                Some(before) => match before.recv_async().await {
                    Ok(event) => event,
                    Err(_) => {
                        self.before = None;
                        continue;
                    }
                },
                None => match self.events.recv_async().await {
                    Ok(event) => event,
                    // The crate ends a search whose events are not taken as quickly as they come.
                    Err(_) => return Event::Overrun,
                },
            };
            match event {
                ServiceEvent::ServiceResolved(service) => return self.heard(&service),
                ServiceEvent::ServiceRemoved(_, fullname) => {
                    if let Some(id) = Id::of_instance(&fullname) {
                        return Event::Gone(id);
                    }
                }
                _ => {}
            }
        }
    }

    fn heard(&self, service: &ResolvedService) -> Event {
        let addresses = service.get_addresses().iter().filter_map(|address| match address {
            ScopedIp::V4(address) => Address::heard(IpAddr::V4(*address.addr()), "", 0),
            ScopedIp::V6(address) => {
                let zone = address.scope_id();
                Address::heard(IpAddr::V6(*address.addr()), &zone.name, zone.index)
            }
            _ => None,
        });
        let addresses = addresses.filter(|address| self.loopback || !is_loopback(address));
        let txt = |key: &str| service.get_property_val(key).flatten();
        match Announcement::parse(service.get_fullname(), txt, addresses) {
            Ok(announcement) => Event::Heard(announcement),
            Err(malformed) => Event::Malformed(malformed),
        }
    }

    /// Asks the wire anew, and has everybody heard again who is still known.
    pub(super) fn refresh(&mut self) -> Result<(), Error> {
        let events = self.daemon.browse(SERVICE)?;
        self.before = Some(std::mem::replace(&mut self.events, events));
        Ok(())
    }

    /// Whether so much is remembered that it must be a flood.
    pub(super) async fn is_crowded(&self) -> bool {
        let Ok(metrics) = self.daemon.get_metrics() else { return false };
        let Ok(Ok(metrics)) = timeout(ANSWER, metrics.recv_async()).await else { return false };
        let cached = metrics.iter().filter(|(name, _)| name.starts_with("cached-"));
        cached.map(|(_, number)| *number).sum::<i64>() > RECORDS
    }

    /// What the crate complains of.
    pub(super) fn trouble(&self) -> Option<String> {
        self.troubles.try_iter().find_map(|event| match event {
            DaemonEvent::Error(error) => Some(error.to_string()),
            _ => None,
        })
    }

    /// Says goodbye, and waits a moment until that is sent.
    pub(super) async fn close(self) {
        if let Ok(done) = self.daemon.shutdown() {
            // If it takes longer, the others forget this machine by themselves.
            let _ = timeout(ANSWER, done.recv_async()).await;
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // An error says that it is closed already.
        let _ = self.daemon.shutdown();
    }
}

fn leads_out(name: &str, is_loopback: bool, loopback: bool) -> bool {
    if is_loopback { loopback } else { !INNER.iter().any(|inner| name.starts_with(inner)) }
}

fn service(own: &Announcement) -> Result<ServiceInfo, Error> {
    let (instance, txt) = (own.id.instance(), own.txt());
    let host = format!("{instance}.local.");
    let info = ServiceInfo::new(SERVICE, &instance, &host, (), own.store_port, &txt[..])?;
    let mut info = info.enable_addr_auto();
    // Nobody else has the name, so nobody needs to be asked for it first (RFC 6762, section 8.1).
    info.set_requires_probe(false);
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_and_the_machine_itself_are_not_listened_to() {
        for name in ["cni0", "flannel.1", "veth12ab", "docker0", "lxcbr0"] {
            assert!(!leads_out(name, false, true), "{name}");
        }
        for name in ["enp0s16", "eth0", "bond0", "br0", "cable"] {
            assert!(leads_out(name, false, false), "{name}");
        }
        assert!(!leads_out("lo", true, false));
        assert!(leads_out("lo", true, true));
    }
}
