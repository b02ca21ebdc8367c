//! Which limits there are, and how much each allows: the section `limits` of the settings. Each is written as the requests a minute
//! and at once, `10/20`, or as `off`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_with::{DeserializeFromStr, SerializeDisplay};

use super::gcra::{MOST, Quota};

/// A limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Policy {
    /// Signing up and in, and new tokens; of an address.
    Auth,
    /// Beginning uploads and fetches; of a user.
    Upload,
    /// Listing videos; of a user.
    List,
    /// Ordering ladders and plans; of a user.
    Transcode,
    /// All that an administrator does, in place of [`User`](Self::User).
    Admin,
    /// All that a user does, but for parts of uploads.
    User,
    /// All that comes from an address.
    Ip,
}

impl Policy {
    /// As it is called in headers, settings and the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Upload => "upload",
            Self::List => "list",
            Self::Transcode => "transcode",
            Self::Admin => "admin",
            Self::User => "user",
            Self::Ip => "ip",
        }
    }
}

/// How much each limit allows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Whether there are limits at all.
    pub on: bool,
    /// [`Policy::Auth`].
    pub auth: Rule,
    /// [`Policy::Upload`].
    pub upload: Rule,
    /// [`Policy::List`].
    pub list: Rule,
    /// [`Policy::Transcode`].
    pub transcode: Rule,
    /// [`Policy::Admin`].
    pub admin: Rule,
    /// [`Policy::User`].
    pub user: Rule,
    /// [`Policy::Ip`].
    pub ip: Rule,
}

impl Default for Rules {
    fn default() -> Self {
        let rule = |per_minute, burst| Rule(Quota::new(per_minute, burst));
        Self {
            on: true,
            auth: rule(10, 20),
            upload: rule(5, 10),
            list: rule(60, 100),
            transcode: rule(10, 20),
            admin: rule(1000, 5000),
            user: rule(100, 100),
            ip: rule(1000, 1000),
        }
    }
}

impl Rules {
    /// None at all.
    pub fn off() -> Self {
        Self { on: false, ..Self::default() }
    }

    /// What a limit allows; `None` if there is none.
    pub fn quota(&self, policy: Policy) -> Option<Quota> {
        let rule = match policy {
            Policy::Auth => self.auth,
            Policy::Upload => self.upload,
            Policy::List => self.list,
            Policy::Transcode => self.transcode,
            Policy::Admin => self.admin,
            Policy::User => self.user,
            Policy::Ip => self.ip,
        };
        rule.0.filter(|_| self.on)
    }
}

/// What a limit allows; nothing is all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, SerializeDisplay, DeserializeFromStr)]
pub struct Rule(pub Option<Quota>);

/// Something is no rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a limit is requests a minute and at once, as in \"10/20\", each from 1 to {MOST}; or \"off\"")]
pub struct NoRule;

impl FromStr for Rule {
    type Err = NoRule;

    fn from_str(text: &str) -> Result<Self, NoRule> {
        if text == "off" {
            return Ok(Self(None));
        }
        let (per_minute, burst) = text.split_once('/').ok_or(NoRule)?;
        let number = |text: &str| text.trim().parse().map_err(|_| NoRule);
        Quota::new(number(per_minute)?, number(burst)?).map(|quota| Self(Some(quota))).ok_or(NoRule)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(quota) => write!(f, "{}/{}", quota.per_minute(), quota.burst()),
            None => f.write_str("off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_of_limits_is_as_usual_and_what_can_not_be_is_refused() {
        let rules: Rules = toml::from_str("upload = \"30/60\"\nip = \"off\"").unwrap();
        assert_eq!(rules.quota(Policy::Upload), Quota::new(30, 60));
        assert_eq!(rules.quota(Policy::Ip), None);
        assert_eq!(rules.quota(Policy::Auth), Quota::new(10, 20));
        for bad in ["upload = \"0/5\"", "upload = \"5\"", "upload = 5", "uploads = \"5/5\"", "ip = \"none\""] {
            assert!(toml::from_str::<Rules>(bad).is_err(), "{bad}");
        }
        assert_eq!(Rules::off().quota(Policy::Auth), None);
    }

    #[test]
    fn rules_are_written_as_they_are_read() {
        let rules = Rules { ip: Rule(None), ..Rules::default() };
        assert_eq!(toml::from_str::<Rules>(&toml::to_string(&rules).unwrap()).unwrap(), rules);
    }
}
