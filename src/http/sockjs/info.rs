//! What a client asks first: what there is, and how long an answer takes (S16 to S18).

use hyper::{Response, StatusCode};

use super::Settings;
use super::answer::page;
use crate::http::site::Page;
use crate::transport::sockjs::{Quoted, quote};

pub(super) fn of(settings: &Settings) -> Response<Page> {
    let Settings { cookie_needed, websocket, .. } = settings;
    let entropy: u32 = rand::random();
    let mut json = format!(
        "{{\"websocket\":{websocket},\"origins\":[\"*:*\"],\"cookie_needed\":{cookie_needed},\"entropy\":{entropy}"
    )
    .into_bytes();
    if let Some(url) = &settings.base_url {
        json.extend_from_slice(b",\"base_url\":");
        quote(&mut json, url.as_bytes(), Quoted::Text);
    }
    json.push(b'}');
    page(StatusCode::OK, "application/json; charset=UTF-8", json)
}
