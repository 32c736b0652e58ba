//! What a sending request carries (S78).

use std::borrow::Cow;

use hyper::header::{CONTENT_TYPE, HeaderMap};

use super::route::decoded;
use crate::http::refusal::Refusal;

/// Where the JSON is in a body of `jsonp_send`.
pub(super) fn payload<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Refusal> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(body.into());
    }
    let body = std::str::from_utf8(body).map_err(|_| Refusal::PayloadBroken)?;
    let field = body.split('&').find_map(|it| it.strip_prefix("d=")).unwrap_or_default();
    let text = decoded(&field.replace('+', " ")).ok_or(Refusal::PayloadBroken)?;
    Ok(text.into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s78_a_form_has_the_payload_in_its_field_d_and_any_other_type_is_the_payload() {
        let check = |content_type: &str, body: &str, expected: Result<&str, Refusal>| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
            let found = payload(&headers, body.as_bytes()).map(|it| String::from_utf8(it.to_vec()).unwrap());
            assert_eq!(found, expected.map(str::to_owned), "{content_type} {body}");
        };
        let form = "application/x-www-form-urlencoded";
        check(form, "d=%5B%22x+y%22%5D", Ok("[\"x y\"]"));
        check("Application/X-WWW-Form-Urlencoded; charset=UTF-8", "i=1&d=%5B%5D", Ok("[]"));
        check(form, "p=p", Ok(""));
        check(form, "d=", Ok(""));
        check(form, "d=%5", Err(Refusal::PayloadBroken));
        check("text/plain", "[\"%61bc\"]", Ok("[\"%61bc\"]"));
        check("", "d=%5B%5D", Ok("d=%5B%5D"));
    }
}
