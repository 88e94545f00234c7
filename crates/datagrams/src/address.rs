//! Socket addresses and packet information, between the kernel's form and ours.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The kernel's form of an IPv4 or IPv6 address with its port: the first bytes of both say which.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) union Peer {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl Peer {
    pub(crate) const NONE: Self = Self {
        v6: libc::sockaddr_in6 {
            sin6_family: 0,
            sin6_port: 0,
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
            sin6_scope_id: 0,
        },
    };

    /// The address, if it is one of the two families.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        #[allow(unsafe_code)]
        // SAFETY: all fields are plain numbers, for which any bytes will do, and all bytes are
        // initialised: NONE sets the largest variant, the kernel and `of` write on top of that.
        let (family, v4, v6) = unsafe { (self.family, self.v4, self.v6) };
        match i32::from(family) {
            libc::AF_INET => {
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                let (ip, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
                Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
            }
            _ => None,
        }
    }

    /// How many bytes of it count.
    pub(crate) fn length(&self) -> usize {
        #[allow(unsafe_code)]
        // SAFETY: as in `address`.
        match i32::from(unsafe { self.family }) {
            libc::AF_INET => size_of::<libc::sockaddr_in>(),
            libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
            _ => 0,
        }
    }

    /// The kernel's form of an address.
    pub(crate) fn of(address: SocketAddr) -> Self {
        let mut peer = Self::NONE;
        match address {
            SocketAddr::V4(v4) => {
                peer.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                    sin_zero: [0; 8],
                };
            }
            SocketAddr::V6(v6) => {
                peer.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
            }
        }
        peer
    }
}

/// Which of our addresses a datagram was sent to, as far as the socket tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// The socket does not tell: it is bound to one address, and answers from there.
    Unknown,
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, and its interface where it means nothing without (fe80::/10); else 0.
    V6(Ipv6Addr, u32),
}

/// A control message for [`Local`], in either direction: its header, and room for the larger of the
/// two kinds of packet information (cmsg(3)).
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Control {
    header: libc::cmsghdr,
    data: Information,
}

#[derive(Clone, Copy)]
#[repr(C)]
union Information {
    v4: libc::in_pktinfo,
    v6: libc::in6_pktinfo,
}

/// Bytes of a control message with so many bytes of data: CMSG_LEN of cmsg(3).
const fn control_length(data: usize) -> usize {
    size_of::<libc::cmsghdr>() + data
}

const V4_LENGTH: usize = control_length(size_of::<libc::in_pktinfo>());
const V6_LENGTH: usize = control_length(size_of::<libc::in6_pktinfo>());

// The header's size is a multiple of its alignment, so the data follows it as CMSG_DATA has it; and
// the whole is as long as CMSG_SPACE of the larger kind.
const _: () = assert!(size_of::<libc::cmsghdr>().is_multiple_of(align_of::<libc::cmsghdr>()));
const _: () = assert!(size_of::<Control>() >= V6_LENGTH);
const _: () = assert!(size_of::<Control>().is_multiple_of(align_of::<libc::cmsghdr>()));

impl Control {
    pub(crate) const NONE: Self = Self {
        header: libc::cmsghdr { cmsg_len: 0, cmsg_level: 0, cmsg_type: 0 },
        data: Information {
            v6: libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: [0; 16] },
                ipi6_ifindex: 0,
            },
        },
    };

    /// What the kernel wrote, `length` bytes in all.
    pub(crate) fn local(&self, length: usize) -> Local {
        let libc::cmsghdr { cmsg_len, cmsg_level, cmsg_type, .. } = self.header;
        #[allow(unsafe_code)]
        // SAFETY: both are plain numbers, for which any bytes will do, and all bytes are
        // initialised: NONE sets the larger variant, the kernel writes on top of that.
        let (v4, v6) = unsafe { (self.data.v4, self.data.v6) };
        match (cmsg_level, cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO)
                if length >= V4_LENGTH && cmsg_len == V4_LENGTH =>
            {
                // Not ipi_addr: for a broadcast that is no address of ours.
                Local::V4(Ipv4Addr::from(u32::from_be(v4.ipi_spec_dst.s_addr)))
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
                if length >= V6_LENGTH && cmsg_len == V6_LENGTH =>
            {
                let address = Ipv6Addr::from(v6.ipi6_addr.s6_addr);
                let interface = if address.is_unicast_link_local() { v6.ipi6_ifindex } else { 0 };
                Local::V6(address, interface)
            }
            _ => Local::Unknown,
        }
    }

    /// The control message that has a datagram sent from an address of ours, and its length; 0 when
    /// the kernel is to choose. The route decides on the interface, but for link-local addresses.
    pub(crate) fn of(local: Local) -> (Self, usize) {
        let mut control = Self::NONE;
        let (length, level, kind) = match local {
            Local::Unknown => return (control, 0),
            Local::V4(address) => {
                control.data.v4 = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from(address).to_be() },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                (V4_LENGTH, libc::IPPROTO_IP, libc::IP_PKTINFO)
            }
            Local::V6(address, interface) => {
                control.data.v6 = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: address.octets() },
                    ipi6_ifindex: interface,
                };
                (V6_LENGTH, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
            }
        };
        control.header = libc::cmsghdr { cmsg_len: length, cmsg_level: level, cmsg_type: kind };
        (control, length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_come_back() {
        for text in ["192.0.2.1:53", "0.0.0.0:0", "[2001:db8::1]:5353", "[fe80::1%7]:53"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Peer::of(address).address(), Some(address));
        }
        assert_eq!(Peer::NONE.address(), None);
    }

    #[test]
    fn packet_information_comes_back() {
        let link_local = Local::V6("fe80::1".parse().unwrap(), 3);
        let global = Local::V6("2001:db8::1".parse().unwrap(), 0);
        for local in [Local::V4(Ipv4Addr::LOCALHOST), link_local, global] {
            let (control, length) = Control::of(local);
            assert_eq!(control.local(length), local);
            assert_eq!(control.local(length - 1), Local::Unknown, "cut off");
        }
        assert_eq!(Control::NONE.local(0), Local::Unknown);
    }
}
