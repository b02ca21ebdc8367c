//! What somebody shows who says who they are, a token or a key: in `Authorization`; or, as a page can't set that for a WebSocket, among
//! the subprotocols that it offers (RFC 6455, 1.9), of which the answer names another. Never: a look whether it is good.

use axum::http::{HeaderMap, header};

use crate::problem::{Kind, Outcome, Problem};

/// What is spoken over a WebSocket.
pub(crate) const PROTOCOL: &str = "vtp.v1";
/// What the subprotocol begins with that a token stands in.
const BEARER: &str = "vtp.bearer.";

fn refused(why: &'static str) -> Problem {
    Problem::new(Kind::Unauthenticated, why)
}

/// What a request shows.
///
/// # Errors
/// It shows nothing that is read.
pub(super) fn by_request(headers: &HeaderMap) -> Outcome<&str> {
    let shown = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    let shown = shown.ok_or_else(|| refused("show an access token or an API key: Authorization: Bearer ..."))?;
    match shown.split_once(' ') {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => Ok(secret.trim()),
        _ => Err(refused("the scheme has to be Bearer")),
    }
}

/// The same of one that may ask to switch to WebSocket. What stands in `Authorization` counts before what is offered.
///
/// # Errors
/// As [`by_request`].
pub(super) fn by_listener(headers: &HeaderMap) -> Outcome<&str> {
    if headers.contains_key(header::AUTHORIZATION) || !asks_for_websocket(headers) {
        return by_request(headers);
    }
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|it| it.to_str().ok());
    let offered: Vec<&str> = offered.flat_map(|it| it.split(',')).map(str::trim).collect();
    let mut secrets = offered.iter().filter_map(|it| it.strip_prefix(BEARER));
    match (secrets.next(), secrets.next()) {
        (None, _) => Err(refused(
            "show an access token or an API key: Authorization: Bearer ..., or the subprotocols vtp.v1, vtp.bearer....",
        )),
        (Some(_), Some(_)) => Err(refused("offer one token, and no more")),
        // A browser takes no answer that names none of what it offered, and the token is not named.
        (Some(_), None) if !offered.contains(&PROTOCOL) => {
            Err(refused("offer the subprotocol vtp.v1 besides that of the token"))
        }
        (Some(secret), None) => Ok(secret),
    }
}

/// Whether a request is to become a WebSocket.
pub(crate) fn asks_for_websocket(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const AUTHORIZATION: HeaderName = header::AUTHORIZATION;
    const OFFERED: HeaderName = header::SEC_WEBSOCKET_PROTOCOL;
    const UPGRADE: (HeaderName, &str) = (header::UPGRADE, "WebSocket");

    fn headers(all: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        all.iter().for_each(|(name, value)| {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        });
        headers
    }

    #[test]
    fn a_token_is_among_the_subprotocols_of_a_websocket_in_one_line_or_several() {
        let both: [&[(HeaderName, &str)]; 3] = [
            &[UPGRADE, (OFFERED, "vtp.v1, vtp.bearer.a.b-c_d")],
            &[UPGRADE, (OFFERED, "vtp.bearer.a.b-c_d,other ,vtp.v1")],
            &[UPGRADE, (OFFERED, "vtp.bearer.a.b-c_d"), (OFFERED, "vtp.v1")],
        ];
        for all in both {
            assert_eq!(by_listener(&headers(all)).unwrap(), "a.b-c_d");
            assert!(by_request(&headers(all)).is_err());
        }
    }

    #[test]
    fn what_stands_in_authorization_counts_and_nothing_else_where_no_websocket_is_asked_for() {
        let token = (AUTHORIZATION, "bearer x");
        let offered = (OFFERED, "vtp.v1, vtp.bearer.y");
        assert_eq!(by_listener(&headers(&[UPGRADE, token.clone(), offered.clone()])).unwrap(), "x");
        assert_eq!(by_listener(&headers(&[token])).unwrap(), "x");
        let bad: [&[(HeaderName, &str)]; 6] = [
            std::slice::from_ref(&offered),
            &[UPGRADE, (AUTHORIZATION, "Basic x"), offered.clone()],
            &[UPGRADE, (OFFERED, "vtp.bearer.y")],
            &[UPGRADE, (OFFERED, "vtp.v1")],
            &[UPGRADE, (OFFERED, "vtp.v1, vtp.bearer.y, vtp.bearer.z")],
            &[UPGRADE],
        ];
        for all in bad {
            assert!(by_listener(&headers(all)).is_err(), "{all:?}");
        }
    }
}
