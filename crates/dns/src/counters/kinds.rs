//! What is counted.

use eximrbl_zone::QueryType;

use crate::cookie::Standing;

/// Defines what is counted once: the enum, its names (as in JSON), and how many there are.
macro_rules! counted {
    ($(#[doc = $head:literal])* $name:ident {
        $($(#[doc = $doc:literal])* $variant:ident = $text:literal,)*
    }) => {
        $(#[doc = $head])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[doc = $doc])* $variant,)* }

        impl $name {
            /// All of them, in their order.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$variant),*];

            /// The name, in snake case, as in JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

counted! {
    /// The way on which a query was answered.
    Way {
        /// By UDP, without hickory.
        UdpQuick = "udp_quick",
        /// By UDP, with hickory: the quick way had declined it.
        UdpComplete = "udp_complete",
        /// By TCP.
        Tcp = "tcp",
    }
}

counted! {
    /// The type that was asked for.
    Kind {
        /// An IPv4 address: the codes of a listed client.
        A = "a",
        /// Text: why it is listed.
        Txt = "txt",
        /// Every other type.
        Other = "other",
    }
}

counted! {
    /// What was decided about a question.
    Decided {
        /// The address is listed, and there are records of that type.
        Listed = "listed",
        /// The name does not exist.
        NxDomain = "nxdomain",
        /// The name exists, without records of that type.
        NoData = "nodata",
        /// The zone's own records.
        Apex = "apex",
        /// The client may not ask this zone.
        Prohibited = "prohibited",
        /// In no zone of ours, or not to be had at all, such as a transfer.
        Refused = "refused",
    }
}

counted! {
    /// What a client's cookie (RFC 7873) was worth.
    Cookie {
        /// It sent none.
        None = "none",
        /// It sent its own part alone: it does not know ours yet.
        ClientOnly = "client_only",
        /// Both parts, and ours is right.
        Valid = "valid",
        /// Both parts, and ours is wrong or out of date.
        Bad = "bad",
    }
}

counted! {
    /// What left as the answer.
    Reply {
        /// No error (RFC 1035 section 4.1.1; so the next five).
        NoError = "noerror",
        /// Malformed.
        FormErr = "formerr",
        /// A fault of ours.
        ServFail = "servfail",
        /// No such name.
        NxDomain = "nxdomain",
        /// An operation that is not done here.
        NotImp = "notimp",
        /// Not answered for reasons of policy.
        Refused = "refused",
        /// An EDNS version that nobody has defined yet (RFC 6891).
        BadVers = "badvers",
        /// Come again with the cookie that was sent along (RFC 7873).
        BadCookie = "badcookie",
        /// Any other response code.
        Other = "other",
        /// Over the rate limit: told to come again by TCP.
        Slipped = "slipped",
        /// Over the rate limit: no answer.
        Dropped = "dropped",
        /// No query at all: no answer.
        Ignored = "ignored",
    }
}

counted! {
    /// What is counted beside queries.
    Event {
        /// A query by UDP that the quick way left to the complete one.
        Declined = "declined",
        /// A query by UDP that was dropped, since too many others waited for the complete way.
        Overrun = "overrun",
        /// A response that was too long for UDP: the client was told to come by TCP.
        Truncated = "truncated",
        /// A response that could not be sent.
        Unsent = "unsent",
        /// TCP connections that were accepted.
        TcpAccepted = "tcp_accepted",
        /// TCP connections closed at once, for their client had its share of them already.
        TcpRefused = "tcp_refused",
        /// TCP connections closed because the client was too slow, or idle for too long.
        TcpTimedOut = "tcp_timed_out",
        /// TCP connections closed to make room for another, when there were as many as may be.
        TcpDisplaced = "tcp_displaced",
    }
}

impl From<QueryType> for Kind {
    fn from(query_type: QueryType) -> Self {
        match query_type {
            QueryType::A => Self::A,
            QueryType::TXT => Self::Txt,
            _ => Self::Other,
        }
    }
}

impl From<Standing> for Cookie {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Without => Self::None,
            Standing::New => Self::ClientOnly,
            Standing::Valid => Self::Valid,
            Standing::Invalid => Self::Bad,
        }
    }
}

impl From<u16> for Reply {
    /// The reply with a response code, EDNS's upper bits (RFC 6891 section 6.1.3) included.
    fn from(code: u16) -> Self {
        match code {
            0 => Self::NoError,
            1 => Self::FormErr,
            2 => Self::ServFail,
            3 => Self::NxDomain,
            4 => Self::NotImp,
            5 => Self::Refused,
            16 => Self::BadVers,
            23 => Self::BadCookie,
            _ => Self::Other,
        }
    }
}
