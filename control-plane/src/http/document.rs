//! The document that describes the API: what no handler says of itself, as it is the same everywhere or is of the settings. It
//! describes what answers do, and makes none of it so.

use utoipa::OpenApi;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Described, RefOr};

use crate::config::Config;
use crate::ids::SessionId;

#[derive(OpenApi)]
#[openapi(
    info(title = "VideoTranscode Pro", description = "Hand it a video, get back an HLS/DASH ladder that is measured and proven complete."),
    // Those that only stand in paths are not found by themselves.
    components(schemas(SessionId)),
    // Its path has slashes, which the router has other words for.
    paths(super::playback::file),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
pub(super) struct Document;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, api: &mut Described) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        let scheme = scheme.description(Some("An access token, or an API key")).build();
        api.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Adds what is the same of all operations, and the bounds that `config` sets.
pub(super) fn complete(document: &mut Described, config: &Config) {
    for item in document.paths.paths.values_mut() {
        operations(item).for_each(complete_operation);
        // Those that one function answers, and one description is of.
        if let Some(id) = item.head.as_mut().and_then(|head| head.operation_id.as_mut()) {
            id.push_str("_head");
        }
    }
    let upload = document.components.as_mut().and_then(|it| it.schemas.get_mut("NewUpload"));
    if let Some(RefOr::T(Schema::Object(upload))) = upload
        && let Some(RefOr::T(Schema::Object(size))) = upload.properties.get_mut("file_size")
    {
        let largest = usize::try_from(config.largest_source()).unwrap_or(usize::MAX);
        size.maximum = Some(largest.into());
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.head, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete]
        .into_iter()
        .flatten()
}

fn complete_operation(operation: &mut Operation) {
    // Handlers' names are their modules' own.
    if let (Some(id), Some([tag, ..])) = (&operation.operation_id, operation.tags.as_deref()) {
        operation.operation_id = Some(format!("{}_{id}", tag.replace(' ', "_")));
    }
    let is_for_all = operation.security.is_some();
    let responses = &mut operation.responses.responses;
    if let Some(RefOr::T(mut refused)) = responses.get("4XX").cloned().filter(|_| !is_for_all) {
        refused.description = "Not signed in".to_owned();
        responses.entry("401".to_owned()).or_insert(RefOr::T(refused));
    }
    for (status, response) in responses {
        let RefOr::T(response) = response else { continue };
        let mut add = |name: &str, header: Header| response.headers.insert(name.to_owned(), RefOr::T(header));
        add("x-request-id", text("What the request is called in the logs"));
        match status.as_str() {
            "401" => add("www-authenticate", text("How to show who one is: `Bearer`")),
            "503" => add("retry-after", seconds("When to try again")),
            _ => None,
        };
    }
}

fn text(what: &str) -> Header {
    let schema = Schema::from(ObjectBuilder::new().schema_type(Type::String));
    HeaderBuilder::new().schema(Some(schema)).description(Some(what)).build()
}

fn seconds(what: &str) -> Header {
    let schema = Schema::from(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)));
    HeaderBuilder::new().schema(Some(schema)).description(Some(what)).build()
}
