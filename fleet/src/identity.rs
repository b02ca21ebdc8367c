//! Who a peer is: a role and a name, as its certificate states them. Pure; whether the certificate is genuine is not
//! decided here.

use std::fmt;
use std::str::FromStr;

use crate::transfer::Kind;

/// The roles of a fleet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Reads sources, hands out the packets of chunks.
    Splitter,
    /// Encodes chunks.
    Node,
    /// Gathers encoded chunks.
    Stitcher,
    /// Answers users, drives jobs.
    ControlPlane,
    /// Asks the control plane for something.
    Client,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Splitter, Self::Node, Self::Stitcher, Self::ControlPlane, Self::Client];

    /// As it stands in certificates and on command lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Splitter => "splitter",
            Self::Node => "node",
            Self::Stitcher => "stitcher",
            Self::ControlPlane => "control-plane",
            Self::Client => "client",
        }
    }

    /// Whether others connect to it. Only such a role's certificate is good for a TLS server.
    #[must_use]
    pub const fn listens(self) -> bool {
        match self {
            Self::Splitter | Self::Stitcher | Self::ControlPlane => true,
            Self::Node | Self::Client => false,
        }
    }

    /// Whether it may hand out chunks.
    #[must_use]
    pub const fn is_origin(self) -> bool {
        matches!(self, Self::Splitter)
    }

    /// Whether it may take in what was encoded.
    #[must_use]
    pub const fn is_spool(self) -> bool {
        matches!(self, Self::Stitcher)
    }

    /// Whether it may fetch the packets of chunks.
    #[must_use]
    pub const fn fetches(self) -> bool {
        matches!(self, Self::Node)
    }

    /// Whether it may deliver objects of this kind, which it has made.
    #[must_use]
    pub const fn delivers(self, kind: Kind) -> bool {
        match kind {
            Kind::Packets => false,
            Kind::Encoded => matches!(self, Self::Node),
            Kind::Index => matches!(self, Self::Splitter),
        }
    }

    /// Whether it connects to those who hand out chunks or take something in.
    #[must_use]
    pub const fn works(self) -> bool {
        self.fetches() || self.delivers(Kind::Encoded) || self.delivers(Kind::Index)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// A role that there is not.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no role; there are splitter, node, stitcher, control-plane and client")]
pub struct UnknownRole(String);

/// What a peer is called: one to 63 lower-case letters, digits and dashes, as a DNS label is (RFC 1123, 2.1).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Name(String);

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let edges = !text.starts_with('-') && !text.ends_with('-');
        match (1..=63).contains(&text.len()) && text.bytes().all(inner) && edges {
            true => Ok(Self(text.to_owned())),
            false => Err(BadName(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that nobody can have.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} can't be a name: it takes 1 to 63 lower-case letters, digits and dashes, with no dash at either end")]
pub struct BadName(String);

/// A role and a name. Written `vtp://ROLE/NAME`, which stands in certificates as an alternative name of the kind URI.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// What it may do.
    pub role: Role,
    /// Which one it is.
    pub name: Name,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vtp://{}/{}", self.role, self.name)
    }
}

impl FromStr for Identity {
    type Err = NoIdentity;

    fn from_str(text: &str) -> Result<Self, NoIdentity> {
        let (role, name) = text.strip_prefix("vtp://").and_then(|rest| rest.split_once('/')).ok_or(NoIdentity)?;
        match (role.parse(), name.parse()) {
            (Ok(role), Ok(name)) => Ok(Self { role, name }),
            _ => Err(NoIdentity),
        }
    }
}

/// What is not `vtp://ROLE/NAME`.
#[derive(Debug, thiserror::Error)]
#[error("it is not vtp://ROLE/NAME")]
pub struct NoIdentity;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_identity_is_read_as_it_is_written() {
        for role in Role::ALL {
            let identity = Identity { role, name: "fra-3".parse().unwrap() };
            assert_eq!(identity.to_string(), format!("vtp://{role}/fra-3"));
            assert_eq!(identity.to_string().parse::<Identity>().unwrap(), identity);
        }
    }

    #[test]
    fn what_is_nearly_an_identity_is_none() {
        for text in
            ["", "vtp://", "vtp://node", "vtp://node/", "vtp://node/a/b", "vtp://root/a", "VTP://node/a", "node/a"]
        {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }

    #[test]
    fn nodes_encode_splitters_look_into_sources_and_neither_does_the_others_work() {
        let of = |may: fn(Role) -> bool| Role::ALL.into_iter().filter(|&role| may(role)).collect::<Vec<_>>();
        assert_eq!(of(Role::works), [Role::Splitter, Role::Node]);
        assert_eq!(of(Role::fetches), [Role::Node]);
        assert_eq!(of(|role| role.delivers(Kind::Encoded)), [Role::Node]);
        assert_eq!(of(|role| role.delivers(Kind::Index)), [Role::Splitter]);
        assert_eq!(of(|role| role.delivers(Kind::Packets)), []);
        assert_eq!(of(Role::is_origin), [Role::Splitter]);
        assert_eq!(of(Role::is_spool), [Role::Stitcher]);
        assert!(!Role::Node.listens() && !Role::Client.listens());
    }

    proptest! {
        #[test]
        fn any_text_is_an_identity_or_refused(text in "(vtp://)?(node|client|x)?/?[a-z0-9/-]{0,70}") {
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert_eq!(identity.to_string(), text);
            }
        }
    }
}
