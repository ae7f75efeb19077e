//! Ports for a cluster: the same ones each time for a name where they are free, and never those of
//! another cluster.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};

use super::{State, folder, names};

/// The address of the service `kubernetes`: the first of [`SERVICES`].
pub const SERVICE_OF_THE_API_SERVER: &str = "10.96.0.1";
/// The addresses of services.
pub const SERVICES: &str = "10.96.0.0/16";
/// The addresses of pods.
pub const PODS: &str = "10.244.0.0/16";

/// Where ports are taken from: below what systems hand out for outgoing connections.
const FROM: u16 = 20_000;
const COUNT: u16 = 10_000;

/// Chooses `how_many` free ports on loopback for the cluster `name`.
///
/// # Errors
/// There are not that many.
pub fn free(name: &str, how_many: usize) -> Result<Vec<u16>> {
    let mut taken = BTreeSet::new();
    for other in names()?.iter().filter(|other| *other != name) {
        if let Ok(Some(state)) = folder::of(other).and_then(|folder| State::read(&folder)) {
            taken.extend(state.ports.into_values());
        }
    }
    let free = |port: &u16| !taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let ports: Vec<u16> = candidates(name).filter(free).take(how_many).collect();
    if ports.len() < how_many {
        bail!("no {how_many} free ports between {FROM} and {}", FROM + COUNT);
    }
    Ok(ports)
}

/// All ports of the range, starting at one that the name decides.
fn candidates(name: &str) -> impl Iterator<Item = u16> {
    let hash = Sha256::digest(name);
    let start = u16::from_be_bytes([hash[0], hash[1]]) % COUNT;
    (0..COUNT).map(move |step| FROM + (start + step) % COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gets_the_same_ports_again_and_never_ones_in_use() {
        let first = free("kai-ports-test", 3).unwrap();
        assert_eq!(first, free("kai-ports-test", 3).unwrap());
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, first[0])).unwrap();
        let second = free("kai-ports-test", 3).unwrap();
        assert!(!second.contains(&first[0]), "{second:?} holds the used {}", held.local_addr().unwrap());
    }

    #[test]
    fn every_port_of_the_range_is_a_candidate_once() {
        let all: BTreeSet<u16> = candidates("kai").collect();
        assert_eq!((all.len(), all.first(), all.last()), (10_000, Some(&20_000), Some(&29_999)));
    }
}
