//! The interface to which the route to an address leads: the host's side of a pod's veth, where each pod has a route of its
//! own.

use super::problem::{Done, pins, problem};
use std::net::IpAddr;
use std::path::Path;
use verdict_compiler::diagnostic::codes;

/// A route of the main table: its first address and its length in bits, and the interface.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    first: u128,
    length: u32,
    interface: String,
}

/// The interface of the route to one address alone.
pub(super) fn interface(address: IpAddr) -> Done<String> {
    let (path, read): (_, fn(&str) -> Option<Route>) = match address {
        IpAddr::V4(_) => ("/proc/self/net/route", v4),
        IpAddr::V6(_) => ("/proc/self/net/ipv6_route", v6),
    };
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| pins(Path::new(path), "read", &error))?;
    let bits = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let routes = text.lines().filter_map(read);
    let matching = routes.filter(|route| {
        let mask = u128::MAX.checked_shl(128 - route.length).unwrap_or(0);
        bits & mask == route.first && route.interface != "lo"
    });
    match matching.max_by_key(|route| route.length) {
        Some(route) if route.length == whole => Ok(route.interface),
        found => {
            let message = match found {
                Some(route) => format!(
                    "the route to {address} leads to `{}`, which it shares with others",
                    route.interface
                ),
                None => format!("there is no route to {address}"),
            };
            Err(problem(
                &codes::NOT_ATTACHED,
                message,
                "name the host's side of the pod's interface: `--interface NAME --pod NAMESPACE/NAME`",
            ))
        }
    }
}

/// A line of `/proc/net/route`: numbers as they stand in memory.
fn v4(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let number = |index: usize| u32::from_str_radix(fields.get(index)?, 16).ok();
    let (first, mask) = (number(1)?, number(7)?);
    Some(Route {
        first: u128::from(u32::from_be_bytes(first.to_ne_bytes())) << 96,
        length: mask.count_ones(),
        interface: (*fields.first()?).to_owned(),
    })
}

/// A line of `/proc/net/ipv6_route`.
fn v6(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    Some(Route {
        first: u128::from_str_radix(fields.first()?, 16).ok()?,
        length: u32::from_str_radix(fields.get(1)?, 16).ok()?,
        interface: (*fields.get(9)?).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{v4, v6};

    #[test]
    fn lines_are_routes() {
        let route = v4("veth1\t0A01010A\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0").unwrap();
        assert_eq!((route.first >> 96, route.length), (0x0a01_010a, 32));
        let own = "fd000001000000000000000000000010 80";
        let any = "0".repeat(32);
        let line = format!("{own} {any} 00 {any} 00000400 00000001 00000000 00000001 veth1");
        let route = v6(&line).unwrap();
        assert_eq!((route.length, route.interface.as_str()), (128, "veth1"));
        assert_eq!(route.first >> 96, 0xfd00_0001);
        assert!(v4("Iface\tDestination\tGateway").is_none());
    }
}
