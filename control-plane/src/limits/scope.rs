//! Which limits a request is under, by its method and the route that it came to. It knows no users and no addresses.

use axum::http::Method;

use super::rules::Policy;
use crate::auth::Role;

/// The limits that a request is under, those of one thing before those of all: what is refused for one costs nothing of all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Scope {
    /// Of its address.
    pub(super) address: Vec<Policy>,
    /// Of its user, but for what they do altogether.
    pub(super) user: Vec<Policy>,
    /// What its user does altogether counts, too.
    pub(super) is_counted: bool,
    /// Its answers may be kept by caches, in which no numbers of anybody's belong.
    pub(super) is_public: bool,
}

impl Scope {
    /// The limits of a request to this route. Health is under none: who asks for it asks often, and has to know.
    pub(super) fn of(method: &Method, route: &str) -> Self {
        let under = |address: &[Policy], user: &[Policy]| Self {
            address: address.iter().copied().chain([Policy::Ip]).collect(),
            user: user.to_vec(),
            is_counted: true,
            is_public: false,
        };
        let is = |wanted: Method| *method == wanted;
        match route {
            "/health/live" | "/health/ready" | "/metrics" => Self::default(),
            "/v1/auth/register" | "/v1/auth/login" | "/v1/auth/refresh" => under(&[Policy::Auth], &[]),
            "/v1/videos/upload" | "/v1/videos" | "/v1/tus" if is(Method::POST) => under(&[], &[Policy::Upload]),
            "/v1/videos/{id}/transcode" | "/v1/batches" | "/v1/plans" if is(Method::POST) => {
                under(&[], &[Policy::Transcode])
            }
            "/v1/videos" if is(Method::GET) || is(Method::HEAD) => under(&[], &[Policy::List]),
            // A source of 10 GiB has 2048 parts, and a film as many segments: neither is to take half an hour for the count's sake.
            "/v1/videos/{id}/chunk" | "/v1/tus/{id}" => Self { is_counted: false, ..under(&[], &[]) },
            _ if route.starts_with("/play/") => Self { is_counted: false, is_public: true, ..under(&[], &[]) },
            _ => under(&[], &[]),
        }
    }

    /// The limits that somebody of this role is under with it.
    pub(super) fn of_user(&self, role: Role) -> Vec<Policy> {
        let all = if role == Role::Admin { Policy::Admin } else { Policy::User };
        self.user.iter().copied().chain(self.is_counted.then_some(all)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_under_the_limits_that_are_written_down_for_it() {
        use Policy::{Admin, Auth, Ip, List, Transcode, Upload, User};
        let of = |method: Method, route: &str| {
            let scope = Scope::of(&method, route);
            (scope.address.clone(), scope.of_user(Role::User))
        };
        assert_eq!(of(Method::POST, "/v1/auth/login"), (vec![Auth, Ip], vec![User]));
        assert_eq!(of(Method::GET, "/v1/auth/me"), (vec![Ip], vec![User]));
        assert_eq!(of(Method::POST, "/v1/videos/upload"), (vec![Ip], vec![Upload, User]));
        assert_eq!(of(Method::POST, "/v1/videos"), (vec![Ip], vec![Upload, User]));
        assert_eq!(of(Method::PUT, "/v1/videos/{id}/chunk"), (vec![Ip], vec![]));
        assert_eq!(of(Method::POST, "/v1/tus"), (vec![Ip], vec![Upload, User]));
        assert_eq!(of(Method::PATCH, "/v1/tus/{id}"), (vec![Ip], vec![]));
        assert_eq!(of(Method::GET, "/v1/videos"), (vec![Ip], vec![List, User]));
        assert_eq!(of(Method::HEAD, "/v1/videos"), (vec![Ip], vec![List, User]));
        assert_eq!(of(Method::GET, "/v1/videos/{id}"), (vec![Ip], vec![User]));
        assert_eq!(of(Method::POST, "/v1/videos/{id}/transcode"), (vec![Ip], vec![Transcode, User]));
        assert_eq!(of(Method::POST, "/v1/batches"), (vec![Ip], vec![Transcode, User]));
        assert_eq!(of(Method::GET, "/play/{job}/{signature}/{*path}"), (vec![Ip], vec![]));
        assert_eq!(of(Method::GET, "/health/ready"), (vec![], vec![]));
        assert_eq!(of(Method::GET, "/nothing"), (vec![Ip], vec![User]));
        assert_eq!(Scope::of(&Method::GET, "/v1/videos").of_user(Role::Admin), [List, Admin]);
    }

    #[test]
    fn the_routes_that_are_named_here_are_there() {
        let document = crate::http::openapi().unwrap();
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        let there = [
            ("/v1/auth/register", "post"),
            ("/v1/auth/login", "post"),
            ("/v1/auth/refresh", "post"),
            ("/v1/videos/upload", "post"),
            ("/v1/videos", "get"),
            ("/v1/videos", "post"),
            ("/v1/videos/{id}/transcode", "post"),
            ("/v1/plans", "post"),
            ("/v1/videos/{id}/chunk", "put"),
            ("/v1/tus", "post"),
            ("/v1/tus/{id}", "patch"),
            ("/health/live", "get"),
            ("/health/ready", "get"),
        ];
        for (route, method) in there {
            assert!(document["paths"][route][method].is_object(), "{method} {route}");
        }
    }
}
