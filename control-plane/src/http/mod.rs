//! The API over HTTP: a file a resource. Handlers turn a request into values, ask the database, the store or the fleet, and turn
//! what comes of it into an answer; whatever is wrong becomes a [`Problem`].

mod audit;
mod auth;
mod batches;
mod bounds;
mod cors;
mod device;
mod document;
mod events;
mod extract;
mod idempotency;
mod integer;
mod jobs;
mod keys;
mod object;
mod page;
mod plans;
mod playback;
mod progress;
mod serve;
mod sources;
mod stream;
mod system;
mod tus;
mod uploads;
mod urls;
mod videos;
pub(crate) mod visit;
mod webhooks;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::bounds::{LONGEST_BATCH, PATIENCE};
use self::document::Document;
use self::idempotency::ToItsEnd;
pub use self::serve::serve;
use crate::app::App;
use crate::config::Config;
use crate::limits;
use crate::problem::{Kind, Problem};

/// What a request is called.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest body of a request that is no part of an upload.
const LONGEST: usize = 256 * 1024;

/// All there is of the API, and the document that describes it.
fn api(config: &Config) -> (Router<App>, utoipa::openapi::OpenApi) {
    let small = OpenApiRouter::new()
        .routes(routes!(auth::register))
        .routes(routes!(auth::login))
        .routes(routes!(auth::refresh))
        .routes(routes!(auth::logout))
        .routes(routes!(auth::sessions))
        .routes(routes!(auth::end_session))
        .routes(routes!(auth::me))
        .routes(routes!(audit::list))
        .routes(routes!(keys::create, keys::list))
        .routes(routes!(keys::revoke))
        .routes(routes!(uploads::begin))
        .routes(routes!(urls::urls))
        .routes(routes!(uploads::complete))
        .routes(routes!(videos::list, sources::create))
        .routes(routes!(videos::get, videos::delete))
        .routes(routes!(plans::create))
        .routes(routes!(jobs::transcode))
        .routes(routes!(jobs::of_video))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::get))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::outputs, jobs::delete_outputs))
        .routes(routes!(jobs::report))
        .routes(routes!(webhooks::create, webhooks::list))
        .routes(routes!(webhooks::get, webhooks::remove))
        .routes(routes!(webhooks::rotate))
        .routes(routes!(webhooks::enable))
        .routes(routes!(webhooks::disable))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::deliveries_of))
        .routes(routes!(webhooks::replay))
        .layer(DefaultBodyLimit::max(LONGEST))
        .layer(middleware::from_fn(in_time));
    let batches = OpenApiRouter::new()
        .routes(routes!(batches::create, batches::list))
        .routes(routes!(batches::get))
        .routes(routes!(batches::jobs_of))
        .routes(routes!(batches::cancel))
        .layer(DefaultBodyLimit::max(LONGEST_BATCH))
        .layer(middleware::from_fn(in_time));
    let parts = OpenApiRouter::new().routes(routes!(uploads::part));
    let streams = OpenApiRouter::new().routes(routes!(progress::progress)).routes(routes!(events::events));
    let versioned = small.merge(batches).merge(parts).merge(streams).merge(tus::router());
    let (router, mut described) = OpenApiRouter::with_openapi(Document::openapi())
        .nest("/v1", versioned)
        .routes(routes!(system::live))
        .routes(routes!(system::ready))
        .routes(routes!(system::status))
        .split_for_parts();
    document::complete(&mut described, config);
    (router, described)
}

/// The document that describes the API, as JSON.
///
/// # Errors
/// It can't be written.
pub fn openapi() -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&api(&Config::default()).1)
}

/// What answers requests.
pub fn router(app: App) -> Router {
    let (api, document) = api(&app.config);
    let document = axum::Json(document);
    Router::new()
        .merge(api)
        .route("/openapi.json", axum::routing::get(async move || document))
        .route("/metrics", axum::routing::get(system::metrics))
        .merge(playback::router().layer(players(&app.config)))
        .fallback(async || Problem::not_found("place"))
        .method_not_allowed_fallback(async || Problem::new(Kind::MethodNotAllowed, "this place knows other methods"))
        .layer(middleware::from_fn_with_state(app.clone(), idempotency::once))
        .layer(middleware::from_fn_with_state(app.clone(), limits::guard))
        .layer(middleware::from_fn(name_problems))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(app.clone(), limits::tell))
        .layer(middleware::from_fn_with_state(app.clone(), visit::note))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(middleware::from_fn_with_state(app.clone(), cors::tell))
        .with_state(app)
}

/// Whose pages players may be on.
fn players(config: &Config) -> CorsLayer {
    let layer = CorsLayer::new().allow_methods(Any).allow_headers([header::RANGE]).expose_headers([
        header::CONTENT_RANGE,
        header::CONTENT_LENGTH,
        header::ACCEPT_RANGES,
    ]);
    if config.player_origins.iter().any(|it| it == "*") {
        return layer.allow_origin(Any);
    }
    layer.allow_origin(AllowOrigin::list(config.player_origins.iter().filter_map(|it| it.parse().ok())))
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    Problem::internal(&"a handler panicked").into_response()
}

/// Puts the request's name into what is wrong with it.
async fn name_problems(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().and_then(|it| it.header_value().to_str().ok().map(str::to_owned));
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let mut named = problem.of(id).into_response();
    // What else was said with it, as which methods there are, or how many bytes.
    for (name, value) in response.headers() {
        if *name != header::CONTENT_LENGTH && !named.headers().contains_key(name) {
            named.headers_mut().append(name, value.clone());
        }
    }
    named
}

/// Answers in time, whatever comes of it; where somebody else sees to that, it goes on to its end.
async fn in_time(request: Request, next: Next) -> Response {
    if request.extensions().get::<ToItsEnd>().is_some() {
        return next.run(request).await;
    }
    let answer = tokio::time::timeout(PATIENCE, next.run(request)).await;
    answer.unwrap_or_else(|_| Problem::new(Kind::Unavailable, "it takes too long for the moment").into_response())
}

/// Whether it can be what something is called: from 1 to 100 letters, not only blanks.
fn is_name(text: &str) -> bool {
    (1..=100).contains(&text.chars().count()) && !text.contains('\0') && !text.trim().is_empty()
}
