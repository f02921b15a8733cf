//! [`Crowd`]: how many connections come from where. One computer that opens many must not take the places of
//! the others, the other room's among them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Everybody who is there. Bounded by the places that there are.
#[derive(Debug, Clone)]
pub(super) struct Crowd {
    most: usize,
    there: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection that was let in; it is out when this is dropped.
#[derive(Debug)]
pub(super) struct Entered {
    crowd: Crowd,
    from: IpAddr,
}

impl Crowd {
    /// At most so many from one address.
    pub(super) fn new(most: usize) -> Crowd {
        Crowd { most, there: Arc::default() }
    }

    /// Lets one more in, unless there are too many of them.
    pub(super) fn enter(&self, from: IpAddr) -> Option<Entered> {
        let from = origin(from);
        let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        let count = there.entry(from).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Entered { crowd: self.clone(), from })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut there = self.crowd.there.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = there.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                there.remove(&self.from);
            }
        }
    }
}

/// What counts as one computer: with IPv6 it may choose among all addresses of a /64 (RFC 4291, section
/// 2.5.1). Those of a link all have one prefix, and so are told apart whole.
fn origin(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(six) if !six.is_unicast_link_local() => {
            IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() >> 64 << 64))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn many_from_one_place_leave_room_for_others() {
        let crowd = Crowd::new(2);
        let enter = |from: &str| crowd.enter(from.parse().unwrap());
        let (one, _two) = (enter("10.0.0.1").unwrap(), enter("10.0.0.1").unwrap());
        assert!(enter("10.0.0.1").is_none() && enter("::ffff:10.0.0.1").is_none());
        assert!(enter("10.0.0.2").is_some());
        drop(one);
        assert!(enter("10.0.0.1").is_some());

        let _subnet = (enter("2001:db8::1").unwrap(), enter("2001:db8::2").unwrap());
        assert!(enter("2001:db8::3").is_none() && enter("2001:db8:0:1::1").is_some());
        let _link = (enter("fe80::1").unwrap(), enter("fe80::1").unwrap());
        assert!(enter("fe80::2").is_some());
        drop((_subnet, _link, _two));
        assert!(crowd.there.lock().unwrap().is_empty(), "who is gone is forgotten");
    }
}
