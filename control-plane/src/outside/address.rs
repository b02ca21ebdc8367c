//! Which addresses are reached from everywhere: all but those of IANA's special-purpose registries (RFC 6890, as of 2026) that are
//! not, and those of many (multicast). Whoever names another has something in mind that is inside of somebody's network: ours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What of IPv4 is not for everybody: addresses and the bits that count of them.
const NOT_PUBLIC_V4: [(Ipv4Addr, u32); 16] = [
    // "This network", RFC 791.
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    // Private, RFC 1918.
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    // Shared by carriers' subscribers, RFC 6598.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    // Loopback, RFC 1122.
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local, RFC 3927; clouds tell their machines' secrets at 169.254.169.254.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Private, RFC 1918.
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    // The IETF's protocols, RFC 6890.
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    // For documents, RFC 5737.
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    // Relays of 6to4, RFC 7526.
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    // Private, RFC 1918.
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // Benchmarks, RFC 2544.
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    // For documents, RFC 5737.
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast, RFC 5771.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    // Reserved, RFC 1112; with the broadcast, RFC 8190.
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    (Ipv4Addr::new(255, 255, 255, 255), 32),
];

/// What of IPv6 is given out at all (RFC 4291): unique local, link-local, multicast, loopback and all else are outside of it.
const GLOBAL_UNICAST: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What of that is not for everybody.
const NOT_PUBLIC_V6: [(Ipv6Addr, u32); 4] = [
    // The IETF's protocols, RFC 2928: Teredo (RFC 4380), benchmarks (RFC 5180), ORCHID (RFC 7343) and more.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    // For documents, RFC 3849.
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4, RFC 3056: it holds an address of IPv4.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    // For documents, RFC 9637.
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Prefixes of /96 behind which stands an address of IPv4, which is meant: mapped ones (RFC 4291), and those of translators
/// (NAT64, RFC 6052), by which hosts without IPv4 reach it.
const HOLD_V4: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0)];

/// Whether an address is reached from everywhere.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|network| has_v4(*network, address)),
        IpAddr::V6(address) => match held(address) {
            Some(held) => is_public(held.into()),
            None => has_v6(GLOBAL_UNICAST, address) && !NOT_PUBLIC_V6.iter().any(|network| has_v6(*network, address)),
        },
    }
}

/// The address of IPv4 that is meant by one of IPv6.
fn held(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let is_held = HOLD_V4.iter().any(|prefix| has_v6((*prefix, 96), address));
    is_held.then(|| Ipv4Addr::from_bits(address.to_bits() as u32))
}

fn has_v4((network, bits): (Ipv4Addr, u32), address: Ipv4Addr) -> bool {
    (network.to_bits() ^ address.to_bits()).leading_zeros() >= bits
}

fn has_v6((network, bits): (Ipv6Addr, u32), address: Ipv6Addr) -> bool {
    (network.to_bits() ^ address.to_bits()).leading_zeros() >= bits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    #[test]
    fn what_is_given_to_hosts_of_the_internet_is_public() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "128.0.0.1",
            "169.253.0.1",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.31.196.1",
            "192.169.0.0",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2a00::1",
            "2003::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn what_is_within_somebody_s_network_or_nowhere_is_not() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.1.2.3",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "100:0:0:1::1",
            "2001::1",
            "2001:0:53aa:64c:0:7a4f:f5ff:fffe",
            "2001:2::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }

    proptest! {
        #[test]
        fn an_address_of_ipv4_is_the_same_in_every_writing(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            for prefix in HOLD_V4 {
                let written = Ipv6Addr::from_bits(prefix.to_bits() | u128::from(bits));
                prop_assert_eq!(is_public(written.into()), is_public(address.into()), "{}", written);
            }
        }

        #[test]
        fn no_address_of_a_network_that_is_not_public_is(which in 0..NOT_PUBLIC_V4.len(), other in 0..NOT_PUBLIC_V6.len(), low: u128) {
            let ((network, bits), (network_6, bits_6)) = (NOT_PUBLIC_V4[which], NOT_PUBLIC_V6[other]);
            let within = low as u32 & u32::MAX.checked_shr(bits).unwrap_or_default();
            prop_assert!(!is_public(Ipv4Addr::from_bits(network.to_bits() | within).into()));
            let within = low & u128::MAX.checked_shr(bits_6).unwrap_or_default();
            prop_assert!(!is_public(Ipv6Addr::from_bits(network_6.to_bits() | within).into()));
        }
    }
}
