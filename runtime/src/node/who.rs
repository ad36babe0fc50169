//! Who is behind an interface: what a generation is told of it.

use super::closed;
use super::places::Place;
use super::problem::{Done, not_loaded};
use crate::attachments::Programs;
use crate::generation::Generation;
use std::net::{IpAddr, Ipv6Addr};
use verdict_abi::datapath::packet::Address;
use verdict_abi::datapath::{Attachment, CLOSED, HAS_V4, HAS_V6};
use verdict_abi::{Config, Section, Tables as _};
use verdict_compiler::diagnostic::Diagnostic;
use verdict_compiler::image::Image;

/// Says to a generation who is behind each interface. Returns what is closed by it.
pub(super) fn say_who(
    generation: &mut Generation,
    image: &Image<'_>,
    places: &[Place],
    programs: Programs,
) -> Done<Vec<Diagnostic>> {
    let mut warnings = Vec::new();
    let mut entries = Vec::new();
    for place in places {
        let Some(interface) = place.interface() else {
            continue;
        };
        let found = image.endpoint(&place.of);
        // What comes to a node's own interface is also for its pods, and comes the other way round.
        let endpoint = found.filter(|endpoint| !image.is_host(*endpoint));
        if endpoint.is_none() {
            let why = match place.damage {
                None if found.is_some() => {
                    "it is the node itself, which is not behind an interface"
                }
                None => "the image does not have it",
                Some(_) => "the pin is lost that says who is behind it",
            };
            warnings.push(closed(place, why));
        }
        entries.push(entry(image, interface, endpoint));
    }
    let said = generation.attach_interfaces(&entries, programs);
    said.map_err(|error| not_loaded(&error))?;
    Ok(warnings)
}

fn entry(image: &Image<'_>, interface: u32, endpoint: Option<u32>) -> Attachment {
    let Some(endpoint) = endpoint else {
        return Attachment {
            interface,
            flags: CLOSED,
            ..Attachment::default()
        };
    };
    let mut entry = Attachment {
        interface,
        endpoint,
        ..Attachment::default()
    };
    // One address of each family is compared before the others are searched for.
    for (address, own) in addresses(image) {
        if own != endpoint {
            continue;
        }
        match address {
            IpAddr::V4(address) => {
                entry.flags |= HAS_V4;
                entry.v4 = address.to_bits();
            }
            IpAddr::V6(address) => {
                entry.flags |= HAS_V6;
                entry.v6 = Address::v6(address.to_bits());
            }
        }
    }
    entry
}

/// The addresses of the endpoints of an image.
pub(super) fn addresses(image: &Image<'_>) -> impl Iterator<Item = (IpAddr, u32)> {
    (0..image.count(Config::Addresses)).filter_map(|index| {
        let words = [0, 1, 2].map(|word| image.word(Section::Addresses, index * 3 + word));
        let [Some(upper), Some(lower), Some(endpoint)] = words else {
            return None;
        };
        let bits = u128::from(upper) << 64 | u128::from(lower);
        let address = IpAddr::from(Ipv6Addr::from_bits(bits)).to_canonical();
        Some((address, u32::try_from(endpoint).ok()?))
    })
}
